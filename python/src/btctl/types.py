"""What the HTTP API answers. A test holds each class against the schema of the same name in /api/openapi.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Optional

# Which schema a class stands for; classes of other names than their schemas only.
SCHEMAS: Dict[str, str] = {"JobInfo": "Job", "SweepInfo": "Sweep", "SweepDetails": "ShownSweep", "JobDetails": "ShownJob"}


@dataclass(frozen=True)
class Counts:
    """How many jobs of a sweep are in each state."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    # A coordinator of an earlier release does not say it.
    pruned: int = 0

    @property
    def jobs(self) -> int:
        return self.queued + self.running + self.ended

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled + self.pruned


@dataclass(frozen=True)
class SweepInfo:
    id: str
    name: str
    state: str
    open: bool
    image: str
    image_pin: Optional[str]
    owner: str
    priority: int
    counts: Counts
    created: Optional[datetime]
    finished: Optional[datetime]
    tags: List[str]
    note: Optional[str]


@dataclass(frozen=True)
class Waiting:
    """Why an agent, or all of them, takes no job of a sweep."""

    agent: Optional[str]
    why: str


@dataclass(frozen=True)
class Failures:
    """Jobs that failed for the same reason."""

    reason: Optional[str]
    jobs: int
    first_job: int


@dataclass(frozen=True)
class SweepDetails(SweepInfo):
    store: str
    kept_until: Optional[datetime]
    expired: bool
    waiting: List[Waiting]
    failures: List[Failures]
    manifest: Any


@dataclass(frozen=True)
class Usage:
    """What the latest attempt used."""

    peak_memory_bytes: Optional[int]
    cpu_seconds: Optional[float]
    written_bytes: Optional[int]
    wall_seconds: Optional[float]


@dataclass(frozen=True)
class Progress:
    """What a running job says of itself."""

    fraction: Optional[float]
    done: Optional[float]
    of: Optional[float]
    note: Optional[str]
    metrics: Dict[str, Any]
    at: Optional[datetime]


@dataclass(frozen=True)
class ProgressPoint:
    at: Optional[datetime]
    done: Optional[float]
    metrics: Dict[str, Any]


@dataclass(frozen=True)
class ProgressSeries:
    job: int
    attempt: Optional[int]
    progress: Optional[Progress]
    points: List[ProgressPoint]


@dataclass(frozen=True)
class JobInfo:
    job: int
    state: str
    params: Dict[str, Any]
    metrics: Dict[str, Any]
    attempts: int
    agent: Optional[str]
    reason: Optional[str]
    started: Optional[datetime]
    finished: Optional[datetime]
    usage: Usage
    image_id: Optional[str]
    progress: Optional[Progress]


@dataclass(frozen=True)
class Attempt:
    attempt: int
    state: str
    agent: str
    reason: Optional[str]
    note: Optional[str]
    leased: Optional[datetime]
    started: Optional[datetime]
    ended: Optional[datetime]


@dataclass(frozen=True)
class JobDetails(JobInfo):
    history: List[Attempt]


@dataclass(frozen=True)
class Sweeps:
    sweeps: List[SweepInfo]
    hidden: int


@dataclass(frozen=True)
class Jobs:
    jobs: List[JobInfo]
    next: Optional[int]


@dataclass(frozen=True)
class Submitted:
    id: str
    name: str
    jobs: int
    existed: bool


@dataclass(frozen=True)
class AddedJobs:
    """Jobs that were added to an open sweep: the number of the first; the others follow."""

    first_job: int
    jobs: int
    existed: bool


@dataclass(frozen=True)
class Cancelled:
    cancelled: int
    stopping: int
    finished: int


@dataclass(frozen=True)
class Pruned:
    """Of the jobs that were to be pruned, those that were, that wait or are about to end, and that had ended before."""

    pruned: int
    queued: int
    finished: int


@dataclass(frozen=True)
class Retried:
    queued: int


@dataclass(frozen=True)
class Changed:
    changed: bool


@dataclass(frozen=True)
class Output:
    """A file that a job has published."""

    job: int
    path: str
    size: Optional[int]
    sha256: Optional[str]
    attempt: int


@dataclass(frozen=True)
class Outputs:
    outputs: List[Output]


