"""What those who look cost a coordinator: pages that stay open, readers that do not read, and watchers beyond the limit.

    scripts/with-postgres python3 bench/page.py [BTCTL]

BTCTL is the program to measure, target/release/btctl if it is not named.
"""

import asyncio
import pathlib
import re
import resource
import sys
import time

import cluster
from cluster import SIMULATED, Cluster, cpu_of

PAGES = 100
WATCHERS = 10_000
SECONDS = 20
# A page asks for what changes this often.
EVERY = 4


def memory(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


async def connected(path, *headers):
    reader, writer = await asyncio.open_connection("127.0.0.1", 7699, limit=1 << 20)
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1:7699", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    return reader, writer


async def status(reader):
    return int((await reader.readline()).split()[1])


async def looks(path, until):
    """An open page: its part that changes, again and again."""
    asked = 0
    while time.monotonic() < until:
        reader, writer = await connected(path, "HX-Request: true", "Connection: close")
        assert await status(reader) == 200
        await reader.read(-1)
        writer.close()
        asked += 1
        await asyncio.sleep(EVERY)
    return asked


async def measured(what, coordinator, doing):
    before, began = cpu_of(coordinator.pid), time.monotonic()
    answer = await doing
    took = time.monotonic() - began
    used = 100 * (cpu_of(coordinator.pid) - before) / took
    print(f"{what:48} {used:6.1f} % of a core, {memory(coordinator):7.1f} MiB", flush=True)
    return answer


async def watch_all(path):
    """Asks so many times at once, a few hundred connections at a time; says which statuses came, and keeps the streams."""
    room, kept, came = asyncio.Semaphore(300), [], {}

    async def one():
        async with room:
            reader, writer = await connected(path)
            code = await status(reader)
            came[code] = came.get(code, 0) + 1
            if code == 200:
                kept.append(writer)
            else:
                writer.close()

    await asyncio.gather(*(one() for _ in range(WATCHERS)))
    return came, kept


async def measure(it):
    sweep = it.json("submit", "--image", "x", "-m", "64m", "--matrix", "n=1:100000", "--", "x")["id"]
    it.btctl("pause", sweep)
    it.json("submit", "--image", "x", "-m", "64m", "--matrix", "n=1:1000", "--agent-label", "zone=none", "--", "x")
    coordinator, page = it.coordinator, f"/sweeps/{sweep}"
    await measured("nobody looks", coordinator, asyncio.sleep(SECONDS))
    until = time.monotonic() + SECONDS
    all_looking = asyncio.gather(*(looks(page, until) for _ in range(PAGES)))
    asked = await measured(f"{PAGES} pages are open", coordinator, all_looking)
    print(f"{'':48} {sum(asked)} times the part that changes was sent")
    slow = [await connected("/api/events") for _ in range(PAGES)] + [await connected(page) for _ in range(PAGES)]
    await measured(f"{2 * PAGES} readers that do not read", coordinator, asyncio.sleep(SECONDS))
    for _, writer in slow:
        writer.close()
    began = time.monotonic()
    came, kept = await measured(f"{WATCHERS} ask to watch", coordinator, watch_all("/api/events"))
    print(f"{'':48} in {time.monotonic() - began:.1f} s, answers by status: {came}")
    began = time.monotonic()
    reader, writer = await connected("/api/sweeps", "Connection: close")
    print(f"{'':48} another call is answered {await status(reader)} in {time.monotonic() - began:.3f} s meanwhile")
    await measured(f"{len(kept)} watch", coordinator, asyncio.sleep(SECONDS))
    for writer in kept:
        writer.close()
    await measured("they have gone", coordinator, asyncio.sleep(SECONDS))


def main():
    if len(sys.argv) > 1:
        cluster.BTCTL = pathlib.Path(sys.argv[1]).resolve()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Cluster(1, *SIMULATED, "--cpus", 1) as it:
        asyncio.run(measure(it))


main()
