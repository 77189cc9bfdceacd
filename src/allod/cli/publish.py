"""How every change is made: fetch, verify, edit, show, ask, sign, upload.

1. The newest base is fetched and verified under this machine's own floors (attack 60).
2. The verb's edit is applied to it and stamped with the change's note.
3. The files that would be signed are written, and the change is read back from their bytes:
   that, and nothing else, is shown (attack 9).
4. The owner says yes; the same bytes are signed here.
5. They are uploaded. If somebody was faster (409), all of it begins anew on the new base, and is
   shown again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from allod.cli.approving import approved_lines, lacking, require_approvals
from allod.cli.contents import fetch_configuration, read_document, with_contents
from allod.cli.delegated import check_word
from allod.cli.in_force import Force, see_in_force
from allod.cli.log_entries import entries_for
from allod.cli.options import Options, Sure
from allod.cli.options import now as clock
from allod.cli.picture import Picture, take
from allod.cli.preview import DELEGATION, Reading, path_of, read_back
from allod.cli.summary import Summary, render
from allod.domain.desired import OWNER, ChangeNote, StateDocument
from allod.domain.edit import stamp
from allod.domain.ids import Digest, Scope, parse_name
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Untrusted
from allod.trust.authoring import RepositoryDraft
from allod.trust.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, last_change, read
from allod.trust.role_keys import HOME, PRODUCTION
from allod.wire.api import ChangeReceipt, ChangeUpload
from allod.wire.desired import encode_state
from allod.wire.entry import change_to_wire

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

_TRIES: Final = 5
_TEXT: Final = 500  #: characters of a message or a ticket


@Parameter(name="*")
@dataclass(frozen=True)
class Intent:
    """Options of every verb that changes something.

    Args:
        message: Why; it is signed along.
        ticket: Where it was decided; it is signed along.
        yes: Do not ask.
        dry_run: Show the change and stop.
        author: Decide as this delegation, with its key on this machine.
        propose: Hand the change in for people to approve, instead of signing it.
        cosign: Sign it and write it to this file for other key holders, instead of publishing it.
    """

    message: Annotated[str, Parameter(name=["--message", "-m"])] = ""
    ticket: str = ""
    yes: Sure = False
    dry_run: Annotated[bool, Parameter(negative="")] = False
    author: Annotated[str, Parameter(name="--as", show_default=False)] = OWNER
    propose: Annotated[bool, Parameter(negative="")] = False
    cosign: Path | None = None

    def check(self) -> None:
        """Raises InvalidInput `bad-note`."""
        for name, text in (("message", self.message), ("ticket", self.ticket)):
            if len(text) > _TEXT or not text.replace("\n", " ").isprintable():
                raise InvalidInput(
                    "bad-note",
                    f"cannot sign this {name} along: at most {_TEXT} printable characters",
                )
        if self.author != OWNER:
            parse_name(self.author, "a delegation's id")

    def owners_alone(self, what: str) -> None:
        """Raises Refused `owners-word`, `not-proposable`: a verb that is nobody else's, and at once."""
        if self.author != OWNER:
            raise Refused(
                "owners-word",
                f"cannot {what} as {self.author}: only the owner does; leave --as away",
            )
        if self.propose:
            raise Refused(
                "not-proposable",
                f"cannot propose to {what}: people approve what devices are to have, and this says "
                "who decides; leave --propose away",
            )


INTENT: Final = Intent()


@dataclass(frozen=True, slots=True)
class Change:
    """What a verb wants changed on a base."""

    states: Mapping[Scope, StateDocument] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)  #: other documents, by target path
    blobs: Mapping[Digest, bytes] = field(default_factory=dict)
    words: tuple[str, ...] = ()  #: what it means, plainly: shown before all that differs
    remarks: tuple[str, ...] = ()  #: what the verb itself has to say about it
    also: Callable[[RepositoryDraft], None] | None = None  #: roles that come or go, and targets
    note: ChangeNote | None = None  #: that was given to it when it was proposed


Plan = Callable[[Picture], Change]


@dataclass(frozen=True, slots=True)
class Published:
    """A change that the server has durably."""

    note: ChangeNote
    summary: Summary
    receipt: ChangeReceipt
    force: Force


@dataclass(frozen=True, slots=True)
class Prepared:
    """A change that is written and read back, and not signed yet."""

    picture: Picture
    draft: RepositoryDraft
    note: ChangeNote
    now: datetime
    unsigned: Mapping[str, bytes]
    change: Change
    summary: Summary
    reading: Reading


