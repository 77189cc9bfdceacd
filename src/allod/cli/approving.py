"""Whether a change carries the approvals that it needs, and whose they are (docs/spec/approval.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from allod.domain.approval import Approval, by_kind, seated
from allod.domain.desired import OWNER, PackageEntry, StateDocument
from allod.domain.ids import Scope
from allod.domain.terms import Approvals
from allod.errors import Refused
from allod.trust.approvals import approved_entry

if TYPE_CHECKING:
    from allod.cli.picture import Picture
    from allod.cli.preview import Reading
    from allod.domain.condition import Term
    from allod.wire.trust import FleetDocument


def lacking(picture: Picture, reading: Reading) -> tuple[str, ...]:
    """Which approvals the entries that change still need, by kind; empty: none.

    Args:
        picture: of the fleet.
        reading: of the bytes that would be signed.
    """
    people = picture.base.fleet_document
    found: list[str] = []
    for scope, document in reading.after.items():
        terms = _terms(picture, scope, document)
        if not terms:
            continue
        old = reading.before.get(scope)
        for key, entry in document.packages.items():
            if old is not None and old.packages.get(key) == entry:
                continue
            if "approvals" in _overrides(picture, scope, key, document):
                continue
            held = approved_entry(key, entry, people, scope, document.author)
            found += [
                f"{key} in {scope}: {one}" for term in terms for one in missing(term, held.approved)
            ]
    return tuple(dict.fromkeys(found))


def unheld(document: FleetDocument, terms: Iterable[Term]) -> tuple[str, ...]:
    """Lines about approvals that too few people can give, as things are."""
    found = []
    for term in terms:
        for kind, needed in term.needed if isinstance(term, Approvals) else ():
            held = sum(kind in person.kinds for person in document.people)
            if held < needed:
                found.append(
                    f"! {held} of the {needed} that it needs approve as {kind}: nothing is approved "
                    f"until you add them ('allod people add NAME CARD --kind {kind}')"
                )
    return tuple(found)


def require_approvals(picture: Picture, reading: Reading) -> None:
    """Raises Refused `approvals-missing`, with what is missing by kind."""
    still = lacking(picture, reading)
    if still:
        raise Refused(
            "approvals-missing",
            "cannot publish this change: people have to approve it first; propose it with "
            "--propose, or collect what its proposal lacks",
            reasons=still,
        )


def missing(term: Approvals, approved: Iterable[Approval]) -> tuple[str, ...]:
    """What a term still needs, kind by kind; empty: it holds."""
    kinds = by_kind(approved)
    short = tuple(
        f"{count - len(kinds.get(kind, ()))} more of {kind}"
        for kind, count in term.needed
        if len(kinds.get(kind, ())) < count
    )
    filled, places = seated(term.needed, kinds), sum(count for _, count in term.needed)
    if not short and filled < places:
        return (f"{places - filled} more: one person counts for one kind",)
    return short


def _terms(picture: Picture, scope: Scope, document: StateDocument) -> list[Approvals]:
    """Of the delegation, and of the scope as it will be."""
    owners = document if document.author == OWNER else picture.owners(scope)
    delegation = picture.base.delegations.get(document.author)
    terms = (*owners.terms, *(() if delegation is None else delegation.terms))
    return [term for term in terms if isinstance(term, Approvals)]


def _overrides(picture: Picture, scope: Scope, key: str, document: StateDocument) -> frozenset[str]:
    owners = document if document.author == OWNER else picture.owners(scope)
    return owners.packages.get(key, PackageEntry()).overrides


def approved_lines(people: FleetDocument, reading: Reading) -> Iterator[str]:
    """Who approved what changes, by signatures that were checked here."""
    for scope, document in reading.after.items():
        old = reading.before.get(scope)
        for key, entry in document.packages.items():
            if not entry.approvals or (old is not None and old.packages.get(key) == entry):
                continue
            held = approved_entry(key, entry, people, scope, document.author)
            for one in held.approved:
                yield f"· {key}: {approval_text(one)}"


def approval_text(one: Approval) -> str:
    """An approval in a line."""
    ticket = f" [{one.ticket}]" if one.ticket else ""
    about = f": {one.message}" if one.message else ""
    return f"approved by {one.person} as {one.kind}, {one.at:%Y-%m-%d %H:%M} UTC{ticket}{about}"
