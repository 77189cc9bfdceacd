"""Resolution: which document decides on what, for one device (docs/spec/desired-state.md).

1. Scopes are read in order: the device's own, then its groups as listed.
2. The first scope in which the owner's document names a package decides who manages it. Within a
   scope the exact name beats a pattern.
3. Software and configuration resolve separately.
4. Where a delegation manages, its document for that same scope decides, or the channel that it
   follows; without a valid one the package stays as it is, and that is reported. A delegate names
   no other manager. What the owner accepts and sets aside by name stands in the owner's entry all
   the same.
5. An entry that could not be read decides too: it stops the search, so that no lower scope speaks
   in its place, and the package stays as it is.
6. What nobody names stays as it is. Only an exact entry of the owner can list releases, and only
   such a list can lack one.
7. Windows, drift policy, retention, bandwidth and overrides come from the first scope that sets
   them; a hold from any; restarts, health checks and terms from all.
8. Where a rollout has not come to the device yet, what stood before it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from allod.domain.condition import Term, Verb
from allod.domain.delegation import Channel, Delegate
from allod.domain.desired import (
    OWNER,
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Settings,
    Software,
    StateDocument,
)
from allod.domain.ids import (
    DeviceId,
    GroupName,
    Purl,
    Scope,
    device_scope,
    group_scope,
    is_pattern,
    is_purl,
    pattern_covers,
)
from allod.domain.resolved import (
    DEFAULT_RETENTION,
    Resolved,
    ResolvedConfiguration,
    ResolvedPackage,
    ResolvedRestart,
    ResolvedSoftware,
    Unresolved,
)
from allod.domain.rollout import Progress
from allod.domain.scope_settings import Defaults, first_set, holds_of, retention_of
from allod.domain.terms import Approvals, Packages

_DEFAULTS: Final = Defaults()
MOST_NAMED: Final = 1_000  #: packages under one pattern that a delegate can bring to a device

__all__ = [
    "DEFAULT_RETENTION", "Defaults", "Resolved", "ResolvedConfiguration", "ResolvedPackage",
    "ResolvedRestart", "ResolvedSoftware", "Unresolved", "resolve", "scopes_of",
]  # fmt: skip


def scopes_of(device: DeviceId, groups: Iterable[GroupName]) -> tuple[Scope, ...]:
    """The scopes that speak to a device, in the order in which they are read."""
    return (device_scope(device), *dict.fromkeys(group_scope(group) for group in groups))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read for one device."""

    ordered: tuple[StateDocument, ...]
    delegates: Mapping[str, Delegate]
    progress: Progress | None

    @property
    def terms(self) -> tuple[Term, ...]:
        """Of all scopes: one more never allows more, so none is left out."""
        return tuple(dict.fromkeys(term for one in self.ordered for term in one.terms))

    def come(self, entry: PackageEntry, manager: str) -> bool:
        """Whether what an entry of somebody's document says holds on this device yet."""
        if entry.rollout is None:
            return True
        change = "" if entry.change is None else entry.change.id
        return self.progress is not None and self.progress.reached(entry.rollout, change, manager)


def resolve(
    scopes: Sequence[Scope],
    documents: Mapping[Scope, StateDocument],
    present: Iterable[Purl] = (),
    defaults: Defaults = _DEFAULTS,
    *,
    delegates: Mapping[str, Delegate] = MappingProxyType({}),
    progress: Progress | None = None,
) -> Resolved:
    """What the documents mean for a device with these scopes.

    Args:
        scopes: in the order in which they are read.
        documents: the owner's, as far as there are any; others than those of `scopes` are ignored.
        present: packages that the device has, so that those which nobody names are listed too.
        defaults: what holds where no scope sets it.
        delegates: by id, each with what was proved to be its word.
        progress: how far rollouts have come; None: what stood before them holds.
    """
    ordered = tuple(documents[scope] for scope in scopes if scope in documents)
    reading = _Reading(ordered, delegates, progress)
    settings = [document.settings for document in ordered]
    named = {*_named(ordered), *_delegated_names(reading), *present}
    return Resolved(
        packages={package: _package(package, reading, settings) for package in sorted(named)},
        windows=first_set(settings, lambda one: one.windows or None) or (),
        drift=first_set(settings, lambda one: one.drift) or defaults.drift,
        retention=retention_of(settings, defaults),
        bandwidth=first_set(settings, lambda one: one.bandwidth),
        override_inhibitors=first_set(settings, lambda one: one.override_inhibitors) or frozenset(),
        holds=holds_of(ordered),
        restart_orders=tuple(_restarts(reading)),
        unreadable=tuple(
            (document.scope, key, reason)
            for document in ordered
            for key, reason in sorted(document.unreadable.items())
        ),
        terms=reading.terms,
    )


