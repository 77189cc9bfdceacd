"""What people signed about a proposal: their words, verified here, and what is still missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from allod.cli.approving import approval_text, lacking
from allod.domain.approval import Approval
from allod.domain.desired import PackageEntry
from allod.errors import AllodError, Refused
from allod.trust.approvals import approved_entry, verify_approval
from allod.wire.codec import encode, instant

if TYPE_CHECKING:
    from allod.cli.change_proposal import Examined, Place
    from allod.wire.approval import ApprovalStatement

MOST: int = 32  #: approvals that an entry may carry


@dataclass(frozen=True, slots=True)
class Words:
    """Who said what.

    Attributes:
        entries: the entries, each with the approvals that hold for it.
        against: rejections that hold.
        idle: how many statements hold for nothing: of other bytes, or by nobody who is named.
        lacking: approvals that are still missing, by entry and kind.
    """

    entries: dict[Place, PackageEntry]
    against: tuple[ApprovalStatement, ...]
    idle: int
    lacking: tuple[str, ...]

    def require_none_against(self) -> None:
        """Raises Refused `proposal-rejected`."""
        if self.against:
            raise Refused(
                "proposal-rejected",
                "cannot publish this proposal: it was rejected; propose another one",
                reasons=tuple(_says(one) for one in self.against),
            )

    def said_by(self, person: str, kind: str) -> bool:
        """Whether somebody approved all of it as that kind already."""
        return all(
            any((one.person, one.kind) == (person, kind) for one in entry.approved)
            for entry in self.entries.values()
        )

    def data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "approvals": [
                {
                    "scope": str(scope),
                    "package": key,
                    "kind": one.kind,
                    "person": one.person,
                    "at": instant(one.at),
                    "ticket": one.ticket,
                    "message": one.message,
                }
                for (scope, key), entry in self.entries.items()
                for one in entry.approved
            ],
            "rejections": [
                {
                    "scope": one.scope,
                    "package": one.package,
                    "kind": one.kind,
                    "person": one.person,
                    "at": one.at,
                    "message": one.message,
                }
                for one in self.against
            ],
            "lacking": list(self.lacking),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        for (_, key), entry in self.entries.items():
            yield from (f"· {key}: {approval_text(one)}" for one in _each(entry.approved))
        yield from (f"! {_says(one)}" for one in self.against)
        yield from (f"! It needs an approval: {one}." for one in self.lacking)
        if self.idle:
            yield f"! {self.idle} of the statements that the server shows hold for nothing."


def _each(approved: Iterable[Approval]) -> tuple[Approval, ...]:
    return tuple(dict.fromkeys(approved))


def _says(one: ApprovalStatement) -> str:
    about = f": {one.message}" if one.message else ""
    return f"{one.package} in {one.scope} was rejected by {one.person} as {one.kind}{about}"


def words_about(examined: Examined) -> Words:
    """Verify every statement under the people whom the owner names now."""
    people = examined.picture.base.fleet_document
    author = examined.status.proposal.author
    against: list[ApprovalStatement] = []
    held: dict[Place, list[bytes]] = {place: [] for place in examined.entries}
    idle = 0
    digests = examined.digests
    for envelope in examined.status.approvals:
        raw = encode(envelope)
        try:
            said = verify_approval(raw, people).value
        except AllodError:
            idle += 1
            continue
        place = next(
            (one for one in held if (str(one[0]), one[1]) == (said.scope, said.package)), None
        )
        address = (said.manager, said.change)
        fits = place is not None and digests[place] == said.entry
        if place is None or not fits or address != (author, examined.status.proposal.id):
            idle += 1
        elif said.verdict == "reject":
            against.append(said)
        else:
            held[place].append(raw)
    entries = {
        (scope, key): approved_entry(
            key, replace(entry, approvals=tuple(held[scope, key][:MOST])), people, scope, author
        )
        for (scope, key), entry in examined.entries.items()
    }
    return Words(entries, tuple(against), idle, _lacking(examined, entries))


def _lacking(examined: Examined, entries: dict[Place, PackageEntry]) -> tuple[str, ...]:
    after = {
        scope: replace(
            document,
            packages={
                **document.packages,
                **{key: entry for (at, key), entry in entries.items() if at == scope},
            },
        )
        for scope, document in examined.reading.after.items()
    }
    return lacking(examined.picture, replace(examined.reading, after=after))
