"""Delegations and what delegates order, checked before it is published.

A server that is honest saves devices the work of refusing: what breaks the frame of a delegation
(scopes, packages, verbs, end, approvals) is refused by the very same `decide` that devices use.
What depends on a device (what runs there, windows, soak, consent) is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from tuf.api.metadata import DelegatedRole, Delegations

from allod.domain import terms
from allod.domain.approval import by_kind
from allod.domain.condition import AGENT, Change, ChangeFacts, Verb
from allod.domain.decision import decide
from allod.domain.delegation import Delegation
from allod.domain.desired import Accepts, Level, PackageEntry, StateDocument
from allod.domain.ids import FleetId, Purl, is_pattern, pattern_covers
from allod.domain.release import Release
from allod.errors import InvalidInput, Refused, Untrusted
from allod.server.services.fleets import DOCUMENT_CAP
from allod.trust.accepted import Repository
from allod.trust.approvals import approved_entry
from allod.trust.effects import drive
from allod.trust.metadata import DEVICES, TARGETS
from allod.wire.delegation import decode_delegation, delegation_path
from allod.wire.desired import decode_state
from allod.wire.trust import FleetDocument

#: Terms that say the same on every device.
_STATIC: Final = (terms.Scopes, terms.Packages, terms.Verbs, terms.Until, terms.Approvals)
_LEVELS: Final = {
    Level.TRANSFERRED: Verb.TRANSFER,
    Level.INSTALLED: Verb.INSTALL,
    Level.ACTIVE: Verb.ACTIVATE,
}

#: The release that an entry orders to run, if this server has it.
FindRelease = Callable[[FleetId, Purl, PackageEntry], Release | None]


def check_delegations(role: str, delegations: Delegations) -> None:
    """Below `targets`: `devices`, and one role for each delegation, for its own paths alone.

    Delegates hand nothing on (attack 27).

    Raises:
        InvalidInput: `bad-delegation`.
    """
    if role.startswith("delegation-"):
        raise InvalidInput(
            "bad-delegation", f"cannot publish {role}: a delegate delegates nothing further"
        )
    if role == TARGETS:
        _check_roles(delegations.roles or {})


def _check_roles(roles: Mapping[str, DelegatedRole]) -> None:
    for name, role in roles.items():
        if name == DEVICES:
            continue
        delegation = name.removeprefix("delegation-")
        paths = [f"by/{delegation}/*/*"]
        if not name.startswith("delegation-") or not role.terminating or role.paths != paths:
            raise InvalidInput(
                "bad-delegation",
                f"cannot publish targets: its role {name[:80]!r} is none of a delegation",
            )


@dataclass(frozen=True, slots=True)
class Orders:
    """A delegate's document, and what it is held to."""

    document: StateDocument
    delegation: Delegation
    owners: StateDocument | None  #: the owner's document of the same scope
    fleet: FleetDocument


class Files(Protocol):
    """What would be published."""

    def get(self, path: str, cap: int) -> bytes | None:
        """The answer to a `Need`."""
        ...


def orders_in(
    document: StateDocument, repository: Repository, files: Files, fleet: FleetDocument
) -> Orders:
    """A delegate's document with the owner's word about it, as it would be published.

    Raises:
        Untrusted: `unknown-delegation`.
    """

    def owners(path: str) -> bytes | None:
        target = drive(repository.target(path, DOCUMENT_CAP), files.get, lambda _: None)
        return None if target is None or target.role.startswith("delegation-") else target.data

    granted = owners(delegation_path(document.author))
    if granted is None:
        raise Untrusted(
            "unknown-delegation",
            f"cannot publish {document.author}'s {document.scope}: there is no such delegation",
        )
    own = owners(document.scope.target_path)
    return Orders(
        document,
        decode_delegation(granted)[1],
        None if own is None else decode_state(own),
        fleet,
    )


def check_orders(orders: Orders, find: FindRelease, now: datetime) -> None:
    """Whether devices could ever do what a delegate orders.

    Raises:
        InvalidInput: `owners-word`: it says what only the owner can say.
        Refused: `outside-terms`, with what each term says.
    """
    document, delegation = orders.document, orders.delegation
    for key, entry in document.packages.items():
        if entry.accepts != Accepts() or entry.overrides or entry.secrets:
            raise InvalidInput(
                "owners-word",
                f"cannot publish {delegation.id}'s {document.scope}: what it accepts, overrides or "
                f"grants for {key} is for the owner to say",
            )
        if is_pattern(key):
            raise InvalidInput(
                "owners-word",
                f"cannot publish {delegation.id}'s {document.scope}: {key} is a pattern, and "
                "delegates order by exact name",
            )
    terms_in_force = [term for term in delegation.all_terms if isinstance(term, _STATIC)]
    for change, facts in _changes(orders, find):
        decision = decide(change, terms_in_force, facts, now)
        if not decision.allowed:
            raise Refused(
                "outside-terms",
                f"cannot publish {delegation.id}'s {document.scope}: it may not {change.verb} "
                f"{change.package} there",
                reasons=tuple(f"{one.code}: {one.says}" for one in decision.refusals),
            )


def _changes(orders: Orders, find: FindRelease) -> Iterator[tuple[Change, ChangeFacts]]:
    """Every change that the document could ask of a device."""
    document = orders.document
    scope = document.scope
    if document.restarts and Verb.RESTART not in orders.delegation.verbs:
        yield Change(Verb.RESTART, scope, AGENT), ChangeFacts()
    for key, entry in document.packages.items():
        package = Purl(key)
        release = find(document.fleet, package, entry)
        held = approved_entry(key, entry, orders.fleet, scope, document.author)
        facts = ChangeFacts(approved=by_kind(held.approved))
        overrides = _overrides(orders.owners, package)
        for verb in _verbs(entry):
            wanted = release if verb is Verb.ACTIVATE else None
            yield Change(verb, scope, package, wanted, overrides=overrides), facts


def _verbs(entry: PackageEntry) -> Iterator[Verb]:
    """What an entry asks for; an empty list deletes what is there."""
    if entry.software is not None:
        yield from {_LEVELS[order.level] for order in entry.software.releases}
        if not entry.software.releases:
            yield Verb.DELETE
    if entry.configuration is not None:
        yield Verb.CONFIGURE


def _overrides(owners: StateDocument | None, package: Purl) -> frozenset[str]:
    """The terms that the owner's own entry sets aside for the package; exact before pattern."""
    if owners is None:
        return frozenset()
    exact = owners.packages.get(package)
    if exact is not None:
        return exact.overrides
    for key, entry in owners.packages.items():
        if is_pattern(key) and pattern_covers(key, package):
            return entry.overrides
    return frozenset()
