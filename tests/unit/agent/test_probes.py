"""Health probes against real servers and programs of this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.ports import RunState, ServiceUnit
from allod.agent.probes import SystemProbe
from allod.agent.secrets import SecretStore
from allod.domain.release import HealthCheck, ProbeKind
from allod.testing.local_server import Request, local_server, make_authority, server_context
from allod.testing.payloads import PACKAGE

UP = RunState(running=True)
PROBE = SystemProbe()


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that treats every connection so; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                answer(link)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(2)


def http(answer: bytes, **fields: object) -> tuple[bool, str]:
    """What the http probe makes of this answer."""

    def reply(link: socket.socket) -> None:
        link.recv(4096)
        link.sendall(answer)

    with answering(reply) as port:
        check = HealthCheck(ProbeKind.HTTP, url=f"http://127.0.0.1:{port}/x", timeout=1, **fields)  # type: ignore[arg-type]
        found = PROBE.attempt(check, None, UP)
        return found.healthy, found.detail


@pytest.mark.parametrize(
    ("answer", "fields", "healthy"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nhello toast", {"contains": "toast"}, True),
        (b"HTTP/1.1 204 No\r\nA: b\r\n\r\n", {"status": 204}, True),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", {"contains": "toast"}, False),
        (b"HTTP/1.0 500 Oh\r\n\r\ntoast", {"contains": "toast"}, False),
        (b"HTTP/1.0 302 Go\r\nLocation: http://192.0.2.1/\r\n\r\n", {}, False),
        (b"SSH-2.0\r\n\r\n", {}, False),
        (b"", {}, False),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 65_536 + b"toast", {"contains": "toast"}, False),
        (
            b"HTTP/1.0 200 OK\r\n" + b"A: b\r\n" * 10_000 + b"\r\ntoast",
            {"contains": "toast"},
            False,
        ),
    ],
)
def test_http_answers_are_judged_by_status_and_text(
    answer: bytes, fields: dict, healthy: bool
) -> None:
    """The wanted status and text within 64 KiB; redirects are just another status."""
    assert http(answer, **fields)[0] is healthy


def test_a_slow_answer_ends_with_its_time() -> None:
    """One byte now and then does not hold the probe longer than its timeout."""

    def drip(link: socket.socket) -> None:
        for _ in range(100):
            link.sendall(b"H")
            time.sleep(0.05)

    with answering(drip) as port:
        check = HealthCheck(ProbeKind.HTTP, url=f"http://127.0.0.1:{port}/", timeout=0.3)
        begin = time.monotonic()
        found = PROBE.attempt(check, None, UP)
        assert not found.healthy
        assert time.monotonic() - begin < 1


def test_https_is_asked_on_this_device(tmp_path: Path) -> None:
    """A service with a certificate of its own for any name is judged by its answer."""
    authority = make_authority("127.0.0.1")

    def hello(request: Request) -> None:
        request.answer(200, b"hello toast")

    with local_server(hello, context=server_context(authority, tmp_path)) as server:
        check = HealthCheck(ProbeKind.HTTP, url=server.url + "/", contains="toast", timeout=2)
        assert PROBE.attempt(check, None, UP).healthy


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/",
        "http://169.254.169.254/latest",
        "https://user@127.0.0.1/",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
        "http:///x",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/\r\nX: y",
    ],
)
def test_only_this_device_is_asked(url: str) -> None:
    """Other hosts, schemes, credentials and injected lines make the check unhealthy at once."""
    begin = time.monotonic()
    assert not PROBE.attempt(HealthCheck(ProbeKind.HTTP, url=url, timeout=2), None, UP).healthy
    assert time.monotonic() - begin < 0.5


def test_tcp_wants_somebody_who_listens() -> None:
    """Open is healthy, closed is not, elsewhere is not asked."""
    with answering(lambda link: None) as port:
        check = HealthCheck(ProbeKind.TCP, address=f"localhost:{port}", timeout=1)
        assert PROBE.attempt(check, None, UP).healthy
    assert not PROBE.attempt(check, None, UP).healthy
    for address in ("192.0.2.1:80", "nonsense", ":x"):
        assert not PROBE.attempt(HealthCheck(ProbeKind.TCP, address=address), None, UP).healthy


@pytest.fixture
def unit(tmp_path: Path) -> ServiceUnit:
    """A unit whose tree holds a program."""
    program = tmp_path / "check"
    program.write_text('#!/bin/sh\necho "$PWD" "$1" "$COLOUR"; exit "${2:-0}"\n')
    program.chmod(0o755)
    return ServiceUnit(
        PACKAGE, "t", ("/x",), {"COLOUR": "red"}, tmp_path, None, Path("/etc/c"), frozenset(), 1.0
    )


def command(*words: str, timeout: float = 2.0) -> HealthCheck:
    """A check by command."""
    return HealthCheck(ProbeKind.COMMAND, command=words, timeout=timeout)


def test_a_command_runs_in_the_tree_and_its_end_counts(unit: ServiceUnit) -> None:
    """Placeholders, environment and directory are the service's; exit status 0 is healthy."""
    found = PROBE.attempt(command("check", "{config}/x"), unit, UP)
    assert found.healthy
    assert found.detail == f"ended with 0: {unit.directory} /etc/c/x red"
    assert not PROBE.attempt(command("{tree}/check", "x", "3"), unit, UP).healthy
    assert not PROBE.attempt(command("nowhere"), unit, UP).healthy


