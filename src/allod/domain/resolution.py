"""Resolution: which document decides on what, for one device (docs/spec/desired-state.md).

1. Scopes are read in order: the device's own, then its groups as listed.
2. The first scope in which the owner's document names a package decides who manages it. Within a
   scope the exact name beats a pattern.
3. Software and configuration resolve separately.
4. A manager who is a delegation has no document of its own here: the package stays as it is, and
   that is reported.
5. An entry that could not be read decides too: it stops the search, so that no lower scope speaks
   in its place, and the package stays as it is.
6. What nobody names stays as it is. Only an exact entry of the owner can list releases, and only
   such a list can lack one.
7. Windows, drift policy, retention, bandwidth and overrides come from the first scope that sets
   them; a hold from any; restarts and health checks from all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from allod.domain.desired import (
    OWNER,
    Accepts,
    ConfigurationOrder,
    DriftPolicy,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Settings,
    Software,
    StateDocument,
    Window,
)
from allod.domain.ids import (
    DeviceId,
    Digest,
    GroupName,
    Purl,
    Scope,
    device_scope,
    group_scope,
    is_pattern,
    pattern_covers,
)
from allod.domain.release import HealthCheck

_T = TypeVar("_T")

DEFAULT_RETENTION: Final = 1  #: earlier releases kept after commit, unless the owner says otherwise


@dataclass(frozen=True, slots=True)
class ResolvedSoftware:
    """Which releases of a package the owner wants, and where that stands."""

    scope: Scope
    releases: tuple[ReleaseOrder, ...]
    accepts: Accepts
    overrides: frozenset[str]
    together: tuple[Purl, ...]
    change: str  #: id of the change that last touched the entry; empty: unknown

    @property
    def active(self) -> ReleaseOrder | None:
        """The release that is to run, if any."""
        return Software(OWNER, self.releases).active


@dataclass(frozen=True, slots=True)
class ResolvedConfiguration:
    """Which configuration document the owner wants, and where that stands."""

    scope: Scope
    order: ConfigurationOrder
    change: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why nobody's word counts for this half of a package; it stays as it is."""

    code: str
    reason: str
    scope: Scope | None = None
    manager: str = OWNER


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
    """What is wanted of one package."""

    package: Purl
    software: ResolvedSoftware | Unresolved
    configuration: ResolvedConfiguration | Unresolved
    health: tuple[HealthCheck, ...] = ()  #: the owner's own, from the deciding entries and scopes
    secrets: frozenset[str] = frozenset()  #: granted by the deciding entries


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything that the owner's documents mean for one device."""

    packages: Mapping[Purl, ResolvedPackage] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    drift: DriftPolicy = DriftPolicy.REPORT
    retention: int = DEFAULT_RETENTION
    bandwidth: int | None = None  #: bytes per second
    override_inhibitors: frozenset[str] = frozenset()
    holds: tuple[str, ...] = ()  #: why nothing may change; empty: it may
    restarts: tuple[tuple[Scope, Restart], ...] = ()
    unreadable: tuple[tuple[Scope, str, str], ...] = ()  #: scope, key, reason


def scopes_of(device: DeviceId, groups: Iterable[GroupName]) -> tuple[Scope, ...]:
    """The scopes that speak to a device, in the order in which they are read."""
    return (device_scope(device), *dict.fromkeys(group_scope(group) for group in groups))


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where no scope sets it; the owner's `fleet.json` says."""

    drift: DriftPolicy = DriftPolicy.HEAL
    retention: int = 1  #: earlier releases kept after commit


def resolve(
    scopes: Sequence[Scope],
    documents: Mapping[Scope, StateDocument],
    present: Iterable[Purl] = (),
    defaults: Defaults = Defaults(),
) -> Resolved:
    """What the owner's documents mean for a device with these scopes.

    Args:
        scopes: in the order in which they are read.
        documents: the owner's, as far as there are any; others than those of `scopes` are ignored.
        present: packages that the device has, so that those which nobody names are listed too.
        defaults: what holds where no scope sets it.
    """
    ordered = [documents[scope] for scope in scopes if scope in documents]
    named = {
        Purl(key)
        for document in ordered
        for key in (*document.packages, *document.unreadable)
        if key.startswith("pkg:") and not key.endswith("*")
    }
    settings = [document.settings for document in ordered]
    return Resolved(
        packages={
            package: _package(package, ordered, settings) for package in sorted({*named, *present})
        },
        windows=_first(settings, lambda one: one.windows or None) or (),
        drift=_first(settings, lambda one: one.drift) or defaults.drift,
        retention=_retention(settings, defaults),
        bandwidth=_first(settings, lambda one: one.bandwidth),
        override_inhibitors=_first(settings, lambda one: one.override_inhibitors) or frozenset(),
        holds=_holds(ordered),
        restarts=tuple(
            (document.scope, restart) for document in ordered for restart in document.restarts
        ),
        unreadable=tuple(
            (document.scope, key, reason)
            for document in ordered
            for key, reason in sorted(document.unreadable.items())
        ),
    )


