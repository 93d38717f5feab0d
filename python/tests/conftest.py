"""The tests run against a real coordinator and agent, which tests/it/python.rs starts: `make test` does all of it."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

import btctl

# What a job does until its test lets it go on.
WAIT_AT_GATE = "until [ -e /gate/open ]; do sleep 0.1; done"


def _given(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.exit(f"{name} is not set: these tests are run by tests/it/python.rs, with a coordinator", returncode=2)
    return value


@pytest.fixture(scope="session")
def address() -> str:
    return _given("BTCTL_COORDINATOR")


@pytest.fixture(scope="session")
def client(address: str) -> btctl.Client:
    return btctl.Client(address)


class Gate:
    """Jobs with the volume `gate` wait until it is opened."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "open"

    def open(self) -> None:
        self._file.touch()

    def close(self) -> None:
        if self._file.exists():
            self._file.unlink()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate(Path(_given("BTCTL_TEST_GATE")))
    gate.close()
    yield gate
    # Whatever still waits goes on, so that later tests find room.
    gate.open()


Submit = Callable[..., btctl.Sweep]


@pytest.fixture
def submit(client: btctl.Client) -> Submit:
    """Queues a sweep of small containers that run a shell script."""

    def queue(script: str, *, waits: bool = False, **keys: Any) -> btctl.Sweep:
        if waits:
            script = f"{WAIT_AT_GATE}; {script}"
            keys["volumes"] = ["gate:/gate:ro"]
        of: btctl.Client = keys.pop("client", client)
        return of.submit(image="btctl-test:1", command=["sh", "-c", script], cpus=0.25, memory="64MiB", **keys)

    return queue


class Line:
    """A line to the coordinator that can be cut."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit("/", 1)[1].split(":")
        self._to = (host, int(port))
        self._is_cut = False
        self._ends: List[socket.socket] = []
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = "http://127.0.0.1:%d" % self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends all connections; new ones are closed at once."""
        self._is_cut = True
        ends, self._ends = self._ends, []
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._server.accept()
            except OSError:
                return
            if self._is_cut:
                end.close()
                continue
            self.connections += 1
            other = socket.create_connection(self._to)
            self._ends += [end, other]
            for one, two in ((end, other), (other, end)):
                threading.Thread(target=_pass_on, args=(one, two), daemon=True).start()


def _pass_on(one: socket.socket, two: socket.socket) -> None:
    try:
        while True:
            data = one.recv(1 << 16)
            if not data:
                break
            two.sendall(data)
        two.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def line(address: str) -> Iterator[Line]:
    line = Line(address)
    yield line
    line.close()
