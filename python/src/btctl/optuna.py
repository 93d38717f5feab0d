"""Searches with Optuna: its samplers say what to try, and the jobs of an open sweep are the trials.

The coordinator is the truth of which job exists and how it ended. A driver that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import FIRST_COMPLETED, Future, wait
from decimal import Decimal
from typing import Any, Callable, Dict, List, Mapping, Optional, Set, Union, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ._client import client
from ._job import Job
from ._manifest import Manifest, Span
from ._open import OpenSweep
from ._sweep import Sweep
from .errors import BtctlError, InvalidArgument, JobFailed, JobPruned

# A list of values, a span, or a distribution of Optuna's.
Space = Mapping[str, Any]
Told = Callable[[Study, FrozenTrial], None]

# Seconds between two looks at what running jobs say of their metrics.
LOOK = 2.0
# Trials in a row that the sweep's `where` may refuse.
MOST_REFUSED = 1000
# What is kept with a trial: the number of its job, why it was refused.
JOB, REFUSED = "btctl.job", "btctl.refused"


def distributions(space: Space) -> Dict[str, BaseDistribution]:
    """Optuna's distributions for these axes: a list is a choice, a span is a range of whole numbers or of others."""
    return {name: _distribution(name, axis) for name, axis in space.items()}


def _distribution(name: str, axis: Any) -> BaseDistribution:
    if isinstance(axis, BaseDistribution):
        return axis
    if isinstance(axis, Span):
        low, high, step = (Decimal(str(number)) for number in (axis.start, axis.stop, axis.step))
        if step <= 0 or high < low:
            raise BtctlError(f"the axis {name} is empty: it goes from {low} to {high} by {step}")
        high = low + (high - low) // step * step
        if all(number == number.to_integral_value() for number in (low, step)):
            return IntDistribution(int(low), int(high), step=int(step))
        return FloatDistribution(float(low), float(high), step=float(step))
    values: List[Any] = list(axis)
    if not values:
        raise BtctlError(f"the axis {name} has no values")
    return CategoricalDistribution([value.item() if hasattr(value, "item") else value for value in values])


def optimize(
    study: Study,
    sweep: Union[Sweep, Manifest],
    space: Space,
    budget: int = 200,
    parallel: int = 32,
    maximize: Optional[str] = None,
    minimize: Optional[str] = None,
    prune: Optional[optuna.pruners.BasePruner] = None,
    callback: Optional[Told] = None,
) -> OpenSweep:
    """Runs the study until it has `budget` trials, `parallel` of them at once, each as a job of an open sweep.

    The sweep is one that is open, or a manifest of which an open one is made: the same one for the same name of a study,
    so that a driver that was killed goes on. A job that fails fails its trial; what a lost machine ran is run again.
    With `prune`, metrics that running jobs report (`progress`) decide which of them are pruned. What the sweep's own
    `stop_when` prunes is a pruned trial too.
    """
    metric = _metric(study, maximize, minimize)
    if prune is not None:
        study.pruner = prune
    if isinstance(sweep, Sweep):
        driver = _Driver(study, _open(sweep), space, metric, prune is not None, callback)
        driver.run(budget, parallel)
        return driver.sweep
    with client().open_sweep(sweep, idempotency_key=_key("optuna", study.study_name)) as made:
        _Driver(study, made, space, metric, prune is not None, callback).run(budget, parallel)
    return made


def _metric(study: Study, maximize: Optional[str], minimize: Optional[str]) -> str:
    metric = maximize or minimize
    if metric is None or (maximize and minimize):
        raise BtctlError("say which metric is searched for: maximize='sharpe', or minimize='drawdown'")
    wanted = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    if study.direction != wanted:
        name = wanted.name.lower()
        raise BtctlError(f"the study is made for the other direction: optuna.create_study(direction={name!r})")
    return metric


def _open(sweep: Sweep) -> OpenSweep:
    if isinstance(sweep, OpenSweep):
        return sweep
    return OpenSweep(sweep._client, sweep.id, sweep.name)  # pyright: ignore[reportPrivateUsage]


def _key(*parts: object) -> str:
    """An idempotency key, which has 200 characters at most."""
    key = "/".join(str(part) for part in parts)
    return key if len(key) <= 200 else "sha256/" + hashlib.sha256(key.encode()).hexdigest()


