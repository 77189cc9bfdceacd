"""From a proposal or edited documents to a publication that this machine has seen in force.

Order: sign locally, upload, walk the repository again. What was cut short is taken up by the next
walk: keys are `next` until the verified repository names them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from allod.cli.in_force import SeenReceipt, see_in_force
from allod.cli.keystore import KeyRecord
from allod.cli.log_entries import entries_for, statement_of
from allod.cli.options import Options
from allod.cli.options import now as clock
from allod.cli.output import Output
from allod.cli.proposal import Proposal, require_complete, sign_proposal
from allod.cli.proposal_entries import begins_log, finished_entries, wanted
from allod.cli.proposing import draft_with, holders_of, lives_of
from allod.cli.refresh import View
from allod.errors import Conflict, InvalidInput
from allod.trust.authoring import RepositoryDraft
from allod.trust.keys import to_key
from allod.trust.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, read
from allod.trust.role_keys import RoleKeys
from allod.wire.api import ChangeReceipt, ChangeUpload, ServerOffer
from allod.wire.codec import decode, instant
from allod.wire.entry import ChangeNote

if TYPE_CHECKING:
    from securesystemslib.signer import Signer
    from tuf.api.metadata import Root

    from allod.cli.fleet import LocalFleet


def next_key(fleet: LocalFleet, role: str, at: datetime) -> KeyRecord:
    """The key that is to follow: one that waits from a rotation that was cut short, or a new one."""
    waiting = [record for record in fleet.keys.records(role) if record.state == "next"]
    return waiting[-1] if waiting else fleet.keys.generate(role, now=at, state="next")


def daily_keys(fleet: LocalFleet, at: datetime) -> RoleKeys:
    """A new daily key of this machine, waiting to be named."""
    return RoleKeys((to_key(next_key(fleet, TARGETS, at).public),))


def read_offer(path: Path) -> ServerOffer:
    """A server's offer. Raises InvalidInput `no-offer`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            "no-offer", f"cannot read the server's offer {path}: {error.strerror}"
        ) from error
    return decode(data, ServerOffer, cap=1024 * 1024, what=f"the server's offer {path}")


def online_keys(path: Path) -> dict[str, RoleKeys]:
    """The online keys of a server, from its offer."""
    offer = read_offer(path)
    return {
        "snapshot": RoleKeys((to_key(offer.snapshot),)),
        "timestamp": RoleKeys((to_key(offer.timestamp),)),
    }


def carry_out(
    view: View,
    proposal: Proposal,
    *,
    out: Path | None,
    yes: bool,
    options: Options,
    signers: Sequence[Signer] = (),
) -> SeenReceipt | None:
    """Show a proposal; sign and publish it here, or write it for a ceremony (`out`).

    Raises:
        Refused: `threshold-not-met`: more root keys are needed than are on this machine.
    """
    from allod.cli.ceremony import tell, write_proposal

    if not options.json:
        tell(proposal, options)
    if out is not None:
        write_proposal(out, proposal, overwrite=False)
        options.output.result(
            {"proposal": str(out)},
            f"{out} is ready: let the key holders run 'allod ceremony sign {out.name}'.",
        )
        return None
    options.output.confirm("Sign and publish this?", yes=yes)
    signed = sign_proposal(proposal, signers or root_signers(view.fleet))
    receipt = publish_proposal(view, signed)
    options.output.result(receipt, receipt.force.brief)
    return receipt


def root_signers(fleet: LocalFleet) -> tuple[Signer, ...]:
    """The root keys that lie here, those that wait to be named included.

    Raises:
        Unavailable: `key-elsewhere`.
    """
    return fleet.keys.signers(ROOT, states=("current", "next"))


def publish_proposal(
    view: View, proposal: Proposal, *, documents: Mapping[str, bytes] | None = None
) -> SeenReceipt:
    """Publish a proposal that is complete, and whatever has to be signed anew with it.

    Raises:
        Refused: `threshold-not-met`.
        Conflict: `out-of-date`: the fleet went on since it was proposed.
    """
    require_complete(proposal)
    _check_base(view, proposal)
    metadata: Mapping[str, bytes] = {}
    targets: Mapping[str, bytes] = {}
    change: ChangeNote | None = None
    signers: tuple[Signer, ...] = ()
    if proposal.root is not None:
        draft = _draft_of(view, proposal.root)
        for path, data in (documents or {}).items():
            draft.set_target(path, data)
        signers = _daily_signers(view.fleet, read(proposal.root, ROOT).signed, draft)
        if draft.touched != {ROOT}:
            view.load_all()
            change = note_of_change(view, proposal.message or "keys: new root")
            draft.note(msgspec.to_builtins(change))
        made = draft.sign(clock(), {TARGETS: signers}, root=proposal.root)
        metadata, targets = made.metadata, made.targets
    trust = {}
    if proposal.trust is not None:
        trust = {str(statement_of(proposal.trust).number): proposal.trust}
    upload = ChangeUpload(
        base=dict(view.versions),
        metadata=dict(metadata),
        targets=dict(targets),
        trust=trust,
        entries=_entries(view, proposal, metadata, signers),
        change=change,
    )
    return send(view.fleet, upload)


