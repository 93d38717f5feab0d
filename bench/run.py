"""Measures btctl against its peers in one run, prints a table, and writes target/bench/result.json.

Run it by `make bench`, which builds the release program and sets the peers up. Each figure is the median of three runs,
unless its line says that it is of one; a ratio is btctl's figure by its peer's, measured just before or after it on the
same machine. What writes to a store says whether that was on the disk or in memory.
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from backtests import backtests, versions
from cluster import PLACES, ROOT, RUNS, SIMULATED, VENV, Cluster, median, note, rows, sh, sql
from fleet import fleet, soak
from history import history
from judgements import judgements

NOOP_JOBS = 100_000
PEER_TASKS = 5_000
SUBMIT_JOBS = 1_000_000
CONTAINERS = 60
OUTPUT_BYTES = 2 << 30


def submit():
    def ours():
        with Cluster() as cluster:
            began = time.monotonic()
            matrix = f"n=1:{SUBMIT_JOBS}"
            cluster.btctl("submit", "--image", "x", "--matrix", matrix, "--", "x", "{{ n }}")
            return SUBMIT_JOBS / (time.monotonic() - began)

    def insert():
        # The same rows into the same table, with its indexes and constraints, in one statement.
        with Cluster() as cluster:
            cluster.btctl("submit", "--image", "x", "--", "x")
            began = time.monotonic()
            sql(
                "insert into jobs (sweep_id, number) "
                f"select s.id, n from sweeps s, generate_series(1, {SUBMIT_JOBS}) n",
                cluster.database,
            )
            return SUBMIT_JOBS / (time.monotonic() - began)

    note("submit of 1,000,000 jobs", median(ours), ("INSERT ... SELECT", median(insert)), "job/s")


def noop():
    """Rate, and processor time of each part apart: agents are many, coordinator and Postgres are not."""
    def ours(place):
        with Cluster(50, *SIMULATED, "--cpus", 16, place=place) as cluster:
            flags = ("--image", "x", "--", "x")
            cluster.run(1_000, *flags)
            cluster.wait(cluster.settled)
            before = cluster.cpu()
            rate = cluster.run(NOOP_JOBS, *flags)
            cluster.wait(cluster.settled)
            return rate, *((after - before) / NOOP_JOBS * 1000 for before, after in zip(before, cluster.cpu()))

    figures = {place: [statistics.median(column) for column in zip(*(ours(place) for _ in range(RUNS)))] for place in PLACES}
    for peer in ("celery", "dask"):
        measure = lambda peer=peer: float(sh(VENV / "python", ROOT / "bench/tasks.py", peer, PEER_TASKS).stdout.split()[-1])
        figure = median(measure)
        for place, (rate, *_) in figures.items():
            note(f"no-op jobs, simulated engine, {place}", rate, (peer, figure), "job/s")
    for place, (_, coordinator, postgres, agents) in figures.items():
        note(f"CPU per no-op job of the coordinator, {place}", coordinator, None, "ms", True)
        note("  of Postgres", postgres, None, "ms", True)
        note("  of both", coordinator + postgres, None, "ms", True)
        note("  of the agents", agents, None, "ms", True)


def guarded():
    """What TLS, tokens and the audit log cost a job, against the same without them."""
    def rate(guarded):
        with Cluster(50, *SIMULATED, "--cpus", 16, guarded=guarded) as cluster:
            flags = ("--image", "x", "--", "x")
            cluster.run(1_000, *flags)
            return cluster.run(NOOP_JOBS, *flags)

    rates = {True: [], False: []}
    # In turn, so that what the machine does besides is the same for both.
    for _ in range(RUNS):
        for kind, figures in rates.items():
            figures.append(rate(kind))
    note("no-op jobs with TLS, tokens and agents that joined", statistics.median(rates[True]),
         ("without", statistics.median(rates[False])), "job/s")


def claims():
    """What a claim of 100 jobs takes with so many queued, against the barest claim that Postgres can make."""
    query = (ROOT / "coordinator/queries/claim/claim_jobs.sql").read_text()

    def measure(backlog, bare):
        with Cluster() as cluster:
            database = cluster.database
            cluster.btctl("submit", "--image", "x", "--matrix", f"n=1:{backlog}", "--", "x")
            sql("insert into agents (id, name, session, cpu_millis, memory_bytes, gpus, labels, volumes, version, engine) "
                "select gen_random_uuid(), 'a' || n, 1, 1, 1, 0, '{}', '{}', '', '' from generate_series(1, 10) n",
                database)
            sql("vacuum analyze", database)
            sweep = sql("select id from sweeps", database)
            agents = sql("select array_agg(id) from agents, generate_series(1, 10)", database)
            sessions = sql("select array_agg(1) from generate_series(1, 100)", database)
            claims = min(100, backlog // 100)
            if bare:
                head = ("prepare c(uuid, int) as update jobs set state = 'running' where ctid = any (array(select ctid "
                        "from jobs where sweep_id = $1 and state = 'queued' and number >= $2 order by number limit 100 "
                        "for update skip locked)) returning number;")
                calls = [f"execute c('{sweep}', {n * 100});" for n in range(claims)]
            else:
                head = f"prepare c(uuid, uuid[], bigint[], interval, int) as {query};"
                calls = [f"execute c('{sweep}', '{agents}', '{sessions}', '60s', {n * 100});" for n in range(claims)]
            lines = [head, "select clock_timestamp() as began \\gset", "\\o /dev/null", *calls, "\\o",
                     "select extract(epoch from clock_timestamp() - :'began'::timestamptz) * 1000;"]
            script = cluster.dir / "claims.sql"
            script.write_text("\n".join(lines))
            out = sh("psql", "-X", "-q", "-A", "-t", "-d", database, "-f", script).stdout.split()
            return float(out[-1]) / claims

    for backlog in (1_000, 100_000, 1_000_000):
        ours = median(lambda: measure(backlog, False))
        bare = median(lambda: measure(backlog, True))
        note(f"claim of 100 jobs, {backlog:,} queued", ours, ("bare SKIP LOCKED", bare), "ms", True)


def latency():
    """From the submit's start to the container's start, on an idle system with the real engine."""
    def started(container):
        text = sh("docker", "inspect", "-f", "{{.State.StartedAt}}", container, check=False).stdout.strip()
        if not text or text.startswith("0001"):
            return None
        return float(sh("date", "-d", text, "+%s.%N").stdout)

    def ours(cluster):
        began = time.time()
        sweep = cluster.json("submit", "--image", "btctl-test:1", "-m", "64m", "--", "sleep", "30")["id"]
        found = []
        def there():
            ids = sh("docker", "ps", "-q", "--filter", f"label=btctl.sweep={sweep}").stdout.split()
            found[:] = [at for at in map(started, ids) if at]
            return bool(found)
        cluster.wait(there)
        cluster.btctl("cancel", sweep)
        cluster.wait(lambda: not sh("docker", "ps", "-q", "--filter", f"label=btctl.sweep={sweep}").stdout.split())
        return (found[0] - began) * 1000

    def docker():
        began = time.time()
        container = sh("docker", "run", "-d", "--network", "none", "btctl-test:1", "sleep", "30").stdout.strip()
        took = (started(container) - began) * 1000
        sh("docker", "rm", "-f", container)
        return took

    with Cluster(1, "--cpus", 2, "--memory", "1GiB", "--stop-grace", "0s") as cluster:
        ours(cluster)
        mine = sorted(ours(cluster) for _ in range(20))
        peers = sorted(docker() for _ in range(20))
    note("submit to container start, p50", mine[10], ("docker run", peers[10]), "ms", True)
    note("submit to container start, p99 (of 20)", mine[-1], ("docker run", peers[-1]), "ms", True)


def containers():
    with Cluster(1, "--cpus", 2, "--memory", "1GiB") as cluster:
        flags = ("--image", "btctl-test:1", "--cpus", 0.5, "--", "true")
        cluster.run(4, *flags)
        ours = median(lambda: cluster.run(CONTAINERS, *flags))
        shared = median(lambda: cluster.run(4 * CONTAINERS, *flags[:-2], "--containers", "reuse", *flags[-2:]))
    note("no-op jobs in shared containers, 4 at a time", shared, ("a container each", ours))
    note("no-op containers, 4 at a time", ours, ("a bare loop of Engine calls", median(bare)))

    def xargs():
        began = time.monotonic()
        command = f"seq {CONTAINERS} | xargs -P4 -I_ docker run --rm --network none btctl-test:1 true"
        sh("bash", "-c", command)
        return CONTAINERS / (time.monotonic() - began)

    note("no-op containers, 4 at a time", ours, ("xargs -P4 docker run", median(xargs)))

    def swarm():
        began = time.monotonic()
        sh("docker", "service", "create", "-q", "--name", "btctl-bench", "--mode", "replicated-job", "--no-resolve-image",
           "--replicas", CONTAINERS, "--max-concurrent", 4, "--network", "host", "btctl-test:1", "true")
        took = time.monotonic() - began
        sh("docker", "service", "rm", "btctl-bench")
        return CONTAINERS / took

    joined = sh("docker", "info", "-f", "{{.Swarm.LocalNodeState}}").stdout.strip() == "active"
    if not joined:
        sh("docker", "swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        note("no-op containers, 4 at a time", ours, ("Swarm replicated-job", median(swarm)))
    finally:
        sh("docker", "service", "rm", "btctl-bench", check=False)
        if not joined:
            sh("docker", "swarm", "leave", "--force")


def bare():
    """The same containers as fast as the Engine gives them: four threads that make, start, await and remove them."""

    class Engine(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect("/var/run/docker.sock")

    body = json.dumps({
        "Image": "btctl-test:1", "Cmd": ["true"], "User": "65534:65534",
        "HostConfig": {
            "NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "Init": True, "Memory": 64 << 20,
            "MemorySwap": 64 << 20, "NanoCpus": 500_000_000, "PidsLimit": 1024, "SecurityOpt": ["no-new-privileges"],
            "Tmpfs": {"/tmp": "rw,size=32m"},
        },
    })

    def one(_):
        engine = Engine("engine")

        def call(method, path, body=None):
            engine.request(method, path, body, {"Content-Type": "application/json"})
            return engine.getresponse().read()

        container = json.loads(call("POST", "/containers/create", body))["Id"]
        call("POST", f"/containers/{container}/start")
        call("POST", f"/containers/{container}/wait")
        call("DELETE", f"/containers/{container}?v=1")

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(CONTAINERS)))
    return CONTAINERS / (time.monotonic() - began)


def attached():
    with Cluster(1_000, *SIMULATED, "--cpus", 16) as cluster:
        cluster.btctl("submit", "--image", "x", "--agent-label", "none=here", "--matrix", f"n=1:{SUBMIT_JOBS}", "--", "x")
        ticks = lambda: sum(int(part) for part in pathlib.Path(f"/proc/{cluster.coordinator.pid}/stat").read_text().split()[13:15])
        before = ticks()
        time.sleep(30)
        cpu = (ticks() - before) / os.sysconf("SC_CLK_TCK") / 30 * 100
        status = pathlib.Path(f"/proc/{cluster.coordinator.pid}/status").read_text()
        peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
        note("coordinator's peak memory, 1,000 agents, 1e6 queued", peak, None, "MiB")
        note("coordinator's CPU, the same, idle", cpu, None, "%")


def outputs():
    """One large output from the end of its container to its result, against `cp` and `sha256sum` of the same file."""
    script = f"head -c {OUTPUT_BYTES} /dev/urandom > /results/big"
    # What is written to memory counts as the container's.
    flags = ("--image", "btctl-test:1", "--cpus", 1, "-m", "4g", "--", "sh", "-c", script)
    mib = OUTPUT_BYTES / (1 << 20)
    agent = (1, "--cpus", 2, "--memory", "5GiB", "--disk", "8GiB")

    def peak(process):
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    def published(cluster):
        """Megabytes a second, by the times that the result itself names."""
        sweep = cluster.json("submit", *flags)["id"]
        counts = lambda: cluster.json("show", sweep)["counts"]
        cluster.wait(lambda: not counts()["queued"] + counts()["running"])
        if not counts()["succeeded"]:
            raise SystemExit(f"no output: {cluster.btctl('show', sweep).stdout}")
        row = sql("select extract(epoch from a.finished_at - a.started_at) - a.wall_millis / 1000.0 from attempts a "
                  "where a.state = 'succeeded' order by a.finished_at desc limit 1", cluster.database)
        return mib / float(row)

    def copied():
        with tempfile.TemporaryDirectory(prefix="btctl-bench-", dir="/dev/shm") as dir:
            sh("sh", "-c", f"head -c {OUTPUT_BYTES} /dev/urandom > {dir}/big")
            began = time.monotonic()
            sh("sh", "-c", f"cp {dir}/big {dir}/copy && sha256sum {dir}/copy")
            return mib / (time.monotonic() - began)

    def measure(what, flags, peer, **options):
        peaks, rates = [], []
        for _ in range(RUNS):
            with Cluster(*agent, *flags, **options) as cluster:
                rates.append(published(cluster))
                peaks.append((peak(cluster.agent), peak(cluster.coordinator)))
        note(f"an output of {mib:,.0f} MiB {what}", statistics.median(rates), peer, "MiB/s")
        note("  the agent's peak memory", max(agent for agent, _ in peaks), None, "MiB")
        note("  the coordinator's", max(coordinator for _, coordinator in peaks), None, "MiB")

    peer = ("cp and sha256sum", median(copied))
    measure("to a directory, directly", (), peer)
    measure("to a directory, relayed", ("--store", "relay"), peer)
    program = shutil.which("s3s-fs") or ROOT / "target/tools/bin/s3s-fs"
    with tempfile.TemporaryDirectory(prefix="btctl-bench-", dir="/dev/shm") as data:
        (pathlib.Path(data) / "bucket").mkdir()
        port = 7697
        server = subprocess.Popen([program, "--host", "127.0.0.1", "--port", str(port), "--access-key", "bench",
                                   "--secret-key", "bench", data])
        env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
               "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        try:
            measure("to an S3 server on the same machine, directly", (), peer, store="s3://bucket/x", env=env)
            measure("to it, relayed", ("--store", "relay"), peer, store="s3://bucket/x", env=env)
        finally:
            server.terminate()
            server.wait()


PARTS = {"submit": submit, "noop": noop, "guarded": guarded, "claims": claims, "latency": latency, "containers": containers, "attached": attached,
         "outputs": outputs, "backtests": backtests, "judgements": judgements, "history": history, "fleet": fleet, "soak": soak}


def main():
    chosen = sys.argv[1:] or list(PARTS)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    machine = f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, Postgres {sql('show server_version')}, " \
              f"Docker {sh('docker', 'version', '-f', '{{.Server.Version}}').stdout.strip()}"
    machine += f"; {versions()}"
    print(f"{machine}; medians of {RUNS} runs; the queue is on the disk\n")
    for part in chosen:
        PARTS[part]()
    out = ROOT / "target/bench/result.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine, "date": time.strftime("%Y-%m-%d"), "rows": rows}, indent=2))
    print(f"\nwritten to {out}")


if __name__ == "__main__":
    main()
