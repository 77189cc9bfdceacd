"""The newest verified documents, read: what every verb looks at and every change is made on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from allod.cli.preview import DELEGATION, place_of, read_state
from allod.cli.refresh import View, refresh
from allod.domain.delegation import Delegation
from allod.domain.desired import OWNER, StateDocument
from allod.domain.ids import (
    Digest,
    FleetId,
    GroupName,
    ProviderName,
    Scope,
    parse_digest,
    parse_group,
    parse_provider,
    parse_scope,
)
from allod.errors import Untrusted
from allod.trust.metadata import read
from allod.wire.delegation import decode_delegation
from allod.wire.trust import (
    FleetDocument,
    ProviderDocument,
    Withdrawal,
    WithdrawnDocument,
)

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from allod.cli.fleet import LocalFleet

FLEET_PATH: Final = "fleet.json"
WITHDRAWN_PATH: Final = "releases/withdrawn.json"


_Own = TypeVar("_Own", FleetDocument, ProviderDocument, WithdrawnDocument)


def provider_path(provider: ProviderName) -> str:
    """The target path of a provider's document."""
    return f"providers/{provider}.json"


@dataclass
class Base:
    """The fleet as its owner last signed it.

    Args:
        view: the verified files; all roles are loaded.
    """

    view: View
    _states: dict[Scope, StateDocument] = field(default_factory=dict, repr=False)

    @property
    def fleet(self) -> LocalFleet:
        """Whose it is."""
        return self.view.fleet

    @property
    def fleet_id(self) -> FleetId:
        """Its id."""
        return self.view.fleet.id

    @cached_property
    def targets(self) -> Mapping[str, TargetFile]:
        """Target path -> what the signed metadata says of it, over all roles."""
        listed: dict[str, TargetFile] = {}
        for role, data in self.view.repository.files.items():
            found = getattr(read(data, role).signed, "targets", {})
            if role.startswith(DELEGATION):  # what else a delegate may list is nobody's word
                own = f"by/{role.removeprefix(DELEGATION)}/"
                found = {path: info for path, info in found.items() if path.startswith(own)}
            listed.update(found)
        return listed

    def content(self, path: str) -> bytes | None:
        """A target's verified bytes; None only if it is proved not to be there."""
        found = self.view.target(path)
        return None if found is None else found.data

    def state(self, scope: Scope) -> StateDocument | None:
        """The scope's document; None if the owner never said anything of it.

        Raises:
            Untrusted: `wrong-scope`, `wrong-fleet`.
        """
        if scope not in self._states:
            data = self.content(scope.target_path) if scope.target_path in self.targets else None
            if data is None:
                return None
            self._states[scope] = read_state(data, self.fleet_id, scope)
        return self._states[scope]

    @cached_property
    def delegated(self) -> Mapping[tuple[str, Scope], StateDocument]:
        """The documents of delegates who give orders, by delegation and scope."""
        found: dict[tuple[str, Scope], StateDocument] = {}
        for path in sorted(self.targets):
            place = place_of(path) if path.startswith("by/") else None
            data = None if place is None else self.content(path)
            if place is not None and data is not None:
                author, scope = place
                found[place] = read_state(data, self.fleet_id, scope, author)
        return found

    def by(self, author: str, scope: Scope) -> StateDocument | None:
        """The document of whoever decides, the owner or a delegation; None: nothing was said."""
        return self.state(scope) if author == OWNER else self.delegated.get((author, scope))

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes that have a document."""
        return tuple(
            parse_scope(path.removeprefix("state/").removesuffix(".json"))
            for path in sorted(self.targets)
            if path.startswith("state/")
        )

    @cached_property
    def states(self) -> Mapping[Scope, StateDocument]:
        """All documents of desired state."""
        found = {scope: self.state(scope) for scope in self.scopes}
        return {scope: document for scope, document in found.items() if document is not None}

    @cached_property
    def groups(self) -> tuple[GroupName, ...]:
        """The groups that have a document."""
        return tuple(parse_group(scope.name) for scope in self.scopes if scope.kind == "groups")

    @cached_property
    def fleet_document(self) -> FleetDocument:
        """`fleet.json`."""
        return self._own(self.view.fleet_document)

    @cached_property
    def providers(self) -> Mapping[ProviderName, ProviderDocument]:
        """The providers that the owner names."""
        found: dict[ProviderName, ProviderDocument] = {}
        for path in sorted(self.targets):
            if not path.startswith("providers/"):
                continue
            name = parse_provider(path.removeprefix("providers/").removesuffix(".json"))
            document = self.view.document(path, ProviderDocument)
            if document is not None:
                if document.provider != name:
                    raise Untrusted("wrong-address", f"cannot use {path}: it is another provider's")
                found[name] = self._own(document)
        return found

    @cached_property
    def delegations(self) -> Mapping[str, Delegation]:
        """Whom the owner lets decide, by id."""
        found: dict[str, Delegation] = {}
        for path in sorted(self.targets):
            name = path.removeprefix("delegations/").removesuffix(".json")
            data = self.content(path) if path.startswith("delegations/") else None
            if data is None:
                continue
            fleet, delegation = decode_delegation(data)
            if fleet != self.fleet_id:
                raise Untrusted("wrong-fleet", f"cannot use {path}: it is another fleet's")
            if delegation.id != name:
                raise Untrusted("wrong-address", f"cannot use {path}: it is another delegation's")
            found[name] = delegation
        return found

    @cached_property
    def withdrawn(self) -> Mapping[Digest, Withdrawal]:
        """The releases that were recalled."""
        if WITHDRAWN_PATH not in self.targets:
            return {}
        document = self.view.document(WITHDRAWN_PATH, WithdrawnDocument)
        if document is None:
            return {}
        return {parse_digest(one.digest): one for one in self._own(document).releases}

    def _own(self, document: _Own) -> _Own:
        if document.fleet != self.fleet_id:
            raise Untrusted("wrong-fleet", "cannot use a document: it is another fleet's")
        return document


def newest(fleet: LocalFleet, *, reading: bool = False) -> Base:
    """Fetch and verify everything that the owner signed, under this machine's own floors.

    Args:
        fleet: whose.
        reading: nothing is signed on it, so that it may be looked at without enough witnesses.

    Raises:
        Untrusted: the server shows what must not be (attack 60).
        Unavailable: it cannot be reached, or what it has is past its date.
    """
    view = refresh(fleet, allow_unwitnessed=reading)
    view.load_all()
    return Base(view)
