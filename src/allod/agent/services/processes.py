"""Processes as the kernel shows them under /proc: who is who, although numbers are used again.

Standard library only; read by the supervisor too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KERNEL_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
SMALL: Final = 65536
_BEGAN: Final = 19  #: place of the start time behind the name (proc_pid_stat(5), field 22)


@dataclass(frozen=True, slots=True)
class Seen:
    """One process: its number and the tick at which it began are its identity in one boot."""

    pid: int
    state: str
    session: int
    began: int

    @property
    def alive(self) -> bool:
        """Whether it is more than a dead child that nobody has collected."""
        return self.state not in {"Z", "X", "x"}


def parse_stat(text: str) -> Seen | None:
    """Read a line of /proc/PID/stat; None if it is none (the name may hold anything)."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    number = head.partition(" ")[0]
    if len(fields) <= _BEGAN or not number.isdigit():
        return None
    return Seen(int(number), fields[0], int(fields[3]), int(fields[_BEGAN]))


def look(pid: int) -> Seen | None:
    """The process with this number now, if there is one."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace"))
    except OSError:
        return None


def collect(pid: int) -> None:
    """Take a dead child's exit status, so that it goes; another's child is left alone."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def session_of(leader: Seen) -> list[Seen]:
    """All living processes of the session that `leader` began, itself among them.

    If its number belongs to another process by now, the session is over.
    """
    now = look(leader.pid)
    if now is not None and now.began != leader.began:
        return []
    members = []
    with os.scandir("/proc") as entries:
        numbers = [int(entry.name) for entry in entries if entry.name.isdigit()]
    for number in numbers:
        seen = look(number)
        if seen is not None and seen.session == leader.pid and seen.alive:
            members.append(seen)
    return members


def signal_all(members: list[Seen], number: signal.Signals) -> None:
    """Send a signal to every one that is still who it was."""
    for member in members:
        now = look(member.pid)
        if now is not None and now.began == member.began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, number)


def end_session(leader: Seen, seconds: float) -> None:
    """SIGTERM to the whole session, after `seconds` SIGKILL, until none is left."""
    signal_all(session_of(leader), signal.SIGTERM)
    limit = time.monotonic() + seconds
    pause = 0.005
    while True:
        collect(leader.pid)
        members = session_of(leader)
        if not members:
            return
        if time.monotonic() >= limit:
            signal_all(members, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def read_text(path: str | Path) -> str:
    """The content of a small file; empty if it can't be read."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.read(SMALL)
    except OSError:
        return ""