def publish(options: Options, intent: Intent, plan: Plan) -> Published | None:
    """Make a change, whole: from the newest base to the server's receipt.

    Returns:
        None if there was nothing to change, it was a dry run, it was proposed, or others have to sign
        it as well; that is said.

    Raises:
        InvalidInput: what the plan refuses; `not-confirmed`.
        Refused: a rule forbids it, `approvals-missing`, or a key's signature is missing.
        Untrusted: the base is not to be believed.
        Conflict: others keep being faster.
    """
    intent.check()
    fleet = options.open()
    output = options.output
    for attempt in range(1, _TRIES + 1):
        prepared = prepare(take(fleet, author=intent.author), intent, plan)
        if prepared is None:
            output.result({"changed": False}, "Nothing to change: it is as you want it already.")
            return None
        summary = prepared.summary.proposed() if intent.propose else prepared.summary
        if not options.json or intent.dry_run:
            render(summary, output)
        if intent.dry_run:
            return None
        if intent.propose:
            from allod.cli.change_proposal import hand_in

            hand_in(options, prepared, yes=intent.yes)
            return None
        require_approvals(prepared.picture, prepared.reading)
        if intent.cosign is not None:
            from allod.cli.cosigning import begin

            begin(options, prepared, intent.cosign, yes=intent.yes)
            return None
        role = TARGETS if intent.author == OWNER else f"{DELEGATION}{intent.author}"
        signers = {role: fleet.keys.signers(role)}
        output.confirm("Sign and publish this change?", yes=intent.yes)
        upload = sign(prepared, signers)
        try:
            fleet.save_history("blobs", upload.blobs)
            receipt = fleet.client.post("changes", upload, ChangeReceipt)
        except Conflict as error:
            if error.code != "out-of-date" or attempt == _TRIES:
                raise
            output.say("Somebody else published meanwhile; here is the change on the new base.")
            continue
        force = see_in_force(fleet, upload)
        return Published(prepared.note, prepared.summary, receipt, force)
    raise RuntimeError("the last try returns or raises")


def publish_and_say(options: Options, intent: Intent, plan: Plan) -> Published | None:
    """`publish`, and say what became of it."""
    done = publish(options, intent, plan)
    if done is not None:
        say(options, done)
    return done


def say(options: Options, done: Published, **more: Any) -> None:
    """What became of a change; `more` stands in the answer as well, as data."""
    data = {
        "changed": True,
        "number": done.note.number,
        "id": done.note.id,
        "news": done.receipt.news,
        "versions": done.receipt.versions,
        "force": done.force,
        **done.summary.data(),
        **more,
    }
    said = done.force.says(f"Change {done.note.number}")
    rooms = {one.subject.partition("/")[0] for one in done.summary.differences}
    if rooms & {"groups", "devices"} and "delegations" not in rooms:
        said += f"; take it back with 'allod undo {done.note.number}'"
    options.output.result(data, f"{said}.")


def prepare(picture: Picture, intent: Intent, plan: Plan) -> Prepared | None:
    """Apply a plan to a base, write what would be signed, and read it back.

    Returns:
        None if nothing would differ.
    """
    base, now = picture.base, clock()
    change = plan(picture)
    lives = PRODUCTION if picture.fleet.settings.profile == "production" else HOME
    draft = RepositoryDraft.from_repository(base.view.repository, lives)
    note = _note(picture, intent, change.note, now)
    _write(picture, change, draft, note)
    if not draft.touched:
        return None
    if picture.author == OWNER:
        draft.renew(now, root=False)
    draft.note(note_data(note))
    unsigned = draft.propose(now)
    reading = with_contents(
        _read(picture, draft, unsigned), partial(load_with, picture, change.blobs)
    )
    if any(made != note_data(note) for made in notes(unsigned)):
        raise Untrusted("not-what-was-meant", "cannot sign this change: its note is another one")
    remarks = (
        *change.remarks,
        *approved_lines(base.fleet_document, reading),
        *(f"! It needs an approval: {one}." for one in lacking(picture, reading)),
        *_reminders(draft, base.view.repository.root.expires, now),
    )
    summary = Summary.of(picture, note, reading, remarks, change.words)
    return Prepared(picture, draft, note, now, unsigned, change, summary, reading)


def _note(picture: Picture, intent: Intent, given: ChangeNote | None, now: datetime) -> ChangeNote:
    number = next_number(picture.base.view.repository.files)
    if given is not None:
        return replace(given, number=number, at=now)
    return ChangeNote(
        number=number,
        id=secrets.token_hex(8),
        at=now,
        by=picture.fleet.settings.person,
        message=intent.message,
        ticket=intent.ticket,
    )


