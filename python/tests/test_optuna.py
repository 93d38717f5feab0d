"""Searches with Optuna over real sweeps: drivers that are killed, points that are refused, jobs that fail or are pruned."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import btctl
import btctl.optuna
import btctl.search

from .conftest import Gate

optuna.logging.set_verbosity(optuna.logging.WARNING)

# Best at fast=7, slow=40; whole numbers, which the shell can count with.
SCRIPT = """printf '{"score": %s}' $((0 - (BT_PARAM_FAST - 7) * (BT_PARAM_FAST - 7) - (BT_PARAM_SLOW - 40) * (BT_PARAM_SLOW - 40))) > /results/metrics.json"""
SPACE: Dict[str, Any] = {"fast": btctl.span(1, 20), "slow": btctl.span(20, 95, 10)}


def manifest(script: str = SCRIPT, **keys: Any) -> Dict[str, Any]:
    resources = {"cpus": 0.25, "memory": "64MiB"}
    keys.setdefault("containers", "reuse")
    return {"image": "btctl-test:1", "command": ["sh", "-c", script], "resources": resources, **keys}


def each_trial_is_one_job(study: optuna.Study, sweep: btctl.Sweep, budget: int) -> None:
    trials = study.get_trials()
    jobs = sweep.jobs()
    assert len(trials) == budget == len(jobs)
    by_number = {job.number: job for job in jobs}
    assert sorted(trial.user_attrs["btctl.job"] for trial in trials) == list(range(budget))
    for trial in trials:
        job = by_number[trial.user_attrs["btctl.job"]]
        assert job.parameters == trial.params, trial
        assert trial.state == TrialState.COMPLETE and trial.value == job.metrics["score"], trial


def test_tpe_searches_a_sweep(client: btctl.Client) -> None:
    study = optuna.create_study(direction="maximize", sampler=btctl.search.sampler("tpe", 1))
    told: List[int] = []
    sweep = btctl.optuna.optimize(
        study, manifest(), SPACE, budget=20, parallel=8, maximize="score",
        callback=lambda _, trial: told.append(trial.number),
    )
    each_trial_is_one_job(study, sweep, 20)
    assert sorted(told) == list(range(20))
    assert sweep.state == "succeeded", "it is closed"
    assert study.best_value == sweep.top("score", 1)[0].metrics["score"]
    # The same again does nothing more.
    assert btctl.optuna.optimize(study, manifest(), SPACE, budget=20, maximize="score") == sweep


DRIVER = """
import json, sys, optuna, btctl, btctl.optuna, btctl.search
storage, manifest = sys.argv[1], json.loads(sys.argv[2])
study = optuna.create_study(study_name=storage, storage=storage, direction="maximize", load_if_exists=True,
    sampler=btctl.search.sampler("tpe", 2))
