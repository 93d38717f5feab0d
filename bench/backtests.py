"""Real backtests: the same program, prices and parameters by btctl and by its peers, each with two processes at a time.

Cold is from nothing but installed programs: btctl's cluster is new and has run no job, and a peer's pool is not there yet.
Warm is the sweep after it. Every way leaves its outputs in files; only btctl's are synced, and only its queue is.
"""

import json
import shutil
import statistics
import tempfile
import time

from cluster import PLACES, ROOT, RUNS, VENV, Cluster, note, sh

PRICES = ROOT / "target/prices"
# examples/sma-cross/sweep.yaml, widened: each fast average with each slow one.
POINTS = {
    120: (range(5, 31, 5), range(40, 231, 10)),
    1_200: (range(5, 35), range(40, 236, 5)),
}
PEERS = ("joblib", "dask", "ray")
PASSES = 2


def by_btctl(jobs, containers, place, passes):
    """Seconds of each of so many sweeps in a cluster that is new, from the submit to the word that all is done."""
    fast, slow = (f"{name}={axis.start}:{axis[-1]}:{axis.step}" for name, axis in zip(("fast", "slow"), POINTS[jobs]))
    took = []
    with Cluster(1, "--cpus", 2, "--memory", "2GiB", "--volume", f"prices={PRICES}:ro", place=place) as cluster:
        for _ in range(passes):
            began = time.monotonic()
            cluster.btctl(
                "submit", "--name", "backtests", "--image", "sma-cross:1", "--matrix", fast, "--matrix", slow,
                "--containers", containers, "-v", "prices:/data:ro", "--cpus", 1, "-m", "512m", "--wait",
                "--", "python3", "/app/backtest.py", "--fast", "{{ fast }}", "--slow", "{{ slow }}",
            )
            took.append(time.monotonic() - began)
            sweep = "backtests"
            counts = cluster.json("show", sweep)["counts"]
            if counts["succeeded"] != jobs:
                raise SystemExit(f"of {jobs} backtests {counts}: {cluster.btctl('show', sweep).stdout}")
            cluster.wait(cluster.settled)
    return took


def by_peer(jobs, name):
    """Seconds of each of two passes of a peer whose pool is new."""
    fast, slow = POINTS[jobs]
    directory = tempfile.mkdtemp(prefix="btctl-bench-", dir=PLACES["in memory"])
    try:
        points = json.dumps([(one, other) for one in fast for other in slow])
        arguments = (name, PRICES / "GOOG.csv", directory, PASSES, time.monotonic())
        return json.loads(sh(VENV / "python", ROOT / "bench/peers.py", *arguments, input=points).stdout.splitlines()[-1])
    finally:
        shutil.rmtree(directory)


def versions():
    """Of the peers, and of what they run."""
    names = ("celery", *PEERS, "pandas", "backtesting")
    program = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {names}))"
    return sh(VENV / "python", "-c", program).stdout.strip()


def backtests():
    for jobs in POINTS:
        runs = RUNS if jobs == 120 else 1
        told = f"{jobs:,} backtests" if runs > 1 else f"{jobs:,} backtests, one run"
        def medians(measure):
            return [statistics.median(passes) for passes in zip(*(measure() for _ in range(runs)))]
        peers = {name: medians(lambda name=name: by_peer(jobs, name)) for name in PEERS}
        ways = {("warm", place): medians(lambda place=place: by_btctl(jobs, "warm", place, PASSES)) for place in PLACES}
        if jobs == 120:
            ways |= {(way, "in memory"): by_btctl(jobs, way, "in memory", 1) for way in ("reuse", "each")}
        rate = {key: [jobs / seconds for seconds in passes] for key, passes in (peers | ways).items()}
        for which, state in enumerate(("cold", "second sweep")):
            joblib = ("joblib", rate["joblib"][which])
            for name in PEERS[1:]:
                note(f"{told}, {state}: {name}, in memory", rate[name][which], joblib)
            for (way, place), rates in ((key, rates) for key, rates in rate.items() if key not in PEERS):
                if which < len(rates):
                    once = "" if way == "warm" or runs == 1 else ", one run"
                    note(f"{told}, {state}: containers {way}, {place}{once}", rates[which], joblib)
            if jobs == 120 and which == 0:
                note(f"{told}, cold: containers warm, in memory", rate["warm", "in memory"][0],
                     ("a container each", rate["each", "in memory"][0]))
        for name in ("dask", "ray"):
            note(f"{told}, cold: containers warm, in memory", rate["warm", "in memory"][0], (name, rate[name][0]))