def _named(ordered: Iterable[StateDocument]) -> set[Purl]:
    return {
        Purl(key)
        for document in ordered
        for key in (*document.packages, *document.unreadable)
        if is_purl(key)  # what could not be read may stand under any key
    }


def _delegated_names(reading: _Reading) -> set[Purl]:
    """Packages that delegates name under a pattern of the owner's: the first, more are a flood."""
    found: set[Purl] = set()
    for document in reading.ordered:
        for key, entry in document.packages.items():
            halves = (entry.software, entry.configuration)
            managers = {half.manager for half in halves if half is not None} - {OWNER}
            if not is_pattern(key) or not managers:
                continue
            for delegate in (reading.delegates.get(manager) for manager in managers):
                if delegate is not None:
                    names = _names_of(delegate, document.scope)
                    under = sorted(name for name in names if pattern_covers(key, name))
                    found.update(under[:MOST_NAMED])
    return found


def _names_of(delegate: Delegate, scope: Scope) -> set[Purl]:
    own = delegate.documents.get(scope)
    names = set() if own is None else _named([own])
    return names if delegate.channel is None else names | set(delegate.channel.packages)


def _restarts(reading: _Reading) -> Iterator[ResolvedRestart]:
    """The owner's restarts, and those of delegates where they may, in scopes of this device.

    Approvals are of entries: the owner's own restarts have none, and need none.
    """
    of_scopes = tuple(term for term in reading.terms if not isinstance(term, Approvals))
    for document in reading.ordered:
        for restart in document.restarts:
            yield ResolvedRestart(document.scope, restart, terms=of_scopes)
    for delegate in reading.delegates.values():
        delegation = delegate.delegation
        if Verb.RESTART not in delegation.verbs:
            continue
        terms = (*delegation.all_terms, *of_scopes)
        for document in reading.ordered:
            own = delegate.documents.get(document.scope)
            if own is not None and document.scope in delegation.scopes:
                for restart in own.restarts:
                    yield ResolvedRestart(document.scope, restart, delegation.id, terms)


def _package(package: Purl, reading: _Reading, settings: Sequence[Settings]) -> ResolvedPackage:
    software_at = _decide(package, reading.ordered, lambda entry: entry.software)
    configuration_at = _decide(package, reading.ordered, lambda entry: entry.configuration)
    entries = [at[1] for at in (software_at, configuration_at) if not isinstance(at, Unresolved)]
    checks = [check for entry in entries for check in entry.health]
    checks += [check for one in settings for check in one.health or ()]
    return ResolvedPackage(
        package,
        _software(package, software_at, reading),
        _configuration(package, configuration_at, reading),
        health=tuple(dict.fromkeys(checks)),
        secrets=frozenset(name for entry in entries for name in entry.secrets),
    )


_Decided = tuple[StateDocument, PackageEntry, str]  #: and the key of the entry


def _decide(
    package: Purl, ordered: Sequence[StateDocument], pick: Callable[[PackageEntry], object | None]
) -> _Decided | Unresolved:
    """The first scope's document and entry that name this half of the package, and its key."""
    for document in ordered:
        for key in _keys(package, document):
            if key in document.unreadable:
                return Unresolved("unreadable-entry", document.unreadable[key], document.scope)
            entry = document.packages[key]
            if pick(entry) is not None:
                return document, entry, key
    return Unresolved("unnamed", "no document names it")


def _keys(package: Purl, document: StateDocument) -> list[str]:
    """The keys of the document that speak of the package, exact before pattern."""
    known = {*document.packages, *document.unreadable}
    exact = [package] if package in known else []
    patterns = [key for key in known if is_pattern(key) and pattern_covers(key, package)]
    return [*exact, *sorted(patterns, key=lambda key: (-len(key), key))]


def _software(
    package: Purl, at: _Decided | Unresolved, reading: _Reading
) -> ResolvedSoftware | Unresolved:
    if isinstance(at, Unresolved):
        return at
    document, entry, key = at
    software = entry.software or Software()
    if software.manager != OWNER:
        return _delegated_software(package, at, reading)
    if key != package:
        return Unresolved("unnamed", "only a pattern names it, no list of releases", document.scope)
    return _own_software(document.scope, entry, software, reading, reading.terms, entry)


def _own_software(
    scope: Scope,
    entry: PackageEntry,
    software: Software,
    reading: _Reading,
    terms: tuple[Term, ...],
    owners: PackageEntry,
    manager: str = OWNER,
) -> ResolvedSoftware | Unresolved:
    """What an entry wants, or what stood before its rollout."""
    releases = software.releases
    rollout = entry.rollout
    if rollout is not None and rollout.before is not None and not reading.come(entry, manager):
        releases = rollout.before.releases
    return ResolvedSoftware(
        scope,
        releases,
        owners.accepts,
        owners.overrides,
        entry.together,
        "" if entry.change is None else entry.change.id,
        manager=manager,
        terms=terms,
        approved=entry.approved,
        rollout=rollout,
    )


