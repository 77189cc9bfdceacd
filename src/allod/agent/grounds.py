"""What terms are judged by and a device has to remember: first sights, activations, answers.

    grounds/<package>.1, .2    one file a package, kept twice (twin.py)

Each is durable before anything is done that rests on it, and only grows within its bounds. What
falls out of them is the oldest: a release that was forgotten is seen for the first time again,
an answer that was forgotten is asked for again, and activations are kept as many as any term can
count. A file that was lost, with a package that had been at work, is read strictly: every budget
is used up as of now, and nothing was seen or agreed to before.

A clock that is set forward, by an attacker or because the machine has none that outlives its
power, makes nothing older: from the first look after a start on, age grows as the monotonic clock
does, and what it says is written down as soon as a jump shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from allod.agent.twin import Damaged, TwinFile
from allod.domain.ids import Digest, Purl, file_name
from allod.domain.observed import Grounds
from allod.wire.codec import instant, parse_instant

MAX_SEEN: Final = 64  #: releases of a package whose first sight is remembered, besides the wanted
MAX_ACTIVATED: Final = 1_000  #: of each manager: as many as a rate can count (wire/terms.py)
MAX_ANSWERS: Final = 32
MAX_ROLLOUTS: Final = 256  #: that have come to the device, besides those that are ordered

_JUMP: Final = timedelta(minutes=1)  #: by which both clocks may part before it counts as one

DEVICE: Final = Purl("")  #: what concerns the device as a whole: restarts


class Beat(NamedTuple):
    """Where the monotonic clock stands."""

    boot: str = ""  #: of which boot; empty: there is none to go by
    ticks: float = 0.0  #: seconds


class _Stamp(msgspec.Struct, frozen=True, array_like=True):
    """A moment: by the time that the device decided by, and by the monotonic clock."""

    at: str
    boot: str = ""
    ticks: float = 0.0


class _Activation(msgspec.Struct, frozen=True, array_like=True):
    stamp: _Stamp
    number: str  #: names it, so that it is counted once
    managers: tuple[str, ...]  #: by whose word


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    agrees: bool
    at: str


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The durable form; it may only grow."""

    package: str
    seen: dict[str, _Stamp] = {}
    activated: tuple[_Activation, ...] = ()
    answers: dict[str, _Answer] = {}
    lost: _Stamp | None = None  #: when what was remembered before was found lost
    came: dict[str, str] = {}  #: rollouts that have come to the device, by mark


