"""Looking after services that no service manager looks after, at almost no cost.

What to do about a service that ended is `services.process.check_services`; its imports would be
a sixth of the supervisor's memory for something that hardly ever happens. So the supervisor only
looks whether anything has changed (the files that `services/process.py` describes), and starts a
short-lived helper when something has.
"""

from __future__ import annotations

import json
import os
import sys
import time

from allod.agent.supervisor_worker import read

EVERY = 5.0  #: seconds between two looks
_SOON = 1.0
_LOG_CAP = 1024 * 1024
_LINES = 3  #: of `process`
_BEGAN = 19  #: place of the start tick behind the name
_HELPER = (
    "import sys; from allod.agent.services.process import check_services; "
    "check_services(sys.argv[1], boot_id_file=sys.argv[2])"
)


def look(directory: str, boot_id_file: str) -> tuple[bool, float]:
    """Whether a service wants the helper now, and after how many seconds to look again."""
    boot = read(boot_id_file)
    wanted, again = False, EVERY
    try:
        names = os.listdir(directory)
    except OSError:
        return False, EVERY
    for name in names:
        place = os.path.join(directory, name)
        if _too_long(os.path.join(place, "log")):
            wanted = True
        if not os.path.exists(os.path.join(place, "unit.json")) or _runs(place, boot):
            continue
        pause = _pause(place, boot)
        if pause > 0:
            again = min(again, pause)
        else:
            wanted, again = True, min(again, _SOON)
    return wanted, again


def start_helper(directory: str, boot_id_file: str) -> int:
    """Start what restarts services and shortens logs; returns its process number."""
    words = [sys.executable, "-c", _HELPER, directory, boot_id_file]
    return os.posix_spawn(words[0], words, dict(os.environ))


def _runs(place: str, boot: str) -> bool:
    """Whether the process that was written down is still that process."""
    lines = read(os.path.join(place, "process")).split("\n")
    if len(lines) < _LINES or lines[0] != boot:
        return False
    known = _identity(lines[2])
    return known is not None and known == _identity(read(f"/proc/{known[0]}/stat"))


def _identity(stat: str) -> tuple[str, str] | None:
    """Number and start tick of a living process (proc_pid_stat(5))."""
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _BEGAN or fields[0] in {"Z", "X", "x"}:
        return None
    return stat.partition(" ")[0], fields[_BEGAN]


def _pause(place: str, boot: str) -> float:
    """Seconds until the service is to be started again, if that was decided."""
    try:
        watch = json.loads(read(os.path.join(place, "watch.json")))
        at = watch["at"] if watch.get("boot") == boot else 0.0
        return min(60.0, float(at) - time.monotonic())
    except (ValueError, TypeError, LookupError, AttributeError):
        return 0.0


def _too_long(log: str) -> bool:
    try:
        return os.stat(log).st_size > _LOG_CAP
    except OSError:
        return False
