"""What a preview says will follow: of a move, and of a constraint that was taken on before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from allod.cli.consequences import Surroundings, consequences
from allod.domain import ids
from allod.domain.desired import (
    Accepts,
    DeviceRecord,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
)
from allod.domain.release import Constraint, Kind, Release
from allod.domain.reported import Member
from allod.errors import InvalidInput

FLEET = ids.FleetId("0" * 64)
DEVICE = ids.DeviceId("d" * 64)
HERE = ids.device_scope(DEVICE)
ME = ids.ProviderName("me")
FUSE = Constraint("fuse", "an older release never starts again")


def scope(name: str) -> ids.Scope:
    """A group."""
    return ids.group_scope(ids.GroupName(name))


def purl(name: str) -> ids.Purl:
    """A package of one's own."""
    return ids.Purl(f"pkg:generic/me/{name}")


def order(version: str, level: Level = Level.ACTIVE) -> ReleaseOrder:
    """A release that is wanted."""
    return ReleaseOrder(ME, ids.Version(version), ids.sha256(version.encode()), level)


def document(where: ids.Scope, **packages: tuple[ReleaseOrder, ...]) -> StateDocument:
    """A scope that wants these releases."""
    accepts = Accepts(constraints=frozenset({"fuse"}))
    return StateDocument(
        FLEET,
        where,
        {
            purl(name): PackageEntry(software=Software(releases=orders), accepts=accepts)
            for name, orders in packages.items()
        },
    )


@dataclass
class Shelf:
    """Releases that all carry one constraint."""

    known: dict[ids.Digest, Release] = field(default_factory=dict)

    def release(self, provider: ids.ProviderName, package: ids.Purl, digest: ids.Digest) -> Release:
        """The release of that digest."""
        for version in ("1", "2"):
            if ids.sha256(version.encode()) == digest:
                return Release(
                    package, ids.Version(version), provider, Kind.TREE, constraints=(FUSE,)
                )
        raise InvalidInput("no-such-release", "cannot find it")


def around(*documents: StateDocument, groups: tuple[str, ...] = ("old",)) -> Surroundings:
    """One device in these groups, and what is wanted so far."""
    member = Member(DEVICE, 1, tuple(ids.GroupName(group) for group in groups))
    known = {one.scope: one for one in documents}
    return Surroundings((member,), Shelf(), {}, known)  # type: ignore[arg-type]


def moved(*documents: StateDocument, to: str) -> list[tuple[str, str]]:
    """Codes and words of moving the device."""
    new = replace(StateDocument(FLEET, HERE), device=DeviceRecord(1, groups=(ids.GroupName(to),)))
    found = consequences({}, {HERE: new}, around(*documents))
    return [(one.code, one.says) for one in found if one.code != "moved"]


def test_a_move_says_what_runs_differently() -> None:
    """New, other and deleted packages are named; what stays the same, or is left, is not."""
    old = document(
        scope("old"),
        same=(order("1"),),
        other=(order("1"),),
        gone=(order("1"),),
        left=(order("1"),),
    )
    new = document(
        scope("new"), same=(order("1"),), other=(order("2"),), gone=(), fresh=(order("1"),)
    )
    assert moved(old, new, to="new") == [
        ("moved-gets", "fresh 1 is to run there (group new)"),
        ("moved-loses", "gone is removed there: group new wants it deleted"),
        ("moved-gets", "other 2 is to run there instead of 1 (group new)"),
    ]
    assert moved(old, to="empty") == []


def test_a_group_that_stops_a_package_is_said() -> None:
    """Only installed there: it would run no more."""
    old = document(scope("old"), lamp=(order("1"),))
    new = document(scope("new"), lamp=(order("1", Level.INSTALLED),))
    assert moved(old, new, to="new") == [
        ("moved-loses", "no release of lamp runs there any more (group new)")
    ]


def bound_by(before: tuple[ReleaseOrder, ...], after: tuple[ReleaseOrder, ...]) -> int:
    """How many lines about constraints the preview has."""
    group = scope("old")
    old, new = document(group, lamp=before), document(group, lamp=after)
    found = consequences({group: old}, {group: new}, around(old))
    return sum(one.code == "constraint" for one in found)


def test_a_constraint_is_news_once() -> None:
    """It is shown when a release comes or begins to run, not when it steps back."""
    one, two = order("1"), order("2")
    kept, ready = order("1", Level.INSTALLED), order("2", Level.INSTALLED)
    assert bound_by((), (one,)) == 1
    assert bound_by((one,), (kept, two)) == 1, "the new one only"
    assert bound_by((one,), (one, ready)) == 1
    assert bound_by((one, ready), (kept, two)) == 1, "what was only installed begins to run"
    assert bound_by((kept, two), (two,)) == 0
