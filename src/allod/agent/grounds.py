"""What terms are judged by and a device has to remember: first sights, activations, answers.

    grounds/<package>.1, .2    one file a package, kept twice (twin.py)

Each is durable before anything is done that rests on it, and only grows within its bounds. What
falls out of them is the oldest: a release that was forgotten is seen for the first time again,
an answer that was forgotten is asked for again, and activations are kept as many as any term can
count. A file that was lost, with a package that had been at work, is read strictly: every budget
is used up as of now, and nothing was seen or agreed to before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from allod.agent.twin import Damaged, TwinFile
from allod.domain.ids import Digest, Purl, file_name
from allod.domain.observed import Grounds
from allod.wire.codec import instant, parse_instant

MAX_SEEN: Final = 64  #: releases of a package whose first sight is remembered, besides the wanted
MAX_ACTIVATED: Final = 1_000  #: of each manager: as many as a rate can count (wire/terms.py)
MAX_ANSWERS: Final = 32
MAX_ROLLOUTS: Final = 256  #: that have come to the device, besides those that are ordered

DEVICE: Final = Purl("")  #: what concerns the device as a whole: restarts


class _Activation(msgspec.Struct, frozen=True, array_like=True):
    at: str
    number: str  #: names it, so that it is counted once
    managers: tuple[str, ...]  #: by whose word


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    agrees: bool
    at: str


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The durable form; it may only grow."""

    package: str
    seen: dict[str, str] = {}
    activated: tuple[_Activation, ...] = ()
    answers: dict[str, _Answer] = {}
    lost: str = ""  #: when what was remembered before was found lost
    came: dict[str, str] = {}  #: rollouts that have come to the device, by mark


class GroundsStore:
    """Remembers them.

    Args:
        directory: `grounds` of the state directory.
        had: whether a package has been at work, so that there must have been a file.
    """

    def __init__(self, directory: Path, had: Callable[[Purl], bool] = lambda _: False) -> None:
        self._directory = directory
        self._had = had
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

    def _read(self, package: Purl, now: datetime) -> _Record:
        lost = _Record(package=package, lost=instant(now))
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
        known = record.seen | {digest: instant(now) for digest in wanted - record.seen.keys()}
        others = sorted(known.keys() - wanted, key=lambda digest: (known[digest], digest))
        for digest in others[: max(0, len(others) - MAX_SEEN)]:
            del known[digest]
        self._save(msgspec.structs.replace(record, seen=known))

    def activate(
        self, package: Purl, number: object, managers: Iterable[str], now: datetime
    ) -> None:
        """Count a change of what runs, before it is made; the same one is counted once.

        Args:
            package: of which something else will run; `DEVICE` for a restart.
            number: names the change for ever.
            managers: by whose word.
            now: the time that the device decides by.

        Raises:
            OSError: the disk refused; then it must not be made.
        """
        record = self._open(package, now)
        if any(one.number == str(number) for one in record.activated):
            return
        made = _Activation(instant(now), str(number), tuple(sorted(set(managers))))
        self._save(msgspec.structs.replace(record, activated=_newest((*record.activated, made))))

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
        record, by = self._open(package, now), set(managers)
        activated = [parse_instant(one.at) for one in record.activated if by & set(one.managers)]
        if record.lost:
            activated += [parse_instant(record.lost)] * MAX_ACTIVATED
        return Grounds(
            {Digest(digest): parse_instant(at) for digest, at in record.seen.items()},
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
