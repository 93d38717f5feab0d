"""What is tried again, and what is not: against servers that answer wrongly, which a coordinator never does on demand."""

from __future__ import annotations

import hashlib
import http.server
import threading
from contextlib import contextmanager
from typing import Callable, Generator, List, Tuple

import pytest

import btctl
from btctl._transport import Call, Transport
from btctl.errors import Damaged, Unavailable, Unreachable

Handler = http.server.BaseHTTPRequestHandler
Answers = Callable[[Handler, int], None]


@contextmanager
def server(answers: Answers) -> Generator[Tuple[str, List[Tuple[str, str]]], None, None]:
    """A server that answers its calls in turn, and a list of what it was asked: the method, and a header of interest."""
    asked: List[Tuple[str, str]] = []

    class Scripted(Handler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            asked.append((self.command, self.headers.get("Idempotency-Key") or self.headers.get("Range") or ""))
            answers(self, len(asked) - 1)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % listening.server_address[1], asked
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def reply(handler: Handler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


BUSY = b'{"error": {"code": "unavailable", "message": "Postgres is away"}}'
SUBMITTED = b'{"id": "0123456789", "name": "x", "jobs": 1, "existed": false}'


def test_a_submit_is_sent_again_with_the_same_key() -> None:
    def answers(handler: Handler, number: int) -> None:
        if number == 0:
            hang_up(handler)
        elif number == 1:
            reply(handler, BUSY, 503, Retry_After="1")
        else:
            reply(handler, SUBMITTED)

    with server(answers) as (address, asked):
        assert btctl.Client(address).submit(image="x:1").name == "x"
    assert len(asked) == 3 and len(set(asked)) == 1 and asked[0][1]


def test_what_must_not_be_done_twice_is_sent_once() -> None:
    def answers(handler: Handler, number: int) -> None:
        if number == 0:
            reply(handler, b"{}")
        else:
            hang_up(handler)

    with server(answers) as (address, asked):
        transport = Transport((address,), patience=5)
        # A connection is kept from here on.
        transport.send(Call("GET", "/"))
        with pytest.raises(Unreachable, match="it may have been done"):
            btctl.Sweep(btctl.Client(address), "0123", "x").retry()
    assert [method for method, _ in asked] == ["GET", "POST"]


def test_patience_has_an_end_and_the_reason_is_told() -> None:
    with server(lambda handler, _: reply(handler, BUSY, 503)) as (address, asked):
        with pytest.raises(Unavailable, match="Postgres is away"):
            Transport((address,), patience=0.5).send(Call("GET", "/"))
    assert len(asked) > 1
    with pytest.raises(Unreachable, match="no coordinator answers at http://127.0.0.1:1: .*refused.*BTCTL_COORDINATOR"):
        Transport(("http://127.0.0.1:1",), patience=0).send(Call("GET", "/"))


def test_coordinators_are_tried_in_turn_and_may_be_below_a_path() -> None:
    paths: List[str] = []

    def answers(handler: Handler, _: int) -> None:
        paths.append(handler.path)
        reply(handler, b"[]")

    with server(answers) as (address, _):
        client = btctl.Client(f"http://127.0.0.1:1, {address}/btctl/")
        assert client.transport.json("GET", "/api/x", {"a": "b c", "no": None, "yes": True}) == []
    assert paths == ["/btctl/api/x?a=b%20c&yes=true"]


CONTENT = bytes(range(256)) * 40_000
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


def send_part(handler: Handler, bytes_sent: int) -> None:
    """The rest of the file from where it is asked for, but no more than this."""
    first = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
    handler.send_response(206 if first else 200)
    handler.send_header("ETag", TAG)
    handler.send_header("Content-Length", str(len(CONTENT) - first))
    handler.end_headers()
    handler.wfile.write(CONTENT[first : first + bytes_sent])
    hang_up(handler)


def test_a_download_goes_on_where_it_broke_off() -> None:
    with server(lambda handler, _: send_part(handler, 3_000_000)) as (address, asked):
        assert btctl.Sweep(btctl.Client(address), "0123", "x").open(1, "a b/stats.pkl") == CONTENT
    assert [first for _, first in asked] == ["", "bytes=3000000-", "bytes=6000000-", "bytes=9000000-"]


def test_a_download_that_gets_no_further_fails() -> None:
    def answers(handler: Handler, number: int) -> None:
        send_part(handler, 0 if number else 1000)

    with server(answers) as (address, _), pytest.raises(Unreachable, match="breaks off at byte 1000"):
        btctl.Sweep(btctl.Client(address), "0123", "x").open(1, "stats.pkl")


def test_other_bytes_than_were_published_are_refused() -> None:
    with server(lambda handler, _: reply(handler, b"other", ETag=TAG)) as (address, _):
        with pytest.raises(Damaged, match="was published"):
            btctl.Sweep(btctl.Client(address), "0123", "x").open(1, "stats.pkl")


def test_an_answer_that_is_no_json_is_an_error_in_words() -> None:
    with server(lambda handler, _: reply(handler, b"<html>")) as (address, _):
        with pytest.raises(Damaged, match="is not JSON"):
            btctl.Client(address).sweeps()
    with server(lambda handler, _: reply(handler, b"<html>no such page", 404)) as (address, _):
        with pytest.raises(btctl.errors.NotFound, match="status 404: <html>no such page"):
            btctl.Client(address).sweeps()
