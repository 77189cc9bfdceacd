"""The wire to witnesses, over real sockets: nothing that a witness does keeps the server waiting."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from allod.errors import Unavailable
from allod.server.http.witness_calls import HttpWitnessCalls


@contextmanager
def witness(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a program that does this with every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        talk(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/w1/"
        listener.shutdown(socket.SHUT_RDWR)


def drip(start: bytes) -> Callable[[socket.socket], None]:
    """Says one byte after the other, without end."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(2000):
            connection.sendall(b"x")
            time.sleep(0.01)

    return talk


HEAD = b"HTTP/1.1 200 OK\r\n"
BAD = {
    "drips its head": drip(HEAD + b"x: "),
    "drips its body": drip(HEAD + b"content-length: 60000\r\n\r\n"),
    "says nothing": lambda connection: time.sleep(5),
    "goes away": lambda connection: None,
    "is no web server": lambda connection: connection.sendall(b"\0" * 100_000),
    "says too much": lambda connection: connection.sendall(HEAD + b"\r\n" + b"x" * 70_000),
    "has too many headers": lambda connection: connection.sendall(HEAD + b"a: b\r\n" * 5000),
}


@pytest.mark.parametrize("how", BAD)
def test_an_exchange_ends_in_time(how: str) -> None:
    """Whatever it says and however slowly: it is unavailable, within the deadline."""
    begin = time.monotonic()
    with witness(BAD[how]) as url, pytest.raises(Unavailable) as caught:
        HttpWitnessCalls(deadline=0.4).post(url, b"body")
    assert caught.value.code == "witness-unavailable"
    assert time.monotonic() - begin < 3


def test_what_it_answers_is_heard() -> None:
    """Path, body and type as the protocol has them; status and body come back, redirects too."""
    seen: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        seen.append(connection.recv(65_536))
        while b"body" not in seen[-1]:
            seen[-1] += connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 307 x\r\nlocation: /other\r\ncontent-length: 3\r\n\r\nyes")

    with witness(talk) as url:
        heard = HttpWitnessCalls().post(url, b"body")
    assert (heard.status, heard.body) == (307, b"yes")
    assert seen[0].startswith(b"POST /w1/add-checkpoint HTTP/1.1\r\n")
    assert b"text/plain" in seen[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::", "https://127.0.0.1:99999"])
def test_an_address_that_leads_nowhere_is_unavailable(url: str) -> None:
    """Nobody listens there, or it is no address."""
    with pytest.raises(Unavailable):
        HttpWitnessCalls().post(url, b"")
