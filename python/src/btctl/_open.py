"""A sweep that takes more jobs while it runs."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import Future
from types import TracebackType
from typing import Any, List, Optional, Type

from ._decode import decode
from ._job import Job
from ._manifest import plain, rows
from ._sweep import Sweep
from ._transport import Call, part
from .types import AddedJobs, Changed


class OpenSweep(Sweep):
    """Takes jobs until it is closed, which the end of a `with` does; the jobs that it has go on."""

    def submit(self, **parameters: Any) -> Future[Job]:
        """Adds a job, and gives a future of it, as `Job.future` does."""
        return self._client.watcher.futures(self.id, [self.add([parameters]).first_job])[0]

    def map(self, params: Any) -> List[Future[Job]]:
        """Adds a job for each row, a list of dicts or a table, all of them or none; and gives their futures."""
        added = self.add(params)
        return self._client.watcher.futures(self.id, range(added.first_job, added.first_job + added.jobs))

    def add(self, params: Any, key: Optional[str] = None) -> AddedJobs:
        """Adds a job for each row. One key adds to a sweep once only, however often it is sent."""
        body = json.dumps({"params": rows(params) or []}, default=plain, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key or str(uuid.uuid4())}
        call = Call("POST", f"/api/sweeps/{part(self.id)}/jobs", None, body, headers)
        return decode(AddedJobs, self._client.transport.send(call).json())

    def close(self) -> bool:
        """Takes no more jobs: the sweep ends with those that it has. False if it was closed before."""
        call = Call("POST", f"/api/sweeps/{part(self.id)}/close", None, b"{}", {"Content-Type": "application/json"})
        return decode(Changed, self._client.transport.send(call).json()).changed

    def __enter__(self) -> OpenSweep:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()
