"""Sweeps of backtests on a btctl cluster."""

from . import errors, types
from ._client import Client, client, submit, sweep, sweeps
from ._completed import as_completed
from ._job import Job, JobList
from ._manifest import Span, span
from ._sweep import Sweep
from .errors import BtctlError, JobCancelled, JobFailed

__version__ = "0.1.0"

__all__ = [
    "BtctlError",
    "Client",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobList",
    "Span",
    "Sweep",
    "as_completed",
    "client",
    "errors",
    "span",
    "submit",
    "sweep",
    "sweeps",
    "types",
]