class _Driver:
    def __init__(
        self, study: Study, sweep: OpenSweep, space: Space, metric: str, prunes: bool, callback: Optional[Told]
    ) -> None:
        self.study = study
        self.sweep = sweep
        self._space = distributions(space)
        self._metric = metric
        self._prunes = prunes
        self._callback = callback
        self._running: Dict[Future[Job], Trial] = {}
        self._jobs: Dict[int, Trial] = {}
        manifest: Any = sweep.info().manifest
        self._has_where = bool(manifest.get("where"))
        self._refused = 0

    def run(self, budget: int, parallel: int) -> None:
        # What an earlier driver has begun: those of its jobs that never arrived are added now.
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._begin(Trial(self.study, frozen._trial_id))  # pyright: ignore[reportPrivateUsage]
        while True:
            while len(self._running) < parallel and self._count() < budget:
                self._begin(self.study.ask())
            if not self._running:
                return
            done, _ = wait(self._running, LOOK if self._prunes else None, FIRST_COMPLETED)
            for future in done:
                self._tell(future)
            if self._prunes:
                self._look()

    def _count(self) -> int:
        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state != TrialState.WAITING for trial in trials)

    def _begin(self, trial: Trial) -> None:
        """Has the trial's job run, unless it does or did already."""
        parameters = {name: self._value(trial, name, axis) for name, axis in self._space.items()}
        job = trial.user_attrs.get(JOB)
        if job is None:
            key = _key(self.study.study_name, trial.number)
            try:
                job = self.sweep.add([parameters], key=key).first_job
            except InvalidArgument as error:
                self._refuse(trial, error)
                return
            trial.set_user_attr(JOB, job)
        self._refused = 0
        (future,) = self.sweep._client.watcher.futures(self.sweep.id, [job])  # pyright: ignore[reportPrivateUsage]
        self._running[future] = trial
        self._jobs[job] = trial

    def _refuse(self, trial: Trial, error: InvalidArgument) -> None:
        """A point that the sweep's `where` excludes is as bad as one can be; anything else is wrong for all."""
        self._refused += 1
        if not self._has_where or self._refused > MOST_REFUSED:
            self._finish(trial, TrialState.FAIL)
            raise error
        trial.set_user_attr(REFUSED, error.message)
        self._finish(trial, TrialState.PRUNED)

    def _value(self, trial: Trial, name: str, axis: BaseDistribution) -> Any:
        """A trial's value of an axis, with as many digits as its step has."""
        if isinstance(axis, IntDistribution):
            return trial.suggest_int(name, axis.low, axis.high, step=axis.step, log=axis.log)
        if isinstance(axis, FloatDistribution):
            value = trial.suggest_float(name, axis.low, axis.high, step=axis.step, log=axis.log)
            if axis.step is None:
                return value
            low, step = Decimal(str(axis.low)), Decimal(str(axis.step))
            return float(low + round((Decimal(value) - low) / step) * step)
        return cast(Any, trial.suggest_categorical(name, cast(CategoricalDistribution, axis).choices))

    def _tell(self, future: Future[Job]) -> None:
        trial = self._running.pop(future)
        try:
            job = future.result(0)
        except JobPruned as error:
            self._forget(error.job)
            self._finish(trial, TrialState.PRUNED)
        except JobFailed as error:
            self._forget(error.job)
            self._finish(trial, TrialState.FAIL)
        else:
            self._forget(job)
            value = job.metrics.get(self._metric)
            self._finish(trial, TrialState.FAIL if value is None else TrialState.COMPLETE, value)

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.number, None)

    def _finish(self, trial: Trial, state: TrialState, value: Optional[float] = None) -> None:
        # Another driver of the same study may have told it already.
        told = self.study.tell(trial.number, value, state=state, skip_if_finished=True)
        if self._callback is not None:
            self._callback(self.study, told)

    def _look(self) -> None:
        """Reports what running jobs say of the metric, and prunes those that the pruner gives up."""
        for job in self.sweep.iter_jobs(state="running"):
            trial, progress = self._jobs.get(job.number), job.progress
            if trial is None or progress is None:
                continue
            value = progress.metrics.get(self._metric)
            step = int(progress.done) if progress.done is not None else None
            if value is None or step is None or step in _reported(self.study, trial):
                continue
            trial.report(float(value), step)
            if trial.should_prune():
                # One that has ended meanwhile, or was lost with its machine, stays as it is.
                job.prune(f"{type(self.study.pruner).__name__}: {self._metric} is {value} at {step}")


def _reported(study: Study, trial: Trial) -> Set[int]:
    return set(study.get_trials(deepcopy=False)[trial.number].intermediate_values)


def _steps(job: Job, metric: str) -> Dict[int, float]:
    """What a job said of the metric on its way, as far as that is kept."""
    points = job.progress_series().points
    told = (point for point in points if point.done is not None and metric in point.metrics)
    return {int(point.done or 0): float(point.metrics[metric]) for point in told}


def restore(study: Study, sweep: Sweep, space: Space, metric: str) -> None:
    """Makes an empty study of the jobs of a sweep, so that nothing but the coordinator needs to remember it."""
    axes = distributions(space)
    for job in sweep.iter_jobs():
        state, value = TrialState.RUNNING, None
        reported: Dict[int, float] = {}
        if job.state == "succeeded":
            value = job.metrics.get(metric)
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
        elif job.state == "pruned":
            state, reported = TrialState.PRUNED, _steps(job, metric)
        elif job.is_ended:
            state = TrialState.FAIL
        try:
            trial = optuna.trial.create_trial(
                state=state,
                value=value,
                params={name: job.parameters[name] for name in axes},
                distributions=axes,
                user_attrs={JOB: job.number},
                intermediate_values=reported,
            )
        except (KeyError, ValueError) as error:
            raise BtctlError(
                f"job {job.number} of {sweep.name} is no point of what is searched ({error}); "
                "give the axes that the search began with"
            ) from error
        study.add_trial(trial)
