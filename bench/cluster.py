"""What all parts of the benchmark share: a cluster of processes, its processor time, where it keeps its files, and the table."""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BTCTL = ROOT / "target/release/btctl"
VENV = ROOT / "target/bench/venv/bin"
RUNS = 3
# Where stores and state directories are; the queue is on the disk in any case.
PLACES = {"in memory": pathlib.Path("/dev/shm"), "on the disk": ROOT / "target/bench"}

rows = []


def note(what, figure, peer=None, unit="/s", lower_is_better=False):
    """One line of the table: our figure, and its ratio to a peer's."""
    row = {"what": what, "unit": unit, "btctl": figure}
    if peer:
        name, peers = peer
        row |= {"peer": name, "peer_figure": peers, "ratio": figure / peers}
    rows.append(row)
    ratio = f"{row['ratio']:8.2f} x {row['peer']} ({shown(row['peer_figure'])})" if peer else ""
    better = " (lower is better)" if lower_is_better else ""
    print(f"{what:62} {shown(figure):>14} {unit:5}{ratio}{better}", flush=True)


def shown(figure):
    return f"{figure:,.3f}" if figure < 10 else f"{figure:,.1f}"


def median(measure):
    return statistics.median(measure() for _ in range(RUNS))


def sh(*args, **kwargs):
    check = kwargs.pop("check", True)
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, **kwargs)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(str(arg) for arg in args)[:300]} failed: {done.stderr[-2000:]}")
    return done


def sql(statement, database="postgres"):
    return sh("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement).stdout.strip()


def stat(pid):
    """What /proc/PID/stat says after the program's name; nothing of a process that has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def ticks(fields):
    return sum(map(int, fields)) / os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    return ticks(stat(pid)[11:13])


def cpu_of_tree(pid):
    """Of a process and all below it; those that have ended too, if they were waited for."""
    children = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        if fields := stat(other):
            children.setdefault(int(fields[1]), []).append(int(other))
    total, left = 0, [pid]
    while left:
        one = left.pop()
        total += ticks((stat(one) or [0] * 15)[11:15])
        left += children.get(one, [])
    return total


def postmaster():
    return int(pathlib.Path(sql("show data_directory"), "postmaster.pid").read_text().split()[0])


class Cluster:
    """A coordinator on a database of its own, and agents; store and state directories are in memory unless a place is named.

    A guarded one speaks TLS, and asks who calls; its agents join.
    """

    def __init__(self, *agents, store=None, env=None, coordinator=(), place="in memory", guarded=False):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="btctl-bench-", dir=PLACES[place]))
        # A job's user passes through it to what is mounted.
        self.dir.chmod(0o711)
        self.database = f"bench_{time.monotonic_ns()}"
        sql(f"create database {self.database}")
        port = 7699
        self.env = os.environ | {
            "BTCTL_DATABASE_URL": f"postgres://btctl@localhost/{self.database}?host={os.environ['PGHOST']}",
            "BTCTL_COORDINATOR": f"http://127.0.0.1:{port}",
            "HOME": str(self.dir),
            "XDG_CONFIG_HOME": str(self.dir),
            "BTCTL_SIM_LOG": str(self.dir / "runs"),
        } | (env or {})
        self.env.pop("BTCTL_CONFIG", None)
        self.join = ()
        if guarded:
            coordinator = (*coordinator, *self.guard(port))
        self.processes = []
        store = store or self.dir / "store"
        self.coordinator = self.start("coordinator", "--listen", f"127.0.0.1:{port}", "--store", store, *coordinator)
        self.wait(lambda: self.btctl("ls", check=False).returncode == 0)
        if guarded:
            token = self.dir / "agent.token"
            token.write_text(self.btctl("token", "create", "bench", "--role", "agent").stdout)
            self.join = ("--join", f"127.0.0.1:{port}", "--token-file", token)
        self.agents = 0
        if agents:
            self.add_agents(*agents)

    def guard(self, port):
        """Makes a certificate, and has clients show the administrator's token. Returns the flags of the coordinator."""
        tls, token = self.dir / "tls", self.dir / "admin.token"
        made = json.loads(sh(BTCTL, "coordinator", "init", "--tls-dir", tls, "-o", "json", env=self.env).stdout)
        self.env |= {
            "BTCTL_COORDINATOR": f"https://127.0.0.1:{port}",
            "BTCTL_CA_PIN": made["pin"],
            "BTCTL_TOKEN_FILE": str(token),
        }
        return "--tls-dir", tls, "--auth", "tokens", "--admin-token-file", token

    def add_agents(self, count, *flags):
        state = self.dir / "agents"
        several = ["--count", count] if count > 1 else []
        self.agent = self.start("agent", "--state-dir", state, "--name", "bench", *self.join, *several, *flags)
        self.agents = count
        ready = lambda: sum(a["state"] == "ready" for a in self.json("agents", "ls")) >= count
        self.wait(ready)

    def start(self, *args):
        log = open(self.dir / f"{args[0]}.log", "wb")
        args = [str(arg) for arg in (BTCTL, *args, "--log", "warn")]
        process = subprocess.Popen(args, env=self.env, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def btctl(self, *args, **kwargs):
        return sh(BTCTL, *args, env=self.env, **kwargs)

    def json(self, *args):
        # Before the command of a job, where there is one.
        at = args.index("--") if "--" in args else len(args)
        return json.loads(self.btctl(*args[:at], "-o", "json", *args[at:]).stdout)

    def wait(self, holds, seconds=600, pause=0.05):
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until:
                raise SystemExit(f"waited {seconds} s in vain; logs are in {self.dir}")
            time.sleep(pause)

    def run(self, jobs, *flags):
        """Runs a sweep to its end, and says how many jobs ended in a second."""
        began = time.monotonic()
        sweep = self.json("submit", "--matrix", f"n=1:{jobs}", "-m", "64m", *flags)["id"]
        self.wait(lambda: self.json("show", sweep)["counts"]["succeeded"] == jobs, pause=0.1)
        return jobs / (time.monotonic() - began)

    def settled(self):
        """True when every result has its document."""
        return sql("select count(*) from results where not written", self.database) == "0"

    def cpu(self):
        """Seconds of processor time so far: of the coordinator, of all of Postgres, of the agents."""
        return cpu_of(self.coordinator.pid), cpu_of_tree(postmaster()), cpu_of(self.agent.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
        sql(f"drop database {self.database} with (force)")
        shutil.rmtree(self.dir, ignore_errors=True)


SIMULATED = ("--engine", "simulated", "--memory", "1TiB", "--disk", "1TiB", "--max-jobs", 100_000, "--drain-timeout", "0s")
