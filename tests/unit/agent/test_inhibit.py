"""Inhibitors: held as long as somebody lives to hold them, and not a moment longer."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from allod.agent import supervisor_inhibit
from allod.agent.inhibit import FileInhibitors, hold
from allod.agent.supervisor_inhibit import InhibitorSocket
from allod.errors import InvalidInput

NOW = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)


def wait(true: Callable[[], bool]) -> None:
    """Until it is true."""
    limit = time.monotonic() + 5
    while not true():
        assert time.monotonic() < limit, "it never came true"
        time.sleep(0.01)


def test_a_lock_is_seen_until_it_is_let_go(tmp_path: Path) -> None:
    """Name, reason and time are told; afterwards nothing stays, not even a file."""
    locks = FileInhibitors(tmp_path / "inhibitors")
    assert locks.held() == ()
    fd = hold(tmp_path / "inhibitors", "backup", "copying photos", since=NOW)
    found = locks.held()
    assert [(one.name, one.why, one.since) for one in found] == [("backup", "copying photos", NOW)]
    os.close(fd)
    assert locks.held() == ()
    assert os.listdir(tmp_path / "inhibitors") == []


RUN = (
    "import sys;from pathlib import Path;from datetime import datetime,UTC;"
    "from allod.agent.inhibit import run_inhibited;"
    "run_inhibited(Path(sys.argv[1]),'film','watching',sys.argv[2:],since=datetime.now(UTC))"
)


def test_a_command_holds_it_also_when_it_is_killed(tmp_path: Path) -> None:
    """The lock lives with the command and dies with it, even by SIGKILL."""
    locks = FileInhibitors(tmp_path)
    command = [sys.executable, "-c", RUN, str(tmp_path), "/bin/sleep", "60"]
    process = subprocess.Popen(command, env={"PYTHONPATH": "src"})
    try:
        wait(lambda: bool(locks.held()))
        assert locks.held()[0].name == "film"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert locks.held() == ()


def test_a_command_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """The failure is told by its code, and no lock stays."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path), "/nowhere"],
        env={"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
    )
    assert "cannot run '/nowhere'" in done.stderr
    assert FileInhibitors(tmp_path).held() == ()


@pytest.mark.parametrize(("name", "why"), [("", "x"), ("x", ""), ("x\n", "y"), ("x", "y" * 201)])
def test_names_and_reasons_are_short_and_printable(tmp_path: Path, name: str, why: str) -> None:
    """What will stand in reports and terminals is kept tame."""
    with pytest.raises(InvalidInput) as caught:
        hold(tmp_path, name, why, since=NOW)
    assert caught.value.code == "bad-inhibitor"
    assert os.listdir(tmp_path) == []


@contextmanager
def listening(state: Path) -> Iterator[InhibitorSocket]:
    """The supervisor's socket, served by a thread as its loop would."""
    (state / "inhibitors").mkdir(exist_ok=True)
    server = InhibitorSocket(str(state))
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            server.serve(select.select(server.filenos(), [], [], 0.01)[0])

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join()
        server.close()


@contextmanager
def guest(state: Path, line: bytes) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection that has said something, and the answer."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(state / "inhibit.socket"))
        link.sendall(line)
        yield link, link.recv(100)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name fits into a socket's."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def test_a_connection_holds_it_and_says_who(short: Path) -> None:
    """A program without access to the directory: its connection is the lock."""
    locks = FileInhibitors(short / "inhibitors")
    with listening(short):
        wish = json.dumps({"name": "player", "why": "music"}).encode() + b"\n"
        with guest(short, wish) as (_, answer):
            assert json.loads(answer) == {"held": True}
            found = locks.held()[0]
            assert found.name == "player"
            assert found.why == f"music (user {os.getuid()}, process {os.getpid()})"
        wait(lambda: not locks.held())
        garbage = (b"nonsense\n", b'{"name": 1}\n', b"[]\n", b"[" * 5000, b'{"name":"a"}\n')
        for line in garbage:
            with guest(short, line) as (_, answer):
                assert json.loads(answer) == {"held": False}
        long = json.dumps({"name": "x", "why": "y\n"}).encode() + b"\n"
        with guest(short, long) as (_, answer):
            assert json.loads(answer) == {"held": False}
        assert locks.held() == ()
        assert os.listdir(short / "inhibitors") == []


def test_connections_are_few_and_silence_is_hung_up_on(short: Path, monkeypatch) -> None:
    """Nobody fills the supervisor with connections; the locks that are held stay."""
    monkeypatch.setattr(supervisor_inhibit, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(supervisor_inhibit, "_SECONDS", 0.2)
    wish = json.dumps({"name": "player", "why": "music"}).encode() + b"\n"
    with listening(short), guest(short, wish), ExitStack() as more:
        silent = [more.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(5)]
        for link in silent:
            link.settimeout(5)
            link.connect(str(short / "inhibit.socket"))
        assert [link.recv(10) for link in silent] == [b""] * 5
        assert [one.name for one in FileInhibitors(short / "inhibitors").held()] == ["player"]
        with guest(short, wish) as (_, answer):
            assert json.loads(answer) == {"held": True}


GUEST = (
    "import sys;from pathlib import Path;from allod.agent.inhibit import run_inhibited_by_guest;"
    "run_inhibited_by_guest(Path(sys.argv[1]),'film','watching',sys.argv[2:])"
)


def test_a_command_of_a_guest_holds_it_also_when_it_is_killed(tmp_path: Path) -> None:
    """Its connection is inherited by the command, and ends with it; long paths are no hindrance."""
    state = tmp_path / ("long" * 30)
    state.mkdir()
    words = [sys.executable, "-c", GUEST, str(state)]
    locks = FileInhibitors(state / "inhibitors")
    env = {"PYTHONPATH": "src"}
    alone = subprocess.run([*words, "/bin/true"], env=env, capture_output=True, text=True)
    assert "no allod-agent runs over" in alone.stderr
    with listening(state):
        process = subprocess.Popen([*words, "/bin/sleep", "60"], env=env)
        try:
            wait(lambda: bool(locks.held()))
            assert f"process {process.pid}" in locks.held()[0].why
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait(lambda: not locks.held())
