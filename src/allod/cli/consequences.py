"""What a change will do to the devices: what it interrupts, needs, binds and cannot take back.

Computed from the documents that were read back from the bytes to be signed, and from releases
whose descriptions were fetched by the digests that stand in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from allod.cli.foreseen import REFUSED, Outlook, foreseen
from allod.cli.moves import LOSES, of_move
from allod.cli.policy_met import UNMET
from allod.cli.scopes import touched
from allod.domain.access import new_access
from allod.domain.desired import (
    OWNER,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
)
from allod.domain.ids import Digest, Purl, Scope, is_pattern, package_name
from allod.domain.release import Apply, Release, is_one_way, reads_data_of
from allod.domain.reported import Member, Remark
from allod.errors import AllodError

if TYPE_CHECKING:
    from allod.cli.catalog import Catalog
    from allod.wire.trust import Withdrawal

#: Codes of consequences that the owner must not overlook.
GRAVE = frozenset(
    {"not-accepted", "one-way", "withdrawn", "constraint", "deleted", "release-unknown", "retired"}
    | {"data-back", "data-unreadable", "brings-flaws", LOSES, REFUSED, UNMET}
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What consequences depend on beside the documents."""

    members: Sequence[Member]
    catalog: Catalog
    withdrawn: Mapping[Digest, Withdrawal]
    documents: Mapping[Scope, StateDocument] = field(default_factory=dict)  #: of all scopes, before
    outlook: Outlook | None = None  #: None: nothing is foreseen of what devices will say


def consequences(
    before: Mapping[Scope, StateDocument],
    after: Mapping[Scope, StateDocument],
    around: Surroundings,
) -> tuple[Remark, ...]:
    """Everything that follows from the documents' change, most of it per package."""
    found: list[Remark] = []
    for scope in sorted(after):
        old = before.get(scope)
        found.extend(_of_scope(scope, old, after[scope], around))
        had = old.packages if old is not None else {}
        for key, entry in after[scope].packages.items():
            if entry != had.get(key) and not is_pattern(key):
                was = had.get(key, PackageEntry())
                remarks = _of_entry(scope, Purl(key), was, entry, around)
                # A delegate accepts nothing by name: what their terms refuse is foreseen below.
                own = after[scope].author == OWNER
                found.extend(one for one in remarks if own or one.code != "not-accepted")
    if around.outlook is not None:
        found.extend(
            foreseen(
                around.documents,
                before,
                after,
                around.members,
                around.catalog,
                around.withdrawn,
                around.outlook,
            )
        )
    return tuple(dict.fromkeys(found))


_RETIRED = "the device keeps running what it has and takes no more changes"
_LET_GO = "the device is on record no more: nobody looks for its flaws"


def _of_scope(
    scope: Scope, old: StateDocument | None, new: StateDocument, around: Surroundings
) -> Iterator[Remark]:
    count = len(touched(scope, around.members))
    known = {restart.id for restart in old.restarts} if old is not None else set()
    for restart in new.restarts:
        if restart.id not in known:
            yield Remark(
                "restart",
                f"one restart of {_devices(count)} between {restart.at:%Y-%m-%d %H:%M} and "
                f"{restart.latest:%Y-%m-%d %H:%M} UTC",
            )
    was_held = old is not None and old.hold is not None
    if new.hold is not None and not was_held:
        yield Remark("held", f"nothing changes any more on {_devices(count)} until 'allod resume'")
    if new.hold is None and was_held:
        yield Remark("resumed", f"{_devices(count)} do what was held back")
    first, second = (None if d is None else d.device for d in (old, new))
    if second is None or first == second:
        return
    if second.status == "retired" and (first is None or first.status != "retired"):
        on_record = second.foreign is not None
        yield Remark("retired", _LET_GO if on_record else _RETIRED)
    if second.foreign is not None:
        return
    if second.groups is not None and (first is None or first.groups != second.groups):
        yield Remark(
            "moved", "packages that only its former groups name stay on the device as they are"
        )
        member = next((one for one in around.members if one.device == scope.name), None)
        if member is not None:
            yield from of_move(scope, member.scopes, new, around.documents)


def _of_entry(
    scope: Scope, package: Purl, was: PackageEntry, entry: PackageEntry, around: Surroundings
) -> Iterator[Remark]:
    name = package_name(package)
    old, new = was.software or Software(), entry.software
    if new is None or new.manager != OWNER:
        return
    had = {order.digest: order for order in old.releases}
    if old.releases and not new.releases:
        count = len(touched(scope, around.members))
        yield Remark("deleted", f"{name} is removed from {_devices(count)}; its data stays")
    for order in new.releases:
        if had.get(order.digest) == order:
            continue
        yield from _of_order(scope, package, was, entry, order, around)
    changed = was.configuration != entry.configuration and entry.configuration is not None
    if changed and new.active is not None and old.active == new.active:
        yield from _of_configuration(package, new.active, around)


