"""Attack 61 as a property: no change by omission ever plans a deletion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from allod.domain.actions import Activate, Delete
from allod.domain.desired import (
    ConfigurationOrder,
    DeviceRecord,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
)
from allod.domain.ids import (
    DeviceId,
    Digest,
    FleetId,
    GroupName,
    ProviderName,
    Purl,
    Scope,
    Version,
    device_scope,
    group_scope,
    sha256,
)
from allod.domain.observed import Observed, Running
from allod.domain.plan import make_plan
from allod.domain.release import Kind, Release
from allod.domain.resolution import ResolvedSoftware, resolve, scopes_of
from allod.domain.surroundings import Surroundings
from allod.testing.machine import START

DEVICE = DeviceId("d" * 64)
GROUPS = (GroupName("kitchen"), GroupName("house"))
SCOPES = scopes_of(DEVICE, GROUPS)
PACKAGES = tuple(Purl(f"pkg:generic/acme/{name}") for name in ("toaster", "butler"))
VERSIONS = ("1", "2", "3")
ACME = ProviderName("acme")


def digest_of(package: Purl, version: str) -> Digest:
    """A release's digest."""
    return sha256(f"{package}@{version}".encode())


def orders(package: Purl) -> st.SearchStrategy[tuple[ReleaseOrder, ...]]:
    """Any lawful list of releases."""
    return st.lists(st.sampled_from(VERSIONS), unique=True, max_size=3).flatmap(
        lambda versions: st.integers(-1, len(versions) - 1).map(
            lambda active: tuple(
                ReleaseOrder(
                    ACME,
                    Version(version),
                    digest_of(package, version),
                    Level.ACTIVE if at == active else Level.INSTALLED,
                )
                for at, version in enumerate(versions)
            )
        )
    )


def entries(package: Purl) -> st.SearchStrategy[PackageEntry]:
    """Any entry: the owner's list, a delegate, only a configuration, nothing."""
    return st.builds(
        PackageEntry,
        software=st.one_of(
            st.none(),
            orders(package).map(lambda made: Software(releases=made)),
            st.just(Software(manager="acme-orders")),
        ),
        configuration=st.one_of(st.none(), st.just(ConfigurationOrder())),
    )


@st.composite
def documents(draw: st.DrawFn) -> dict[Scope, StateDocument]:
    """Documents of some of the scopes, with exact entries, patterns and unreadable ones."""
    made = {}
    for scope in SCOPES:
        if not draw(st.booleans()):
            continue
        packages: dict[str, PackageEntry] = {}
        unreadable: dict[str, str] = {}
        for package in PACKAGES:
            kind = draw(st.sampled_from(["exact", "pattern", "unreadable", "absent"]))
            if kind == "exact":
                packages[package] = draw(entries(package))
            elif kind == "pattern":
                manager = draw(st.sampled_from(["owner", "acme-orders"]))
                packages["pkg:generic/acme/*"] = PackageEntry(software=Software(manager))
            elif kind == "unreadable":
                unreadable[package] = "of tomorrow"
        made[scope] = StateDocument(
            FleetId("f" * 64),
            scope,
            packages=packages,
            unreadable=unreadable,
            device=DeviceRecord(1) if scope.kind == "devices" else None,
        )
    return made


@st.composite
def devices(draw: st.DrawFn) -> dict[Purl, Observed]:
    """Whatever a device may have."""
    made = {}
    for package in PACKAGES:
        held = draw(
            st.dictionaries(
                st.sampled_from(VERSIONS), st.sampled_from([Level.TRANSFERRED, Level.INSTALLED])
            )
        )
        installed = [version for version, level in held.items() if level is Level.INSTALLED]
        running = None
        if installed and draw(st.booleans()):
            running = Running(1, digest_of(package, draw(st.sampled_from(installed))), None)
        made[package] = Observed(
            package,
            held={digest_of(package, version): level for version, level in held.items()},
            described={
                digest_of(package, version): Release(package, Version(version), ACME, Kind.TREE)
                for version in VERSIONS
            },
            running=running,
            history=tuple(digest_of(package, version) for version in installed),
        )
    return made


def taken_away(found: dict[Scope, StateDocument], observed: dict[Purl, Observed]) -> set[Any]:
    """What the plan for these documents deletes or stops."""
    resolved = resolve(SCOPES, found, PACKAGES)
    plan = make_plan(resolved, observed, Surroundings(START, "boot-1"))
    lost: set[Any] = {a for a in plan.actions if isinstance(a, Delete)}
    for action in plan.actions:
        if isinstance(action, Activate):
            lost |= {member for member in action.members if member.digest is None}
    return lost


def named(found: dict[Scope, StateDocument], package: Purl) -> tuple[Scope, Any] | None:
    """The scope and list by which the owner decides on the package's software, if so."""
    half = resolve(SCOPES, found, PACKAGES).packages[package].software
    return (half.scope, half.releases) if isinstance(half, ResolvedSoftware) else None


@settings(max_examples=300)
@given(documents(), devices())
def test_attack_61_only_a_named_list_takes_anything_away(
    found: dict[Scope, StateDocument], observed: dict[Purl, Observed]
) -> None:
    """Whatever is deleted or stopped: an exact entry of the owner decides, and its list lacks it."""
    for lost in taken_away(found, observed):
        decided = named(found, lost.package)
        assert decided is not None
        scope, releases = decided
        entry = found[scope].packages[lost.package]
        assert entry.software is not None
        assert entry.software.manager == "owner"
        if isinstance(lost, Delete):
            assert lost.digest not in {order.digest for order in releases}
        else:
            assert not any(order.level is Level.ACTIVE for order in releases)


@settings(max_examples=300)
@given(documents(), devices(), st.data())
def test_attack_61_taking_away_a_document_or_entry_deletes_nothing_by_itself(
    found: dict[Scope, StateDocument], observed: dict[Purl, Observed], data: st.DataObject
) -> None:
    """A missing file, an emptied document, a removed entry, a group move, a revoked delegation:
    what is then taken away, another list that names the package orders, and none did so before.
    """
    after = dict(found)
    if found:
        scope = data.draw(st.sampled_from(sorted(found)))
        how = data.draw(st.sampled_from(["missing", "empty", "entry"]))
        document = found[scope]
        if how == "missing":
            del after[scope]
        elif how == "empty" or not document.packages:
            after[scope] = StateDocument(document.fleet, scope, device=document.device)
        else:
            gone = data.draw(st.sampled_from(sorted(document.packages)))
            rest = {key: entry for key, entry in document.packages.items() if key != gone}
            after[scope] = replace(document, packages=rest)
    before = taken_away(found, observed)
    for lost in taken_away(after, observed) - before:
        decided = named(after, lost.package)
        assert decided is not None, "omission deleted something"
        was = named(found, lost.package)
        assert was != decided, "the same list, and yet more is lost"


@given(devices())
def test_attack_61_no_document_at_all_plans_nothing(observed: dict[Purl, Observed]) -> None:
    """A device whose owner says nothing keeps everything, and does nothing."""
    resolved = resolve(SCOPES, {}, PACKAGES)
    assert make_plan(resolved, observed, Surroundings(START, "boot-1")).actions == ()
    alone = resolve((device_scope(DEVICE), group_scope(GROUPS[0])), {}, PACKAGES)
    assert make_plan(alone, observed, Surroundings(START, "boot-1")).actions == ()
