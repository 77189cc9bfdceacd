"""Two devices that were shown two histories are found out by what they report."""

from __future__ import annotations

from tests.unit.trust.reports import report

from allod.audit.receipts import KnownEntries
from allod.audit.watching import Compared, Sighting, compare, evidence_in, sightings
from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from allod.tlog.fork import fork_between, unproven
from allod.tlog.lines import write_base64
from allod.wire.report import Alarm, TrustState

ORIGIN = "log.example/one"
SIGNER = note_signer(ORIGIN)
LOG = NaiveLog([f"{number}".encode() for number in range(40)])
OTHER = NaiveLog([*LOG.entries[:3], b"other", *LOG.entries[4:], b"more"])
KEY = LOG.signer.key
KNOWN = KnownEntries(LOG.checkpoint().checkpoint, LOG)


def seen(signed: SignedCheckpoint, device: str = "a" * 64, *, note: bool = True) -> Sighting:
    """What a device reports of a checkpoint."""
    text = signed.own.encode().decode() if note else None
    return Sighting(device, 1, KEY.name, signed.size, signed.root, text)


def against(*found: Sighting, known: KnownEntries = KNOWN) -> tuple[Compared, ...]:
    """Held against the auditor's log."""
    return compare(found, known, LOG.checkpoint(), KEY)


def test_a_beginning_of_the_log_is_one() -> None:
    """Every checkpoint that the log ever had is found in it, the empty one too."""
    for size in range(41):
        (found,) = against(seen(LOG.checkpoint(size)))
        assert found.verdict == "prefix"


def test_another_history_is_proven_by_the_logs_own_hand() -> None:
    """The device reports the note that the log signed: with the auditor's log it is a proof."""
    for size in (4, 8, 33, 40):
        (found,) = against(seen(OTHER.checkpoint(size)))
        assert found.verdict == "fork"
        assert found.fork is not None
        found.fork.verify(ORIGIN, [KEY])


def test_without_the_note_it_is_an_alarm_and_no_proof() -> None:
    """Size and root alone are the device's word; so is a note that says something else."""
    thief = note_signer(ORIGIN, seed=1)
    root = OTHER.root(8)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 8, root), thief).encode().decode()
    honest = LOG.checkpoint(8).encode().decode()
    for note in (None, forged, honest, "nonsense"):
        (found,) = against(Sighting("a" * 64, 1, ORIGIN, 8, root, note))
        assert (found.verdict, found.fork) == ("other-history", None)


def test_two_devices_ahead_of_the_auditor_are_compared_with_each_other() -> None:
    """Neither is in the log that is shown here; one size has one root, or it is a fork."""
    third = NaiveLog([*LOG.entries, b"third"])
    one, two = seen(OTHER.checkpoint(41), "a" * 64), seen(third.checkpoint(41), "b" * 64)
    assert [found.verdict for found in against(one, one)] == ["ahead", "ahead"]
    first, second = against(one, two)
    assert (first.verdict, second.verdict) == ("ahead", "fork")
    assert second.fork is not None
    second.fork.verify(ORIGIN, [KEY])
    _, second = against(one, seen(third.checkpoint(41), "b" * 64, note=False))
    assert second.verdict == "other-history"


def test_false_tiles_accuse_nobody() -> None:
    """Who serves wrong hashes to the auditor makes no device a liar, and no log a forked one."""
    false = KnownEntries(LOG.checkpoint().checkpoint, OTHER)
    for note in (True, False):
        (found,) = against(seen(LOG.checkpoint(9), note=note), known=false)
        assert (found.verdict, found.fork) == ("unread", None)


def test_sightings_are_read_from_reports() -> None:
    """What cannot be read is passed over; the rest of the report stands."""
    checkpoint = LOG.checkpoint(9)
    trust = TrustState(
        root=1,
        trust=1,
        roles={},
        time="2026-11-01T12:00:00Z",
        logs={ORIGIN: f"9 {write_base64(checkpoint.root)}", "other": "nine x"},
        notes={ORIGIN: checkpoint.own.encode().decode()},
    )
    (found,) = sightings(report(7, trust=trust))
    assert (found.sequence, found.size, found.root) == (7, 9, checkpoint.root)
    assert against(found)[0].verdict == "prefix"


def test_evidence_in_a_report_is_judged_before_it_is_believed() -> None:
    """Proven, unproven, false, of a log that the owner does not name: two of four are taken."""
    proven = fork_between(LOG.checkpoint(9), OTHER.checkpoint(40), OTHER)
    assert proven is not None
    raws = [
        proven.encode(),
        unproven(LOG.checkpoint(9), OTHER.checkpoint(40)).encode(),
        proven.encode().replace(b"root ", b"root A"),
        b"x",
    ]
    alarms = [Alarm(code="log-fork", says="", evidence=raw.decode()) for raw in raws]
    alarms.append(Alarm(code="disk", says="full"))
    found = evidence_in(report(1, alarms=alarms), {ORIGIN: KEY})
    assert [good for _, good in found] == [True, False]
    assert evidence_in(report(1, alarms=alarms), {}) == ()
    thief = note_signer(ORIGIN, seed=1).key
    assert evidence_in(report(1, alarms=alarms), {ORIGIN: thief}) == ()
