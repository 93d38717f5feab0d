"""Files of results: fetched in pieces, taken up where they broke off, and held against the SHA-256 that was published."""

from __future__ import annotations

import hashlib
import http.client
from typing import BinaryIO, Optional
from urllib.parse import quote

from ._transport import Call, Transport, part
from .errors import Damaged, Unreachable

PIECE = 1 << 20


def fetch(transport: Transport, sweep: str, job: int, path: str, into: BinaryIO) -> None:
    """Writes a file that a job has published."""
    _Download(transport, f"/api/sweeps/{part(sweep)}/jobs/{job}/outputs/{quote(path)}", into).run(f"{sweep}/{job}: {path}")


class _Download:
    def __init__(self, transport: Transport, address: str, into: BinaryIO) -> None:
        self._transport = transport
        self._address = address
        self._into = into
        self._hash = hashlib.sha256()
        self._have = 0
        self._tag: Optional[str] = None

    def run(self, name: str) -> None:
        while True:
            before = self._have
            try:
                self._transport.patiently(self._go_on)
                break
            except _Broken as broken:
                # As long as it gets further, it goes on.
                if self._have == before:
                    raise Unreachable(f"{name} breaks off at byte {self._have}: {broken}") from broken
        if self._tag != self._hash.hexdigest():
            raise Damaged(f"{name} came with SHA-256 {self._hash.hexdigest()}, but {self._tag} was published")

    def _go_on(self) -> None:
        headers = {"Range": f"bytes={self._have}-", "If-Range": f'"{self._tag}"'} if self._have else {}
        with self._transport.open(Call("GET", self._address, headers=headers)) as response:
            tag = response.headers.get("ETag", "").strip('"')
            if self._have and (response.status != 206 or tag != self._tag):
                # Another result has been published meanwhile.
                self._restart()
            self._tag = tag
            length = int(response.headers.get("Content-Length", "0"))
            got = 0
            try:
                while got < length:
                    piece = response.read(min(PIECE, length - got))
                    if not piece:
                        raise _Broken("the connection was closed")
                    self._into.write(piece)
                    self._hash.update(piece)
                    self._have += len(piece)
                    got += len(piece)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(str(error) or type(error).__name__) from error

    def _restart(self) -> None:
        self._into.seek(0)
        self._into.truncate()
        self._hash = hashlib.sha256()
        self._have = 0


class _Broken(Exception):
    """The connection broke while the file came."""
