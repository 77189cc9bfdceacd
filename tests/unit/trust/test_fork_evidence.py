"""Evidence of a fork: made of what is served, never of what is not, and never against an innocent log."""

from __future__ import annotations

import pytest

from allod.errors import Unavailable
from allod.testing.logs import NaiveLog
from allod.tlog.checkpoint import SignedCheckpoint
from allod.tlog.fork import Fork, unproven
from allod.tlog.tiles import parse_tile_path
from allod.trust.effects import drive
from allod.trust.fork_evidence import EVIDENCE, alarm_of, contradiction, worth_keeping

LOG = NaiveLog([f"{number}".encode() for number in range(600)])
OTHER = NaiveLog([*LOG.entries[:3], b"other", *LOG.entries[4:]])
ORIGIN, KEYS = LOG.signer.key.name, [LOG.signer.key]


def made(
    one: SignedCheckpoint, other: SignedCheckpoint, served: NaiveLog, *levels: int
) -> Fork | None:
    """What a reader makes who is served some levels of a log's tiles."""

    def get(path: str, cap: int) -> bytes | None:
        tile = parse_tile_path(path.removeprefix("log/authority/"))
        if tile.level not in levels:
            return None
        try:
            data = served.tile(tile)
        except (IndexError, AssertionError):
            return None
        assert len(data) <= cap
        return data

    return drive(contradiction("log/authority", one, other), get, lambda _: None)


@pytest.mark.parametrize("old", [4, 5, 255, 256, 257, 300, 512])
def test_a_fork_is_proven_from_tiles(old: int) -> None:
    """Shown the longer log's tiles, the reader has a proof against the log."""
    fork = made(LOG.checkpoint(old), OTHER.checkpoint(600), OTHER, 0, 1)
    assert fork is not None
    fork.verify(ORIGIN, KEYS)


def test_entries_serve_where_the_lowest_tiles_are_held_back() -> None:
    """Whoever lets devices read entries cannot hide the hashes over them."""
    short = NaiveLog(OTHER.entries[:200])
    fork = made(LOG.checkpoint(9), short.checkpoint(), short, -1)
    assert fork is not None
    fork.verify(ORIGIN, KEYS)


def test_equal_sizes_need_nothing() -> None:
    """Two roots of one size are the proof."""
    fork = made(LOG.checkpoint(40), OTHER.checkpoint(40), LOG)
    assert fork is not None
    fork.verify(ORIGIN, KEYS)


def test_what_is_not_served_leaves_two_signed_checkpoints() -> None:
    """Nothing, or tiles of a third history: kept as unproven."""
    third = NaiveLog([b"third", *LOG.entries[1:]])
    for served, levels in ((OTHER, ()), (OTHER, (-1,)), (third, (0, 1))):
        fork = made(LOG.checkpoint(300), OTHER.checkpoint(600), served, *levels)
        assert fork == unproven(LOG.checkpoint(300), OTHER.checkpoint(600))


def test_a_source_that_fails_leaves_them_as_well() -> None:
    """The network ends in between: what is at hand is kept."""

    def get(path: str, cap: int) -> bytes | None:
        raise Unavailable("unreachable", f"cannot reach {path[:cap]}")

    steps = contradiction("log/authority", LOG.checkpoint(300), OTHER.checkpoint(600))
    fork = drive(steps, get, lambda _: None)
    assert fork is not None
    assert not fork.proven


def test_a_log_that_only_grew_is_not_accused() -> None:
    """An old checkpoint of the one log, shown again, is no fork where its tiles are served."""
    assert made(LOG.checkpoint(300), LOG.checkpoint(600), LOG, 0, 1) is None


def test_a_proof_is_not_given_up_for_less() -> None:
    """The first suspicion is kept until there is a proof; the proof stays; other logs' go."""
    guess = unproven(LOG.checkpoint(300), OTHER.checkpoint(600))
    proof = made(LOG.checkpoint(300), OTHER.checkpoint(600), OTHER, 0, 1)
    assert proof is not None
    assert worth_keeping(guess, {}, ORIGIN)
    assert not worth_keeping(guess, {EVIDENCE: guess.encode()}, ORIGIN)
    assert worth_keeping(proof, {EVIDENCE: guess.encode()}, ORIGIN)
    assert not worth_keeping(guess, {EVIDENCE: proof.encode()}, ORIGIN)
    assert worth_keeping(guess, {EVIDENCE: proof.encode()}, "log.example/2")
    assert worth_keeping(guess, {EVIDENCE: b"damaged"}, ORIGIN)


def test_the_alarm_carries_the_evidence() -> None:
    """And says whether it is proven; without evidence there is no alarm."""
    proof = made(LOG.checkpoint(40), OTHER.checkpoint(40), LOG)
    assert proof is not None
    (alarm,) = alarm_of(proof.encode())
    assert (alarm.code, alarm.evidence) == ("log-fork", proof.encode().decode())
    (alarm,) = alarm_of(unproven(LOG.checkpoint(4), OTHER.checkpoint(6)).encode())
    assert alarm.code == "log-fork-unproven"
    assert alarm_of(None) == ()
    assert alarm_of(b"damaged") == ()
