"""A coordinator, and what is asked of it."""

from __future__ import annotations

import os
import threading
import uuid
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from . import _settings
from ._decode import decode
from ._job import Job
from ._manifest import Manifest, rows, written
from ._open import OpenSweep
from ._sweep import Sweep
from ._transport import Call, Transport, part
from ._watch import Watcher
from .types import JobInfo, Submitted, SweepDetails, SweepInfo, Sweeps


class Client:
    """Speaks to the coordinator at an address; several, separated by commas, are tried in turn.

    Without an address it is the one that `btctl` itself would ask: BTCTL_COORDINATOR, then `client.toml`. The `token` says
    who calls; without one it is that of BTCTL_TOKEN, BTCTL_TOKEN_FILE or `token_file` in `client.toml`.
    """

    def __init__(
        self,
        coordinator: Optional[str] = None,
        *,
        owner: Optional[str] = None,
        patience: float = 30.0,
        token: Optional[str] = None,
    ) -> None:
        token = _settings.token(token)
        self.transport = Transport(_settings.coordinators(coordinator), patience, token)
        self._is_known = token is not None
        self.watcher = Watcher(self)
        self._owner = owner

    def submit(
        self,
        manifest: Optional[Manifest] = None,
        *,
        image: Optional[str] = None,
        command: Union[str, Iterable[str], None] = None,
        matrix: Optional[Mapping[str, Any]] = None,
        params: Any = None,
        where: Optional[str] = None,
        name: Optional[str] = None,
        tags: Iterable[str] = (),
        note: Optional[str] = None,
        reuse: bool = False,
        idempotency_key: Optional[str] = None,
        open: bool = False,
        **keys: Any,
    ) -> Sweep:
        """Queues a sweep: the file of a manifest, or one that is made of these arguments.

        `matrix` has a list or a `span` for each parameter; `params` has a job for each row: a list of dicts, or a table.

        Every other key of a manifest can be given by its name; cpus, memory, gpus, shm and disk stand for those of
        `resources`. One `idempotency_key` makes one sweep only, however often it is submitted.
        """
        keys = {
            "name": name,
            "image": image,
            "command": command if command is None or isinstance(command, str) else list(command),
            "matrix": matrix,
            "params": rows(params),
            "where": where,
            **keys,
        }
        body, form = written(manifest, keys)
        # A retry after a lost answer must not queue it twice.
        headers = {"Content-Type": form, "Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        query = {
            "owner": _settings.owner(self._owner, self._is_known),
            "tags": ",".join(tags) or None,
            "note": note,
            "reuse": True if reuse else None,
            "open": True if open else None,
        }
        reply = self.transport.send(Call("POST", "/api/sweeps", query, body, headers))
        submitted = decode(Submitted, reply.json())
        return Sweep(self, submitted.id, submitted.name)

    def open_sweep(self, manifest: Optional[Manifest] = None, **keys: Any) -> OpenSweep:
        """Queues a sweep that takes more jobs until it is closed; without a matrix or params it begins without any.

        What it is given is what `submit` is given. As a context manager it closes itself.
        """
        sweep = self.submit(manifest, open=True, **keys)
        return OpenSweep(self, sweep.id, sweep.name)

    def sweep(self, name: str) -> Sweep:
        """A sweep by its name (the newest of that name), its id, or the beginning of its id."""
        found = decode(SweepDetails, self.transport.json("GET", f"/api/sweeps/{part(name)}"))
        return Sweep(self, found.id, found.name)

    def sweeps(self, all: bool = True, limit: int = 100, **choice: Any) -> List[SweepInfo]:
        """Sweeps, the newest first; `state`, `owner`, `name`, `tags` and `since` choose among them."""
        query = {"all": all, "limit": limit, **choice}
        return decode(Sweeps, self.transport.json("GET", "/api/sweeps", query)).sweeps

    def sweep_of(self, id: str) -> Sweep:
        return Sweep(self, id, id[:8])

    def job_of(self, sweep: str, info: Union[JobInfo, Dict[str, Any]]) -> Job:
        return Job(self, sweep, info if isinstance(info, JobInfo) else decode(JobInfo, info))

    def __repr__(self) -> str:
        return f"<btctl.Client {', '.join(self.transport.addresses)}>"


_known: Dict[Tuple[str, ...], Client] = {}
_lock = threading.Lock()


def client(coordinator: Optional[str] = None) -> Client:
    """The client of an address, the same one each time, so that there is one watcher for each."""
    addresses = _settings.coordinators(coordinator)
    with _lock:
        if addresses not in _known:
            _known[addresses] = Client(",".join(addresses))
        return _known[addresses]


def submit(manifest: Optional[Manifest] = None, *, coordinator: Optional[str] = None, **keys: Any) -> Sweep:
    """Queues a sweep; `Client.submit` says with which arguments."""
    return client(coordinator).submit(manifest, **keys)


def open_sweep(
    manifest: Optional[Manifest] = None, *, coordinator: Optional[str] = None, **keys: Any
) -> OpenSweep:
    """Queues a sweep that takes more jobs until it is closed; `Client.open_sweep` says more."""
    return client(coordinator).open_sweep(manifest, **keys)


def sweep(name: str, *, coordinator: Optional[str] = None) -> Sweep:
    """A sweep by its name (the newest of that name), its id, or the beginning of its id."""
    return client(coordinator).sweep(name)


def sweeps(*, coordinator: Optional[str] = None, **choice: Any) -> List[SweepInfo]:
    """Sweeps, the newest first; `Client.sweeps` says how to choose among them."""
    return client(coordinator).sweeps(**choice)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