def _of_order(
    scope: Scope,
    package: Purl,
    was: PackageEntry,
    entry: PackageEntry,
    order: ReleaseOrder,
    around: Surroundings,
) -> Iterator[Remark]:
    shown = f"{package_name(package)} {order.version}"
    if order.digest in around.withdrawn:
        why = around.withdrawn[order.digest].why
        yield Remark("withdrawn", f"{shown} was withdrawn ({why}): devices will not install it")
    release = _described(package, order, around)
    if release is None:
        yield Remark("release-unknown", f"{shown} cannot be read here: its effects are unknown")
        return
    if release.mends:
        yield Remark("mends", f"{shown} mends {', '.join(release.mends)}")
    if order.level is not Level.TRANSFERRED:
        before = was.software.releases if was.software is not None else ()
        taken = any(
            one.digest == order.digest and one.level in {Level.ACTIVE, order.level}
            for one in before
        )
        for constraint in release.constraints:
            if taken and constraint.id in was.accepts.constraints & entry.accepts.constraints:
                continue  # it was taken on with the same release, and is no news
            yield Remark("constraint", f"{shown} binds you: {constraint.says} ({constraint.id})")
            if constraint.id not in entry.accepts.constraints:
                yield Remark("not-accepted", f"the constraint {constraint.id} is not accepted")
    if order.level is Level.ACTIVE:
        yield from _of_activation(scope, package, was, entry, release, around)


def _of_activation(
    scope: Scope,
    package: Purl,
    was: PackageEntry,
    entry: PackageEntry,
    release: Release,
    around: Surroundings,
) -> Iterator[Remark]:
    shown = f"{package_name(package)} {release.version}"
    if release.interrupts or release.interrupts_seconds:
        yield Remark(
            "interrupts",
            f"activating {shown} interrupts {release.interrupts or 'its service'} "
            f"for up to {release.interrupts_seconds} s",
        )
    formers = formers_of(scope, package, was, around)
    had = frozenset.intersection(*(one.access for one in formers)) if formers else frozenset()
    fresh = new_access(had, release.access)
    if fresh:
        yield Remark("access", f"{shown} gets access to {', '.join(sorted(fresh))}")
    lacking = new_access(had | entry.accepts.access, release.access)
    if lacking:
        yield Remark("not-accepted", f"access is not accepted: {', '.join(sorted(lacking))}")
    if any(is_one_way(former, release) for former in formers):
        yield Remark(
            "one-way",
            f"{shown} changes its data so that {formers[0].version} can't read it any more: "
            "an undo brings back the software, not the data",
        )

    yield from _of_data(shown, release, formers)


def _of_data(shown: str, release: Release, formers: Sequence[Release]) -> Iterator[Remark]:
    """Going to a release that cannot read what the present one writes."""
    for former in formers:
        if former.data is None or reads_data_of(release, former.data.schema):
            continue
        if former.data.snapshot:
            yield Remark(
                "data-back",
                f"{shown} can't read the data of {former.version}: the copy from before "
                f"{former.version} is put back, what was written since is lost",
            )
        else:
            yield Remark(
                "data-unreadable",
                f"{shown} can't read the data of {former.version}, and no copy of it was made: "
                "devices keep what they have",
            )


def _of_configuration(
    package: Purl, active: ReleaseOrder, around: Surroundings
) -> Iterator[Remark]:
    release = _described(package, active, around)
    name = package_name(package)
    if release is None or release.configuration is None:
        return
    if release.configuration.apply is Apply.RELOAD:
        yield Remark("interrupts", f"{name} reads its configuration anew, without a restart")
    else:
        yield Remark("interrupts", f"{name} is restarted to take its configuration")


def formers_of(
    scope: Scope, package: Purl, was: PackageEntry, around: Surroundings
) -> tuple[Release, ...]:
    """The releases that run now: as wanted so far, and as the devices of the scope report."""
    found: dict[Digest, Release] = {}
    active = was.software.active if was.software is not None else None
    if active is not None:
        release = _described(package, active, around)
        if release is not None:
            found[active.digest] = release
    for member in touched(scope, around.members):
        running = member.actual.packages.get(package) if member.actual is not None else None
        current = running.active if running is not None else None
        if active is None or current is None or current.digest in found:
            continue
        try:
            found[current.digest] = around.catalog.release(active.provider, package, current.digest)
        except AllodError:
            continue
    return tuple(found.values())


def _described(package: Purl, order: ReleaseOrder, around: Surroundings) -> Release | None:
    try:
        return around.catalog.release(order.provider, package, order.digest)
    except AllodError:
        return None


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
