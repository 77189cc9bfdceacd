"""Alarms: what the owner should look at. Kept as files, since a rebuild could not find them again."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Final, Literal

import structlog

from allod.domain.ids import FleetId
from allod.errors import AllodError
from allod.server.events import AlarmRaised
from allod.server.layout import ServerDirectory
from allod.server.ports import Database, Files
from allod.server.services.limits import Locks
from allod.server.services.logs import Logs
from allod.wire.codec import Document, decode, encode, instant, parse_instant
from allod.wire.log import AlarmEntry

_CAP: Final = 64 * 1024
_LATER: Final = ".unlogged"  #: stands beside an alarm that the log has yet to take
_log = structlog.get_logger("allod.server.alarms")


class AlarmFile(Document, frozen=True, kw_only=True):
    """`alarms/<digest of code and subject>.json`."""

    type: Literal["allod.alarm"] = "allod.alarm"
    format: Literal[1] = 1
    code: str
    subject: str
    says: str
    since: str


class Alarms:
    """Raises and keeps them; also holds the lock of a fleet's admissions."""

    def __init__(
        self, layout: ServerDirectory, files: Files, database: Database, logs: Logs
    ) -> None:
        self._logs = logs
        self._layout = layout
        self._files = files
        self._database = database
        self._locks = Locks()

    def lock(self, key: str) -> threading.RLock:
        """Held while something about `key` is counted and kept."""
        return self._locks.of(key)

    def raised(self, alarm: AlarmRaised) -> None:
        """Keep an alarm; one code and subject stands once, as of its first time."""
        name = hashlib.sha256(f"{alarm.code}\n{alarm.subject}".encode()).hexdigest()[:32]
        path = self._layout.fleet(alarm.fleet).root / "alarms" / f"{name}.json"
        if not path.exists():
            # In the log before it is kept: repeated after a crash, never left out.
            logged = self._record(alarm)
            if not logged:
                self._files.write(path.with_suffix(_LATER), b"")
            file = AlarmFile(
                code=alarm.code,
                subject=alarm.subject,
                says=alarm.says,
                since=instant(alarm.since),
            )
            self._files.write(path, encode(file))
            _log.warning("alarm", fleet=alarm.fleet, code=alarm.code, subject=alarm.subject)
        self._database.apply(alarm)

    def settle(self) -> None:
        """Log the alarms that the log could not take when they were raised."""
        for fleet in self._layout.fleets():
            directory = self._layout.fleet(fleet).root / "alarms"
            for path in sorted(directory.glob(f"*{_LATER}")):
                alarm = _read(fleet, path.with_suffix(".json"))
                if alarm is None or self._record(alarm):
                    self._files.remove(path)

    def _record(self, alarm: AlarmRaised) -> bool:
        """Log it; that the log cannot take it is no reason to lose an alarm."""
        entry = AlarmEntry(
            fleet=alarm.fleet,
            at=instant(alarm.since),
            code=alarm.code,
            subject=alarm.subject[:256],
            says=alarm.says[:1000],
            digest=None,
        )
        try:
            self._logs.record(alarm.fleet, entry)
        except (AllodError, OSError) as error:
            _log.error("alarm-not-logged", fleet=alarm.fleet, code=alarm.code, exc_info=error)
            return False
        return True


def read_alarm_files(layout: ServerDirectory, fleet: FleetId) -> tuple[AlarmRaised, ...]:
    """The alarms that the files of a fleet keep."""
    found = []
    for path in sorted((layout.fleet(fleet).root / "alarms").glob("*.json")):
        alarm = _read(fleet, path)
        if alarm is not None:
            found.append(alarm)
    return tuple(found)


def _read(fleet: FleetId, path: Path) -> AlarmRaised | None:
    try:
        file = decode(path.read_bytes(), AlarmFile, cap=_CAP, what=path.name)
        since = parse_instant(file.since)
    except (AllodError, FileNotFoundError) as error:
        _log.error("alarm-left-out", path=str(path), reason=str(error))
        return None
    return AlarmRaised(fleet, file.code, file.subject, file.says, since)
