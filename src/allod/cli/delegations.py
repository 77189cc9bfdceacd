"""What the newest documents say of delegations, and which people speak for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allod.cli.cards import delegation_role
from allod.cli.phrases import choices
from allod.domain.delegation import Delegation
from allod.errors import InvalidInput
from allod.trust.metadata import TARGETS, read

if TYPE_CHECKING:
    from allod.cli.documents import Base
    from allod.wire.trust import Person


def find(base: Base, name: str) -> Delegation:
    """A delegation by its id. Raises InvalidInput `unknown-delegation` (and says which there are)."""
    known = base.delegations
    if name not in known:
        raise InvalidInput(
            "unknown-delegation",
            f"cannot find the delegation {name[:80]!r}; there are: {choices(sorted(known))}",
        )
    return known[name]


def role_keys(base: Base, delegation: str) -> tuple[int, tuple[str, ...]] | None:
    """Threshold and key ids of a delegate's role; None: it has none (it follows a channel)."""
    delegations = read(base.view.repository.files[TARGETS], TARGETS).signed.delegations
    roles = {} if delegations is None else delegations.roles or {}
    role = roles.get(delegation_role(delegation))
    return None if role is None else (role.threshold, tuple(role.keyids))


def was_used(base: Base, delegation: str) -> bool:
    """Whether a role of that name was ever published: it is never given to others."""
    role = delegation_role(delegation)
    return role in base.view.versions or role_keys(base, delegation) is not None


def people_of(base: Base, delegation: str) -> list[Person]:
    """The people who speak for a delegation: all of its name, one for each of its keys."""
    return [
        person
        for person in base.fleet_document.people
        if person.name == delegation and person.role == "publish"
    ]
