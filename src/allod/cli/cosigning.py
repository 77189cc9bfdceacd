"""Changes that several key holders sign, one after the other: `--cosign FILE`, `allod change cosign`.

The file goes from machine to machine. Each reads the change back from the bytes that they sign, on
a base of their own, and adds a signature to each file and to its entry of the log; whoever makes
it complete publishes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from allod.cli.approving import approved_lines, require_approvals
from allod.cli.contents import with_contents
from allod.cli.delegated import check_word
from allod.cli.in_force import see_in_force
from allod.cli.log_entries import entries_for
from allod.cli.picture import take
from allod.cli.preview import DELEGATION, read_back
from allod.cli.publish import Prepared, load_with, note_data, notes, upload_of
from allod.cli.summary import Summary
from allod.domain.desired import OWNER
from allod.domain.ids import parse_digest
from allod.durable import write_atomic
from allod.errors import Conflict, InvalidInput, Untrusted
from allod.trust.dsse import merge_envelopes, payload_of
from allod.trust.metadata import ROOT, TARGETS, read
from allod.wire.api import UPLOAD_CAP, ChangeReceipt, ChangeUpload
from allod.wire.codec import Document, decode, encode
from allod.wire.entry import change_from_wire
from allod.wire.envelope import Envelope
from allod.wire.log import decode_authority, encode_authority

if TYPE_CHECKING:
    from securesystemslib.signer import Signer
    from tuf.api.metadata import Root, Targets

    from allod.cli.options import Options
    from allod.cli.picture import Picture
    from allod.cli.preview import Reading

_CAP: Final = 2 * UPLOAD_CAP


class HalfSigned(Document, frozen=True, kw_only=True):
    """A change on its way from key holder to key holder. It carries no authority yet."""

    type: Literal["allod.half-signed"] = "allod.half-signed"
    format: Literal[1] = 1
    fleet: str
    author: str = OWNER
    upload: ChangeUpload


def role_of(author: str) -> str:
    """The role whose keys sign for whoever decides."""
    return TARGETS if author == OWNER else f"{DELEGATION}{author}"


def begin(options: Options, prepared: Prepared, file: Path, *, yes: bool) -> None:
    """Sign a prepared change with the keys that lie here, and write it for the other holders.

    Raises:
        Conflict: `exists`.
        Unavailable: `key-elsewhere`.
    """
    if file.exists():
        raise Conflict("exists", f"cannot write {file}: it is there already")
    picture = prepared.picture
    role = role_of(picture.author)
    signers = picture.fleet.keys.signers(role)
    options.output.confirm("Sign this change, for others to sign it as well?", yes=yes)
    metadata = {
        f"{read(data, name).signed.version}.{name}.json": _signed(data, name, signers)
        for name, data in prepared.unsigned.items()
    }
    upload = upload_of(prepared, metadata, prepared.draft.contents, {role: signers})
    half = HalfSigned(fleet=picture.base.fleet_id, author=picture.author, upload=upload)
    write_atomic(file.absolute(), encode(half), mode=0o644)
    options.output.result(
        {"changed": False, "file": str(file), **prepared.summary.data()},
        f"Hand {file} to the others: allod change cosign {file.name}",
    )


def _signed(data: bytes, role: str, signers: Sequence[Signer]) -> bytes:
    metadata = read(data, role)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


@dataclass(frozen=True, slots=True)
class Opened:
    """A half-signed change, read here.

    Attributes:
        picture: the newest base, as whoever decides.
        half: the file.
        roles: role -> file, as far as it is signed.
        reading: what it changes.
        summary: the same, for people.
    """

    picture: Picture
    half: HalfSigned
    roles: Mapping[str, bytes]
    reading: Reading
    summary: Summary


def cosign(file: Path, *, yes: bool, options: Options) -> None:
    """Show what others began to sign, sign it too, and publish it once it is complete.

    Raises:
        Conflict: `out-of-date`: the fleet went on since it was begun.
        Untrusted: `not-what-was-meant`, `wrong-fleet`.
        Refused: as for any change.
    """
    fleet = options.open()
    half = decode(_bytes(file), HalfSigned, cap=_CAP, what=f"the change {file}")
    if half.fleet != fleet.id:
        raise Untrusted("wrong-fleet", f"cannot sign {file}: it is another fleet's")
    opened = _open(take(fleet, author=half.author), half)
    require_approvals(opened.picture, opened.reading)
    if not options.json:
        options.output.say("\n".join(opened.summary.lines()))
    signers = fleet.keys.signers(role_of(half.author))
    options.output.confirm("Sign this change too?", yes=yes)
    after = _with_signatures(opened, signers)
    missing = _missing(opened.picture, after)
    if missing:
        again = msgspec.structs.replace(half, upload=after)
        write_atomic(file.absolute(), encode(again), mode=0o644)
        data = {"changed": False, "file": str(file), "missing": missing}
        options.output.result(data, f"Signed; {missing} more have to sign {file}.")
        return
    fleet.save_history("blobs", after.blobs)
    receipt = fleet.client.post("changes", after, ChangeReceipt)
    force = see_in_force(fleet, after)
    note = opened.summary.note
    data = {
        "changed": True,
        "number": note.number,
        "id": note.id,
        "news": receipt.news,
        "versions": receipt.versions,
        "force": force,
        **opened.summary.data(),
    }
    options.output.result(data, f"{force.says(f'Change {note.number}')}.")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput("no-file", f"cannot read {file}: {error.strerror}") from error


def _open(picture: Picture, half: HalfSigned) -> Opened:
    base, upload = picture.base, half.upload
    versions = base.view.versions
    roles = {
        name.partition(".")[2].removesuffix(".json"): data for name, data in upload.metadata.items()
    }
    begun = {**dict.fromkeys(roles, 0), **upload.base}  # 0: a delegate's first word
    if any(versions.get(role, 0) != version for role, version in begun.items()):
        raise Conflict(
            "out-of-date",
            "cannot sign this change: the fleet has changed since it was begun; begin it anew",
        )
    if ROOT in roles or upload.trust or upload.change is None:
        raise Untrusted("not-what-was-meant", "cannot sign this: it is more than a change")
    blobs = {parse_digest(name): data for name, data in upload.blobs.items()}
    reading = with_contents(
        read_back(base.fleet_id, base.view.repository.files, roles, upload.targets, base.content),
        partial(load_with, picture, blobs),
    )
    own = half.author == OWNER
    if not (_is_owners(roles) if own else set(roles) == {role_of(half.author)}):
        raise Untrusted("not-what-was-meant", f"cannot sign this: it is not {half.author}'s")
    if not own:
        check_word(picture, reading.after)
    note = change_from_wire(upload.change)
    if any(made != note_data(note) for made in notes(roles)):
        raise Untrusted("not-what-was-meant", "cannot sign this change: its note is another one")
    lines = tuple(approved_lines(base.fleet_document, reading))
    return Opened(picture, half, roles, reading, Summary.of(picture, note, reading, lines))


def _is_owners(roles: Mapping[str, bytes]) -> bool:
    """Whether all of them are signed by the owner's daily keys."""
    return not any(role.startswith(DELEGATION) for role in roles)


