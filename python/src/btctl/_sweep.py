"""A sweep that is queued: waiting for it, its jobs, and its results."""

from __future__ import annotations

import io
import os
import pickle
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, Iterable, Iterator, List, Optional, Union

from . import _tables
from ._completed import Completed
from ._decode import decode
from ._files import fetch
from ._job import Job, JobList
from ._shown import Shown
from ._transport import Call, part
from .errors import BtctlError, Damaged
from .types import Assessment, Cancelled, Changed, Counts, Jobs, Metrics, Output, Outputs, Pruned, Retried, SweepDetails

if TYPE_CHECKING:
    from ._client import Client

# Jobs in one page.
PAGE = 1000
# Files that are fetched at once.
AT_ONCE = 8
# Seconds after which a sweep is looked at even if nothing was heard.
LOOK = 10.0
# Seconds between two looks at a sweep that changes all the time.
PAUSE = 0.5


class Sweep:
    """A sweep of this coordinator."""

    def __init__(self, client: Client, id: str, name: str) -> None:
        self._client = client
        self.id = id
        self.name = name

    def info(self) -> SweepDetails:
        """The sweep as it is now, with its manifest, why jobs wait, and what failed."""
        return decode(SweepDetails, self._get())

    @property
    def state(self) -> str:
        """queued, paused, running, open, succeeded, failed or cancelled."""
        return self.info().state

    @property
    def counts(self) -> Counts:
        return self.info().counts

    def wait(self, timeout: Optional[float] = None, progress: bool = True) -> Sweep:
        """Waits until all jobs have ended, and shows how far they are. Ctrl-C ends the waiting, not the sweep."""
        shown = Shown(self.name) if progress else None
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                version = self._client.watcher.version(self.id)
                info = self.info()
                is_done = _is_done(info)
                if shown is not None:
                    shown.show(info.counts, is_done)
                if is_done:
                    return self
                left = LOOK if end is None else min(LOOK, end - time.monotonic())
                if left <= 0:
                    raise TimeoutError(f"{self.name} has not finished after {timeout} s: {info.counts}")
                self._client.watcher.wait_change(self.id, version, left)
                time.sleep(min(PAUSE, left))
        except KeyboardInterrupt:
            if shown is not None:
                shown.say(f"{self.name} goes on: sweep.wait() waits again, sweep.cancel() ends it")
            raise

    def jobs(self, where: Optional[str] = None, state: Union[str, Iterable[str], None] = None) -> JobList:
        """Its jobs by number, those that fulfil an expression over parameters and metrics, or are in these states."""
        return JobList(self.iter_jobs(where, state))

    def iter_jobs(self, where: Optional[str] = None, state: Union[str, Iterable[str], None] = None) -> Iterator[Job]:
        """As `jobs`, page by page."""
        states = state if state is None or isinstance(state, str) else ",".join(state)
        after: Optional[int] = None
        while True:
            query = {"after": after, "limit": PAGE, "where": where, "state": states}
            page = decode(Jobs, self._get("/jobs", query))
            for info in page.jobs:
                yield Job(self._client, self.id, info)
            if page.next is None:
                return
            after = page.next

    def job(self, number: int) -> Job:
        job = self._get(f"/jobs/{number}")
        return self._client.job_of(self.id, job)

    def top(
        self, metric: str, limit: int = 10, where: Optional[str] = None, ascending: Optional[bool] = None
    ) -> JobList:
        """The best jobs by a metric: the highest first, or the lowest if the manifest's goals or `ascending` say so."""
        query = {"by": metric, "limit": limit, "where": where, "ascending": ascending}
        return JobList(Job(self._client, self.id, info) for info in decode(Jobs, self._get("/jobs", query)).jobs)

    def assess(
        self, by: Optional[str] = None, benchmark: Optional[int] = None, blocks: Optional[int] = None
    ) -> Assessment:
        """How much of the best result is luck, as the best of all trials of the sweep's family; printed, in sentences."""
        return decode(Assessment, self._get("/assess", {"by": by, "benchmark": benchmark, "blocks": blocks}))

    def metrics(self) -> List[str]:
        """Names of the metrics that its jobs have reported."""
        return [metric.metric for metric in decode(Metrics, self._get("/metrics")).metrics]

    def futures(self, jobs: Optional[Iterable[Job]] = None) -> List[Future[Job]]:
        """A future for each job; `Job.future` says what it holds."""
        numbers = [job.number for job in (self.jobs() if jobs is None else jobs)]
        return self._client.watcher.futures(self.id, numbers)

    def results(self, as_: Optional[str] = None) -> Any:
        """All jobs with parameters and metrics as a table of pandas (the default), polars or arrow, or as dicts."""
        return _tables.results(self._client.transport, self.id, as_ or "pandas")

    def returns(self, jobs: Optional[Iterable[Union[Job, int]]] = None, as_: str = "pandas") -> Any:
        """The jobs' returns side by side: a row for each time, a column for each job.

        They are what a job's metrics file has as `series.returns`; without it, the changes of `series.equity`. Jobs
        that have neither are left out.
        """
        numbers = [job if isinstance(job, int) else job.number for job in jobs] if jobs is not None else None
        if numbers is None:
            numbers = [job.number for job in self.iter_jobs(state="succeeded")]
        manifest: Any = self.info().manifest
        path = str(manifest.get("metrics") or "metrics.json")

        def one(number: int) -> Optional[_tables.Series]:
            if not any(output.path == path for output in self.files(number)):
                return None
            try:
                return _tables.returns_of(self.open(number, path))
            except (TypeError, ValueError) as error:
                raise Damaged(f"{self.name}/{number}: {path} holds no series that can be read: {error}") from error

        found: Dict[int, _tables.Series] = {}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="btctl-returns") as pool:
            for number, series in zip(numbers, pool.map(one, numbers)):
                if series:
                    found[number] = series
        if numbers and not found:
            raise BtctlError(
                f"no job of {self.name} has returns: write them into {path} as "
                '{"series": {"returns": [["2024-01-05", 0.01], ...]}}, or an equity curve as "equity"'
            )
        return _tables.aligned(found, as_)

    def files(self, job: int) -> List[Output]:
        """The files that a job has published."""
        return decode(Outputs, self._get(f"/jobs/{job}/outputs")).outputs

    def open(self, job: int, path: str) -> bytes:
        """A published file's bytes, held against its SHA-256."""
        into = io.BytesIO()
        fetch(self._client.transport, self.id, job, path, into)
        return into.getvalue()

    def save(self, job: int, path: str, to: Union[str, "os.PathLike[str]"]) -> Path:
        """Fetches a published file; it is there under its name only when it is whole."""
        target = Path(to)
        beside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with beside.open("w+b") as into:
                fetch(self._client.transport, self.id, job, path, into)
            beside.replace(target)
        finally:
            if beside.exists():
                beside.unlink()
        return target

    def load(self, job: int, path: Optional[str] = None) -> Any:
        """Unpickles a file of a job: its only pickle if none is named. A pickle can run any code: load only your own jobs'."""
        if path is None:
            names = [output.path for output in self.files(job)]
            pickles = [name for name in names if name.endswith((".pkl", ".pickle", ".pck"))]
            if len(pickles) != 1:
                what = "has no pickle" if not pickles else f"has {len(pickles)} pickles"
                raise BtctlError(
                    f"{self.name}/{job} {what}; name a file of it: {', '.join(pickles or names) or 'there is none'}"
                )
            path = pickles[0]
        return pickle.loads(self.open(job, path))

    def logs(self, job: int, attempt: Optional[int] = None, stream: Optional[str] = None) -> str:
        """What a job has printed so far."""
        query = {"attempt": attempt, "stream": stream}
        call = Call("GET", self._path(f"/jobs/{job}/log"), query)
        return self._client.transport.send(call).body.decode("utf-8", "replace")

    def follow(self, job: int, attempt: Optional[int] = None, stream: Optional[str] = None) -> Iterator[str]:
        """The lines that a job prints, as they come, until it has ended."""
        query = {"attempt": attempt, "stream": stream, "follow": True}
        call = Call("GET", self._path(f"/jobs/{job}/log"), query)
        # A job may print nothing for as long as it likes.
        with self._client.transport.open(call, silence=7 * 86_400.0) as response:
            for line in response:
                yield line.decode("utf-8", "replace").rstrip("\n")

    def cancel(self, jobs: Optional[Iterable[int]] = None) -> Cancelled:
        """Cancels it, or some of its jobs."""
        numbers = None if jobs is None else list(jobs)
        if numbers == []:
            # No numbers would mean the whole sweep.
            return Cancelled(0, 0, 0)
        body = {} if numbers is None else {"jobs": numbers}
        return decode(Cancelled, self._post("/cancel", body))

    def prune(self, jobs: Iterable[int], why: str = "") -> Pruned:
        """Gives running jobs up for what they have reported, which they keep. Those that do not run stay as they are."""
        numbers = list(jobs)
        if not numbers:
            return Pruned(0, 0, 0)
        return decode(Pruned, self._post("/prune", {"jobs": numbers, "why": why}))

    def retry(
        self,
        jobs: Optional[Iterable[int]] = None,
        failed_only: bool = False,
        reasons: Iterable[str] = (),
        pruned: bool = False,
    ) -> Retried:
        """Queues failed and cancelled jobs again, or the pruned ones and no others."""
        numbers = None if jobs is None else list(jobs)
        if numbers == []:
            return Retried(0)
        body = {"jobs": numbers or [], "failed_only": failed_only, "reasons": list(reasons), "pruned": pruned}
        return decode(Retried, self._post("/retry", body, again=False))

    def pause(self) -> bool:
        """Starts no more jobs. False if it was paused before."""
        return decode(Changed, self._post("/pause", {})).changed

    def resume(self) -> bool:
        return decode(Changed, self._post("/resume", {})).changed

    def _path(self, below: str = "") -> str:
        return f"/api/sweeps/{part(self.id)}{below}"

    def _get(self, below: str = "", query: Optional[Dict[str, Any]] = None) -> Any:
        return self._client.transport.json("GET", self._path(below), query)

    def _post(self, below: str, body: Dict[str, Any], again: bool = True) -> Any:
        return self._client.transport.json("POST", self._path(below), body=body, again=again)

    def __iter__(self) -> Iterator[Job]:
        return self.iter_jobs()

    def __aiter__(self) -> AsyncIterator[Job]:
        """Its jobs as they end."""
        return Completed(self.jobs()).__aiter__()

    def __repr__(self) -> str:
        return f"<btctl.Sweep {self.name} {self.id[:8]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sweep) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


def _is_done(info: SweepDetails) -> bool:
    return info.counts.queued == 0 and info.counts.running == 0 and not info.open
