"""One thread that follows /api/events for all who wait in this process, and completes the futures of jobs."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ._decode import decode
from ._transport import Call, part
from .errors import BtctlError, Damaged, JobCancelled, JobFailed, JobPruned, NotFound
from .types import Event, JobInfo, Jobs

if TYPE_CHECKING:
    from ._client import Client
    from ._job import Job

# Seconds. The server says something every 15.
SILENCE = 30.0
FIRST_WORD = 10.0
POLL = 2.0
# Before a stream that has ended is asked for again.
AGAIN = 0.2
# Looks between two tries to follow, at most.
MOST_LOOKS = 15
# How long the thread stays when nobody waits any more.
IDLE = 20.0

# Jobs in one page.
PAGE = 1000
ENDED = frozenset(("succeeded", "failed", "cancelled", "pruned"))


class Watcher:
    """Knows who waits for what."""

    def __init__(self, client: Client) -> None:
        # The client owns the watcher, and the thread both, for as long as somebody waits.
        self._client = weakref.ref(client)
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._lock = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._futures: Dict[str, Dict[int, Future[Job]]] = {}
        # How often something happened to a sweep, and who waits for that.
        self._changes: Dict[str, int] = {}
        self._waiting = 0
        self._is_following = False
        self._last_id: Optional[str] = None
        self._last_needed = time.monotonic()

    def forget(self) -> None:
        """After a fork: the thread is the parent's, and so are its futures."""
        self._reset()

    def futures(self, sweep: str, numbers: Iterable[int]) -> List[Future[Job]]:
        """A future for each of these jobs: the same one whenever it is asked for, until the job has ended."""
        client = self._strong()
        with self._lock:
            known = self._futures.setdefault(sweep, {})
            found: List[Future[Job]] = []
            fresh: Set[int] = set()
            for number in numbers:
                future = known.get(number)
                if future is None:
                    future = known[number] = Future()
                    # A future that runs can't be cancelled: whoever stops waiting does not stop the job.
                    future.set_running_or_notify_cancel()
                    fresh.add(number)
                found.append(future)
        if fresh:
            self._start(client)
            # What ends from now on is heard; what has ended before is looked up.
            self._look(client, sweep, fresh)
        return found

    def version(self, sweep: str) -> int:
        """Changes whenever something happens to the sweep."""
        with self._lock:
            return self._changes.setdefault(sweep, 0)

    def wait_change(self, sweep: str, version: int, timeout: float) -> None:
        """Returns when something has happened to the sweep since that version, at the latest after the timeout."""
        self._start(self._strong(), patience=0.0)
        end = time.monotonic() + timeout
        with self._lock:
            self._waiting += 1
            try:
                while self._changes.get(sweep, 0) == version:
                    left = end - time.monotonic()
                    if left <= 0:
                        return
                    self._lock.wait(left)
            finally:
                self._waiting -= 1
                self._last_needed = time.monotonic()

    def _strong(self) -> Client:
        client = self._client()
        if client is None:
            raise BtctlError("the client of this sweep is gone")
        return client

    def _start(self, client: Client, patience: float = FIRST_WORD) -> None:
        """Starts the thread unless it runs, and waits until it follows or has turned to polling."""
        end = time.monotonic() + patience
        with self._lock:
            self._last_needed = time.monotonic()
            has_thread = self._thread is not None
            if not has_thread:
                self._is_following = False
                self._thread = threading.Thread(target=self._run, args=(client,), name="btctl-watch", daemon=True)
                self._thread.start()
            while not self._is_following and time.monotonic() < end:
                self._lock.wait(0.1)

    def _is_idle(self) -> bool:
        with self._lock:
            if self._waiting or any(self._futures.values()):
                self._last_needed = time.monotonic()
                return False
            return time.monotonic() - self._last_needed > IDLE

    def _end(self) -> bool:
        with self._lock:
            if self._waiting or any(self._futures.values()):
                return False
            self._thread = None
            self._last_id = None
            return True

    def _run(self, client: Client) -> None:
        looks = 1
        while True:
            try:
                self._follow(client)
                looks = 1
                time.sleep(AGAIN)
            except (BtctlError, OSError, http.client.HTTPException):
                # No stream can be had now: those who wait are served by looking.
                self._say_following()
                for _ in range(looks):
                    self._look_at_all(client)
                    time.sleep(POLL)
                looks = min(looks * 2, MOST_LOOKS)
            if self._is_idle() and self._end():
                return

    def _follow(self, client: Client) -> None:
        """Reads events until the stream ends or nobody waits."""
        headers = {"Accept": "text/event-stream"}
        is_new = self._last_id is None
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        call = Call("GET", "/api/events", {"kinds": "sweep,jobs"}, headers=headers)
        with client.transport.open(call, SILENCE) as response:
            lines = events(response)
            # It says something at once, so that it is known to have begun.
            if next(lines, Event) is Event:
                raise Damaged("the stream of events ended before it began")
            self._say_following()
            if is_new:
                # Whatever happened before the stream began.
                self._look_at_all(client)
            for event in lines:
                if event is not None:
                    self._hear(client, event)
                elif self._is_idle():
                    return

    def _say_following(self) -> None:
        with self._lock:
            self._is_following = True
            self._lock.notify_all()

    def _hear(self, client: Client, event: Event) -> None:
        if event.kind == "gap":
            self._last_id = event.id
            self._look_at_all(client)
            return
        if event.sweep is not None:
            if event.kind == "jobs" and event.state in ENDED:
                with self._lock:
                    waited = set(self._futures.get(event.sweep, ()))
                self._look(client, event.sweep, waited if event.jobs is None else waited & set(event.jobs))
            elif event.kind == "sweep" and event.change in ("cancelled", "finished", "removed"):
                with self._lock:
                    waited = set(self._futures.get(event.sweep, ()))
                self._look(client, event.sweep, waited)
            self._changed((event.sweep,))
        # Only now: an event that could not be followed up is heard again.
        self._last_id = event.id

    def _changed(self, sweeps: Iterable[str]) -> None:
        with self._lock:
            for sweep in sweeps:
                self._changes[sweep] = self._changes.get(sweep, 0) + 1
            self._lock.notify_all()

    def _look_at_all(self, client: Client) -> None:
        with self._lock:
            waited = {sweep: set(futures) for sweep, futures in self._futures.items()}
            known = set(self._changes) | set(waited)
        for sweep, numbers in waited.items():
            try:
                self._look(client, sweep, numbers)
            except BtctlError:
                # It is looked at again, as long as somebody waits for it.
                continue
        self._changed(known)

    def _look(self, client: Client, sweep: str, numbers: Set[int]) -> None:
        """Looks these jobs up, and completes the futures of those that have ended."""
        for first, count in windows(numbers):
            query = {"after": first - 1 if first else None, "limit": count}
            try:
                listed = client.transport.json("GET", f"/api/sweeps/{part(sweep)}/jobs", query)
            except NotFound as error:
                self._fail(sweep, error)
                return
            for info in decode(Jobs, listed).jobs:
                if info.job in numbers and info.state in ENDED:
                    self._complete(client, sweep, info)

    def _complete(self, client: Client, sweep: str, info: JobInfo) -> None:
        with self._lock:
            futures = self._futures.get(sweep, {})
            future = futures.pop(info.job, None)
            if not futures:
                self._futures.pop(sweep, None)
        if future is None:
            return
        job = client.job_of(sweep, info)
        if info.state == "succeeded":
            future.set_result(job)
        elif info.state == "cancelled":
            future.set_exception(JobCancelled(job))
        elif info.state == "pruned":
            future.set_exception(JobPruned(job))
        else:
            future.set_exception(JobFailed(job))

    def _fail(self, sweep: str, error: BtctlError) -> None:
        with self._lock:
            futures = self._futures.pop(sweep, {})
        for future in futures.values():
            future.set_exception(error)


def windows(numbers: Iterable[int]) -> Iterator[Tuple[int, int]]:
    """Pages that hold all of these numbers: the first of each, and how many it spans."""
    first: Optional[int] = None
    last = 0
    for number in sorted(numbers):
        if first is not None and number - first >= PAGE:
            yield first, last - first + 1
            first = None
        if first is None:
            first = number
        last = number
    if first is not None:
        yield first, last - first + 1


def events(response: http.client.HTTPResponse) -> Iterator[Optional[Event]]:
    """The events of a stream as the HTML standard has it; None for a comment, which says only that it goes on."""
    data: List[str] = []
    while True:
        line = response.readline()
        if not line:
            return
        text = line.decode("utf-8").rstrip("\r\n")
        if text.startswith(":"):
            yield None
        elif text.startswith("data:"):
            data.append(text[5:].lstrip(" "))
        elif not text and data:
            try:
                yield decode(Event, json.loads("\n".join(data)))
            except ValueError as error:
                raise Damaged(f"an event is not JSON: {error}") from error
            data = []


_all: "weakref.WeakSet[Watcher]" = weakref.WeakSet()


def _after_fork() -> None:
    for watcher in list(_all):
        watcher.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