@dataclass(frozen=True)
class Metric:
    metric: str
    goal: Optional[str]


@dataclass(frozen=True)
class Metrics:
    metrics: List[Metric]


@dataclass(frozen=True)
class Event:
    """Something that happened; which keys it has depends on `kind`."""

    id: str
    at: datetime
    kind: str
    sweep: Optional[str] = None
    state: Optional[str] = None
    change: Optional[str] = None
    count: Optional[int] = None
    jobs: Optional[List[int]] = field(default=None)

@dataclass(frozen=True)
class EffectiveTrials:
    """What the correlations of the trials' returns say about how many they are."""

    clusters: int
    clustered: int
    mean_correlation: Optional[float]
    by_correlation: Optional[float]


@dataclass(frozen=True)
class AssessedTrials:
    """How many trials the best is the best of."""

    counted: int
    in_sweep: int
    elsewhere: int
    failed: int
    pruned: int
    repeated: int
    effective: Optional[float]
    clusters: Optional[EffectiveTrials]
    break_even: Optional[int]


@dataclass(frozen=True)
class AssessedReturns:
    """The returns of the trials, joined by their times."""

    periods: int
    first: Optional[str]
    last: Optional[str]
    periods_per_year: Optional[float]
    trials: int
    without: int
    left_out: int
    gaps: int


@dataclass(frozen=True)
class HaircutSharpe:
    sharpe: float
    haircut: float


@dataclass(frozen=True)
class Haircuts:
    """What is left of a Sharpe ratio."""

    bonferroni: HaircutSharpe
    holm: HaircutSharpe
    bhy: HaircutSharpe


@dataclass(frozen=True)
class BestTrial:
    """The best trial, and what is to be thought of it."""

    job: int
    parameters: Dict[str, Any]
    value: Optional[float]
    sharpe: Optional[float]
    sharpe_annual: Optional[float]
    observations: Optional[int]
    skew: Optional[float]
    kurtosis: Optional[float]
    psr: Optional[float]
    dsr: Optional[float]
    dsr_trials: Optional[float]
    dsr_null: Optional[float]
    dsr_effective: Optional[float]
    luck: Optional[float]
    minimum_track_record: Optional[float]
    minimum_backtest_years: Optional[float]
    haircut: Optional[Haircuts]


@dataclass(frozen=True)
class Spread:
    """How a number is distributed: the lowest, the 5 % quantile, the median, the 95 % quantile and the highest."""

    lowest: float
    low: float
    median: float
    high: float
    highest: float


@dataclass(frozen=True)
class Overfitting:
    """Whether the best in one half of the time is also good in the other one: combinatorially symmetric cross-validation."""

    pbo: float
    probability_of_loss: float
    slope: Optional[float]
    blocks: int
    splits: int
    trials: int
    logits: Spread
    in_sample: Optional[Spread]
    out_of_sample: Optional[Spread]


@dataclass(frozen=True)
class AgainstBenchmark:
    """Whether the best of all trials beats a benchmark by more than luck: Hansen's test for superior predictive ability."""

    job: int
    p: float
    p_lower: float
    p_upper: float
    mean_block: float
    draws: int


@dataclass(frozen=True)
class RobustTrial:
    """The point that is best together with its neighbours in the grid: by the median of its own metric and theirs."""

    job: int
    parameters: Dict[str, Any]
    value: float
    median: float
    neighbours: int
    median_of_best: Optional[float]
    neighbours_of_best: Optional[int]


@dataclass(frozen=True)
class WeightOfParameter:
    """How much a parameter matters to the metric."""

    parameter: str
    share: float
    correlation: Optional[float]


@dataclass(frozen=True)
class Assessment:
    """How much of the best result of a sweep is luck."""

    sweep: str
    name: str
    family: Optional[str]
    by: Optional[str]
    trials: AssessedTrials
    returns: Optional[AssessedReturns]
    best: Optional[BestTrial]
    pbo: Optional[Overfitting]
    benchmark: Optional[AgainstBenchmark]
    robust: Optional[RobustTrial]
    importance: List[WeightOfParameter]
    missing: List[str]
    hints: List[str]
    words: List[str]

    def __str__(self) -> str:
        """All of it in sentences."""
        return "\n".join(self.words + [f"not estimated: {why}" for why in self.missing])
