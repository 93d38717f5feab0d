"""What a large fleet costs by being there, what a job costs in it, and whether that stays so: many jobs, while machines die and
come back, and at the end a result for each of them."""

import os
import random
import signal
import statistics
import time

FLEETS = (50, 250, 1_000)
JOBS = 50_000
IDLE_SECONDS = 30
# Of the soak: machines of so many agents, and how often one of them dies.
MACHINES, EACH, FAULT_SECONDS = 20, 50, 10
SOAK_JOBS = int(os.environ.get("BTCTL_BENCH_SOAK_JOBS", 500_000))
SWEEPS = 10


def memory(pid):
    """Bytes of a process now."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def fleet():
    from cluster import SIMULATED, Cluster, note

    first = None
    for agents in FLEETS:
        with Cluster(agents, *SIMULATED, "--cpus", 16) as cluster:
            before = cluster.cpu()
            time.sleep(IDLE_SECONDS)
            coordinator, postgres, _ = ((after - before) / IDLE_SECONDS * 100 for before, after in zip(before, cluster.cpu()))
            note(f"{agents:,} idle agents: CPU of the coordinator", coordinator, None, "%", True)
            note("  of Postgres", postgres, None, "%", True)
            flags = ("--image", "x", "--", "x")
            cluster.run(1_000, *flags)
            rate = statistics.median(cluster.run(JOBS, *flags) for _ in range(3))
            note(f"no-op jobs on {agents:,} agents", rate, first and (f"{FLEETS[0]} agents", first), "job/s")
            first = first or rate
            note("  the coordinator's memory", memory(cluster.coordinator.pid) / 2**20, None, "MiB", True)


def soak():
    """Many jobs on 1,000 agents. Every ten seconds 50 agents die and come back. Compares the first tenth of the jobs with the last."""
    from cluster import SIMULATED, Cluster, note, sql

    flags = (*SIMULATED, "--cpus", 2, "--count", EACH)
    with Cluster(coordinator=("--lease", "10s", "--heartbeat", "2s")) as cluster:
        begin = lambda n: cluster.start("agent", "--state-dir", cluster.dir / f"machine{n}", "--name", f"machine{n}", *flags)
        machines = [begin(n) for n in range(MACHINES)]
        cluster.wait(lambda: sum(a["state"] == "ready" for a in cluster.json("agents", "ls")) == MACHINES * EACH)
        figures, deaths, chance = [], 0, random.Random(1)
        for _ in range(SWEEPS):
            began = died = time.monotonic()
            jobs = SOAK_JOBS // SWEEPS
            sweep = cluster.json("submit", "--matrix", f"n=1:{jobs}", "-m", "64m", "-e", "BT_SIM_MS=20", "--image", "x", "--", "x")["id"]
            asked = []
            while True:
                at = time.monotonic()
                counts = cluster.json("show", sweep)["counts"]
                asked.append((time.monotonic() - at) * 1000)
                if not counts["queued"] + counts["running"]:
                    break
                if time.monotonic() - died > FAULT_SECONDS:
                    one = chance.randrange(MACHINES)
                    machines[one].send_signal(signal.SIGKILL)
                    machines[one].wait()
                    cluster.processes.remove(machines[one])
                    machines[one] = begin(one)
                    died, deaths = time.monotonic(), deaths + EACH
                time.sleep(0.2)
            if counts["succeeded"] != jobs:
                raise SystemExit(f"not all jobs of {sweep} have succeeded: {counts}")
            cluster.wait(cluster.settled)
            size = int(sql("select pg_database_size(current_database())", cluster.database))
            figures.append((jobs / (time.monotonic() - began), statistics.median(asked), memory(cluster.coordinator.pid) / 2**20, size))
        results, jobs = int(sql("select count(*) from results", cluster.database)), SOAK_JOBS // SWEEPS * SWEEPS
        if results != jobs:
            raise SystemExit(f"{jobs:,} jobs have {results:,} results")
        print(f"  {jobs:,} jobs on {MACHINES * EACH:,} agents, {deaths:,} deaths of agents: each has one result", flush=True)
        first, last = figures[0], figures[-1]
        note("jobs of 20 ms, the last tenth", last[0], ("the first", first[0]), "job/s")
        note("  btctl show", last[1], ("the first", first[1]), "ms", True)
        note("  the coordinator's memory", last[2], ("the first", first[2]), "MiB", True)
        note("  the database, for each job", last[3] / jobs / 1024, None, "KiB", True)
