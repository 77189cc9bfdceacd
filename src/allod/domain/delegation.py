"""Delegations and channels: who else than the owner may decide, and within which terms.

Values only (docs/spec/delegation.md); `resolution` finds whose word counts, `decision` what it may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from allod.domain.condition import Term, Verb
from allod.domain.desired import StateDocument
from allod.domain.ids import Digest, ProviderName, Purl, Scope, Version
from allod.domain.terms import NewAccess, Packages, Scopes, Until, Verbs


@dataclass(frozen=True, slots=True)
class Follow:
    """A channel that is followed."""

    provider: ProviderName
    channel: str
    source: str = ""  #: where the server copies it from: a registry's URL; empty: it is handed in

    def __str__(self) -> str:
        return f"{self.provider}/{self.channel}"


@dataclass(frozen=True, slots=True)
class Delegation:
    """What the owner lets somebody else decide."""

    id: str
    scopes: frozenset[Scope]
    packages: tuple[str, ...]  #: exact names and patterns
    verbs: frozenset[Verb]
    terms: tuple[Term, ...] = ()
    follow: Follow | None = None  #: None: the delegate gives orders, in a role of their own
    about: str = ""

    @property
    def role(self) -> str:
        """The TUF role of a delegate who gives orders."""
        return f"delegation-{self.id}"

    @property
    def all_terms(self) -> tuple[Term, ...]:
        """All that a change by this delegation is held to."""
        frame = (Scopes(self.scopes), Packages(self.packages), Verbs(self.verbs))
        if any(isinstance(term, NewAccess) for term in self.terms):
            return (*frame, *self.terms)
        return (*frame, NewAccess(), *self.terms)

    def document_path(self, scope: Scope) -> str:
        """The target path of the delegate's document for `scope`."""
        return f"by/{self.id}/{scope.kind}/{scope.name}.json"


@dataclass(frozen=True, slots=True)
class ChannelRelease:
    """What a channel says of one package."""

    version: Version
    digest: Digest
    mends: tuple[str, ...] = ()  #: flaws that it mends, as the provider states


@dataclass(frozen=True, slots=True)
class Channel:
    """A provider's document for all who follow it."""

    provider: ProviderName
    channel: str
    sequence: int
    at: datetime  #: as the provider says
    expires: datetime
    packages: Mapping[Purl, ChannelRelease] = field(default_factory=dict)
    seen_since: datetime | None = (
        None  #: witnessed time of a checkpoint that includes it, if proved
    )

    @property
    def term(self) -> Until:
        """Its expiry: from then on it changes nothing more."""
        return Until(self.expires, f"the channel {self.provider}/{self.channel}")


@dataclass(frozen=True, slots=True)
class Delegate:
    """A delegation, and what was proved to be its word: documents of its own, or a channel."""

    delegation: Delegation
    documents: Mapping[Scope, StateDocument] = field(default_factory=dict)
    channel: Channel | None = None
