"""What a change does to flaws: those that it mends, and those that it brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from allod.advisories.finding import Assessment, Finding, Level
from allod.cli.phrases import choices
from allod.cli.scopes import touched
from allod.cli.vulnerabilities.known import advisories
from allod.cli.vulnerabilities.running import Fleet
from allod.cli.vulnerabilities.stored import Store, still_has
from allod.cli.vulnerabilities.ware import Release
from allod.cli.vulnerabilities.words import level_says
from allod.domain.desired import OWNER, ReleaseOrder, StateDocument
from allod.domain.ids import Purl, Scope, is_pattern
from allod.domain.reported import Member, Remark
from allod.domain.resolution import (
    ResolvedPackage,
    ResolvedSoftware,
    resolve,
    scopes_of,
)
from allod.errors import AllodError

if TYPE_CHECKING:
    from allod.cli.picture import Picture

BRINGS, MENDS, KEEPS = "brings-flaws", "mends-flaws", "keeps-flaws"
UNSEEN: Final = "flaws-unknown"
_NAMED: Final = 8  #: flaws that are named in one line
_Documents = Mapping[Scope, StateDocument]


@dataclass(frozen=True, slots=True)
class Step:
    """One package of one scope that is to go from some releases to another."""

    package: Purl
    former: tuple[Release, ...]  #: as wanted so far, and as devices report
    next: Release


def flaws_of_change(picture: Picture, before: _Documents, after: _Documents) -> tuple[Remark, ...]:
    """What follows for flaws, by the advisories that were imported here."""
    steps = list(dict.fromkeys(steps_of(picture, before, after)))
    if not steps:
        return ()
    try:
        with advisories() as known:
            store = Store(picture, Fleet(picture).bills, known)
            return tuple(
                dict.fromkeys(remark for step in steps for remark in remarks_of(step, store))
            )
    except AllodError as error:
        return (Remark(UNSEEN, f"which flaws it mends or brings is not known: {error.message}"),)


def steps_of(picture: Picture, before: _Documents, after: _Documents) -> Iterator[Step]:
    """Which packages are to run another release: by what documents say, and by moves."""
    for scope in sorted(after):
        old = before.get(scope)
        for key, entry in after[scope].packages.items():
            had = None if old is None else old.packages.get(key)
            software = entry.software
            if is_pattern(key) or software is None or software.manager != OWNER:
                continue
            was = None if had is None or had.software is None else had.software.active
            order = software.active
            if order is not None and (was is None or was.digest != order.digest):
                members = touched(scope, picture.devices)
                yield _step(Purl(key), was, order, members)
        yield from _moved(picture, scope, old, after[scope])


def _moved(
    picture: Picture, scope: Scope, old: StateDocument | None, new: StateDocument
) -> Iterator[Step]:
    """What a device of other groups is to run instead."""
    had, has = (None if one is None or one.device is None else one.device for one in (old, new))
    member = next((one for one in picture.devices if one.device == scope.name), None)
    if member is None or has is None or has.groups is None:
        return
    if has.groups == (member.groups if had is None or had.groups is None else had.groups):
        return
    documents = picture.members.documents()
    before = resolve(member.scopes, documents).packages
    scopes = scopes_of(member.device, has.groups)
    for package, wanted in sorted(resolve(scopes, {**documents, scope: new}).packages.items()):
        order = _active(wanted)
        was = _active(before.get(package))
        if order is not None and (was is None or was.digest != order.digest):
            yield _step(package, was, order, [member])


def _active(wanted: ResolvedPackage | None) -> ReleaseOrder | None:
    software = None if wanted is None else wanted.software
    return software.active if isinstance(software, ResolvedSoftware) else None


def _step(
    package: Purl, was: ReleaseOrder | None, order: ReleaseOrder, members: Iterable[Member]
) -> Step:
    """From what was wanted, and what devices report that they run."""
    found = {} if was is None else {was.digest: _release(package, was)}
    for member in members:
        has = None if member.actual is None else member.actual.packages.get(package)
        active = None if has is None else has.active
        if active is not None and active.digest not in found:
            provider = order.provider if was is None else was.provider
            found[active.digest] = Release(provider, package, active.version, active.digest)
    former = tuple(one for one in found.values() if one.digest != order.digest)
    return Step(package, former, _release(package, order))


def _release(package: Purl, order: ReleaseOrder) -> Release:
    return Release(order.provider, package, order.version, order.digest)


@dataclass(slots=True)
class _Flaws:
    """Flaws by name, each with the worst that is said of it."""

    found: dict[str, Finding] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding]) -> None:
        """Add those that count."""
        for one in findings:
            if one.counts:
                self.found.setdefault(one.id, one)

    def says(self) -> str:
        """Names with levels, worst first."""
        order = tuple(Level)
        worst = sorted(self.found.values(), key=lambda one: (order.index(one.level), one.id))
        return choices([_shown(one) for one in worst], most=_NAMED)


def _shown(one: Finding) -> str:
    known = ", exploited" if one.exploited is not None else ""
    part = f"{one.component.name} {one.component.version}"
    return f"{one.id} ({level_says(one.level)}{known}, {part})"


def remarks_of(step: Step, store: Store) -> Iterator[Remark]:
    """What one step does to flaws."""
    becomes = store.assessed(step.next)
    if becomes is None:
        why = store.bills.bill(step.next).why or "its SBOM is not whole"
        yield Remark(UNSEEN, f"which flaws {step.next.shown} has is not known: {why}")
        return
    before = [known for one in step.former if (known := store.assessed(one)) is not None]
    mended, brought, kept = _compared(before, becomes)
    since = choices(sorted({one.shown.rpartition(" ")[2] for one in step.former}))
    if mended.found:
        yield Remark(MENDS, f"{step.next.shown} mends what {since} has: {mended.says()}")
    if brought.found:
        yield Remark(BRINGS, f"{step.next.shown} brings: {brought.says()}")
    if kept.found:
        yield Remark(KEEPS, f"{step.next.shown} still has: {kept.says()}")
    yield from _open(step, becomes)


def _compared(before: Sequence[Assessment], becomes: Assessment) -> tuple[_Flaws, _Flaws, _Flaws]:
    """What only the old ones have, what only the new one has, and what stays."""
    mended, brought, kept = _Flaws(), _Flaws(), _Flaws()
    had = frozenset(
        name for known in before for one in known.findings if one.counts for name in one.names
    )
    for known in before:
        mended.add(one for one in known.findings if not still_has(becomes, one))
    brought.add(one for one in becomes.findings if had.isdisjoint(one.names))
    kept.add(one for one in becomes.findings if not had.isdisjoint(one.names))
    return mended, brought, kept


def _open(step: Step, becomes: Assessment) -> Iterator[Remark]:
    count = len(becomes.unmatchable) + len(becomes.undecided)
    if count:
        parts = "1 part" if count == 1 else f"{count} parts"
        yield Remark(UNSEEN, f"of {parts} of {step.next.shown} no flaw can be known")
