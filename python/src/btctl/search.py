"""What `btctl search` runs: a search over an open sweep that the command has queued."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from typing import Any, Dict, List, Optional

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ._client import Client
from ._manifest import Span
from .errors import BtctlError
from .optuna import JOB, optimize, restore


def sampler(name: str, seed: Optional[int]) -> BaseSampler:
    if name == "tpe":
        # Trials that still run count as bad ones, so that many that are asked for at once differ.
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)
    if name == "qmc":
        return QMCSampler(seed=seed, warn_independent_sampling=False, warn_asynchronous_seeding=False)
    if name == "nsga2":
        return NSGAIISampler(seed=seed)
    return RandomSampler(seed=seed)


def pruner(name: Optional[str]) -> Optional[BasePruner]:
    if name == "hyperband":
        return HyperbandPruner()
    return MedianPruner() if name == "median" else None


def space(text: str) -> Dict[str, Any]:
    """Lists of values, and objects with `from`, `to` and `step`."""
    axes: Dict[str, Any] = json.loads(text)
    return {name: axis if isinstance(axis, list) else _span(axis) for name, axis in axes.items()}


def _span(axis: Dict[str, float]) -> Span:
    return Span(axis["from"], axis["to"], axis["step"])


class Said:
    """A line when a trial is the best so far, and for each that did not succeed."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._best: Optional[int] = None

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        job = trial.user_attrs.get(JOB)
        if trial.state != TrialState.COMPLETE:
            what = "refused by `where`" if job is None else f"job {job} {trial.state.name.lower()}"
            self._say(study, what)
        elif study.best_trial.number != self._best:
            self._best = study.best_trial.number
            self._say(study, f"best so far {_best(study)}")

    def end(self, study: Study) -> None:
        has_any = any(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))
        self._say(study, f"the best is {_best(study)}" if has_any else "no job has reported the metric")

    def _say(self, study: Study, what: str) -> None:
        ended = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
        print(f"{ended}/{self._budget} {what}", file=sys.stderr, flush=True)


def _best(study: Study) -> str:
    best = study.best_trial
    parameters = ", ".join(f"{name}={value}" for name, value in best.params.items())
    return f"{best.value} by job {best.user_attrs.get(JOB)}: {parameters}"


def main(args: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m btctl.search", description=__doc__)
    parser.add_argument("--sweep", required=True, help="the open sweep")
    parser.add_argument("--space", required=True, help="the axes, as JSON")
    parser.add_argument("--metric", required=True)
    parser.add_argument("--minimize", action="store_true")
    parser.add_argument("--sampler", default="tpe", choices=["tpe", "random", "qmc", "nsga2"])
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=32)
    parser.add_argument("--prune", choices=["median", "hyperband"])
    parser.add_argument("--seed", type=int)
    given = parser.parse_args(args)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep = Client().sweep(given.sweep)
    axes = space(given.space)
    study = optuna.create_study(
        # New keys for new trials: those of an earlier run are found in the sweep.
        study_name=f"search/{uuid.uuid4()}",
        sampler=sampler(given.sampler, given.seed),
        direction="minimize" if given.minimize else "maximize",
    )
    try:
        restore(study, sweep, axes, given.metric)
        goal = {"minimize" if given.minimize else "maximize": given.metric}
        said = Said(given.budget)
        optimize(
            study, sweep, axes, given.budget, given.parallel, prune=pruner(given.prune), callback=said, **goal
        ).close()
        said.end(study)
    except KeyboardInterrupt:
        print(
            f"the jobs that were queued go on: btctl search --resume {sweep.id} goes on, "
            f"btctl cancel {sweep.id} ends it",
            file=sys.stderr,
        )
        return 130
    except BtctlError as error:
        print(f"btctl search: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