class GroundsStore:
    """Remembers them.

    Args:
        directory: `grounds` of the state directory.
        had: whether a package has been at work, so that there must have been a file.
        beat: where the monotonic clock stands now.
    """

    def __init__(
        self,
        directory: Path,
        had: Callable[[Purl], bool] = lambda _: False,
        beat: Callable[[], Beat] = Beat,
    ) -> None:
        self._directory = directory
        self._had = had
        self._beat = beat
        self._records: dict[Purl, _Record] = {}
        self.damaged: set[Purl] = set()  #: both copies were, and what they held is lost

    def _twin(self, package: Purl) -> TwinFile:
        return TwinFile(self._directory, file_name(package) if package else "device")

    def _open(self, package: Purl, now: datetime) -> _Record:
        known = self._records.get(package)
        if known is None:
            known = self._read(package, now)
            self._records[package] = known
        return known

    def _stamp(self, now: datetime) -> _Stamp:
        return _Stamp(instant(now), *self._beat())

    def _aged(self, stamp: _Stamp, now: datetime) -> _Stamp:
        """The stamp, or a later one if the clock was set forward since, by this boot's clock."""
        beat, at = self._beat(), parse_instant(stamp.at)
        if not beat.boot or now < at:
            return stamp
        if stamp.boot != beat.boot or beat.ticks < stamp.ticks:
            return _Stamp(stamp.at, beat.boot, beat.ticks - (now - at).total_seconds())
        since = now - timedelta(seconds=beat.ticks - stamp.ticks)
        if since - at <= _JUMP:
            return stamp
        return _Stamp(instant(since), stamp.boot, stamp.ticks)

    def _settled(self, record: _Record, now: datetime) -> _Record:
        """The record with all that a clock set forward would have made too old."""
        return msgspec.structs.replace(
            record,
            seen={digest: self._aged(stamp, now) for digest, stamp in record.seen.items()},
            activated=tuple(
                msgspec.structs.replace(one, stamp=self._aged(one.stamp, now))
                for one in record.activated
            ),
            lost=None if record.lost is None else self._aged(record.lost, now),
        )

    def _read(self, package: Purl, now: datetime) -> _Record:
        lost = _Record(package=package, lost=self._stamp(now))
        try:
            content = self._twin(package).load()
            if content is None:
                if not self._had(package):
                    return _Record(package=package)
            else:
                found = msgspec.json.decode(content.data, type=_Record)
                if found.package == package:
                    return found
                self.damaged.add(package)
        except (Damaged, msgspec.DecodeError):
            self.damaged.add(package)
        self._save(lost)
        return lost

    def _save(self, record: _Record) -> None:
        package = Purl(record.package)
        if self._records.get(package) != record:
            self._twin(package).save(msgspec.json.encode(record))
            self._records[package] = record

    def see(self, package: Purl, releases: Iterable[Digest], now: datetime) -> None:
        """Note releases that the device knows now; what was noted before stays as it is.

        Raises:
            OSError: the disk refused; what is new does not count as seen.
        """
        record, wanted = self._open(package, now), set(releases)
        if wanted <= record.seen.keys():
            return
        stamp = self._stamp(now)
        known = dict(record.seen)
        known.update((digest, stamp) for digest in wanted - known.keys())
        others = sorted(known.keys() - wanted, key=lambda digest: (known[digest].at, digest))
        for digest in others[: max(0, len(others) - MAX_SEEN)]:
            del known[digest]
        self._save(msgspec.structs.replace(record, seen=known))

    def activate(
        self,
        package: Purl,
        number: object,
        managers: Iterable[str],
        now: datetime,
        attempt: str | None = None,
    ) -> None:
        """Count a change of what runs, before it is made; the same one is counted once.

        What was agreed to before, for another attempt than this one, is agreed to no more: nobody
        goes back to it later without asking again.

        Args:
            package: of which something else will run; `DEVICE` for a restart.
            number: names the change for ever.
            managers: by whose word.
            now: the time that the device decides by.
            attempt: that it is; None: it is no attempt that somebody could have agreed to.

        Raises:
            OSError: the disk refused; then it must not be made.
        """
        record = self._open(package, now)
        if any(one.number == str(number) for one in record.activated):
            return
        made = _Activation(self._stamp(now), str(number), tuple(sorted(set(managers))))
        left = {
            name: one
            for name, one in record.answers.items()
            if attempt is None or name == attempt or not one.agrees
        }
        activated = _newest((*record.activated, made))
        self._save(msgspec.structs.replace(record, activated=activated, answers=left))

    def answer(self, package: Purl, attempt: str, *, agrees: bool, now: datetime) -> None:
        """Keep what somebody at the device answered; the newest answer about an attempt holds.

        Raises:
            OSError: the disk refused; it stays unanswered.
        """
        record = self._open(package, now)
        answers = {name: one for name, one in record.answers.items() if name != attempt}
        answers[attempt] = _Answer(agrees=agrees, at=instant(now))
        for oldest in list(answers)[:-MAX_ANSWERS]:
            del answers[oldest]
        self._save(msgspec.structs.replace(record, answers=answers))

    def arrive(self, marks: Iterable[str], now: datetime) -> None:
        """Rollouts have come to the device: for good, whatever its clock or its cache says later.

        Raises:
            OSError: the disk refused.
        """
        record, wanted = self._open(DEVICE, now), set(marks)
        if wanted <= record.came.keys():
            return
        known = record.came | {mark: instant(now) for mark in wanted - record.came.keys()}
        others = sorted(known.keys() - wanted, key=lambda mark: (known[mark], mark))
        for mark in others[: max(0, len(others) - MAX_ROLLOUTS)]:
            del known[mark]
        self._save(msgspec.structs.replace(record, came=known))

    def came(self, now: datetime) -> frozenset[str]:
        """The marks of rollouts that have come to the device. Raises OSError."""
        return frozenset(self._open(DEVICE, now).came)

    def of(self, package: Purl, managers: Iterable[str], now: datetime) -> Grounds:
        """What a package's terms are judged by, where these decide on it.

        Raises:
            OSError: what was lost could not be noted as lost.
        """
        record, by = self._settled(self._open(package, now), now), set(managers)
        self._save(record)
        counted = [one.stamp for one in record.activated if by & set(one.managers)]
        activated = [parse_instant(stamp.at) for stamp in counted]
        if record.lost is not None:
            activated += [parse_instant(record.lost.at)] * MAX_ACTIVATED
        return Grounds(
            {Digest(digest): parse_instant(one.at) for digest, one in record.seen.items()},
            tuple(activated),
            {attempt: one.agrees for attempt, one in record.answers.items()},
        )


def unknown(now: datetime) -> Grounds:
    """The strict reading: nothing was seen or agreed to, and every budget is used up."""
    return Grounds(activated=(now,) * MAX_ACTIVATED)


def _newest(activated: tuple[_Activation, ...]) -> tuple[_Activation, ...]:
    """As many of each manager as a term can count."""
    counts: dict[str, int] = {}
    kept = []
    for one in reversed(activated):
        if any(counts.get(manager, 0) < MAX_ACTIVATED for manager in one.managers):
            kept.append(one)
        for manager in one.managers:
            counts[manager] = counts.get(manager, 0) + 1
    return tuple(reversed(kept))
