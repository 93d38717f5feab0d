"""Futures of jobs, and the thread behind them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import threading
import time
from typing import List

import pytest

import btctl
from btctl._watch import windows

from .conftest import Gate, Line, Submit


def watchers() -> List[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "btctl-watch"]


def test_jobs_come_as_they_end(submit: Submit, gate: Gate) -> None:
    sweep = submit('[ $BT_PARAM_N = 2 ] || until [ -e /gate/open ]; do sleep 0.1; done; exit $BT_PARAM_N',
                   volumes=["gate:/gate:ro"], matrix={"n": [0, 1, 2]})
    jobs = btctl.as_completed(sweep.jobs(), timeout=120)
    assert len(jobs) == 3
    ended = iter(jobs)
    first = next(ended)
    assert (first.number, first.state, first.reason) == (2, "failed", "exit(2)")
    gate.open()
    assert sorted((job.number, job.state) for job in ended) == [(0, "succeeded"), (1, "failed")]
    # Those that have ended long ago come too.
    assert len(list(btctl.as_completed(sweep.jobs(), timeout=30))) == 3


def test_a_future_holds_the_job_or_why_it_failed(submit: Submit, gate: Gate) -> None:
    sweep = submit("exit $BT_PARAM_N", waits=True, matrix={"n": [0, 1, 2]})
    good, bad, cancelled = sweep.futures()
    assert sweep.job(0).future() is good and not good.done()
    # Its own `cancel` does nothing: whoever stops waiting does not stop the job.
    assert not good.cancel()
    sweep.job(2).cancel()
    with pytest.raises(btctl.JobCancelled):
        cancelled.result(60)
    gate.open()
    done, left = concurrent.futures.wait([good, bad, cancelled], timeout=120)
    assert not left and len(done) == 3
    assert good.result().state == "succeeded"
    error = bad.exception()
    assert isinstance(error, btctl.JobFailed) and error.job.reason == "exit(1)" and "exit(1)" in str(error)
    assert sweep.job(1).wait(30).state == "failed"


def test_asyncio_waits_for_jobs(submit: Submit, gate: Gate) -> None:
    sweep = submit("exit $BT_PARAM_N", waits=True, matrix={"n": [0, 1]})

    async def run() -> List[str]:
        first = asyncio.wrap_future(sweep.job(0).future())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(first), 0.2)
        gate.open()
        states = [job.state async for job in sweep]
        assert (await first).state == "succeeded"
        states += [job.state async for job in btctl.as_completed(sweep.jobs(), timeout=30)]
        return sorted(states)

    assert asyncio.run(run()) == ["failed", "failed", "succeeded", "succeeded"]


def test_one_thread_watches_for_all(address: str, submit: Submit, gate: Gate) -> None:
    client = btctl.Client(address)
    before = len(watchers())
    sweeps = [submit("true", waits=True, client=client, matrix={"n": [0, 1]}) for _ in range(3)]
    futures = [future for sweep in sweeps for future in sweep.futures()]
    assert len(watchers()) == before + 1
    gate.open()
    assert len(concurrent.futures.wait(futures, timeout=120).done) == 6


def test_a_cut_line_loses_no_end(submit: Submit, gate: Gate, line: Line) -> None:
    client = btctl.Client(line.address)
    sweep = submit("true", waits=True, client=client, matrix={"n": [0, 1, 2, 3]})
    futures = sweep.futures()
    line.cut()
    gate.open()
    # All of it happens while the line is cut.
    btctl.Client().sweep(sweep.id).wait(timeout=120, progress=False)
    assert not any(future.done() for future in futures)
    line.mend()
    assert len(concurrent.futures.wait(futures, timeout=60).done) == 4


def test_without_events_it_looks(submit: Submit, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    client = btctl.Client()

    def refused(*_: object) -> None:
        raise btctl.errors.Unavailable(503, "unavailable", "1000 watch already")

    monkeypatch.setattr(client.watcher, "_follow", refused)
    sweep = submit("true", waits=True, client=client)
    future = sweep.job(0).future()
    gate.open()
    assert future.result(60).state == "succeeded"


def test_whoever_waits_for_a_removed_sweep_hears_of_it(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    client = btctl.Client()
    sweep = submit("true", client=client).wait(progress=False)
    gone = btctl.Sweep(client, sweep.id[:-4] + "0000", "gone")
    (future,) = client.watcher.futures(gone.id, [0])
    with pytest.raises(btctl.errors.NotFound):
        future.result(30)


def child(sweep: str, queue: "multiprocessing.Queue[str]") -> None:
    job = btctl.sweep(sweep).job(0)
    queue.put(job.future().result(120).state)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_watches_by_itself(submit: Submit, gate: Gate) -> None:
    # With the client that is shared, while its thread watches and its connections are open.
    sweep = submit("true", waits=True, client=btctl.client())
    future = btctl.sweep(sweep.id).job(0).future()
    context = multiprocessing.get_context("fork")
    queue: "multiprocessing.Queue[str]" = context.Queue()
    process = context.Process(target=child, args=(sweep.id, queue))
    process.start()
    time.sleep(0.2)
    gate.open()
    assert queue.get(timeout=120) == "succeeded" == future.result(120).state
    process.join(30)
    assert process.exitcode == 0


def test_pages_hold_all_numbers_that_are_looked_for() -> None:
    assert list(windows([])) == []
    assert list(windows([5])) == [(5, 1)]
    assert list(windows({3, 999, 1002, 1003})) == [(3, 1000), (1003, 1)]
