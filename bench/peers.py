"""The backtests of examples/sma-cross by a peer with two processes, joblib, Dask or Ray, in this Python.

Runs all points of the JSON list on standard input, PASSES times over, each time into a new directory below DIR, and prints
the seconds of each pass. The first one counts from BEGAN, on the monotonic clock: so it holds the start of everything.
"""

import contextlib
import json
import pathlib
import sys
import time

EXAMPLE = str(pathlib.Path(__file__).resolve().parent.parent / "examples/sma-cross")


def backtest(point, prices, results):
    """What a job of the sweep does: main of the example's program, with the same arguments. It is sent to the workers whole."""
    import contextlib
    import os
    import sys

    if EXAMPLE not in sys.path:
        sys.path.insert(0, EXAMPLE)
    import backtest as program

    fast, slow = point
    os.makedirs(results)
    sys.argv = ["backtest.py", "--fast", str(fast), "--slow", str(slow), "--prices", prices, "--results", results]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        program.main()


@contextlib.contextmanager
def joblib():
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=2)
    yield lambda tasks: parallel(delayed(backtest)(*task) for task in tasks)


@contextlib.contextmanager
def dask():
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield lambda tasks: client.gather(client.map(backtest, *zip(*tasks), pure=False))


@contextlib.contextmanager
def ray():
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    remote = ray.remote(backtest)
    yield lambda tasks: ray.get([remote.remote(*task) for task in tasks])
    ray.shutdown()


def main():
    name, prices, directory, passes, began = sys.argv[1:]
    points = json.load(sys.stdin)
    began = float(began)
    took = []
    with PEERS[name]() as run:
        for number in range(int(passes)):
            where = pathlib.Path(directory, str(number))
            run([(point, prices, str(where / str(job))) for job, point in enumerate(points)])
            took.append(time.monotonic() - began)
            written = len(list(where.glob("*/metrics.json")))
            if written != len(points):
                raise SystemExit(f"{name}: {written} of {len(points)} results were written")
            began = time.monotonic()
    print(json.dumps(took))


PEERS = {"joblib": joblib, "dask": dask, "ray": ray}

if __name__ == "__main__":
    main()
