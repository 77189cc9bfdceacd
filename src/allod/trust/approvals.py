"""What people signed about one entry of one change (docs/spec/approval.md).

An approval counts for exactly the bytes that its signer saw: fleet, scope, package, the resulting
entry and the change's id stand in it. It counts while the owner's `fleet.json` names the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from securesystemslib.signer import Signer

from allod.domain import ids
from allod.domain.approval import Approval
from allod.domain.desired import PackageEntry, StateDocument
from allod.domain.ids import FleetId, Scope
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.trust.dsse import decode_envelope, payload_of, sign_envelope, verify
from allod.trust.keys import to_key
from allod.trust.verified import Verified, seal
from allod.wire.approval import APPROVAL_CAP, ApprovalStatement
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.entry import entry_digest
from allod.wire.envelope import APPROVAL
from allod.wire.trust import FleetDocument, Person

ENVELOPE_CAP: Final = 24 * 1024
_TEXT: Final = 1_000  #: characters of a message or a ticket


def verify_approval(raw: bytes, fleet: FleetDocument) -> Verified[ApprovalStatement]:
    """A person's signed word, for or against: of this fleet, by a key that may speak as this kind.

    Whether it is about the entry at hand is for `approved_entry`.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-fleet`, `wrong-person`.
    """
    what = "the approval"
    envelope = decode_envelope(raw, cap=ENVELOPE_CAP, what=what)
    # Who says to have signed is read before the signature is checked, to find the key; nothing
    # else of it is used before.
    said = decode(payload_of(envelope), ApprovalStatement, cap=APPROVAL_CAP, what=what)
    keys = [
        to_key(person.approval)
        for person in fleet.people
        if person.approval is not None and person.name == said.person and said.kind in person.kinds
    ]
    if not keys:
        raise Untrusted(
            "wrong-person",
            f"cannot accept {what}: nobody named {said.person[:64]!r} approves as {said.kind[:64]!r}",
        )
    verified = verify(envelope, APPROVAL, keys, 1, what=what)
    if said.fleet != fleet.fleet:
        raise Untrusted("wrong-fleet", f"cannot accept {what}: it is signed for another fleet")
    _check(said)
    return seal(said, verified.by)


def _check(said: ApprovalStatement) -> None:
    """Its fields have their forms. Raises InvalidInput."""
    ids.parse_scope(said.scope)
    ids.parse_digest(said.entry)
    parse_instant(said.at)
    for text in (said.ticket, said.message):
        if len(text) > _TEXT or not text.replace("\n", " ").isprintable():
            raise InvalidInput("bad-note", "cannot read an approval: its texts are no short text")


def approved_entry(
    key: str, entry: PackageEntry, fleet: FleetDocument, scope: Scope, author: str
) -> PackageEntry:
    """The entry with those approvals that hold for it; the others count for nothing.

    Somebody who also signed against it does not count, whatever else they signed. A key is one
    person, under however many names the owner's document has it.

    Args:
        key: of the entry: the package.
        entry: as it stands in a document.
        fleet: the owner's document that names the people.
        scope: the document's.
        author: whose document it is: `owner` or a delegation's id.
    """
    if not entry.approvals:
        return entry if not entry.approved else replace(entry, approved=())
    digest = entry_digest(key, entry)
    change = "" if entry.change is None else entry.change.id
    wanted = (str(scope), author, key, digest, change)
    found: dict[tuple[str, str], Approval] = {}
    against: set[str] = set()
    for raw in entry.approvals:
        try:
            said = verify_approval(raw, fleet).value
        except AllodError:
            continue  # it stops nothing and helps nobody
        if (said.scope, said.manager, said.package, said.entry, said.change) != wanted:
            continue
        person = _one_name(fleet, said)
        if said.verdict == "reject":
            against.add(person)
        found.setdefault(
            (said.kind, person),
            Approval(said.kind, person, parse_instant(said.at), said.ticket, said.message),
        )
    held = tuple(one for (_, person), one in sorted(found.items()) if person not in against)
    return replace(entry, approved=held)


def approved_state(document: StateDocument, fleet: FleetDocument) -> StateDocument:
    """A document in which every entry has the approvals that hold for it."""
    if not any(entry.approvals for entry in document.packages.values()):
        return document
    packages = {
        key: approved_entry(key, entry, fleet, document.scope, document.author)
        for key, entry in document.packages.items()
    }
    return replace(document, packages=packages)


def _one_name(fleet: FleetDocument, said: ApprovalStatement) -> str:
    """One name for all entries of `people` that share a key with the signer."""
    keys = {_public(one) for one in fleet.people if one.name == said.person} - {None}
    return min(one.name for one in fleet.people if _public(one) in keys)


def _public(person: Person) -> str | None:
    return None if person.approval is None else person.approval.keyval.public.strip()


def make_approval(
    fleet: FleetId,
    scope: Scope,
    author: str,
    key: str,
    entry: PackageEntry,
    *,
    kind: str,
    person: str,
    at: datetime,
    signers: Sequence[Signer],
    verdict: Literal["approve", "reject"] = "approve",
    ticket: str = "",
    message: str = "",
) -> bytes:
    """Sign a person's word about `entry`, whose digest is computed here, from what was shown.

    Raises:
        InvalidInput: a field has no form that can be read again.
    """
    statement = ApprovalStatement(
        fleet=fleet,
        scope=str(scope),
        manager=author,
        package=key,
        entry=entry_digest(key, entry),
        change="" if entry.change is None else entry.change.id,
        verdict=verdict,
        kind=kind,
        person=person,
        at=instant(at),
        ticket=ticket,
        message=message,
    )
    _check(statement)
    return sign_envelope(encode(statement), APPROVAL, signers)
