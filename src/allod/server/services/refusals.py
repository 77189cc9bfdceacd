"""Refusals: what the server did not take goes to the activity log, and nobody fills it that way.

One kind of refusal by one subject is logged at once, and then counted for an hour; what was
counted stands in the next entry. A subject is somebody whom the fleet can name: a device that
signed, an invite whose secret signed, a person or a token. All others are one subject together,
so that a stranger's entries are at most one an hour for each kind, of which there are few.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from allod.domain.ids import FleetId
from allod.errors import AllodError, Unavailable, Untrusted
from allod.server.ports import Clock
from allod.server.services.limits import Rate
from allod.server.services.logs import Logs
from allod.wire.codec import instant
from allod.wire.log import RefusalEntry

WINDOW: Final = timedelta(hours=1)
A_DAY: Final = 2000  #: entries of refusals of a fleet in a day, whoever is refused
STRANGERS: Final = "strangers"
_KINDS: Final = 10_000  #: that are counted at once
#: What is refused for a cause beside everything that is untrusted.
_CAUSES: Final = frozenset(
    {
        "bad-log-entry",
        "missing-log-entry",
        "different-documents",
        "epoch-taken",
        "old-epoch",
        "unknown-device",
        "retired-device",
        "invite-expired",
        "invite-revoked",
        "invite-surplus",
    }
)
_log = structlog.get_logger("allod.server.refusals")


@dataclass(frozen=True, slots=True)
class _Kind:
    fleet: FleetId
    what: str
    code: str
    subject: str


@dataclass(frozen=True, slots=True)
class _Count:
    since: datetime  #: of the entry that was logged last
    says: str
    more: int = 0


class Refusals:
    """Logs them. Its methods may be called from several threads, and never fail."""

    def __init__(self, logs: Logs, clock: Clock) -> None:
        self._logs = logs
        self._clock = clock
        self._guard = threading.Lock()
        self._counts: OrderedDict[_Kind, _Count] = OrderedDict()
        self._room = Rate(clock, A_DAY, "refusals of a fleet", seconds=86_400)

    @contextmanager
    def of(
        self, fleet: FleetId, what: str, subject: str = STRANGERS, digest: str | None = None
    ) -> Iterator[None]:
        """Log what is refused for a cause within, and let it go on."""
        try:
            yield
        except AllodError as error:
            if isinstance(error, Untrusted) or error.code in _CAUSES:
                self(fleet, what, error, subject=subject, digest=digest)
            raise

    def __call__(
        self,
        fleet: FleetId,
        what: str,
        error: AllodError,
        *,
        subject: str = STRANGERS,
        digest: str | None = None,
    ) -> None:
        """Something was refused.

        Args:
            fleet: at whose door.
            what: was brought: `a report`.
            error: why it was refused.
            subject: who is known to have brought it.
            digest: of what was refused; only with a subject.
        """
        kind = _Kind(fleet, what, error.code, subject)
        now = self._clock.now()
        with self._guard:
            count = self._counts.get(kind)
            if count is not None and now < count.since + WINDOW:
                self._counts[kind] = replace(count, more=count.more + 1)
                return
            self._begin(kind, _Count(now, error.message))
        self._append(kind, count, now, error.message, digest)

    def settle(self) -> None:
        """Log what was counted in hours that are over."""
        now = self._clock.now()
        with self._guard:
            over = [(k, count) for k, count in self._counts.items() if now >= count.since + WINDOW]
            for kind, count in over:
                del self._counts[kind]
                if count.more:
                    self._begin(kind, _Count(now, count.says))
        for kind, count in over:
            if count.more:
                self._append(kind, count, now, count.says, None)

    def _begin(self, kind: _Kind, count: _Count) -> None:
        self._counts.pop(kind, None)
        self._counts[kind] = count
        if len(self._counts) > _KINDS:
            self._counts.popitem(last=False)

    def _append(
        self, kind: _Kind, before: _Count | None, now: datetime, says: str, digest: str | None
    ) -> None:
        """An entry; that there is no room or the log cannot take it leaves a refusal a refusal."""
        more = "" if before is None or not before.more else _counted(before)
        entry = RefusalEntry(
            fleet=kind.fleet,
            at=instant(now),
            code=kind.code,
            subject=kind.subject[:256],
            says=f"{kind.what}: {more}{says}"[:1000].encode("utf-8", "replace").decode(),
            digest=None if kind.subject == STRANGERS else digest,
        )
        try:
            self._room.take(kind.fleet)
        except Unavailable:  # said nowhere: that would only fill another place
            return
        try:
            self._logs.record(kind.fleet, entry)
        except (AllodError, OSError) as error:
            _log.error("refusal-not-logged", fleet=kind.fleet, code=kind.code, exc_info=error)


def _counted(count: _Count) -> str:
    return f"{count.more} more since {instant(count.since)}; "
