"""Attack 36: whoever has the log's key forks the log; witnesses and the two notes tell."""

from __future__ import annotations

from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.checkpoint import vouched
from allod.tlog.fork import fork_between, parse_fork
from allod.tlog.note import Kind
from allod.tlog.proofs import consistency_proof
from allod.tlog.tiles import TileReader
from allod.tlog.witness import AddCheckpoint, Status, cosign, judge, with_cosignatures


def test_attack_36_a_fork_gets_no_quorum_and_convicts_the_log() -> None:
    """No witness that saw the log cosigns the fork, at any old size, with any proof; so it has no
    quorum, and it is evidence against the key that a third party checks alone.
    """
    truth = NaiveLog([b"%d" % number for number in range(20)])
    fork = NaiveLog([*truth.entries[:12], b"thief", *truth.entries[13:], b"more"])
    keys = [truth.signer.key]
    witnesses = [note_signer(f"w{number}.example", Kind.COSIGNATURE) for number in range(3)]
    seen, shown = truth.checkpoint(), fork.checkpoint()
    for old in range(22):
        proof = consistency_proof(old, 21, fork)
        verdict = judge(AddCheckpoint(old, proof, shown.note), keys, seen.checkpoint)
        assert verdict.status is (Status.INCONSISTENT if old == 20 else Status.OTHER_SIZE)
        assert verdict.checkpoint is None
    bribed = with_cosignatures(shown, cosign(shown.checkpoint, witnesses[0], 9), [witnesses[0].key])
    votes = vouched(bribed, [witness.key for witness in witnesses])
    assert (votes.as_of(1), votes.as_of(2)) == (9, None)
    evidence = fork_between(seen, shown, TileReader(21, fork.tile))
    assert evidence is not None
    convicted = parse_fork(evidence.encode()).verify(truth.signer.key.name, keys)
    assert [signed.size for signed in convicted] == [20, 21]
