"""Inhibitors: held as long as somebody lives to hold them, and not a moment longer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from allod.agent.inhibit import FileInhibitors, InhibitorSocket, hold
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


def test_a_connection_holds_it_and_says_who(tmp_path: Path) -> None:
    """A program without access to the directory: its connection is the lock."""
    locks = FileInhibitors(tmp_path / "locks")
    server = InhibitorSocket(tmp_path / "socket", tmp_path / "locks")
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(tmp_path / "socket"))
        link.sendall(json.dumps({"name": "player", "why": "music"}).encode() + b"\n")
        assert json.loads(link.recv(100)) == {"held": True}
        found = locks.held()[0]
        assert found.name == "player"
        assert found.why == f"music (user {os.getuid()}, process {os.getpid()})"
    wait(lambda: not locks.held())
    for garbage in (b"nonsense\n", b'{"name": 1}\n', b"", b"[" * 4000):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(tmp_path / "socket"))
            link.sendall(garbage)
            link.shutdown(socket.SHUT_WR)
            assert link.recv(100) == b""
    assert locks.held() == ()
    server.close()
    thread.join(5)
    assert not thread.is_alive()
