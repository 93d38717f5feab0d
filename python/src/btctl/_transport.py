"""The only place that speaks HTTP: connections, time limits, and what is tried again."""

from __future__ import annotations

import http.client
import json
import os
import random
import ssl
import threading
import time
import warnings
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generator, List, Mapping, Optional, Tuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from .errors import BtctlError, Damaged, Refused, Unavailable, Unreachable, refusal

T = TypeVar("T")

# Seconds.
CONNECT = 10.0
ANSWER = 120.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# Connections that are kept open for the next call.
KEPT = 8

Query = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One request. `again` says that it may be sent twice: it changes nothing, or nothing more the second time."""

    method: str
    path: str
    query: Optional[Query] = None
    body: Optional[bytes] = None
    headers: Optional[Mapping[str, str]] = None
    again: bool = True

    def target(self, below: str) -> str:
        given = {key: _written(value) for key, value in (self.query or {}).items() if value is not None}
        return below + self.path + ("?" + urlencode(given, quote_via=quote) if given else "")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Damaged(f"the coordinator's answer is not JSON: {error}") from error


def part(name: Any) -> str:
    """A part of an address."""
    return quote(str(name), safe="")


class Transport:
    """Calls coordinators. Safe for threads, and after a fork: the child opens connections of its own."""

    def __init__(self, addresses: Tuple[str, ...], patience: float = 30.0, token: Optional[str] = None) -> None:
        self.addresses = addresses
        self._who = {"Authorization": f"Bearer {token}"} if token else {}
        if token:
            _warn_of_clear_text(addresses)
        self.patience = patience
        self._lock = threading.Lock()
        self._idle: List[Tuple[str, http.client.HTTPConnection]] = []
        _all.add(self)

    def forget(self) -> None:
        """After a fork: the parent's connections and locks are not ours."""
        self._lock = threading.Lock()
        self.close()

    def close(self) -> None:
        """Closes the connections that are kept; the next call opens new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def json(self, method: str, path: str, query: Optional[Query] = None, body: Any = None, again: bool = True) -> Any:
        """Sends JSON, if something is to be sent, and reads JSON."""
        if body is None:
            return self.send(Call(method, path, query)).json()
        headers = {"Content-Type": "application/json"}
        return self.send(Call(method, path, query, json.dumps(body).encode(), headers, again)).json()

    def send(self, call: Call) -> Reply:
        """Sends a call and reads all of its answer; tries again while no coordinator answers, for `patience` seconds."""
        return self.patiently(lambda: self._once(call))

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Calls this until it is neither unreachable nor unavailable, or patience is at its end."""
        end, pause = time.monotonic() + self.patience, FIRST_PAUSE
        while True:
            try:
                return attempt()
            except (Unreachable, Unavailable) as error:
                if getattr(error, "final", False) or time.monotonic() + pause > end:
                    raise
                wait = max(pause, error.retry_after or 0.0) if isinstance(error, Unavailable) else pause
            time.sleep(wait * random.uniform(0.8, 1.2))
            pause = min(pause * 2, LONGEST_PAUSE)

    @contextmanager
    def open(self, call: Call, silence: float = ANSWER) -> Generator[http.client.HTTPResponse, None, None]:
        """Sends a call and gives its answer to be read piece by piece. Its connection is not kept."""
        connection, response = self._begin(call, silence)
        try:
            yield response
        finally:
            response.close()
            connection.close()

    def _begin(self, call: Call, silence: float) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        refused: Optional[BtctlError] = None
        for address in self.addresses:
            connection: Optional[http.client.HTTPConnection] = None
            try:
                connection, below = _connection(address, CONNECT)
                response = _request(connection, call, below, silence, {"Connection": "close", **self._who})
                if response.status < 400:
                    return connection, response
                body = response.read()
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                if connection is not None:
                    connection.close()
                refused = _unreachable(self.addresses, error)
                continue
            raise _refused(response.status, response.headers, body)
        assert refused is not None
        raise refused

    def _once(self, call: Call) -> Reply:
        last: Optional[BaseException] = None
        for address in self.addresses:
            # A connection that was kept may have been closed meanwhile: what must not be sent twice gets a new one.
            kept = self._take(address) if call.again else None
            try:
                if kept is not None:
                    try:
                        return self._talk(address, kept, urlsplit(address).path, call)
                    except (OSError, http.client.HTTPException):
                        kept.close()
                connection, below = _connection(address, CONNECT)
            except (OSError, http.client.HTTPException) as error:
                last = error
                continue
            try:
                return self._talk(address, connection, below, call)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if not call.again:
                    raise _Unsure(
                        f"the connection to {address} broke while {call.method} {call.path} was answered ({_cause(error)}); "
                        "it may have been done, so it was not sent again"
                    ) from error
                last = error
        assert last is not None
        raise _unreachable(self.addresses, last) from last

    def _talk(self, address: str, connection: http.client.HTTPConnection, below: str, call: Call) -> Reply:
        response = _request(connection, call, below, ANSWER, self._who)
        body = response.read()
        if response.will_close:
            connection.close()
        else:
            self._keep(address, connection)
        if response.status >= 400:
            raise _refused(response.status, response.headers, body)
        return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def _take(self, address: str) -> Optional[http.client.HTTPConnection]:
        with self._lock:
            for index, (of, connection) in enumerate(self._idle):
                if of == address:
                    del self._idle[index]
                    return connection
        return None

    def _keep(self, address: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append((address, connection))
                return
        connection.close()


class _Unsure(Unreachable):
    """Broke off after it was sent."""

    final = True


def _warn_of_clear_text(addresses: Tuple[str, ...]) -> None:
    """A token that leaves the machine without encryption can be read on its way."""
    ours = {"localhost", "127.0.0.1", "::1"}
    clear = [address for address in addresses if address.startswith("http:") and urlsplit(address).hostname not in ours]
    if clear:
        told = f"the token is sent without encryption to {', '.join(clear)}: whoever is on the way can read and use it"
        warnings.warn(told, stacklevel=4)


def _connection(address: str, timeout: float) -> Tuple[http.client.HTTPConnection, str]:
    """A new connection, and the path that a proxy serves the coordinator below."""
    parts = urlsplit(address)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    connection.connect()
    return connection, parts.path


def _request(
    connection: http.client.HTTPConnection, call: Call, below: str, silence: float, more: Mapping[str, str]
) -> http.client.HTTPResponse:
    if connection.sock is not None:
        connection.sock.settimeout(silence)
    headers = {"Accept": "*/*", "User-Agent": "btctl-python", **more, **(call.headers or {})}
    connection.request(call.method, call.target(below), body=call.body, headers=headers)
    return connection.getresponse()


def _refused(status: int, headers: http.client.HTTPMessage, body: bytes) -> Refused:
    try:
        error = json.loads(body)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "unknown", f"status {status}: {body[:200].decode(errors='replace').strip()}"
    after = headers.get("Retry-After", "")
    return refusal(status, code, message, float(after) if after.isdigit() else None)


def _unreachable(addresses: Tuple[str, ...], error: BaseException) -> Unreachable:
    return Unreachable(
        f"no coordinator answers at {', '.join(addresses)}: {_cause(error)}; "
        "is it running, and does BTCTL_COORDINATOR name it?"
    )


def _cause(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)


_all: "weakref.WeakSet[Transport]" = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_all):
        transport.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
