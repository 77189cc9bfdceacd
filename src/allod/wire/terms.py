"""Terms, as they stand in delegations and in documents of desired state (docs/spec/delegation.md)."""

from __future__ import annotations

from typing import Final, assert_never

from allod.domain import ids, terms
from allod.domain.access import parse_access
from allod.domain.condition import Term
from allod.domain.terms import VersionRule
from allod.errors import InvalidInput
from allod.wire.codec import Document, instant, parse_instant
from allod.wire.settings import Window, window_from_wire, window_to_wire

_LONGEST: Final = 10 * 366 * 86_400  #: seconds of any term
_MOST: Final = 1_000  #: of anything that is counted


class Versions(Document, kw_only=True, frozen=True, tag_field="term", tag="version"):
    """Which releases may follow the one that runs."""

    rule: VersionRule
    evidence: list[str] = []


class NewAccess(Document, kw_only=True, frozen=True, tag_field="term", tag="access"):
    """New access that is allowed."""

    allowed: list[str] = []


class Soak(Document, kw_only=True, frozen=True, tag_field="term", tag="soak"):
    """How long a release has to be known."""

    seconds: int


class Windows(Document, kw_only=True, frozen=True, tag_field="term", tag="window"):
    """When what runs may change."""

    windows: list[Window]


class Rate(Document, kw_only=True, frozen=True, tag_field="term", tag="rate"):
    """How often what runs of a package may change."""

    changes: int
    seconds: int


class Approvals(Document, kw_only=True, frozen=True, tag_field="term", tag="approvals"):
    """How many people of each kind have to approve."""

    needed: dict[str, int]


class Consent(Document, kw_only=True, frozen=True, tag_field="term", tag="consent"):
    """Somebody at the device agrees."""


class Lease(Document, kw_only=True, frozen=True, tag_field="term", tag="lease"):
    """The greatest age of evidence of freshness."""

    seconds: int


class Until(Document, kw_only=True, frozen=True, tag_field="term", tag="until"):
    """When it ends."""

    at: str


TermWire = Versions | NewAccess | Soak | Windows | Rate | Approvals | Consent | Lease | Until


def term_from_wire(wire: TermWire, *, strict: bool = False) -> Term:
    """A term as a domain value.

    Args:
        wire: as it stands in a document.
        strict: it is the owner's own, for a scope: what an entry accepts does not soften it.

    Raises:
        InvalidInput: `bad-term`, or what one of its parts is refused with.
    """
    match wire:
        case Versions():
            evidence = frozenset(
                ids.parse_name(one, "a source of evidence") for one in wire.evidence
            )
            return terms.Versions(wire.rule, evidence)
        case NewAccess():
            return terms.NewAccess(parse_access(wire.allowed), strict)
        case Soak():
            return terms.Soak(_seconds(wire.seconds, "soak"))
        case Windows():
            return terms.Windows(tuple(window_from_wire(one) for one in wire.windows))
        case Rate():
            _count(wire.changes, "rate")
            return terms.Rate(wire.changes, _seconds(wire.seconds, "rate"))
        case Approvals():
            needed = sorted(wire.needed.items())
            for kind, count in needed:
                ids.parse_name(kind, "a kind of approval")
                _count(count, "approvals")
            return terms.Approvals(tuple(needed))
        case Consent():
            return terms.Consent()
        case Lease():
            return terms.Lease(_seconds(wire.seconds, "lease"))
        case Until():
            return terms.Until(parse_instant(wire.at))
        case _:
            assert_never(wire)


def term_to_wire(term: Term) -> TermWire:
    """The inverse of `term_from_wire`. Raises InvalidInput `bad-term` for one that stands nowhere."""
    match term:
        case terms.Versions():
            return Versions(rule=term.rule, evidence=sorted(term.evidence))
        case terms.NewAccess():
            return NewAccess(allowed=sorted(term.allowed))
        case terms.Soak():
            return Soak(seconds=term.seconds)
        case terms.Windows():
            return Windows(windows=[window_to_wire(one) for one in term.windows])
        case terms.Rate():
            return Rate(changes=term.changes, seconds=term.seconds)
        case terms.Approvals():
            return Approvals(needed=dict(term.needed))
        case terms.Consent():
            return Consent()
        case terms.Lease():
            return Lease(seconds=term.seconds)
        case terms.Until():
            return Until(at=instant(term.at))
        case _:
            raise InvalidInput("bad-term", f"cannot write the term {term.name}: it stands in none")


def terms_from_wire(wire: list[TermWire], *, strict: bool = False) -> tuple[Term, ...]:
    """All terms of a document; each kind stands at most once.

    Raises:
        InvalidInput: `bad-term`.
    """
    found = tuple(term_from_wire(one, strict=strict) for one in wire)
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput("bad-term", f"cannot have the term {twice} twice in one document")
    return found


def _seconds(value: int, what: str) -> int:
    if not 0 < value <= _LONGEST:
        raise InvalidInput("bad-term", f"cannot use {value} seconds as {what}")
    return value


def _count(value: int, what: str) -> None:
    if not 0 < value <= _MOST:
        raise InvalidInput("bad-term", f"cannot use {value} as the number of {what}")
