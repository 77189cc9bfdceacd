"""Attack 38 (and 14, 40 in part): somebody else reports with the device's key, or reports again."""

from __future__ import annotations

from tests.unit.trust.reports import report

from allod.trust.report import ChainHead, Link, SignedReport, follow


def test_attack_38_two_pasts_under_one_key_are_a_fork() -> None:
    """A copied disk or a stolen key goes on from a report that is no longer the last."""
    first = SignedReport(report(1), "sha256:1")
    head = follow(ChainHead(), first).head
    mine = follow(head, SignedReport(report(2, "sha256:1"), "sha256:2"))
    assert mine.link is Link.EXTENDS
    same_number = follow(mine.head, SignedReport(report(2, "sha256:1"), "sha256:9"))
    assert same_number.link is Link.FORKED
    later = follow(mine.head, SignedReport(report(3, "sha256:1"), "sha256:8"), {"sha256:1"})
    assert later.link is Link.FORKED
    anew = follow(mine.head, SignedReport(report(3, None), "sha256:7"))
    assert anew.link is Link.FORKED
    assert same_number.head == later.head == anew.head == mine.head


def test_attack_38_replays_and_repeats_change_nothing() -> None:
    """What is here already is a duplicate, what is older is a replay: the head stays."""
    head = ChainHead(5, "sha256:5", "sha256:4")
    assert follow(head, SignedReport(report(5), "sha256:5")).link is Link.DUPLICATE
    old = SignedReport(report(3, "sha256:2"), "sha256:3")
    assert follow(head, old, {"sha256:3"}).link is Link.DUPLICATE
    replayed = follow(head, SignedReport(report(3), "sha256:x"))
    assert replayed.link is Link.REPLAYED
    assert replayed.head == head


def test_attack_38_missing_reports_are_a_gap_and_the_chain_goes_on() -> None:
    """After a restore of the server the chain is taken up again, and the gap is told."""
    head = ChainHead(2, "sha256:2", "sha256:2")
    gap = follow(head, SignedReport(report(9, "sha256:8"), "sha256:9"))
    assert gap.link is Link.GAP
    assert gap.head == ChainHead(9, "sha256:9", "sha256:9")
    beat = follow(head, SignedReport(report(9, "sha256:8", "heartbeat"), "sha256:9"))
    assert beat.head == ChainHead(9, "sha256:9", "sha256:8")
    assert follow(beat.head, SignedReport(report(10, "sha256:8"), "sha256:10")).link is Link.EXTENDS


def test_attack_38_heartbeats_name_the_head_and_do_not_become_it() -> None:
    """Between two changes any number of heartbeats, none of which has to be kept."""
    head = ChainHead(2, "sha256:2", "sha256:2")
    beat = follow(head, SignedReport(report(3, "sha256:2", "heartbeat"), "sha256:3"))
    assert (beat.link, beat.head.head) == (Link.EXTENDS, "sha256:2")
    assert follow(beat.head, SignedReport(report(4, "sha256:2"), "sha256:4")).link is Link.EXTENDS