def _with_signatures(opened: Opened, signers: Sequence[Signer]) -> ChangeUpload:
    """The upload with these signatures added, to each file and to its entry of the log."""
    upload, repository = opened.half.upload, opened.picture.base.view.repository
    metadata = {
        name: _signed(data, name.partition(".")[2].removesuffix(".json"), signers)
        for name, data in upload.metadata.items()
    }
    role = role_of(opened.half.author)
    mine = entries_for(repository.anchor.fleet, repository.statement, metadata, {role: signers})
    theirs = {_payload(entry): entry for entry in upload.entries}
    if theirs.keys() != {_payload(entry) for entry in mine}:
        raise Untrusted(
            "not-what-was-meant",
            "cannot sign this change: its entries of the log are of other files",
        )
    entries = []
    for entry in mine:
        merged = merge_envelopes([theirs[_payload(entry)], entry])
        envelope = decode(merged, Envelope, cap=len(merged), what="an entry")
        entries.append(encode_authority(envelope))
    return msgspec.structs.replace(upload, metadata=metadata, entries=entries)


def _payload(entry: bytes) -> bytes:
    return payload_of(decode_authority(entry).envelope)


def _missing(picture: Picture, upload: ChangeUpload) -> int:
    """How many signatures its role still needs."""
    role = role_of(picture.author)
    found = [
        data for name, data in upload.metadata.items() if name.partition(".")[2] == f"{role}.json"
    ]
    files = picture.base.view.repository.files
    delegator: Root | Targets = picture.base.view.repository.root
    if role != TARGETS:
        delegator = read(files[TARGETS], TARGETS).signed
    left = 0
    for data in found:
        made = read(data, role)
        result = delegator.get_verification_result(role, made.signed_bytes, made.signatures)
        left = max(left, result.missing)
    return left