def _delegated_software(
    package: Purl, at: _Decided, reading: _Reading
) -> ResolvedSoftware | Unresolved:
    document, entry, key = at
    manager = (entry.software or Software()).manager
    delegate = reading.delegates.get(manager)
    if delegate is None:
        return _wordless(document.scope, manager)
    terms = _delegate_terms(delegate, key, package, reading)
    if delegate.channel is not None:
        return _from_channel(package, at, delegate, delegate.channel, terms)
    own = delegate.documents.get(document.scope)
    theirs = None if own is None else own.packages.get(package)
    if own is not None and package in own.unreadable:
        return Unresolved("unreadable-entry", own.unreadable[package], document.scope, manager)
    if theirs is None or theirs.software is None:
        return _wordless(document.scope, manager)
    if theirs.software.manager != OWNER:
        return _handed_on(document.scope, manager)
    return _own_software(
        document.scope, theirs, theirs.software, reading, terms, entry, manager=manager
    )


def _from_channel(
    package: Purl, at: _Decided, delegate: Delegate, channel: Channel, terms: tuple[Term, ...]
) -> ResolvedSoftware | Unresolved:
    """A channel says which release is to run, at once; how and when, its terms."""
    document, entry, _ = at
    manager = delegate.delegation.id
    found = channel.packages.get(package)
    if found is None:
        return Unresolved(
            "not-in-channel",
            f"the channel {channel.provider}/{channel.channel} says nothing of it",
            document.scope,
            manager,
        )
    order = ReleaseOrder(channel.provider, found.version, found.digest, Level.ACTIVE)
    return ResolvedSoftware(
        document.scope,
        (order,),
        entry.accepts,
        entry.overrides,
        (),
        # Not its sequence: a newer document that says the same of this package orders nothing anew.
        f"{channel.provider}/{channel.channel}",
        manager=manager,
        # People approve one entry as it stands, and never what a channel will say: none counts here.
        terms=(*terms, channel.term),
        channel=channel,
    )


def _delegate_terms(
    delegate: Delegate, key: str, package: Purl, reading: _Reading
) -> tuple[Term, ...]:
    """What the delegate's word is held to here: its own terms, and those of the scopes.

    A pattern in the owner's document covers no more than one in the delegation does.
    """
    frame = () if key == package else (Packages((key,)),)
    return (*delegate.delegation.all_terms, *frame, *reading.terms)


def _configuration(
    package: Purl, at: _Decided | Unresolved, reading: _Reading
) -> ResolvedConfiguration | Unresolved:
    if isinstance(at, Unresolved):
        return at
    document, entry, key = at
    order = entry.configuration or ConfigurationOrder()
    if order.manager == OWNER:
        return _own_configuration(document.scope, entry, order, reading, reading.terms, entry)
    delegate = reading.delegates.get(order.manager)
    own = None if delegate is None else delegate.documents.get(document.scope)
    theirs = None if own is None else own.packages.get(package)
    if own is not None and package in own.unreadable:
        return Unresolved(
            "unreadable-entry", own.unreadable[package], document.scope, order.manager
        )
    if delegate is None or theirs is None or theirs.configuration is None:
        return _wordless(document.scope, order.manager)
    if theirs.configuration.manager != OWNER:
        return _handed_on(document.scope, order.manager)
    terms = _delegate_terms(delegate, key, package, reading)
    return _own_configuration(
        document.scope, theirs, theirs.configuration, reading, terms, entry, order.manager
    )


def _own_configuration(
    scope: Scope,
    entry: PackageEntry,
    order: ConfigurationOrder,
    reading: _Reading,
    terms: tuple[Term, ...],
    owners: PackageEntry,
    manager: str = OWNER,
) -> ResolvedConfiguration:
    rollout = entry.rollout
    before = None if rollout is None else rollout.before_configuration
    if before is not None and not reading.come(entry, manager):
        order = before
    return ResolvedConfiguration(
        scope,
        order,
        "" if entry.change is None else entry.change.id,
        manager=manager,
        terms=terms,
        overrides=owners.overrides,
        approved=entry.approved,
        rollout=rollout,
    )


def _wordless(scope: Scope, manager: str) -> Unresolved:
    return Unresolved(
        "no-valid-document", f"the delegation {manager} has no valid document", scope, manager
    )


def _handed_on(scope: Scope, manager: str) -> Unresolved:
    reason = f"the delegation {manager} would have somebody else decide, and only the owner can"
    return Unresolved("sub-delegation", reason, scope, manager)