def _first(settings: Iterable[Settings], pick: Callable[[Settings], _T | None]) -> _T | None:
    return next((value for one in settings if (value := pick(one)) is not None), None)


def _retention(settings: Iterable[Settings], defaults: Defaults) -> int:
    wanted = _first(settings, lambda one: one.retention_releases)
    return max(0, defaults.retention if wanted is None else wanted)


def _holds(ordered: Iterable[StateDocument]) -> tuple[str, ...]:
    holds = []
    for document in ordered:
        if document.hold is not None:
            holds.append(f"{document.scope} holds: {document.hold}")
        if document.device is not None and document.device.status == "retired":
            holds.append("this device is retired")
    return tuple(holds)


def _package(
    package: Purl, ordered: Sequence[StateDocument], settings: Sequence[Settings]
) -> ResolvedPackage:
    software_at = _decide(package, ordered, lambda entry: entry.software)
    configuration_at = _decide(package, ordered, lambda entry: entry.configuration)
    entries = [at[1] for at in (software_at, configuration_at) if not isinstance(at, Unresolved)]
    checks = [check for entry in entries for check in entry.health]
    checks += [check for one in settings for check in one.health or ()]
    return ResolvedPackage(
        package,
        _software(software_at),
        _configuration(configuration_at),
        health=tuple(dict.fromkeys(checks)),
        secrets=frozenset(name for entry in entries for name in entry.secrets),
    )


_Decided = tuple[StateDocument, PackageEntry, bool]


def _decide(
    package: Purl, ordered: Sequence[StateDocument], pick: Callable[[PackageEntry], object | None]
) -> _Decided | Unresolved:
    """The first scope's document and entry that name this half of the package; whether exactly."""
    for document in ordered:
        for key in _keys(package, document):
            if key in document.unreadable:
                return Unresolved("unreadable-entry", document.unreadable[key], document.scope)
            entry = document.packages[key]
            if pick(entry) is not None:
                return document, entry, key == package
    return Unresolved("unnamed", "no document names it")


def _keys(package: Purl, document: StateDocument) -> list[str]:
    """The keys of the document that speak of the package, exact before pattern."""
    known = {*document.packages, *document.unreadable}
    exact = [package] if package in known else []
    patterns = [key for key in known if is_pattern(key) and pattern_covers(key, package)]
    return [*exact, *sorted(patterns, key=lambda key: (-len(key), key))]


def _software(at: _Decided | Unresolved) -> ResolvedSoftware | Unresolved:
    if isinstance(at, Unresolved):
        return at
    document, entry, exact = at
    software = entry.software or Software()
    if software.manager != OWNER:
        return _delegated(document.scope, software.manager)
    if not exact:
        return Unresolved("unnamed", "only a pattern names it, no list of releases", document.scope)
    return ResolvedSoftware(
        document.scope,
        software.releases,
        entry.accepts,
        entry.overrides,
        entry.together,
        "" if entry.change is None else entry.change.id,
    )


def _configuration(at: _Decided | Unresolved) -> ResolvedConfiguration | Unresolved:
    if isinstance(at, Unresolved):
        return at
    document, entry, _ = at
    order = entry.configuration or ConfigurationOrder()
    if order.manager != OWNER:
        return _delegated(document.scope, order.manager)
    return ResolvedConfiguration(
        document.scope, order, "" if entry.change is None else entry.change.id
    )


def _delegated(scope: Scope, manager: str) -> Unresolved:
    return Unresolved(
        "no-valid-document", f"the delegation {manager} has no valid document", scope, manager
    )


def configuration_digest(resolved: ResolvedPackage, running: Digest | None) -> Digest | None:
    """The document that is to hold: what is ordered, else what holds now."""
    if isinstance(resolved.configuration, ResolvedConfiguration):
        return resolved.configuration.order.digest
    return running
