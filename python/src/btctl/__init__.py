"""Sweeps of backtests on a btctl cluster."""

import importlib
from typing import TYPE_CHECKING, Any

from . import errors, types
from ._client import Client, client, open_sweep, submit, sweep, sweeps
from ._completed import as_completed
from ._job import Job, JobList
from ._manifest import Span, span
from ._open import OpenSweep
from ._sweep import Sweep
from .errors import BtctlError, JobCancelled, JobFailed, JobPruned

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import optuna as optuna
else:

    def __getattr__(name: str) -> Any:
        # Optuna is imported when it is used, since nothing else needs it.
        if name == "optuna":
            return importlib.import_module(".optuna", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BtctlError",
    "Client",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobPruned",
    "JobList",
    "OpenSweep",
    "Span",
    "Sweep",
    "as_completed",
    "client",
    "errors",
    "open_sweep",
    "span",
    "submit",
    "sweep",
    "sweeps",
    "types",
]
