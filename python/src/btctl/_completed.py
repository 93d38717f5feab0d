"""Jobs as they end."""

from __future__ import annotations

import asyncio
import queue
import time
from concurrent.futures import Future
from typing import Any, AsyncIterator, Callable, Dict, Iterable, Iterator, List, Optional

from ._job import Job
from .errors import JobFailed


class Completed:
    """Iterates over jobs in the order in which they end, however they end; with `for` or `async for`."""

    def __init__(self, jobs: Iterable[Job], timeout: Optional[float] = None) -> None:
        self._jobs = list(jobs)
        self._end = None if timeout is None else time.monotonic() + timeout

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        done: "queue.SimpleQueue[Future[Job]]" = queue.SimpleQueue()
        left = self._begin(done.put)
        while left:
            try:
                future = done.get(timeout=self._left())
            except queue.Empty:
                raise TimeoutError(f"{left} of {len(self._jobs)} jobs have not ended") from None
            left -= 1
            yield _ended(future)

    async def __aiter__(self) -> AsyncIterator[Job]:
        loop = asyncio.get_running_loop()
        done: "asyncio.Queue[Future[Job]]" = asyncio.Queue()

        def put(future: Future[Job]) -> None:
            try:
                loop.call_soon_threadsafe(done.put_nowait, future)
            except RuntimeError:
                # The loop was closed: nobody waits any more.
                pass

        left = await loop.run_in_executor(None, self._begin, put)
        while left:
            try:
                future = await asyncio.wait_for(done.get(), self._left())
            except asyncio.TimeoutError:
                raise TimeoutError(f"{left} of {len(self._jobs)} jobs have not ended") from None
            left -= 1
            yield _ended(future)

    def _begin(self, put: Callable[[Future[Job]], Any]) -> int:
        """Has each job's future put when it ends, and says how many there are."""
        sweeps: Dict[Any, List[int]] = {}
        for job in self._jobs:
            sweeps.setdefault((job._client, job._sweep), []).append(job.number)  # pyright: ignore[reportPrivateUsage]
        count = 0
        for (client, sweep), numbers in sweeps.items():
            for future in client.watcher.futures(sweep, dict.fromkeys(numbers)):
                count += 1
                future.add_done_callback(put)
        return count

    def _left(self) -> Optional[float]:
        return None if self._end is None else max(0.0, self._end - time.monotonic())


def _ended(future: Future[Job]) -> Job:
    try:
        return future.result(0)
    except JobFailed as error:
        return error.job


def as_completed(jobs: Iterable[Job], timeout: Optional[float] = None) -> Completed:
    """Jobs in the order in which they end. `job.state` says how each ended."""
    return Completed(jobs, timeout)
