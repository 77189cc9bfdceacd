"""Delegations, `delegations/<id>.json`, signed by `targets` (docs/spec/delegation.md)."""

from __future__ import annotations

from typing import Final, Literal

from allod.domain import delegation as domain
from allod.domain import ids
from allod.domain.condition import Verb
from allod.errors import InvalidInput
from allod.wire.codec import Document, decode, encode
from allod.wire.terms import TermWire, term_to_wire, terms_from_wire

DELEGATION_CAP: Final = 256 * 1024
_ABOUT: Final = 500


class Follow(Document, kw_only=True, frozen=True):
    """The channel that decides."""

    provider: str
    channel: str
    source: str = ""


class DelegationDocument(Document, kw_only=True, frozen=True):
    """What the owner lets somebody decide. Keys stand in the TUF role `delegation-<id>` alone."""

    type: Literal["allod.delegation"] = "allod.delegation"
    format: Literal[1] = 1
    fleet: str
    delegation: str
    scopes: list[str]
    packages: list[str]
    verbs: list[Verb]
    terms: list[TermWire] = []
    follow: Follow | None = None
    about: str = ""


def delegation_path(delegation: str) -> str:
    """The target path of a delegation's document."""
    return f"delegations/{delegation}.json"


def decode_delegation(data: bytes) -> tuple[ids.FleetId, domain.Delegation]:
    """Read a delegation: whose fleet's, and what it says.

    An unknown term refuses the whole: what is not understood could have narrowed it.

    Raises:
        InvalidInput: it cannot be read.
    """
    wire = decode(data, DelegationDocument, cap=DELEGATION_CAP, what="a delegation")
    name = ids.parse_name(wire.delegation, "a delegation's id")
    for package in wire.packages:
        if not ids.is_pattern(package):
            ids.parse_purl(package)
    if len(wire.about) > _ABOUT or not wire.about.isprintable():
        raise InvalidInput("bad-note", "cannot read a delegation: its description is no short text")
    return ids.parse_fleet(wire.fleet), domain.Delegation(
        id=name,
        scopes=frozenset(ids.parse_scope(one) for one in wire.scopes),
        packages=tuple(sorted(set(wire.packages))),
        verbs=frozenset(wire.verbs),
        terms=terms_from_wire(wire.terms),
        follow=None if wire.follow is None else _follow(wire.follow),
        about=wire.about,
    )


def _follow(wire: Follow) -> domain.Follow:
    return domain.Follow(
        ids.parse_provider(wire.provider), ids.parse_name(wire.channel, "a channel"), wire.source
    )


def encode_delegation(fleet: ids.FleetId, delegation: domain.Delegation) -> bytes:
    """The inverse of `decode_delegation`. Raises InvalidInput."""
    follow = delegation.follow
    data = encode(
        DelegationDocument(
            fleet=fleet,
            delegation=delegation.id,
            scopes=sorted(map(str, delegation.scopes)),
            packages=sorted(delegation.packages),
            verbs=sorted(delegation.verbs),
            terms=[term_to_wire(one) for one in delegation.terms],
            follow=None
            if follow is None
            else Follow(provider=follow.provider, channel=follow.channel, source=follow.source),
            about=delegation.about,
        )
    )
    decode_delegation(data)
    return data
