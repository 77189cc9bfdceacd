"""`allod serve` from outside: how it starts, what it says when it cannot, and how it ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.e2e.server_process import Served, listening, served


def waiting_polls(server: Served, answers: list[int]) -> list[threading.Thread]:
    """A device that waits for news for a minute, three times over."""
    rig = server.rig
    rig.restart()
    token = rig.token(rig.bound())
    news = rig.server.fleets.need(rig.fleet).news
    rig.server.close()

    def wait() -> None:
        path = f"/f/{rig.fleet}/news?after={news}&wait=60"
        answers.append(server.ask("GET", path, headers={"Authorization": f"Bearer {token}"})[0])

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    return threads


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_with_open_polls(tmp_path: Path, how: signal.Signals) -> None:
    """Polls that wait are answered 'no news', the process ends within three seconds with status 0,
    says nothing ugly, and starts again.
    """
    answers: list[int] = []
    with served(tmp_path) as server:
        polls = waiting_polls(server, answers)
        status, seconds = server.signal(how)
        for poll in polls:
            poll.join(10)
        said = server.log.read_text()
        server.start()
    assert (status, answers) == (0, [204] * 3)
    assert seconds < 3
    assert "Traceback" not in said
    assert [json.loads(line)["event"] for line in said.splitlines()][-1] == "stopping"


@pytest.mark.slow
def test_it_waits_for_nobody_who_dawdles(tmp_path: Path) -> None:
    """A client in the middle of a body that never comes does not keep the process."""
    with served(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        path = f"/f/{server.rig.fleet}/bindings"
        slow.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{{".encode())
        time.sleep(0.3)
        status, seconds = server.signal(signal.SIGTERM)
        said = server.log.read_text()
    assert status == 0
    assert seconds < 3
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_client_that_sends_no_request_is_hung_up_on(tmp_path: Path) -> None:
    """Connections that say nothing, or their head drop by drop, end after ten seconds."""
    with served(tmp_path) as server:
        silent = socket.create_connection(("127.0.0.1", server.port))
        drip = socket.create_connection(("127.0.0.1", server.port))
        drip.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        begin = time.monotonic()
        drip.settimeout(1)
        for number in range(14):
            try:
                drip.sendall(b"x-%d: y\r\n" % number)
                if drip.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 8 < time.monotonic() - begin < 13
        silent.settimeout(3)
        assert silent.recv(100) == b""
        huge = socket.create_connection(("127.0.0.1", server.port))
        huge.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nx: " + b"a" * 100_000)
        assert b" 431 " in huge.recv(100)
        assert server.ask("GET", "/health")[0] == 200
        for one in (silent, drip, huge):
            one.close()


def refused(server: Served, *arguments: str) -> tuple[int, str, str]:
    done = server.run(*(arguments or ("serve", str(server.rig.directory))), "--json")
    assert "Traceback" not in done.stderr, done.stderr
    said = json.loads(done.stderr.strip().splitlines()[-1])["error"]
    return done.returncode, said["code"], said["message"]


@pytest.mark.slow
def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    """The server neither fails with a traceback nor shares the port unseen."""
    server = Served.make(tmp_path)
    with listening(server.port):
        status, code, message = refused(server)
    assert (status, code) == (4, "in-use")
    assert f"127.0.0.1:{server.port}" in message
    copy = tmp_path / "copy"
    shutil.copytree(server.rig.directory, copy)
    server.start()
    try:
        assert refused(server, "serve", str(copy))[:2] == (4, "in-use"), "same port, own directory"
        status, code, message = refused(server)
        assert (status, code) == (4, "in-use"), "same directory"
        assert "stop it first" in message
    finally:
        server.close()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("settings.json", b"{", "bad-json"),
        ("settings.json", b'{"type":"allod.server-settings","format":2,"url":"x"}', "bad-document"),
        ("settings.json", None, "no-server"),
        ("keys/snapshot.pem", b"no key", "no-server-key"),
        ("keys/timestamp.pem", None, "no-server-key"),
        ("secrets/token", None, "no-server-key"),
        ("database.sqlite", b"this is no database" * 100, "database-damaged"),
    ],
)
def test_a_damaged_directory_is_said_so(
    tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    """Each file that a server cannot do without: a sentence that names it, no traceback."""
    server = Served.make(tmp_path)
    path = server.rig.directory / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    status, said, message = refused(server)
    assert said == code
    assert status in {2, 6}
    assert message.startswith("cannot ")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("port", 99999, "bad-settings"), ("address", "203.0.113.77", "bad-address")],
)
def test_settings_that_cannot_be_are_said_so(tmp_path: Path, field: str, value, code: str) -> None:
    """A port or an address that this machine does not have."""
    server = Served.make(tmp_path)
    path = server.rig.settings.layout.settings
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert refused(server)[:2] == (2, code)


def test_a_directory_that_takes_nothing_is_said_so(tmp_path: Path) -> None:
    """Where the lock cannot be made there is no server, and the sentence names the file."""
    server = Served.make(tmp_path)
    lock = server.rig.settings.layout.lock
    lock.unlink(missing_ok=True)
    lock.mkdir()
    status, code, message = refused(server)
    assert (status, code) == (6, "local-io")
    assert str(lock) in message


def test_without_its_certificate_it_says_so(tmp_path: Path) -> None:
    """A server that should speak TLS does not fall back to anything else."""
    server = Served.make(tmp_path)
    path = server.rig.settings.layout.settings
    path.write_text(json.dumps({**json.loads(path.read_text()), "tls": True}))
    assert refused(server)[:2] == (6, "no-certificate")