space = {"fast": btctl.span(1, 20), "slow": btctl.span(20, 95, 10)}
btctl.optuna.optimize(study, manifest, space, budget=12, parallel=4, maximize="score")
"""


def until_jobs(sweep: btctl.Sweep, count: int) -> None:
    end = time.monotonic() + 60
    while len(sweep.jobs()) < count:
        assert time.monotonic() < end, f"there are never {count} jobs"
        time.sleep(0.02)


def test_a_driver_that_is_killed_loses_no_trial_and_repeats_none(client: btctl.Client, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    given = manifest()
    # The driver's own, found by the key of its study.
    sweep = client.open_sweep(given, idempotency_key=f"optuna/{storage}")
    for count in (4, 8):
        with subprocess.Popen([sys.executable, "-c", DRIVER, storage, json.dumps(given)]) as driver:
            until_jobs(sweep, count)
            driver.send_signal(signal.SIGKILL)
        assert driver.returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-c", DRIVER, storage, json.dumps(given)], check=True, timeout=120)
    study = optuna.load_study(study_name=storage, storage=storage)
    each_trial_is_one_job(study, sweep, 12)
    assert sweep.state == "succeeded"


def test_a_trial_whose_job_never_arrived_is_added_and_one_that_did_is_not(client: btctl.Client) -> None:
    study = optuna.create_study(direction="maximize", sampler=btctl.search.sampler("random", 1))
    sweep = client.open_sweep(manifest())
    space = btctl.optuna.distributions(SPACE)
    # As a driver leaves them that dies between two steps.
    study.ask()
    asked, sent = study.ask(space), study.ask(space)
    sweep.add([sent.params], key=f"{study.study_name}/{sent.number}")
    assert asked.params
    btctl.optuna.optimize(study, sweep, SPACE, budget=5, parallel=2, maximize="score")
    each_trial_is_one_job(study, sweep, 5)
    assert sweep.state == "open", "whoever opened it closes it"
    assert sweep.close()


def test_failed_jobs_and_those_without_the_metric_fail_their_trials(client: btctl.Client) -> None:
    study = optuna.create_study(direction="minimize", sampler=btctl.search.sampler("random", 1))
    for kind in ("good", "bad", "silent"):
        study.enqueue_trial({"kind": kind})
    script = """case $BT_PARAM_KIND in bad) exit 3;; good) echo '{"score": 1.5}' > /results/metrics.json;; esac"""
    with client.open_sweep(manifest(script)) as sweep:
        space = {"kind": ["good", "bad", "silent"]}
        btctl.optuna.optimize(study, sweep, space, budget=3, minimize="score")
    assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert study.best_value == 1.5
    with pytest.raises(btctl.BtctlError, match="direction='maximize'"):
        btctl.optuna.optimize(study, sweep, space, maximize="score")
    with pytest.raises(btctl.BtctlError, match="say which metric"):
        btctl.optuna.optimize(study, sweep, space)


def test_points_that_where_excludes_are_no_jobs(client: btctl.Client) -> None:
    study = optuna.create_study(direction="maximize", sampler=btctl.search.sampler("random", 3))
    study.enqueue_trial({"fast": 20, "slow": 20})
    study.enqueue_trial({"fast": 5, "slow": 30})
    with client.open_sweep(manifest(where="fast < slow")) as sweep:
        btctl.optuna.optimize(study, sweep, SPACE, budget=2, maximize="score")
        refused, ran = study.get_trials()
        assert refused.state == TrialState.PRUNED and "fast < slow" in refused.user_attrs["btctl.refused"]
        assert ran.state == TrialState.COMPLETE and [job.parameters for job in sweep.jobs()] == [{"fast": 5, "slow": 30}]
    wrong = optuna.create_study(direction="maximize")
    with client.open_sweep(manifest("echo {{ slow }}")) as sweep, pytest.raises(btctl.errors.InvalidArgument, match="slow"):
        btctl.optuna.optimize(wrong, sweep, {"fast": [1]}, budget=2, maximize="score")


def test_what_running_jobs_say_prunes_them(client: btctl.Client, gate: Gate) -> None:
    study = optuna.create_study(direction="maximize", sampler=btctl.search.sampler("random", 1))
    for value in (1, -1):
        study.enqueue_trial({"n": value})
    script = """echo "{\\"done\\": 3, \\"metrics\\": {\\"score\\": $BT_PARAM_N}}" > /results/progress
    [ $BT_PARAM_N = 1 ] || until [ -e /gate/open ]; do sleep 0.1; done
    echo '{"score": 1}' > /results/metrics.json"""
    with client.open_sweep(manifest(script, volumes=["gate:/gate:ro"])) as sweep:
        btctl.optuna.optimize(
            study, sweep, {"n": [1, -1]}, budget=2, maximize="score", prune=optuna.pruners.ThresholdPruner(lower=0)
        )
        assert [(job.state, job.metrics) for job in sweep.jobs()] == [("succeeded", {"score": 1}), ("pruned", {"score": -1})]
        assert sweep.job(1).reason == "pruned(ThresholdPruner: score is -1.0 at 3)"
    good, bad = study.get_trials()
    assert good.state == TrialState.COMPLETE
    assert bad.state == TrialState.PRUNED and bad.intermediate_values == {3: -1.0}


def test_what_the_sweep_prunes_itself_is_a_pruned_trial(client: btctl.Client, gate: Gate) -> None:
    study = optuna.create_study(direction="maximize", sampler=btctl.search.sampler("random", 1))
    for value in (1, -1):
        study.enqueue_trial({"n": value})
    script = """echo "{\\"done\\": 3, \\"metrics\\": {\\"score\\": $BT_PARAM_N}}" > /results/progress
    [ $BT_PARAM_N = 1 ] || until [ -e /gate/open ]; do sleep 0.1; done
    echo '{"score": 1}' > /results/metrics.json"""
    given = manifest(script, volumes=["gate:/gate:ro"], stop_when="score < 0")
    with client.open_sweep(given) as sweep:
        btctl.optuna.optimize(study, sweep, {"n": [1, -1]}, budget=2, maximize="score")
        assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE, TrialState.PRUNED]
        with pytest.raises(btctl.JobPruned, match="score < 0: score is -1"):
            sweep.job(1).future().result(30)
        # Nothing but the sweep remembers it.
        again = optuna.create_study(direction="maximize")
        btctl.optuna.restore(again, sweep, {"n": [1, -1]}, "score")
    good, bad = again.get_trials()
    assert (good.state, good.value) == (TrialState.COMPLETE, 1)
    assert bad.state == TrialState.PRUNED and bad.intermediate_values == {3: -1.0}


def test_a_search_is_restored_from_its_sweep_alone(client: btctl.Client, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = client.open_sweep(manifest())
    space = json.dumps({"fast": {"from": 1, "to": 20, "step": 1}, "slow": [20, 30, 40, 50]})
    search = ["--sweep", sweep.id, "--space", space, "--metric", "score", "--budget", "12", "--parallel", "4"]
    with subprocess.Popen([sys.executable, "-m", "btctl.search", *search]) as driver:
        until_jobs(sweep, 7)
        driver.send_signal(signal.SIGKILL)
    assert btctl.search.main(search) == 0
    assert len(sweep.jobs()) == 12 and sweep.state == "succeeded"
    assert capsys.readouterr().err.splitlines()[-1].startswith("12/12 the best is ")


def test_axes_become_distributions() -> None:
    axes = {"a": btctl.span(20, 95, 10), "b": btctl.span(0, 1, 0.1), "c": ["x", "y"], "d": FloatDistribution(1, 2)}
    assert btctl.optuna.distributions(axes) == {
        "a": IntDistribution(20, 90, step=10),
        "b": FloatDistribution(0, 1, step=0.1),
        "c": CategoricalDistribution(["x", "y"]),
        "d": FloatDistribution(1, 2),
    }
    with pytest.raises(btctl.BtctlError, match="the axis a has no values"):
        btctl.optuna.distributions({"a": []})
    with pytest.raises(btctl.BtctlError, match="the axis a is empty"):
        btctl.optuna.distributions({"a": btctl.span(2, 1)})