def test_a_command_that_hangs_or_floods_is_ended(unit: ServiceUnit) -> None:
    """Its whole session is gone after the timeout, and its output is capped."""
    begin = time.monotonic()
    hanging = PROBE.attempt(command("/bin/sh", "-c", "sleep 30 & sleep 30", timeout=0.3), unit, UP)
    assert not hanging.healthy
    assert time.monotonic() - begin < 2
    code = "import os,sys\nfor _ in range(2000): os.write(1, b'z' * 65536)"
    flooding = PROBE.attempt(command(sys.executable, "-S", "-c", code, timeout=5), unit, UP)
    assert flooding.healthy
    assert len(flooding.detail) < 300


def test_a_service_that_does_not_run_is_not_healthy(unit: ServiceUnit) -> None:
    """Whatever the check: nothing that answers in its place counts."""
    down = RunState(running=False, detail="not running: oops")
    assert PROBE.attempt(HealthCheck(ProbeKind.RUNNING), unit, UP).healthy
    assert not PROBE.attempt(HealthCheck(ProbeKind.RUNNING), unit, down).healthy
    assert not PROBE.attempt(HealthCheck(ProbeKind.RUNNING), None, UP).healthy
    with answering(lambda link: None) as port:
        check = HealthCheck(ProbeKind.TCP, address=f"127.0.0.1:{port}")
        assert PROBE.attempt(check, unit, down).detail == "not running: oops"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_command_of_a_release_runs_as_the_user_of_its_service(unit: ServiceUnit) -> None:
    """It is the release's own code, and does not get what the service did not get."""
    probe = SystemProbe(lambda _: "daemon")
    found = probe.attempt(command("/usr/bin/id", "-un"), replace(unit, directory=Path("/")), UP)
    assert found.detail == "ended with 0: daemon"
    nobody = SystemProbe(lambda _: "nobody-of-that-name")
    assert not nobody.attempt(command("/bin/true"), unit, UP).healthy


def test_what_a_service_says_is_told_without_its_secrets(tmp_path: Path, unit: ServiceUnit) -> None:
    """Its last words go into a report; the secrets of the device do not."""
    store = SecretStore(tmp_path / "secrets")
    store.set(unit.package, "token", b"tr0ub4dor\n")
    store.set(unit.package, "short", b"ok")
    probe = SystemProbe(redact=store.redact)
    found = probe.attempt(command("/bin/echo", "ok, but token=tr0ub4dor"), unit, UP)
    assert found.detail == "ended with 0: ok, but token=[secret]"
