"""The journal of each package: what is under way with it, and what must not be forgotten.

It is written before every effect, whole or not at all, and kept twice, so that a flipped bit
costs nothing. Its format only grows: an older agent reads what a newer one wrote.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from allod import durable
from allod.agent.state_dir import StateDir
from allod.agent.twin import Damaged, TwinFile
from allod.domain.ids import Digest, Purl, file_name, purl_of_file
from allod.domain.machine import State
from allod.domain.observed import Failure
from allod.errors import InvalidInput
from allod.wire.codec import instant, parse_instant
from allod.wire.report import Authority

MAX_FAILURES: Final = 16
MAX_HISTORY: Final = 32


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One package's part in a piece of work."""

    package: str
    digest: str | None = None  #: the release; None in an activation: nothing is to run
    configuration: str | None = None
    attempt: str = ""
    number: int = 0  #: of the activation that is being made
    before: int | None = None  #: of the activation to go back to
    snapshot: bool = False
    restore: int | None = None
    authority: Authority | None = None
    managers: tuple[str, ...] = ()  #: by whose word what runs changes
    retries: int = 0  #: how often it is tried again after it proved sick


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is under way with a unit; it stands in the journal of the first member."""

    state: State
    members: tuple[MemberRecord, ...]
    step: int = 0  #: the step of the activation that is being done, or undone
    tries: int = 0  #: how often it was found interrupted
    boot: str = ""  #: the boot during which it was begun
    serial: int = 0  #: tells it from the same work at another time
    reason: str = ""  #: why it goes back
    final: bool = False  #: whether going back means: not again before something newer is signed
    sick: bool = False  #: whether it goes back because it did not run well

    @property
    def lead(self) -> Purl:
        """The package in whose journal this stands."""
        return Purl(self.members[0].package)


class ActivationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one activation consists of."""

    digest: str
    configuration: str | None = None
    secrets: tuple[str, ...] = ()  #: that were granted to it
    schema: int | None = None  #: of the data while it runs
    provider: str = ""
    version: str = ""


class FailureRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt that did not work out."""

    attempt: str
    digest: str
    reason: str
    at: str
    retry_at: str | None = None
    tries: int = 1


class PackageJournal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is remembered of one package."""

    work: Work | None = None
    last_number: int = 0  #: of its activations; never used again
    activations: dict[str, ActivationRecord] = {}
    failed: tuple[FailureRecord, ...] = ()
    history: tuple[str, ...] = ()  #: releases that were active, newest first
    schema: int | None = None  #: of its data
    snapshots: dict[str, int] = {}  #: number -> schema of the copy

    def activation(self, number: int | None) -> ActivationRecord | None:
        """The record of an activation, if it is kept."""
        return None if number is None else self.activations.get(str(number))


def failure_to_domain(record: FailureRecord) -> Failure:
    """As the plan reads it."""
    return Failure(
        record.attempt,
        Digest(record.digest),
        record.reason,
        parse_instant(record.at),
        None if record.retry_at is None else parse_instant(record.retry_at),
        record.tries,
    )


def remember_failure(
    journal: PackageJournal,
    member: MemberRecord,
    reason: str,
    now: datetime,
    retry: datetime | None,
) -> PackageJournal:
    """The journal with this failure in it; an earlier one of the same attempt is replaced."""
    earlier = next((one for one in journal.failed if one.attempt == member.attempt), None)
    record = FailureRecord(
        attempt=member.attempt,
        digest=member.digest or "",
        reason=reason[:500],
        at=instant(now),
        retry_at=None if retry is None else instant(retry),
        tries=1 if earlier is None else earlier.tries + 1,
    )
    others = tuple(one for one in journal.failed if one.attempt != member.attempt)
    return msgspec.structs.replace(journal, failed=(record, *others)[:MAX_FAILURES])


class JournalStore:
    """The journals below `packages/`."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._seen: dict[Purl, PackageJournal] = {}
        self.damaged: set[Purl] = set()

    def packages(self) -> tuple[Purl, ...]:
        """All packages that have a journal directory, sorted."""
        found = []
        for entry in sorted((self._state.root / "packages").iterdir()):
            with contextlib.suppress(InvalidInput):
                found.append(purl_of_file(entry.name))
        return tuple(found)

    def load(self, package: Purl) -> PackageJournal:
        """The journal; an empty one if there is none.

        One of which both copies are damaged counts as empty and is noted in `damaged`: what runs
        is then told by the links alone.
        """
        known = self._seen.get(package)
        if known is None:
            known = self._read(package)
            self._seen[package] = known
        return known

    def _read(self, package: Purl) -> PackageJournal:
        try:
            content = self._twin(package).load()
            if content is None:
                return PackageJournal()
            return msgspec.json.decode(content.data, type=PackageJournal)
        except (Damaged, msgspec.DecodeError):
            self.damaged.add(package)
            return PackageJournal()

    def save(self, package: Purl, journal: PackageJournal) -> None:
        """Make `journal` the one that holds; durable when it returns."""
        if self._seen.get(package) == journal and package not in self.damaged:
            return
        self._seen.pop(package, None)
        directory = self._state.package(package)
        durable.make_directory(directory, mode=0o755)
        self._twin(package).save(msgspec.json.encode(journal))
        self._seen[package] = journal
        self.damaged.discard(package)

    def change(self, package: Purl, **changes: object) -> PackageJournal:
        """Save the journal with these fields replaced."""
        journal = msgspec.structs.replace(self.load(package), **changes)
        self.save(package, journal)
        return journal

    def _twin(self, package: Purl) -> TwinFile:
        return TwinFile(self._directory(package), "journal")

    def _directory(self, package: Purl) -> Path:
        return self._state.root / "packages" / file_name(package)
