"""Two histories show when readers compare: what devices accepted, against the auditor's own log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from allod.audit.receipts import KnownEntries, read_seen
from allod.errors import AllodError
from allod.tlog.checkpoint import CHECKPOINT_CAP, SignedCheckpoint, check_checkpoint
from allod.tlog.fork import Fork, fork_between
from allod.tlog.merkle import EMPTY_ROOT, cover, fold
from allod.tlog.note import VerifierKey, parse_note
from allod.tlog.proofs import consistency_proof, verify_consistency
from allod.trust.fork_evidence import read_evidence
from allod.wire.report import Report

Verdict = Literal["prefix", "ahead", "fork", "other-history", "unread"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """The checkpoint of a log that a device says it accepted, in a report that it signed."""

    device: str
    sequence: int
    origin: str
    size: int
    root: bytes
    note: str | None = None  #: as the log signed it; without it the device's word stands alone


@dataclass(frozen=True, slots=True)
class Compared:
    """A sighting against the log as the auditor reads it, and against the other sightings."""

    sighting: Sighting
    verdict: Verdict
    says: str = ""
    fork: Fork | None = None  #: the proof, where the log's own signature is at hand


def sightings(report: Report) -> tuple[Sighting, ...]:
    """What a verified report says of the logs; what cannot be read is no sighting."""
    found = []
    for origin, text in sorted(report.trust.logs.items()):
        try:
            size, root = read_seen(text)
        except AllodError:
            continue
        note = report.trust.notes.get(origin)
        found.append(Sighting(report.device, report.sequence, origin, size, root, note))
    return tuple(found)


def evidence_in(report: Report, keys: Mapping[str, VerifierKey]) -> tuple[tuple[Fork, bool], ...]:
    """The evidence of forks that a verified report brings, each with whether it is proven.

    Args:
        report: of a device.
        keys: log origin -> the log's key, as the owner named it; other logs are left out.
    """
    found = []
    for alarm in report.alarms:
        fork = read_evidence(None if alarm.evidence is None else alarm.evidence.encode())
        key = None if fork is None else keys.get(fork.origin)
        if fork is None or key is None:
            continue
        try:
            fork.verify(key.name, [key])
        except AllodError as error:
            if error.code == "fork-unproven":
                found.append((fork, False))
            continue
        found.append((fork, True))
    return tuple(found)


def compare(
    seen: Sequence[Sighting], known: KnownEntries, signed: SignedCheckpoint, key: VerifierKey
) -> tuple[Compared, ...]:
    """Hold what devices accepted against the auditor's own log, and against each other.

    Args:
        seen: sightings of this log.
        known: the log as the auditor verified it.
        signed: the auditor's newest checkpoint, as it was signed.
        key: of the log.
    """
    notes = {one: _note(one, key) for one in seen}
    found = []
    ahead: dict[int, Sighting] = {}
    for one in seen:
        if one.size > signed.size:
            first = ahead.setdefault(one.size, one)
            found.append(_of_two(one, notes[one], first, notes[first]))
        else:
            found.append(_of_one(one, notes[one], known, signed))
    return tuple(found)


def _note(one: Sighting, key: VerifierKey) -> SignedCheckpoint | None:
    """The checkpoint in the log's own hand, if it is that and says the same as the device."""
    if one.note is None:
        return None
    try:
        note = parse_note(one.note.encode(), cap=CHECKPOINT_CAP)
        signed = check_checkpoint(note, key.name, [key])
    except AllodError:
        return None
    same = (signed.size, signed.root) == (one.size, one.root)
    return signed if same else None


def _of_one(
    one: Sighting, note: SignedCheckpoint | None, known: KnownEntries, signed: SignedCheckpoint
) -> Compared:
    """A checkpoint that should be a beginning of the auditor's log."""
    try:
        if _root_at(one.size, known) == one.root:
            return Compared(one, "prefix")
        fork = None if note is None else fork_between(note, signed, known.nodes)
    except AllodError as error:  # the tiles are not this log's: they show nothing
        return Compared(one, "unread", error.message)
    says = f"the device saw another history of {one.size} entries than the one that is shown here"
    return Compared(one, "other-history" if fork is None else "fork", says, fork)


def _root_at(size: int, known: KnownEntries) -> bytes:
    """The root that the auditor's log had at a size, proved. Raises Untrusted, InvalidInput."""
    newest = known.checkpoint
    if size in {0, newest.size}:
        return newest.root if size else EMPTY_ROOT
    root = fold(known.nodes.node(*place) for place in cover(0, size))
    proof = consistency_proof(size, newest.size, known.nodes)
    verify_consistency(size, newest.size, proof, root, newest.root)
    return root


def _of_two(
    one: Sighting,
    note: SignedCheckpoint | None,
    other: Sighting,
    its: SignedCheckpoint | None,
) -> Compared:
    """Two devices ahead of the auditor: one size has one root."""
    if one.root == other.root:
        says = f"the device saw {one.size} entries, which are not shown here"
        return Compared(one, "ahead", says)
    says = f"devices {other.device[:12]} and {one.device[:12]} saw two logs of {one.size} entries"
    if note is None or its is None:
        return Compared(one, "other-history", says)
    return Compared(one, "fork", says, Fork(its.note, note.note, note.root))
