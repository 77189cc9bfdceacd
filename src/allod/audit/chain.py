"""The chain of a device's reports in one of its bindings, as the log has it and as it is served.

What is kept of a chain has a bound: its end, what is open in it, and what the device said last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from allod.wire.log import ReportEntry
from allod.wire.report import TrustState

if TYPE_CHECKING:
    from allod.audit.activity import Said

_RECENT: Final = 16  #: reports at the end of a chain that are kept by number and digest
_OPEN: Final = 64  #: what is open in a chain; more than that says nothing new


class Named(NamedTuple):
    """A report as the log names it."""

    at: int  #: index in the log
    sequence: int
    previous: str | None
    digest: str

    @classmethod
    def of(cls, at: int, entry: ReportEntry) -> Named:
        """The entry at a place of the log."""
        return cls(at, entry.sequence, entry.previous, entry.digest)


class Gap(msgspec.Struct, frozen=True):
    """A report that a later one names, and that the log did not have yet."""

    sequence: int  #: of the one that names it
    before: str | None  #: the end of the chain before the gap
    at: int  #: index in the log of the one that names it


class Trouble(NamedTuple):
    """Something about a chain: code, words, index."""

    code: str
    says: str
    at: int | None = None


class Chain(msgspec.Struct):
    """One chain.

    Attributes:
        whole: the log was there from the beginning of this binding.
        head: digest of the last report with changes that the log has.
        last: its number.
        recent: number -> digest of the last ones.
        gaps: digest -> who names it.
        loose: digest -> number of a report that came late and fills no gap yet.
        open: digest -> number of a report with changes that is served and that the log lacks.
        covered: up to this number what is served was read.
        first: number of the first report that the log has.
        trust: the floors that the device reported last.
        cloned: it was said once.
    """

    whole: bool
    head: str | None = None
    last: int = 0
    recent: dict[int, str] = {}
    gaps: dict[str, Gap] = {}
    loose: dict[str, tuple[int, str | None, int]] = {}
    open: dict[str, int] = {}
    covered: int = 0
    first: int = 0
    trust: TrustState | None = None
    cloned: bool = False

    def take(self, reports: Iterable[Named]) -> Iterator[Trouble]:
        """Entries of the log about this device, in the order of the log."""
        for one in reports:
            self.open.pop(one.digest, None)
            yield from self._take(one)
            self._trim()

    def _take(self, one: Named) -> Iterator[Trouble]:
        known = self.recent.get(one.sequence)
        if known == one.digest:
            return  # a report that was handed in again is logged again
        if known is not None:
            yield from self._clone(one, f"two reports carry the number {one.sequence}")
            return
        if one.digest in self.gaps:
            self._fill(one.digest, one.sequence, one.previous)
        elif one.sequence < self.last:
            self.loose[one.digest] = (one.sequence, one.previous, one.at)
            return
        elif self.last == 0:
            self._begin(one)
        elif one.previous == self.head:
            self.head, self.last = one.digest, one.sequence
        elif one.previous is None or one.previous in self.recent.values():
            yield from self._clone(
                one, f"report {one.sequence} follows one that another report follows already"
            )
            return
        else:
            self.gaps[one.previous] = Gap(one.sequence, self.head, one.at)
            self.head, self.last = one.digest, one.sequence
            self._settle(one.previous)
        self.recent[one.sequence] = one.digest

    def _begin(self, one: Named) -> None:
        self.first = one.sequence
        if one.previous is not None and self.whole:
            self.gaps[one.previous] = Gap(one.sequence, None, one.at)
        self.head, self.last = one.digest, one.sequence

    def _fill(self, digest: str, sequence: int, previous: str | None) -> None:
        """What a gap waited for came; it may leave a smaller one."""
        gap = self.gaps.pop(digest)
        if previous != gap.before and previous is not None:
            self.gaps[previous] = Gap(sequence, gap.before, gap.at)
            self._settle(previous)

    def _settle(self, wanted: str) -> None:
        if wanted in self.loose:
            sequence, previous, _ = self.loose.pop(wanted)
            self.recent[sequence] = wanted
            self._fill(wanted, sequence, previous)

    def _clone(self, one: Named, says: str) -> Iterator[Trouble]:
        if not self.cloned:
            yield Trouble("device-cloned", says, one.at)
        self.cloned = True

    def _trim(self) -> None:
        while len(self.recent) > _RECENT:
            del self.recent[min(self.recent)]
        for kept in (self.gaps, self.loose, self.open):
            while len(kept) > _OPEN:
                del kept[next(iter(kept))]

    def heard(self, said: Said, *, logged: bool) -> Iterator[Trouble]:
        """A verified report that is served, in the order of the numbers."""
        fresh = said.sequence > self.covered
        if fresh and said.kind == "change" and not logged and not self._known(said):
            self.open[said.digest] = said.sequence
            self._trim()
        if not fresh:
            return
        self.covered = said.sequence
        before, self.trust = self.trust, said.trust
        if before is not None:
            yield from _went_back(before, said)

    def _known(self, said: Said) -> bool:
        """Whether the log has it, or began after it."""
        in_log = self.recent.get(said.sequence) == said.digest or said.digest in self.loose
        before = self.first == 0 or said.sequence < self.first
        return in_log or (not self.whole and before)

    def finish(self) -> Iterator[Trouble]:
        """What is open at the end."""
        for sequence, _, at in self.loose.values():
            yield from self._clone(
                Named(at, sequence, None, ""),
                f"report {sequence} came late, and no later one follows it",
            )
        for gap in self.gaps.values():
            says = f"report {gap.sequence} follows one that the log does not have"
            yield Trouble("report-gap", says, gap.at)
        for sequence in self.open.values():
            says = f"report {sequence} carries changes, and the log does not have it"
            yield Trouble("unlogged-report", says)


def fallen(before: TrustState, after: TrustState) -> list[str]:
    """What a device holds less of than it said before, in words.

    Floors never fall; a newer trust statement may have taken down versions of roles.
    """
    lower = []
    if after.root < before.root:
        lower.append(f"root {before.root} to {after.root}")
    if after.trust < before.trust:
        lower.append(f"trust statement {before.trust} to {after.trust}")
    if after.trust <= before.trust:
        lower += [
            f"{role} {version} to {after.roles.get(role, 0)}"
            for role, version in sorted(before.roles.items())
            if after.roles.get(role, 0) < version
        ]
    for origin, text in sorted(before.logs.items()):
        had, has = _size(text), _size(after.logs.get(origin, ""))
        if has < had:
            lower.append(f"{origin} of {had} entries to {has}")
    return lower


def _went_back(before: TrustState, said: Said) -> Iterator[Trouble]:
    if lower := fallen(before, said.trust):
        yield Trouble("device-went-back", f"report {said.sequence}: {'; '.join(lower)}")


def _size(text: str) -> int:
    """The size in what a report says of a log; a device may write anything."""
    digits = text.partition(" ")[0]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else 0  # noqa: PLR2004
