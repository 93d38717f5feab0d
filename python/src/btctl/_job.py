"""One job of a sweep."""

from __future__ import annotations

import html
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, Union

from ._decode import decode
from ._transport import part
from .errors import JobFailed
from .types import JobDetails, JobInfo, Output, Progress, ProgressSeries

if TYPE_CHECKING:
    from ._client import Client
    from ._sweep import Sweep


class Job:
    """A job as it was when it was asked for; `refresh` asks again."""

    def __init__(self, client: Client, sweep: str, info: JobInfo) -> None:
        self._client = client
        self._sweep = sweep
        self.info = info

    @property
    def sweep(self) -> Sweep:
        return self._client.sweep_of(self._sweep)

    @property
    def number(self) -> int:
        return self.info.job

    @property
    def state(self) -> str:
        """queued, running, succeeded, failed, cancelled or pruned."""
        return self.info.state

    @property
    def parameters(self) -> Dict[str, Any]:
        return self.info.params

    @property
    def metrics(self) -> Dict[str, Any]:
        return self.info.metrics

    @property
    def reason(self) -> Optional[str]:
        """Why it failed, or was pruned."""
        return self.info.reason

    @property
    def attempts(self) -> int:
        return self.info.attempts

    @property
    def agent(self) -> Optional[str]:
        return self.info.agent

    @property
    def started(self) -> Optional[datetime]:
        return self.info.started

    @property
    def finished(self) -> Optional[datetime]:
        return self.info.finished

    @property
    def progress(self) -> Optional[Progress]:
        """What it said last of how far it is, while it runs."""
        return self.info.progress

    @property
    def is_ended(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled", "pruned")

    def refresh(self) -> Job:
        """The job as it is now."""
        self.info = self.details()
        return self

    def details(self) -> JobDetails:
        """With all of its attempts."""
        return decode(JobDetails, self._client.transport.json("GET", self._path()))

    def future(self) -> Future[Job]:
        """A future whose result is the job; its exception is a JobFailed if the job fails, a JobCancelled if it is cancelled, a
        JobPruned if it is pruned.

        To cancel the job call `cancel` of the job: the future's own `cancel` does nothing.
        """
        return self._client.watcher.futures(self._sweep, [self.number])[0]

    def wait(self, timeout: Optional[float] = None) -> Job:
        """Waits until it has ended, and returns it, whether it has succeeded or not."""
        try:
            return self.future().result(timeout)
        except JobFailed as error:
            return error.job

    def progress_series(self) -> ProgressSeries:
        """What the latest attempt said of its metrics on the way."""
        return decode(ProgressSeries, self._client.transport.json("GET", self._path("/progress")))

    def cancel(self) -> None:
        """Cancels this job alone."""
        self.sweep.cancel([self.number])

    def prune(self, why: str = "") -> bool:
        """Gives this job up for what it has reported, which it keeps. False if it does not run."""
        return self.sweep.prune([self.number], why).pruned == 1

    def retry(self) -> None:
        """Queues it again, if it failed, was cancelled or was pruned."""
        self.sweep.retry([self.number], pruned=self.state == "pruned")

    def files(self) -> List[Output]:
        return self.sweep.files(self.number)

    def open(self, path: str) -> bytes:
        return self.sweep.open(self.number, path)

    def load(self, path: Optional[str] = None) -> Any:
        return self.sweep.load(self.number, path)

    def logs(self, follow: bool = False) -> Union[str, Iterator[str]]:
        return self.sweep.follow(self.number) if follow else self.sweep.logs(self.number)

    def _path(self, below: str = "") -> str:
        return f"/api/sweeps/{part(self._sweep)}/jobs/{self.number}{below}"

    def __str__(self) -> str:
        return f"{self._sweep[:8]}/{self.number}"

    def __repr__(self) -> str:
        return f"<btctl.Job {self} {self.state} {self.parameters}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self._sweep, self.number) == (other._sweep, other.number)

    def __hash__(self) -> int:
        return hash((self._sweep, self.number))


class JobList(List[Job]):
    """Jobs; a notebook shows them as a table."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        super().__init__(jobs)

    def _repr_html_(self) -> str:
        params = list(dict.fromkeys(name for job in self for name in job.parameters))
        metrics = list(dict.fromkeys(name for job in self for name in job.metrics))
        heads = ["job", "state", *params, *metrics]
        lines = ["<table><tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
        for job in self[:100]:
            cells = [job.number, job.state]
            cells += [job.parameters.get(name, "") for name in params] + [job.metrics.get(name, "") for name in metrics]
            lines.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
        return "\n".join(lines) + "</table>" + (f"<p>and {len(self) - 100} more</p>" if len(self) > 100 else "")