def _check_base(view: View, proposal: Proposal) -> None:
    present = view.repository.anchor
    moved = proposal.trust is not None and proposal.trust_base != present.trust
    # A root that was proposed before there was a log lacks its entry.
    now = msgspec.structs.replace(proposal, trust_base=present.trust)
    unlogged = len(wanted(now)) != len(proposal.entries)
    if proposal.fleet != view.fleet.id or proposal.base != present.root or moved or unlogged:
        raise Conflict(
            "out-of-date",
            "cannot publish the proposal: the fleet's root or trust statement has changed since; "
            "propose it again",
        )


def _entries(
    view: View, proposal: Proposal, metadata: Mapping[str, bytes], signers: Sequence[Signer]
) -> list[bytes]:
    """The entries that went round with the proposal, and those of the daily key.

    A log that begins gets an entry for every role, as it stands from now on.
    """
    newest = proposal.trust or proposal.trust_base
    if newest is None:
        return []
    files = {name: data for name, data in metadata.items() if data != proposal.root}
    if begins_log(proposal):
        view.load_all()
        signers = signers or view.fleet.keys.signers(TARGETS)
        new = {name.partition(".")[2] for name in files}
        for role, data in view.repository.files.items():
            if role not in {ROOT, SNAPSHOT, TIMESTAMP} and f"{role}.json" not in new:
                files[f"{view.versions[role]}.{role}.json"] = data
    daily = entries_for(view.fleet.id, statement_of(newest), files, {TARGETS: signers})
    return [*finished_entries(proposal), *daily]


def _draft_of(view: View, proposed: bytes) -> RepositoryDraft:
    new, old = read(proposed, ROOT).signed, view.repository.root
    changed = {
        role: holders_of(new, role)
        for role in (TARGETS, SNAPSHOT, TIMESTAMP)
        if set(new.roles[role].keyids) != set(old.roles[role].keyids)
        or new.roles[role].threshold != old.roles[role].threshold
    }
    return draft_with(view, {**changed, ROOT: holders_of(new, ROOT)})


def _daily_signers(fleet: LocalFleet, root: Root, draft: RepositoryDraft) -> tuple[Signer, ...]:
    """Signers with the daily keys that `root` names; none where nothing needs them."""
    if draft.touched == {ROOT}:
        return ()
    wanted = root.roles[TARGETS].keyids
    held = fleet.keys.signers(TARGETS, states=("current", "next"))
    return tuple(signer for signer in held if signer.public_key.keyid in wanted)


def publish_documents(view: View, documents: Mapping[str, bytes], *, message: str) -> SeenReceipt:
    """Sign documents with the daily key and publish them; what is half over is renewed along.

    Raises:
        Conflict: `out-of-date`.
    """
    view.load_all()
    draft = RepositoryDraft.from_repository(view.repository, lives_of(view.fleet))
    for path, data in documents.items():
        draft.set_target(path, data)
    note = note_of_change(view, message)
    draft.note(msgspec.to_builtins(note))
    signers = renew_along(view.fleet, draft, clock())
    made = draft.sign(clock(), signers)
    upload = ChangeUpload(
        base=dict(view.versions),
        metadata=dict(made.metadata),
        targets=dict(made.targets),
        entries=entries_for(
            view.repository.anchor.fleet, view.repository.statement, made.metadata, signers
        ),
        change=note,
    )
    return send(view.fleet, upload)


def note_of_change(view: View, message: str) -> ChangeNote:
    """The note of the next change, for its history; all roles of the view are loaded."""
    from allod.cli.publish import next_number

    return ChangeNote(
        number=next_number(view.repository.files),
        id=secrets.token_hex(8),
        at=instant(clock()),
        by=view.fleet.settings.person,
        message=message,
    )


def renew_along(
    fleet: LocalFleet, draft: RepositoryDraft, at: datetime
) -> dict[str, tuple[Signer, ...]]:
    """Renew in `draft` what is more than half over; the signers for all that it touches.

    The root is renewed along only where this machine alone can sign it.
    """
    alone = fleet.settings.profile == "home" and any(
        record.file is not None and record.state == "current" for record in fleet.keys.records(ROOT)
    )
    renewed = draft.renew(at, root=alone)
    signers = {TARGETS: fleet.keys.signers(TARGETS)}
    if ROOT in renewed or draft.root_changed:
        signers[ROOT] = root_signers(fleet)
    return signers


def send(fleet: LocalFleet, upload: ChangeUpload) -> SeenReceipt:
    """Upload, then walk the repository again: what was published is seen, and in force if provable.

    Raises:
        Conflict: `out-of-date`.
        Untrusted: `not-in-force`: the server acknowledged, and shows something else.
        Unavailable: `not-seen-in-force`.
    """
    fleet.save_history("blobs", upload.blobs)
    receipt = fleet.client.post("changes", upload, ChangeReceipt)
    force = see_in_force(fleet, upload)
    if force.state == "published":
        Output().say(f"! {force.says('This')}.")
    return SeenReceipt(
        fleet=receipt.fleet, news=receipt.news, versions=receipt.versions, force=force
    )
