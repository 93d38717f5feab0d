"""What can go wrong. All of it is a BtctlError; a refusal has the coordinator's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Type

if TYPE_CHECKING:
    from ._job import Job


class BtctlError(Exception):
    """Any error of this package."""


class SettingsError(BtctlError, ValueError):
    """A setting, or the file that holds it, can't be used."""


class Unreachable(BtctlError):
    """No coordinator answers."""


class Damaged(BtctlError):
    """What came is not what was published, or not what the API describes."""


class Refused(BtctlError):
    """The coordinator refused a call, and says why."""

    def __init__(self, status: int, code: str, message: str, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


class InvalidArgument(Refused, ValueError):
    """A value is wrong, or a key is not known (status 400, 415)."""


class NotFound(Refused, LookupError):
    """There is no such sweep, job or file (status 404)."""


class Conflict(Refused):
    """It can't be done as things stand (status 409)."""


class NotAllowed(Refused):
    """The caller may not do this (status 401, 403)."""


class Unavailable(Refused):
    """The coordinator can't reach Postgres or the store now, or is too busy (status 503)."""


class JobFailed(BtctlError):
    """A job did not succeed; `job` is how it ended."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job} {job.state}" + (f": {job.reason}" if job.reason else ""))
        self.job = job


class JobCancelled(JobFailed):
    """A job was cancelled."""


class JobPruned(JobFailed):
    """A job was given up for what it had reported; its `metrics` are what it reported last."""


_BY_STATUS: Dict[int, Type[Refused]] = {
    400: InvalidArgument,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: InvalidArgument,
    415: InvalidArgument,
    503: Unavailable,
}


def refusal(status: int, code: str, message: str, retry_after: Optional[float] = None) -> Refused:
    """The error for a status of HTTP."""
    return _BY_STATUS.get(status, Refused)(status, code, message, retry_after)
