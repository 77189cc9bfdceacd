"""Services as plain processes, for machines without systemd (port `ServiceManager`).

Standard library only: the worker starts and stops services, the supervisor watches them with
`check_services`. Everything between the two stands in files, so that either may die:

    services/<package>/unit.json   what is to run; its presence means "run this, also after boot"
    services/<package>/process     boot ids and the /proc stat line, written by the child itself
    services/<package>/watch.json  unasked-for ends, and when to start again
    services/<package>/lock        held while something changes; the child holds it too, until it
                                   has written `process`: who gets the lock sees who was started
    services/<package>/log, log.1  output, capped

A service is a session of its own. What it starts in turn is stopped with it, unless it begins a
session of its own: that takes control groups, which the manager `systemd` uses. Declared access
is not enforced here (`enforces_access`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any, Final, Self

from allod.agent.ports import RunState, ServiceUnit
from allod.agent.services.observe import observed_access, remember, undeclared
from allod.agent.services.process_files import cap_log, encode_unit, last_words, read_json
from allod.agent.services.processes import (
    KERNEL_BOOT_ID,
    Seen,
    collect,
    end_session,
    look,
    parse_stat,
    read_text,
    session_of,
)
from allod.domain.ids import Purl, file_name
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import Unavailable

FIRST_DELAY: Final = 1.0  #: seconds before the first start after a crash; doubled each time
LAST_DELAY: Final = 60.0
STEADY: Final = 60.0  #: seconds of running after which the delay begins anew
CHECK_EVERY: Final = 5.0  #: seconds until the supervisor should look again

_LINES: Final = 4  #: of `process`, the last one empty
_UNIT: Final = "unit.json"
_PROCESS: Final = "process"
_WATCH: Final = "watch.json"
_MISSING: Final = "missing.json"  #: access that was seen in use and is not declared
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_LOCK: Final = 3  #: the lock's descriptor in the child
#: Writes its own identity, lets go of the lock (descriptor 3), and becomes the service.
_LAUNCH: Final = (
    'read -r stat </proc/$$/stat && printf "%s\\n%s\\n%s\\n" "$1" "$2" "$stat" >"$3" || exit 126; '
    'exec 3>&-; cd "$4" || exit 126; shift 4; exec "$@"'
)


class ProcessServiceManager:
    """Starts, stops and reads services; `check_services` keeps them running.

    Args:
        directory: `services` of the state directory.
        boot_id_file: see `SystemClock`.
    """

    name = "process"
    enforces_access = False

    def __init__(self, directory: Path, *, boot_id_file: str | Path = KERNEL_BOOT_ID) -> None:
        self._directory = directory
        self._boot_id_file = str(boot_id_file)

    def start(self, unit: ServiceUnit) -> None:
        """Make exactly this unit run, now and after every boot; a different one is stopped first.

        Raises:
            Unavailable: `service-not-started`, if the process could not even be made.
        """
        place = self._directory / file_name(unit.package)
        make_directory(place)
        wanted = encode_unit(unit)
        with _Watched(place, self._boot_id_file) as service:
            if service.running() and service.unit_bytes() == wanted:
                return
            service.end()
            remove_file(place / _WATCH)
            write_atomic(place / _UNIT, wanted)
            service.begin()

    def stop(self, package: Purl) -> None:
        """Make it not run, nor after a boot."""
        place = self._directory / file_name(package)
        if not place.exists():
            return
        with _Watched(place, self._boot_id_file) as service:
            seconds = service.stop_seconds()
            remove_file(place / _UNIT)
            service.end(seconds)
            remove_file(place / _PROCESS)
            remove_file(place / _WATCH)
            remove_file(place / _MISSING)

    def reload(self, package: Purl) -> None:
        """SIGHUP to its first process; nothing if it does not run."""
        place = self._directory / file_name(package)
        if not place.exists():
            return
        with _Watched(place, self._boot_id_file) as service:
            seen = service.running()
            if seen is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(seen.pid, signal.SIGHUP)

    def state(self, package: Purl) -> RunState:
        """What it does now, without waiting for anybody."""
        place = self._directory / file_name(package)
        seen, _ = _find(place, self._boot_id_file)
        watch = read_json(place / _WATCH)
        ends = int(watch.get("ends", 0))
        if seen is not None:
            return RunState(running=True, restarts=ends, detail=f"process {seen.pid}")
        if not (place / _UNIT).exists():
            return RunState(running=False, restarts=ends, detail="stopped")
        return RunState(running=False, restarts=ends, detail=last_words(place))

    def missing_access(self, package: Purl) -> frozenset[str]:
        """Access ever seen in use that the unit does not declare (sampled, see `observe`)."""
        place = self._directory / file_name(package)
        seen, _ = _find(place, self._boot_id_file)
        unit = read_json(place / _UNIT)
        if not unit.get("complain"):
            return frozenset()
        known = (unit["directory"], unit["configuration"], unit["data"] or unit["directory"])
        members = [] if seen is None else [member.pid for member in session_of(seen)]
        used = undeclared(observed_access(members, own=known), unit["access"])
        return remember(place / _MISSING, json.dumps(unit, sort_keys=True).encode(), used)

    def user(self, unit: ServiceUnit) -> str:
        """Nobody else: services run as the agent itself."""
        del unit
        return ""

    def unenforced(self, unit: ServiceUnit) -> tuple[str, ...]:
        """Nothing of its own: that this manager enforces no access at all says it."""
        del unit
        return ()


def check_services(
    directory: Path | str, *, boot_id_file: str | Path = KERNEL_BOOT_ID, now: float | None = None
) -> float:
    """Start what should run and does not, with growing pauses; cap the logs.

    Called by the supervisor in its loop, and right after boot.

    Returns:
        Seconds after which it should be called again.
    """
    moment = time.monotonic() if now is None else now
    pause = CHECK_EVERY
    try:
        places = sorted(entry.path for entry in os.scandir(directory) if entry.is_dir())
    except FileNotFoundError:
        return pause
    for place in places:
        with contextlib.suppress(OSError, Unavailable):
            pause = min(pause, _check(Path(place), str(boot_id_file), moment))
    return pause


def _check(place: Path, boot_id_file: str, now: float) -> float:
    cap_log(place)
    if not (place / _UNIT).exists():
        return CHECK_EVERY
    seen, _ = _find(place, boot_id_file)
    if seen is not None:
        return CHECK_EVERY
    with _Watched(place, boot_id_file, wait=False) as service:
        if not service.held:
            return FIRST_DELAY
        return service.watch(now)


class _Watched:
    """One service under its lock."""

    def __init__(self, place: Path, boot_id_file: str, *, wait: bool = True) -> None:
        self._place = place
        self._boot_id_file = boot_id_file
        self._wait = wait
        self._lock = -1
        self.held = False

    def __enter__(self) -> Self:
        self._acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _acquire(self) -> None:
        self._lock = os.open(self._place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            return
        self.held = True

    def _release(self) -> None:
        os.close(self._lock)
        self._lock, self.held = -1, False

    def unit_bytes(self) -> bytes:
        """The unit as it stands on disk."""
        try:
            return (self._place / _UNIT).read_bytes()
        except FileNotFoundError:
            return b""

    def stop_seconds(self) -> float:
        """How long its unit lets it end by itself."""
        return float(read_json(self._place / _UNIT).get("stop_seconds", 10.0))

    def running(self) -> Seen | None:
        """Its first process, if it lives."""
        return _find(self._place, self._boot_id_file)[0]

    def end(self, seconds: float | None = None) -> None:
        """Stop what runs, also one that a simulated restart left behind, and its remains."""
        _, leader = _find(self._place, self._boot_id_file)
        if leader is not None:
            end_session(leader, self.stop_seconds() if seconds is None else seconds)

    def begin(self) -> None:
        """Make the process; when this returns it has written who it is."""
        unit = read_json(self._place / _UNIT)
        remove_file(self._place / _PROCESS)
        cap_log(self._place)
        _spawn(self._place, unit, self._lock, read_text(self._boot_id_file).strip())
        self._release()
        self._wait = True
        self._acquire()

    def watch(self, now: float) -> float:
        """It does not run: count that, and start it again once its pause is over."""
        if not read_json(self._place / _UNIT).get("command") or self.running() is not None:
            return CHECK_EVERY  # a damaged unit waits for the worker, which writes it anew
        boot = read_text(self._boot_id_file).strip()
        watch = read_json(self._place / _WATCH)
        process = read_text(str(self._place / _PROCESS)).split("\n")
        if process[0] != boot:  # the machine restarted: that is no crash
            self.end()
            self._note({"ends": 0, "boot": boot, "began": now, "delay": 0.0})
            self.begin()
            return CHECK_EVERY
        if "at" not in watch or watch.get("boot") != boot:
            steady = watch.get("boot") == boot and now - float(watch.get("began", now)) >= STEADY
            before = 0.0 if steady else float(watch.get("delay", 0.0))
            delay = min(max(FIRST_DELAY, before * 2), LAST_DELAY)
            ends = int(watch.get("ends", 0)) + 1
            watch = {"ends": ends, "boot": boot, "delay": delay, "at": now + delay}
            self._note(watch)
        if now < float(watch["at"]):
            return max(0.01, float(watch["at"]) - now)
        self.end()  # children that outlived the first process
        self._note({"ends": watch["ends"], "boot": boot, "delay": watch["delay"], "began": now})
        self.begin()
        return CHECK_EVERY

    def _note(self, watch: dict[str, Any]) -> None:
        write_atomic(self._place / _WATCH, json.dumps(watch).encode())


def _find(place: Path, boot_id_file: str) -> tuple[Seen | None, Seen | None]:
    """The living first process, and the recorded one that may have left others behind.

    A record from another boot of the kernel names nobody; one from before a restart that was
    only simulated (own boot id file) names processes that have to go.
    """
    lines = read_text(place / _PROCESS).split("\n")
    if len(lines) < _LINES or lines[1] != read_text(KERNEL_BOOT_ID).strip():
        return None, None
    leader = parse_stat(lines[2])
    if leader is None:
        return None, None
    collect(leader.pid)
    now = look(leader.pid)
    same = now is not None and now.began == leader.began and now.alive
    current = lines[0] == read_text(boot_id_file).strip()
    return (now if same and current else None), leader


def _spawn(place: Path, unit: dict[str, Any], lock: int, boot: str) -> None:
    """Start a session of its own: clean environment, output to the log, the lock as descriptor 3."""
    environment = {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "HOME": unit["data"] or unit["directory"],
        **unit["environment"],
    }
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    head = ["/bin/sh", "-c", _LAUNCH, "allod-service", boot, read_text(KERNEL_BOOT_ID).strip()]
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            [*head, str(place / _PROCESS), unit["directory"], *unit["command"]],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, lock, _LOCK),
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited() if fd not in {log, lock}),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}),
        )
    except OSError as error:
        raise Unavailable(
            "service-not-started",
            f"cannot start {unit['package']}: no process could be made ({error})",
        ) from error
    finally:
        os.close(log)
    with contextlib.suppress(OSError):  # the worker's idle priority is not the service's
        os.setpriority(os.PRIO_PROCESS, pid, 0)
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def _inherited() -> list[int]:
    """Descriptors that somebody left open for every child: not for services."""
    found = []
    with os.scandir("/proc/self/fd") as entries:
        numbers = [int(entry.name) for entry in entries]
    for fd in numbers:
        with contextlib.suppress(OSError):
            if fd > _LOCK and os.get_inheritable(fd):
                found.append(fd)
    return found
