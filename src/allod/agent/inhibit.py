"""Locks of people and programs who must not be disturbed: activations wait while one is held.

    inhibitors/<id>    JSON (name, why, since), locked with flock by its holder

The kernel drops a lock when its holder dies, however it dies: nobody can block for ever by
mistake. The holder is either the command itself (`run_inhibited`: it inherits the descriptor),
or the supervisor on behalf of a program that keeps a connection to its socket open
(supervisor_inhibit.py), for users who may not enter the state directory. Standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from allod.domain.observed import Inhibition
from allod.durable import make_directory
from allod.errors import InvalidInput, Unavailable

TEXT_CAP: Final = 200
SOCKET: Final = "inhibit.socket"  #: as in supervisor_inhibit.py
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_ANSWER_SECONDS: Final = 10.0


def hold(directory: Path, name: str, why: str, *, since: datetime) -> int:
    """Take a lock; it is held until the returned descriptor (and every copy) is closed.

    Raises:
        InvalidInput: `bad-inhibitor`.
    """
    for text in (name, why):
        if not text or len(text) > TEXT_CAP or not text.isprintable():
            raise InvalidInput(
                "bad-inhibitor",
                f"cannot inhibit: name and reason have 1 to {TEXT_CAP} printable signs",
            )
    make_directory(directory)
    moment = since.astimezone(UTC).strftime(_TIME)
    place = directory / f"{os.getpid()}-{secrets.token_hex(6)}"
    hidden = directory / f".{place.name}"
    fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, json.dumps({"name": name, "why": why, "since": moment}).encode())
        hidden.rename(place)  # visible only once it is locked and says why
    except BaseException:
        os.close(fd)
        hidden.unlink(missing_ok=True)
        raise
    return fd


def held(directory: Path) -> tuple[Inhibition, ...]:
    """The locks that are held now, oldest first; what dead holders left is removed."""
    found = []
    for name in _names(directory):
        lock = _look(directory / name)
        if lock is not None:
            found.append(lock)
    return tuple(sorted(found, key=lambda lock: (lock.since, lock.name)))


def _names(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except FileNotFoundError:
        return []


def _look(place: Path) -> Inhibition | None:
    try:
        fd = os.open(place, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None if place.name.startswith(".") else _read(fd)
        if not place.name.startswith("."):
            place.unlink(missing_ok=True)
        return None
    finally:
        os.close(fd)


def _read(fd: int) -> Inhibition:
    try:
        value = json.loads(os.read(fd, 8192))
        since = datetime.strptime(value["since"], _TIME).replace(tzinfo=UTC)
        return Inhibition(str(value["name"]), str(value["why"]), since)
    except (ValueError, KeyError, TypeError):
        return Inhibition("unknown", "unknown", datetime.fromtimestamp(0, UTC))


class FileInhibitors:
    """Port `Inhibitors`: the locks in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def held(self) -> tuple[Inhibition, ...]:
        """All that are held now; those whose holder is gone do not count."""
        return held(self._directory)


def run_inhibited(
    directory: Path, name: str, why: str, command: Sequence[str], *, since: datetime
) -> NoReturn:
    """Become `command`, which holds the lock as long as it, or what it started, lives.

    Raises:
        InvalidInput: `bad-inhibitor`, `not-found` if there is no such program.
    """
    fd = hold(directory, name, why, since=since)
    os.set_inheritable(fd, True)
    try:
        os.execvp(command[0], list(command))  # noqa: S606  # the words are the user's own
    except OSError as error:
        os.close(fd)
        raise InvalidInput("not-found", f"cannot run {command[0]!r}: {error.strerror}") from error


def run_inhibited_by_guest(state: Path, name: str, why: str, command: Sequence[str]) -> NoReturn:
    """As `run_inhibited`, for a user who may not enter the state directory.

    The running supervisor holds the lock for as long as `command`, or what it started, lives:
    they inherit the connection (supervisor_inhibit.py).

    Raises:
        InvalidInput: `bad-inhibitor`, `not-found` if there is no such program.
        Unavailable: `not-running`, no supervisor listens.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(_ANSWER_SECONDS)
        where = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            link.connect(f"/proc/self/fd/{where}/{SOCKET}")
        finally:
            os.close(where)
        link.sendall(json.dumps({"name": name, "why": why}).encode() + b"\n")
        answer = link.recv(256)
    except OSError as error:
        link.close()
        raise Unavailable(
            "not-running", f"cannot inhibit: no allod-agent runs over {state} ({error.strerror})"
        ) from error
    if b"true" not in answer:
        link.close()
        raise InvalidInput(
            "bad-inhibitor",
            "cannot inhibit: name and reason have 1 to 150 printable signs, "
            "and a user has so many at a time",
        )
    link.settimeout(None)
    os.set_inheritable(link.fileno(), True)
    try:
        os.execvp(command[0], list(command))  # noqa: S606  # the words are the user's own
    except OSError as error:
        link.close()
        raise InvalidInput("not-found", f"cannot run {command[0]!r}: {error.strerror}") from error
