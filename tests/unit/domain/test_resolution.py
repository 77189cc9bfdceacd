"""Resolution: who decides on what (docs/spec/desired-state.md)."""

from __future__ import annotations

from typing import Any

from allod.domain.condition import Verb
from allod.domain.delegation import Delegate, Delegation
from allod.domain.desired import (
    ConfigurationOrder,
    DeviceRecord,
    DriftPolicy,
    Level,
    PackageEntry,
    ReleaseOrder,
    Settings,
    Software,
    StateDocument,
    Window,
)
from allod.domain.ids import (
    DeviceId,
    FleetId,
    GroupName,
    ProviderName,
    Purl,
    Version,
    device_scope,
    group_scope,
    sha256,
)
from allod.domain.release import HealthCheck, ProbeKind
from allod.domain.resolution import (
    MOST_NAMED,
    Defaults,
    Resolved,
    ResolvedConfiguration,
    ResolvedSoftware,
    Unresolved,
    resolve,
    scopes_of,
)

DEVICE = DeviceId("d" * 64)
KITCHEN, HOUSE = GroupName("kitchen"), GroupName("house")
TOASTER = Purl("pkg:generic/acme/toaster")
OWN, FIRST, SECOND = device_scope(DEVICE), group_scope(KITCHEN), group_scope(HOUSE)


def software(version: str) -> Software:
    """The owner wants this version."""
    order = ReleaseOrder(
        ProviderName("acme"), Version(version), sha256(version.encode()), Level.ACTIVE
    )
    return Software(releases=(order,))


def resolved(**documents: Any) -> Resolved:
    """Resolve documents of the device (`own`), its first and its second group."""
    scopes = {"own": OWN, "first": FIRST, "second": SECOND}
    made = {
        scopes[name]: StateDocument(
            FleetId("f" * 64),
            scopes[name],
            **({"device": DeviceRecord(1)} if name == "own" else {}) | fields,
        )
        for name, fields in documents.items()
    }
    return resolve(scopes_of(DEVICE, (KITCHEN, HOUSE)), made, [TOASTER])


def of(found: Resolved) -> str:
    """Which version was decided on, or why none."""
    half = found.packages[TOASTER].software
    if isinstance(half, Unresolved):
        return half.code
    return "" if half.active is None else half.active.version


def entry(version: str | None = None, **fields: Any) -> dict[str, Any]:
    """A document that names the toaster."""
    wanted = PackageEntry(software=None if version is None else software(version), **fields)
    return {"packages": {TOASTER: wanted}}


def test_the_device_comes_before_its_groups_and_these_in_their_order() -> None:
    """The first scope that names the software decides."""
    assert of(resolved(own=entry("1"), first=entry("2"), second=entry("3"))) == "1"
    assert of(resolved(own={}, first=entry("2"), second=entry("3"))) == "2"
    assert of(resolved(second=entry("3"))) == "3"


def test_software_and_configuration_resolve_separately() -> None:
    """Configuring one device does not cut it off from its group's releases."""
    order = ConfigurationOrder(digest=sha256(b"own"))
    found = resolved(own=entry(configuration=order), first=entry("2"))
    assert of(found) == "2"
    half = found.packages[TOASTER].configuration
    assert isinstance(half, ResolvedConfiguration)
    assert (half.scope, half.order) == (OWN, order)


def test_an_unreadable_entry_stops_the_search() -> None:
    """No lower scope speaks in its place; other packages are untouched."""
    found = resolved(own={"unreadable": {TOASTER: "an unknown field"}}, first=entry("2"))
    assert of(found) == "unreadable-entry"
    assert found.unreadable == ((OWN, TOASTER, "an unknown field"),)
    other = resolved(
        own={"unreadable": {"pkg:generic/acme/other": "?"}},
        first=entry("2"),
    )
    assert of(other) == "2"


def test_exact_beats_pattern_within_a_scope_only() -> None:
    """A pattern in a higher scope still decides before an exact name in a lower one."""
    delegated = PackageEntry(software=Software(manager="acme-orders"))
    both = {
        "packages": {"pkg:generic/acme/*": delegated, TOASTER: PackageEntry(software=software("1"))}
    }
    assert of(resolved(first=both)) == "1"
    higher = {"packages": {"pkg:generic/acme/*": delegated}}
    assert of(resolved(own=higher, first=entry("2"))) == "no-valid-document"


