"""Sweeps and their results, on a real coordinator with real containers."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict

import numpy
import pandas
import polars
import pytest

import btctl
from btctl import _tables
from btctl._shown import Shown, bar, line
from btctl.types import Counts

from .conftest import Gate, Submit

# A job that reports a metric, a curve of two days, and a pickle of {'fast': N}.
REPORT = r"""
echo "fast is $BT_PARAM_FAST"; echo oops >&2
f=$BT_PARAM_FAST
printf '{"sharpe": %s.5, "series": {"returns": [["2024-01-0%s", 0.0%s], ["2024-01-09", null]]}}' $f $f $f > /results/metrics.json
printf "(dp0\nS'fast'\np1\nI%s\ns." $f > /results/stats.pkl
"""


@pytest.fixture(scope="module")
def done(client: btctl.Client) -> btctl.Sweep:
    """A finished sweep of four jobs, of which one has failed."""
    sweep = client.submit(
        image="btctl-test:1",
        command=["sh", "-c", REPORT + "[ $f != 4 ]"],
        matrix={"fast": btctl.span(1, 4)},
        name="py-done",
        cpus=0.25,
        memory="64MiB",
        tags=["one", "two"],
        note="a note",
    )
    return sweep.wait(progress=False)


def test_a_sweep_is_found_and_says_how_it_stands(client: btctl.Client, done: btctl.Sweep) -> None:
    assert client.sweep("py-done") == done == client.sweep(done.id[:8])
    info = done.info()
    assert (info.state, info.counts.succeeded, info.counts.failed) == ("failed", 3, 1)
    assert (info.tags, info.note) == (["one", "two"], "a note")
    assert info.failures[0].reason == "exit(1)" and info.failures[0].first_job == 3
    assert info.created is not None and info.created.tzinfo is not None
    assert client.sweeps(name="py-d*")[0].id == done.id


def test_it_is_judged_with_all_of_its_trials(done: btctl.Sweep) -> None:
    judged = done.assess(by="sharpe")
    assert (judged.by, judged.trials.counted, judged.trials.failed) == ("sharpe", 4, 1)
    assert judged.best is not None and judged.best.job == 2 and judged.best.parameters == {"fast": 3}
    assert any(why.startswith("pbo: ") for why in judged.missing)
    assert "The best of this sweep is job 2 (fast=3) by sharpe, 3.5." in str(judged)
    with pytest.raises(btctl.BtctlError, match="did you mean `sharpe`"):
        done.assess(by="sharp")


def test_jobs_have_parameters_metrics_and_states(done: btctl.Sweep) -> None:
    jobs = done.jobs()
    assert [job.parameters for job in jobs] == [{"fast": fast} for fast in (1, 2, 3, 4)]
    assert [job.state for job in jobs] == ["succeeded"] * 3 + ["failed"]
    assert [job.metrics for job in jobs] == [{"sharpe": 1.5}, {"sharpe": 2.5}, {"sharpe": 3.5}, {}]
    assert jobs[3].reason == "exit(1)"
    assert [job.number for job in done.jobs(where="fast > 1 and sharpe < 3")] == [1]
    assert [job.number for job in done.jobs(state=["failed", "cancelled"])] == [3]
    assert done.metrics() == ["sharpe"]
    assert done.job(3).details().history[0].state == "failed"
    assert "<th>sharpe</th>" in jobs._repr_html_()  # pyright: ignore[reportPrivateUsage]


def test_the_best_come_first(done: btctl.Sweep) -> None:
    assert [job.number for job in done.top("sharpe", 2)] == [2, 1]
    assert [job.number for job in done.top("sharpe", ascending=True, where="fast > 1")] == [1, 2]


def has_nothing(_: str) -> bool:
    return False


def test_results_come_as_tables(done: btctl.Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = done.results()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 4
    (fast,) = [name for name in frame.columns if name.endswith("fast")]
    (sharpe,) = [name for name in frame.columns if name.endswith("sharpe")]
    assert list(frame[fast]) == [1, 2, 3, 4] and frame[sharpe][2] == 3.5
    other = done.results(as_="polars")
    assert isinstance(other, polars.DataFrame) and other[fast].to_list() == [1, 2, 3, 4]
    table = done.results(as_="arrow")
    assert type(table).__module__.startswith("pyarrow") and table.column(fast).to_pylist() == [1, 2, 3, 4]
    dicts = done.results(as_="dicts")
    assert dicts[1]["params"] == {"fast": 2}
    with pytest.raises(btctl.BtctlError, match="forms are pandas, polars, arrow, dicts"):
        done.results(as_="excel")
    # Where pyarrow is not installed, pandas reads CSV.
    monkeypatch.setattr(_tables, "has", has_nothing)
    plain = done.results()
    assert list(plain[fast]) == [1, 2, 3, 4] and plain[sharpe][2] == 3.5
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(btctl.BtctlError, match="pip install polars"):
        done.results(as_="polars")


def test_files_are_listed_fetched_and_unpickled(done: btctl.Sweep, tmp_path: Path) -> None:
    assert [file.path for file in done.files(1)] == ["metrics.json", "stats.pkl"]
    content = done.open(1, "stats.pkl")
    assert content.startswith(b"(dp0")
    assert done.load(1) == {"fast": 2} == done.load(1, "stats.pkl") == done.job(1).load()
    saved = done.save(1, "stats.pkl", tmp_path / "one.pkl")
    assert saved.read_bytes() == content and list(tmp_path.iterdir()) == [saved]
    with pytest.raises(btctl.errors.NotFound):
        done.save(1, "nothing.pkl", tmp_path / "two.pkl")
    assert list(tmp_path.iterdir()) == [saved]
    with pytest.raises(btctl.BtctlError, match="has no pickle"):
        done.load(3)


def test_returns_stand_side_by_side(done: btctl.Sweep, submit: Submit) -> None:
    frame = done.returns()
    assert list(frame.columns) == [0, 1, 2]
    assert list(frame.index) == [pandas.Timestamp(f"2024-01-0{day}") for day in (1, 2, 3, 9)]
    assert frame[1][pandas.Timestamp("2024-01-02")] == 0.02 and frame[1].count() == 1
    assert done.returns([2], as_="dicts") == {2: {"2024-01-03": 0.03, "2024-01-09": None}}
    assert list(done.returns(as_="polars").columns) == ["time", "0", "1", "2"]
    equity = r"""printf '{"series": {"equity": [100, 110, 99]}}' > /results/metrics.json"""
    assert list(submit(equity).wait(progress=False).returns()[0]) == pytest.approx([0.1, -0.1])
    none = submit("true").wait(progress=False)
    with pytest.raises(btctl.BtctlError, match="no job of .* has returns"):
        none.returns()


def test_logs_are_read_and_followed(done: btctl.Sweep, submit: Submit, gate: Gate) -> None:
    assert sorted(done.logs(1).splitlines()) == ["fast is 2", "oops"]
    assert done.logs(1, stream="stderr") == "oops\n"
    sweep = submit("echo last", waits=True)
    lines = sweep.follow(0)
    gate.open()
    assert list(lines) == ["last"]


def test_what_is_refused_is_said_in_the_coordinators_words(client: btctl.Client, done: btctl.Sweep) -> None:
    with pytest.raises(btctl.errors.NotFound, match='there is no sweep "nowhere"') as refused:
        client.sweep("nowhere")
    assert (refused.value.status, refused.value.code) == (404, "not_found")
    with pytest.raises(btctl.errors.InvalidArgument, match="imag"):
        client.submit(image="x:1", imag="y")
    with pytest.raises(btctl.errors.InvalidArgument, match="slow"):
        client.submit(image="x:1", command=["{{ slow }}"], matrix={"fast": [1]})
    with pytest.raises(btctl.errors.InvalidArgument):
        done.jobs(where="fast >")
    with pytest.raises(btctl.BtctlError, match="a sweep needs an image"):
        client.submit(command=["x"])


def test_manifests_are_files_dicts_and_arguments(client: btctl.Client, tmp_path: Path) -> None:
    nowhere: Dict[str, Any] = {"agents": {"zone": "none"}}
    file = tmp_path / "sweep.yaml"
    file.write_text("name: from-file\nimage: x:1\nagents: {zone: none}\nmatrix: {n: [1, 2]}\n")
    assert client.submit(file).counts.queued == 2
    with pytest.raises(btctl.BtctlError, match="is sent as it is"):
        client.submit(file, name="other")
    sweep = client.submit({"image": "x:1", "matrix": {"n": [1]}, **nowhere}, name="other")
    assert sweep.name == "other" and [job.parameters for job in sweep.jobs()] == [{"n": 1}]
    params = pandas.DataFrame({"n": numpy.array([1, 2]), "x": [0.5, 1.5]})
    rows = client.submit(image="x:1", params=params, **nowhere)
    assert [job.parameters for job in rows.jobs()] == [{"n": 1, "x": 0.5}, {"n": 2, "x": 1.5}]
    again = client.submit(image="x:1", params=polars.DataFrame({"n": [1, 2], "x": [0.5, 1.5]}), **nowhere)
    assert [job.parameters for job in again.jobs()] == [job.parameters for job in rows.jobs()]
    axes = client.submit(image="x:1", matrix={"n": numpy.arange(3), "m": range(2)}, **nowhere)
    assert axes.counts.queued == 6
    spans = client.submit(image="x:1", matrix={"n": btctl.span(numpy.int64(1), 2, 0.5)}, cpus=2, **nowhere)
    assert [job.parameters["n"] for job in spans.jobs()] == [1, 1.5, 2]
    manifest: Any = spans.info().manifest
    assert manifest["resources"]["cpu_millicore"] == 2000
    for one in (sweep, rows, again, axes, spans):
        one.cancel()


def test_a_key_makes_one_sweep_only(client: btctl.Client) -> None:
    keys: Dict[str, Any] = {"image": "x:1", "agents": {"zone": "none"}, "idempotency_key": "py-once"}
    first = client.submit(**keys)
    assert client.submit(**keys) == first
    first.cancel()


def test_pages_hold_each_job_once(client: btctl.Client) -> None:
    sweep = client.submit(image="x:1", agents={"zone": "none"}, matrix={"n": btctl.span(0, 2344)})
    assert [job.parameters["n"] for job in sweep.iter_jobs()] == list(range(2345))
    sweep.cancel()


def test_jobs_are_cancelled_retried_paused_and_resumed(submit: Submit, gate: Gate) -> None:
    sweep = submit("true", waits=True, matrix={"n": [0, 1, 2]})
    assert sweep.pause() and not sweep.pause()
    assert sweep.resume() and not sweep.resume()
    sweep.job(1).cancel()
    assert sweep.job(1).refresh().state == "cancelled"
    assert sweep.cancel([]) == btctl.types.Cancelled(0, 0, 0)
    assert sweep.retry([]) == btctl.types.Retried(0)
    assert sweep.retry([1]).queued == 1
    gate.open()
    assert sweep.wait(progress=False).counts == Counts(0, 0, 3, 0, 0)


def test_waiting_shows_lines_and_ends_in_time(submit: Submit, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = submit("true", waits=True, name="py-waits")
    with pytest.raises(TimeoutError, match="py-waits has not finished"):
        sweep.wait(timeout=0.5)
    gate.open()
    assert sweep.wait() is sweep
    assert capsys.readouterr().err.splitlines()[-1] == "py-waits: 1/1"


def test_ctrl_c_leaves_the_sweep_running(address: str, submit: Submit, gate: Gate) -> None:
    sweep = submit("true", waits=True)
    program = f"import btctl; sweep = btctl.sweep({sweep.id!r}); print('waits', flush=True); sweep.wait()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stdout is not None and waiting.stdout.readline() == "waits\n"
        assert waiting.stderr is not None and "0/1" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        _, error = waiting.communicate(timeout=30)
    assert waiting.returncode != 0 and "goes on: sweep.wait() waits again" in error and "KeyboardInterrupt" in error
    assert sweep.state in ("queued", "running")
    gate.open()
    assert sweep.wait(progress=False).state == "succeeded"


def test_running_jobs_tell_their_progress(submit: Submit, gate: Gate) -> None:
    script = """echo '{"done": 1, "of": 4, "metrics": {"sharpe": 0.5}}' > /results/progress; """
    sweep = submit(script + "until [ -e /gate/open ]; do sleep 0.1; done", volumes=["gate:/gate:ro"])
    job = sweep.job(0)
    end = time.monotonic() + 60
    while job.progress is None:
        assert time.monotonic() < end, "the progress is never told"
        time.sleep(0.1)
        job.refresh()
    assert (job.progress.fraction, job.progress.metrics) == (0.25, {"sharpe": 0.5})
    assert job.progress_series().points[0].metrics == {"sharpe": 0.5}
    gate.open()
    job.wait()


def test_bars_are_full_at_the_end() -> None:
    assert bar(Counts(0, 0, 10, 0, 0)) == "█" * 40
    assert bar(Counts(5, 1, 2, 1, 1)) == "█" * 8 + "x" * 4 + "-" * 4 + "▒" * 4 + "░" * 20
    assert bar(Counts(0, 0, 0, 0, 0)) == "░" * 40
    assert bar(Counts(0, 0, 2, 0, 1, 1)) == "█" * 20 + "-" * 10 + "~" * 10
    assert line("x", Counts(1, 1, 0, 2, 0)) == "x: 2/4, 1 running, 2 failed"
    assert line("x", Counts(0, 0, 1, 0, 0, 2)) == "x: 3/3, 2 pruned"
    out = io.StringIO()
    shown = Shown("x", out)
    shown.show(Counts(1, 0, 0, 0, 0))
    shown.show(Counts(0, 1, 0, 0, 0))
    shown.show(Counts(0, 0, 1, 0, 0), is_last=True)
    assert out.getvalue() == "x: 0/1\nx: 1/1\n"
