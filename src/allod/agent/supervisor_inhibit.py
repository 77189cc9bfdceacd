"""The supervisor's socket for users who may not enter the state directory.

A connection that has sent one line of JSON, `{"name": …, "why": …}`, holds a lock like those of
`inhibit.py` until it ends, however it ends; the answer is `{"held": true}` or `{"held": false}`
and the end. The peer's user and process, as the kernel knows them, are added to the reason.

A line `{"consent": "pending"}` is answered with what somebody at the device is asked, and
`{"consent": "approve", "id": …}` or `"decline"` answers a question (supervisor_consent.py): only
for root, the agent's own user, and those whom `agent.json` names in `consent_users`, such as the
user of a product's own button or display.
Nothing here waits, and only the standard library is used: it lives in the supervisor's loop.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time

from allod.agent.supervisor_consent import ANSWERS, answer, shown

NAME = "inhibit.socket"  #: in the state directory
MAX_CONNECTIONS = 32
MAX_OF_ONE_USER = 8
_WAITING = 32  #: connections that the kernel keeps until they are welcomed
_LINE_CAP = 4096
_TEXT_CAP = 200
_WHY_CAP = 150  #: leaves room for who it is
_SECONDS = 5.0  #: for a connection to say what it wants
_PEER_SIZE = 12  #: struct ucred: pid, uid, gid


class _Guest:
    """One connection."""

    __slots__ = ("deadline", "line", "link", "lock", "pid", "uid")

    def __init__(self, link: socket.socket) -> None:
        peer = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_SIZE)
        self.link = link
        self.pid = int.from_bytes(peer[:4], "little" if _LITTLE else "big")
        self.uid = int.from_bytes(peer[4:8], "little" if _LITTLE else "big")
        self.line = b""
        self.lock = -1  #: the file that is locked; -1: nothing yet
        self.deadline = time.monotonic() + _SECONDS


_LITTLE = memoryview(b"\1\0").cast("H")[0] == 1


class InhibitorSocket:
    """Listens, and keeps the locks of those who are connected. Never raises for what they do."""

    __slots__ = ("_consent", "_directory", "_guests", "_socket", "_state", "answered")

    def __init__(self, state: str, consent: frozenset[int] = frozenset()) -> None:
        self._state = state
        self._consent = consent  #: the users who may answer for the device
        self.answered = False  #: somebody answered a question; whoever looks sets it back
        self._directory = os.path.join(state, "inhibitors")
        self._guests: dict[int, _Guest] = {}
        self._socket: socket.socket | None = None
        where = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By its directory's descriptor: a socket's name may have 107 bytes, a path may be long.
            name = f"/proc/self/fd/{where}/{NAME}"
            try:
                os.unlink(NAME, dir_fd=where)
            except FileNotFoundError:
                pass
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listening.bind(name)
                os.chmod(name, 0o666)  # noqa: S103 - it is for everybody on this machine
                listening.listen(_WAITING)
                listening.setblocking(False)
            except OSError:
                listening.close()
                raise
            self._socket = listening
        finally:
            os.close(where)

    def filenos(self) -> list[int]:
        """For select."""
        own = [] if self._socket is None else [self._socket.fileno()]
        return own + list(self._guests)

    def deadline(self) -> float:
        """The monotonic time at which the next silent connection is hung up."""
        waiting = [guest.deadline for guest in self._guests.values() if guest.lock < 0]
        return min(waiting, default=float("inf"))

    def serve(self, ready: list[int]) -> None:
        """Do what can be done without waiting."""
        if self._socket is not None and self._socket.fileno() in ready:
            self._welcome()
        now = time.monotonic()
        for fd, guest in list(self._guests.items()):
            if fd in ready:
                self._listen_to(fd, guest)
            elif guest.lock < 0 and now >= guest.deadline:
                self._part(fd)

    def close(self) -> None:
        """Hang up; the locks end."""
        for fd in list(self._guests):
            self._part(fd)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _welcome(self) -> None:
        try:
            link, _ = self._socket.accept() if self._socket is not None else (None, None)
        except OSError:
            return
        if link is None:
            return
        try:
            guest = _Guest(link)
            link.setblocking(False)
        except OSError:
            link.close()
            return
        same = [one for one in self._guests.values() if one.uid == guest.uid]
        if len(self._guests) >= MAX_CONNECTIONS or (guest.uid and len(same) >= MAX_OF_ONE_USER):
            link.close()
            return
        self._guests[link.fileno()] = guest

    def _listen_to(self, fd: int, guest: _Guest) -> None:
        try:
            piece = guest.link.recv(_LINE_CAP)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            piece = b""
        if not piece:
            self._part(fd)
            return
        if guest.lock >= 0:
            return  # it goes on talking; nobody listens
        guest.line += piece
        line, end, _ = guest.line.partition(b"\n")
        if not end and len(guest.line) < _LINE_CAP:
            return
        guest.line = b""
        wish = _wish(line)
        if "consent" in wish:
            self._reply(guest, self._answer(wish, guest))
            self._part(fd)
            return
        guest.lock = self._lock(wish, guest)
        held = guest.lock >= 0
        if not self._reply(guest, {"held": held}) or not held:
            self._part(fd)

    def _reply(self, guest: _Guest, said: dict[str, object]) -> bool:
        try:
            guest.link.sendall(json.dumps(said).encode() + b"\n")
        except OSError:
            return False
        return True

    def _answer(self, wish: dict[str, object], guest: _Guest) -> dict[str, object]:
        """What is asked, or whether an answer was taken."""
        if guest.uid not in self._consent:
            return {"refused": "not-allowed"}
        act, question = wish["consent"], wish.get("id")
        if act == "pending":
            return {"pending": shown(self._state)}
        if act not in ANSWERS or not isinstance(question, str):
            return {"refused": "bad-line"}
        by = f"user {guest.uid}, process {guest.pid}"
        try:
            why = answer(self._state, question, ANSWERS[act], by)
        except OSError:
            why = "disk"
        if why:
            return {"refused": why}
        self.answered = True
        return {"answered": True}

    def _lock(self, wish: dict[str, object], guest: _Guest) -> int:
        """The descriptor of a locked file (the format of `inhibit.py`); -1: it can't be had."""
        name, why = wish.get("name"), wish.get("why")
        if not _tame(name, _TEXT_CAP) or not _tame(why, _WHY_CAP):
            return -1
        said = {
            "name": name,
            "why": f"{why} (user {guest.uid}, process {guest.pid})",
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        file = f"socket-{os.getpid()}-{guest.link.fileno()}-{os.urandom(6).hex()}"
        hidden = os.path.join(self._directory, f".{file}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = -1
        try:
            fd = os.open(hidden, flags, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, json.dumps(said).encode())
            os.rename(hidden, os.path.join(self._directory, file))
        except OSError:
            if fd >= 0:
                os.close(fd)
            return -1
        return fd

    def _part(self, fd: int) -> None:
        guest = self._guests.pop(fd)
        if guest.lock >= 0:
            os.close(guest.lock)
        guest.link.close()


def _wish(line: bytes) -> dict[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _tame(text: object, cap: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= cap and text.isprintable()


def anybody_holds(directory: str) -> bool:
    """Whether an inhibitor is held: a file that somebody has locked (inhibit.py)."""
    try:
        names = os.listdir(directory)
    except OSError:
        return False
    for name in names:
        if name.startswith("."):  # one that is just being made
            continue
        try:
            fd = os.open(os.path.join(directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
    return False