def test_a_pattern_of_the_owner_orders_nothing_and_deletes_nothing() -> None:
    """Only an exact entry has a list that could lack a release."""
    assert (
        of(resolved(first={"packages": {"pkg:generic/*": PackageEntry(software=Software())}}))
        == "unnamed"
    )


def test_a_delegate_leaves_the_package_as_it_is_and_is_named() -> None:
    """Until delegation there is no valid document of a delegate."""
    found = resolved(first=entry()).packages[TOASTER].software
    assert isinstance(found, Unresolved)
    assert found.code == "unnamed"
    wanted = PackageEntry(software=Software(manager="acme-orders"))
    half = resolved(first={"packages": {TOASTER: wanted}}).packages[TOASTER].software
    assert isinstance(half, Unresolved)
    assert (half.code, half.manager, half.scope) == ("no-valid-document", "acme-orders", FIRST)


def test_an_empty_list_is_a_decision() -> None:
    """Named, with a list that lacks everything: that is deletion, and nothing else is."""
    half = resolved(first={"packages": {TOASTER: PackageEntry(software=Software())}})
    software_half = half.packages[TOASTER].software
    assert isinstance(software_half, ResolvedSoftware)
    assert software_half.releases == ()


def test_a_delegates_flood_of_packages_is_cut_off() -> None:
    """Of one pattern so many are brought to a device; what it has is resolved all the same."""
    names = [Purl(f"pkg:generic/acme/x{n:04d}") for n in range(MOST_NAMED + 100)]
    entry_of = PackageEntry(software=Software())
    theirs = StateDocument(
        FleetId("f" * 64), FIRST, packages=dict.fromkeys(names, entry_of), author="ops"
    )
    pattern = "pkg:generic/acme/*"
    given = Delegation("ops", frozenset({FIRST}), (pattern,), frozenset(Verb))
    owners = StateDocument(
        FleetId("f" * 64), FIRST, packages={pattern: PackageEntry(software=Software("ops"))}
    )
    found = resolve(
        scopes_of(DEVICE, (KITCHEN,)),
        {FIRST: owners},
        [names[-1]],
        delegates={"ops": Delegate(given, {FIRST: theirs})},
    )
    assert set(found.packages) == {*names[:MOST_NAMED], names[-1]}
    assert isinstance(found.packages[names[-1]].software, ResolvedSoftware)


def test_settings_come_from_the_first_scope_that_sets_them() -> None:
    """Windows, drift and retention each by itself; health checks from all."""
    window = Window(frozenset({0}), 0, 60)
    tcp = HealthCheck(ProbeKind.TCP, address="127.0.0.1:1")
    other = HealthCheck(ProbeKind.TCP, address="127.0.0.1:2")
    found = resolved(
        own={"settings": Settings(drift=DriftPolicy.REPORT, health=(tcp,))},
        first={"settings": Settings(windows=(window,), drift=DriftPolicy.HEAL, health=(other,))},
        second={"settings": Settings(retention_releases=0, windows=())} | entry("3"),
    )
    assert found.windows == (window,)
    assert found.drift is DriftPolicy.REPORT
    assert found.retention == 0
    assert found.packages[TOASTER].health == (tcp, other)


def test_defaults_hold_where_no_scope_says_otherwise() -> None:
    """The owner's fleet document fills the gaps."""
    found = resolve((), {}, (), Defaults(DriftPolicy.REPORT, 3))
    assert (found.drift, found.retention) == (DriftPolicy.REPORT, 3)


def test_any_scope_holds_and_a_retired_device_is_held() -> None:
    """One hold is enough."""
    assert resolved(second={"hold": "holiday"}).holds == ("groups/house holds: holiday",)
    retired = resolved(own={"device": DeviceRecord(1, status="retired")})
    assert retired.holds == ("this device is retired",)


def test_documents_of_other_scopes_are_ignored() -> None:
    """What a server adds for a group that the device is not in has no effect."""
    document = StateDocument(
        FleetId("f" * 64), SECOND, packages={TOASTER: PackageEntry(software=software("9"))}
    )
    found = resolve(scopes_of(DEVICE, (KITCHEN,)), {SECOND: document}, [TOASTER])
    assert of(found) == "unnamed"
