"""Changes that wait for people: made from the bytes that would be signed, and read back from them.

A proposal carries no authority, and the server that keeps it is not believed: whoever approves one
computes here what its entries are to be, what that changes on the newest verified base, and the
digests that their signature stands for (docs/spec/approval.md; attack 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from allod.cli.approving import lacking
from allod.cli.contents import fetch_configuration, read_document, with_contents
from allod.cli.picture import Picture, take
from allod.cli.preview import Reading, compare, path_of
from allod.cli.summary import Summary
from allod.domain.desired import ChangeNote, PackageEntry, StateDocument
from allod.domain.ids import Digest, Scope, parse_name
from allod.errors import Conflict, InvalidInput, Refused, Untrusted
from allod.wire.codec import encode, instant
from allod.wire.desired import encode_state
from allod.wire.entry import entry_digest, entry_to_wire
from allod.wire.proposal import Proposal, ProposalStatus, ProposedEntry, read_entries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from allod.cli.fleet import LocalFleet
    from allod.cli.options import Options
    from allod.cli.publish import Prepared

Place = tuple[Scope, str]
_KEPT: Final = "proposals"  #: where this machine keeps those that it made


def hand_in(options: Options, prepared: Prepared, *, yes: bool) -> None:
    """Hand a prepared change in for people to approve, and say under which id.

    Raises:
        Refused: `not-proposable`: it changes more than what is wanted of packages.
        InvalidInput: `not-confirmed`.
    """
    proposal = proposal_of(prepared)
    options.output.confirm("Propose this change?", yes=yes)
    fleet = prepared.picture.fleet
    fleet.save_history(_KEPT, {f"{proposal.id}.json": encode(proposal)})
    status = fleet.client.post("proposals", proposal, ProposalStatus)
    still = lacking(prepared.picture, prepared.reading)
    data = {
        "changed": False,
        "proposal": proposal.id,
        "state": status.state,
        "lacking": list(still),
        **prepared.summary.data(),
    }
    text = f"Proposed as {proposal.id}."
    if still:
        text += f" It waits for: {'; '.join(still)}."
    text += f"\nApprovers run 'allod change approve {proposal.id}' on their own machines."
    options.output.result(data, text)


def proposal_of(prepared: Prepared) -> Proposal:
    """The proposal of a change, from the documents that were read back from its bytes.

    Raises:
        Refused: `not-proposable`.
    """
    picture, note = prepared.picture, prepared.note
    if prepared.change.files or prepared.change.also is not None:
        raise _unfit("it changes other documents than those of desired state")
    entries: list[ProposedEntry] = []
    for scope, document in sorted(prepared.reading.after.items()):
        before = picture.base.by(picture.author, scope)
        begun = before if before is not None else picture.document(scope)
        if replace(document, packages=begun.packages, change=begun.change) != begun:
            raise _unfit(f"in {scope} it changes more than what is wanted of packages")
        if begun.packages.keys() - document.packages.keys():
            raise _unfit(f"in {scope} a package is no longer named")
        entries += [
            ProposedEntry(
                scope=str(scope),
                package=key,
                before=digest_of(key, begun.packages.get(key)),
                entry=entry_to_wire(replace(entry, approvals=(), approved=())),
            )
            for key, entry in sorted(document.packages.items())
            if entry != begun.packages.get(key)
        ]
    if not entries:
        raise _unfit("it changes nothing of what devices are to have")
    return Proposal(
        id=note.id,
        fleet=picture.base.fleet_id,
        author=picture.author,
        by=note.by,
        at=instant(prepared.now),
        message=note.message,
        ticket=note.ticket,
        entries=entries,
        blobs={str(digest): data for digest, data in prepared.change.blobs.items()},
    )


def _unfit(why: str) -> Refused:
    return Refused(
        "not-proposable", f"cannot propose this change: {why}; publish it without --propose"
    )


def digest_of(key: str, entry: PackageEntry | None) -> Digest | None:
    """What an entry that stands is known by; None: there is none."""
    return None if entry is None else entry_digest(key, entry)


@dataclass(frozen=True, slots=True)
class Examined:
    """A proposal, read here, on the newest base that this machine verified.

    Attributes:
        picture: that base, as whoever's documents it changes.
        status: the proposal, and what the server says of it.
        entries: what the entries are to be.
        states: the documents with these entries.
        reading: what that changes.
        summary: the same, with what follows, for people.
        stale: entries that were changed by others since it was proposed.
    """

    picture: Picture
    status: ProposalStatus
    entries: Mapping[Place, PackageEntry]
    states: Mapping[Scope, StateDocument]
    reading: Reading
    summary: Summary
    stale: tuple[str, ...]

    @property
    def digests(self) -> Mapping[Place, Digest]:
        """What approvals of it are signed over, computed from the bytes."""
        return {place: entry_digest(place[1], entry) for place, entry in self.entries.items()}

    def require_fresh(self) -> None:
        """Raises Conflict `proposal-stale`."""
        if self.stale:
            raise Conflict(
                "proposal-stale",
                f"cannot go on with the proposal {self.status.proposal.id}: since it was made, others "
                f"changed {', '.join(self.stale)}; propose it again",
            )

    def data(self) -> dict[str, Any]:
        """For `--json`."""
        proposal = self.status.proposal
        return {
            "proposal": proposal.id,
            "author": proposal.author,
            "state": self.status.state,
            "at": proposal.at,
            "entries": [
                {"scope": str(scope), "package": key, "digest": digest}
                for (scope, key), digest in self.digests.items()
            ],
            "stale": list(self.stale),
            **self.summary.data(),
        }

    def lines(self) -> Iterator[str]:
        """For people: the change, and the digest of each entry that they would sign."""
        yield from self.summary.lines()
        for (scope, key), digest in self.digests.items():
            yield f"{scope} {key}: {digest}"
        for name in self.stale:
            yield f"! {name} was changed by others since: it cannot be published as it stands"


def fetch(fleet: LocalFleet, proposal: str) -> ProposalStatus:
    """A proposal as the server has it. Raises InvalidInput `not-found`."""
    name = parse_name(proposal, "a proposal's id")
    status = fleet.client.get(f"proposals/{name}", ProposalStatus)
    own = own_proposal(fleet, name)
    altered = own is not None and own != encode(status.proposal)
    if altered or status.proposal.id != name or status.proposal.fleet != fleet.id:
        raise Untrusted("wrong-proposal", f"cannot use the proposal {name}: it is another one")
    return status


def own_proposal(fleet: LocalFleet, proposal: str) -> bytes | None:
    """A proposal as it was made on this machine; None: it was made elsewhere."""
    return fleet.history(_KEPT).get(f"{proposal}.json")


def examine(fleet: LocalFleet, proposal: str, *, reading: bool = False) -> Examined:
    """Fetch a proposal and the newest base, and see here what the one does to the other."""
    status = fetch(fleet, proposal)
    return on_base(take(fleet, author=status.proposal.author, reading=reading), status)


def on_base(picture: Picture, status: ProposalStatus) -> Examined:
    """What a proposal changes on a base.

    Raises:
        InvalidInput: `bad-proposal`, or an entry cannot be read.
    """
    proposal = status.proposal
    entries = read_entries(proposal)
    note = _note(proposal, entries)
    states: dict[Scope, StateDocument] = {}
    stale: list[str] = []
    before = {(one.scope, one.package): one.before for one in proposal.entries}
    for (scope, key), entry in entries.items():
        document = states.get(scope) or picture.document(scope)
        if digest_of(key, document.packages.get(key)) != before[str(scope), key]:
            stale.append(f"{key} in {scope}")
        states[scope] = replace(document, packages={**document.packages, key: entry})
    read = _read(picture, proposal, {s: replace(d, change=note) for s, d in states.items()})
    return Examined(
        picture,
        status,
        entries,
        states,
        read,
        Summary.of(picture, note, read).proposed(),
        tuple(stale) if status.state == "open" else (),
    )


def _note(proposal: Proposal, entries: Mapping[Place, PackageEntry]) -> ChangeNote:
    notes = {entry.change for entry in entries.values()}
    if len(notes) != 1 or (note := notes.pop()) is None:
        raise InvalidInput(
            "bad-proposal",
            f"cannot read the proposal {proposal.id}: its entries differ in their note",
        )
    return note


def _read(picture: Picture, proposal: Proposal, states: Mapping[Scope, StateDocument]) -> Reading:
    """The change, read back from the bytes that the documents would have."""
    pairs = {}
    for scope, document in states.items():
        path = path_of(picture.author, scope)
        pairs[path] = (
            picture.base.content(path) if path in picture.base.targets else None,
            encode_state(document),
        )
    return with_contents(
        compare(picture.base.fleet_id, pairs), partial(_load, picture.fleet, proposal.blobs)
    )


def _load(fleet: LocalFleet, blobs: Mapping[str, bytes], digest: Digest) -> Mapping[str, Any]:
    data = blobs.get(digest)
    if data is None:
        return fetch_configuration(fleet.client, digest)
    return read_document(data, digest)
