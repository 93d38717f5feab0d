"""Sweeps that take more jobs while they run."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

import numpy
import pytest

import btctl

from .conftest import Gate

SCRIPT = """printf '{"sum": %s}' $((BT_PARAM_FAST + BT_PARAM_SLOW)) > /results/metrics.json"""


def opened(client: btctl.Client, script: str = SCRIPT, **keys: Any) -> btctl.OpenSweep:
    return client.open_sweep(
        image="btctl-test:1", command=["sh", "-c", script], cpus=0.25, memory="64MiB", volumes=["gate:/gate:ro"], **keys
    )


def test_it_grows_while_it_runs(client: btctl.Client) -> None:
    with opened(client) as sweep:
        assert sweep.state == "open" and sweep.info().open and sweep.jobs() == []
        first = sweep.submit(fast=7, slow=40).result(60)
        assert (first.number, first.parameters, first.metrics) == (0, {"fast": 7, "slow": 40}, {"sum": 47})
        # What was found decides what is tried next.
        again = sweep.submit(fast=numpy.int64(first.metrics["sum"]), slow=1)
        both = sweep.map([{"fast": 1, "slow": 1}, {"fast": 2, "slow": 2}])
        concurrent.futures.wait([again, *both], timeout=60)
        assert [future.result().metrics["sum"] for future in (again, *both)] == [48, 2, 4]
        assert sweep.state == "open" and sweep.info().finished is None
    assert sweep.wait(timeout=60, progress=False).state == "succeeded"
    assert not sweep.close()
    with pytest.raises(btctl.errors.Conflict, match="it was closed"):
        sweep.submit(fast=1, slow=1)


def test_a_key_adds_once(client: btctl.Client) -> None:
    with opened(client, agents={"zone": "none"}) as sweep:
        first = sweep.add([{"fast": 1, "slow": 2}], key="a")
        again = sweep.add([{"fast": 1, "slow": 2}], key="a")
        assert (first.first_job, first.existed, again.first_job, again.existed) == (0, False, 0, True)
        with pytest.raises(btctl.errors.Conflict, match="choose another key"):
            sweep.add([{"fast": 3, "slow": 2}], key="a")
        with pytest.raises(btctl.errors.InvalidArgument, match="there are no jobs to add"):
            sweep.add([])
    sweep.cancel()


def test_waiting_lasts_until_it_is_closed(client: btctl.Client, gate: Gate) -> None:
    sweep = opened(client, "true")
    sweep.submit(fast=1).result(60)
    with pytest.raises(TimeoutError):
        sweep.wait(timeout=0.5, progress=False)
    ended = threading.Thread(target=sweep.wait, kwargs={"timeout": 60, "progress": False})
    ended.start()
    sweep.close()
    ended.join(60)
    assert not ended.is_alive() and sweep.state == "succeeded"


def test_futures_of_a_cancelled_sweep_say_so(client: btctl.Client, gate: Gate) -> None:
    with opened(client, "until [ -e /gate/open ]; do sleep 0.1; done") as sweep:
        future = sweep.submit(fast=1)
        sweep.cancel()
        with pytest.raises(btctl.JobCancelled):
            future.result(60)
        with pytest.raises(btctl.errors.Conflict, match="it was cancelled"):
            sweep.submit(fast=2)
