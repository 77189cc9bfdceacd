"""What a device proposes when it is bound: that somebody be let decide (docs/spec/binding.md).

A device that comes from its maker may carry the wish that its maker's channel be followed. It is
shown to the owner, filled in beforehand, and means nothing until they sign a delegation.
"""

from __future__ import annotations

from typing import Final

from allod.domain import ids
from allod.errors import InvalidInput
from allod.wire.codec import Document, decode
from allod.wire.delegation import Follow
from allod.wire.envelope import PublicKey
from allod.wire.terms import TermWire, terms_from_wire

PROPOSAL_CAP: Final = 64 * 1024
_ABOUT: Final = 500
_MOST: Final = 64


class ProposedProvider(Document, kw_only=True, frozen=True):
    """Whom the owner would have to name."""

    keys: list[PublicKey]
    threshold: int = 1
    namespaces: list[str]
    access: list[str] | None = None  #: the most that its releases may need; None: any


class ProposedDelegation(Document, kw_only=True, frozen=True):
    """A delegation that a device proposes."""

    follow: Follow
    provider: ProposedProvider
    packages: list[str]
    terms: list[TermWire] = []
    about: str = ""


def decode_proposed(data: bytes) -> ProposedDelegation:
    """A proposal as it lies on a device, checked. Raises InvalidInput."""
    wire = decode(data, ProposedDelegation, cap=PROPOSAL_CAP, what="the proposed delegation")
    check_proposed(wire)
    return wire


def check_proposed(wire: ProposedDelegation) -> None:
    """Whether every part of it has its form. Raises InvalidInput."""
    ids.parse_provider(wire.follow.provider)
    ids.parse_name(wire.follow.channel, "a channel")
    terms_from_wire(wire.terms)
    parts = (wire.packages, wire.provider.namespaces, wire.provider.keys)
    if not all(0 < len(part) <= _MOST for part in parts):
        raise InvalidInput("bad-document", "cannot read a proposed delegation: a part is missing")
    for package in wire.packages:
        if not ids.is_pattern(package):
            ids.parse_purl(package)
        if not any(package.startswith(prefix) for prefix in wire.provider.namespaces):
            raise InvalidInput(
                "bad-document",
                f"cannot read a proposed delegation: {package} is not in the namespaces",
            )
    if len(wire.about) > _ABOUT or not wire.about.isprintable():
        raise InvalidInput(
            "bad-note", "cannot read a proposed delegation: its text is no short one"
        )