def _write(picture: Picture, change: Change, draft: RepositoryDraft, note: ChangeNote) -> None:
    """Write the documents into the draft: the owner's, or a delegate's own and nothing else."""
    base, author = picture.base, picture.author
    if author != OWNER:
        if change.files or change.also is not None:
            raise Refused("owners-word", f"cannot do this as {author}: only the owner says that")
        check_word(picture, change.states)
    for scope, document in change.states.items():
        before = base.by(author, scope)
        if document != before:
            stamped = encode_state(stamp(before, document, note))
            draft.set_target(path_of(author, scope), stamped)
    for path, data in change.files.items():
        draft.set_target(path, data)
    if change.also is not None:
        change.also(draft)


def note_data(note: ChangeNote) -> dict[str, Any]:
    """A change's note as it is signed."""
    data: dict[str, Any] = msgspec.to_builtins(change_to_wire(note))
    return data


def _read(picture: Picture, draft: RepositoryDraft, unsigned: Mapping[str, bytes]) -> Reading:
    return read_back(
        picture.base.fleet_id,
        picture.base.view.repository.files,
        unsigned,
        draft.contents,
        picture.base.content,
    )


def load_with(picture: Picture, blobs: Mapping[Digest, bytes], digest: Digest) -> Mapping[str, Any]:
    """A configuration by its digest: one that is to be uploaded, or one that the server has."""
    data = blobs.get(digest)
    if data is None:
        return fetch_configuration(picture.fleet.client, digest)
    return read_document(data, digest)


def _reminders(draft: RepositoryDraft, expires: datetime, now: datetime) -> tuple[str, ...]:
    """Renewing the root is not for the daily key, and not done in passing."""
    if expires - now >= draft.lives.root / 2:
        return ()
    return (f"The root is good until {expires:%Y-%m-%d}: run 'allod keys renew'.",)


def sign(prepared: Prepared, signers: Mapping[str, tuple[Signer, ...]]) -> ChangeUpload:
    """Sign exactly what was shown.

    Raises:
        Refused: `role-incomplete`: signatures of other key holders are missing.
        Untrusted: `not-what-was-shown`.
    """
    try:
        made = prepared.draft.sign(prepared.now, signers)
    except Refused as error:
        if error.code != "role-incomplete":
            raise
        how = "write it for the other key holders with --cosign FILE"
        raise Refused(
            "role-incomplete", f"{error.message}; {how}", missing=error.details["missing"]
        ) from error
    for role, data in made.roles.items():
        shown = prepared.unsigned.get(role)
        if shown is None or read(shown, role).signed_bytes != read(data, role).signed_bytes:
            raise Untrusted(
                "not-what-was-shown", f"cannot publish {role}: it is not what was shown"
            )
    return upload_of(prepared, made.metadata, made.targets, signers)


def upload_of(
    prepared: Prepared,
    metadata: Mapping[str, bytes],
    targets: Mapping[str, bytes],
    signers: Mapping[str, tuple[Signer, ...]],
) -> ChangeUpload:
    """What is uploaded, with an entry of the log for each file."""
    online = {SNAPSHOT, TIMESTAMP}
    view = prepared.picture.base.view
    versions, repository = view.versions, view.repository
    return ChangeUpload(
        base={role: version for role, version in versions.items() if role not in online},
        metadata=dict(metadata),
        targets=dict(targets),
        blobs={str(digest): data for digest, data in prepared.change.blobs.items()},
        entries=entries_for(repository.anchor.fleet, repository.statement, metadata, signers),
        change=change_to_wire(prepared.note),
    )


def next_number(files: Mapping[str, bytes]) -> int:
    """The number of the next change, from the role files as they stand."""
    known = [
        last_change(read(data, role).signed.unrecognized_fields)
        for role, data in files.items()
        if role not in {ROOT, SNAPSHOT, TIMESTAMP}
    ]
    return 1 + max(known, default=0)


def notes(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The notes of the changes that made these role files, as they were signed."""
    found = []
    for role, data in files.items():
        if role in {ROOT, SNAPSHOT, TIMESTAMP}:
            continue
        try:
            note = note_of(read(data, role).signed.unrecognized_fields)
        except AllodError:
            continue
        if note is not None:
            found.append(note)
    return found


def note_of(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The signed note in a role file's own fields, if one stands there in its form."""
    address = fields.get("allod")
    note = address.get("change") if isinstance(address, dict) else None
    if not isinstance(note, dict) or type(note.get("number")) is not int:
        return None
    return note
