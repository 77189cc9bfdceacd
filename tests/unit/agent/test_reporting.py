"""The ledger: a sequence has one content, a change is told once, nothing is forgotten."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from allod import durable
from allod.agent.reporting import MAX_HEARTBEATS, Ledger
from allod.domain import journey
from allod.errors import Unavailable
from allod.testing.faults import Faults, Killed, Strike, frail_disk
from allod.testing.machine import START, FakeKey
from allod.wire.codec import instant
from allod.wire.report import Boot, ChangeReport, HostPackage, Inventory, Report, TrustState

PACKAGE = "pkg:generic/acme/toaster"


def draft(ledger: Ledger, **fields: Any) -> Any:
    """Makes a report of what the ledger holds."""
    changes = list(ledger.pending())

    def fill(sequence: int, head: str | None) -> Report:
        wanted: dict[str, Any] = {
            "fleet": "f" * 64,
            "device": "d" * 64,
            "epoch": 1,
            "kind": "change" if changes else "heartbeat",
            "at": instant(START),
            "agent": "0",
            "boot": Boot(id="b", count=1),
            "uptime": 1,
            "facts": {},
            "trust": TrustState(root=1, trust=1, roles={}, time=instant(START)),
            "packages": [],
            "changes": changes,
            "journey": ledger.state.journey,
        }
        return Report(sequence=sequence, previous=head, **(wanted | fields))

    return fill


def change(what: str = "activated") -> ChangeReport:
    """Something that happened."""
    return ChangeReport(at=instant(START), package=PACKAGE, what=what)


def _take(told: list[bytes], envelope: bytes) -> bytes:
    told.append(envelope)
    return b""


def ledger_at(place: Path) -> Ledger:
    """The ledger, as a new process opens it."""
    return Ledger(place, FakeKey())


def test_a_change_is_recorded_once(tmp_path: Path) -> None:
    """Recording is repeated after a power cut; neither report nor journey counts it twice."""
    ledger = ledger_at(tmp_path)
    for _ in range(2):
        ledger.record("one", change(), path=("activated", "sha256:a", ""))
        ledger = ledger_at(tmp_path)
    assert len(ledger.pending()) == 1
    once = ledger.state.journey
    assert once != journey.START
    ledger.publish(draft(ledger))
    ledger.record("one", change(), path=("activated", "sha256:a", ""))
    assert (ledger.pending(), ledger.state.journey) == ((), once)


def test_the_chain_holds_changes_and_heartbeats_name_its_head(tmp_path: Path) -> None:
    """A heartbeat does not become the head."""
    ledger = ledger_at(tmp_path)
    ledger.record("one", change(), path=None)
    assert ledger.publish(draft(ledger)).previous is None
    head = ledger.state.head
    assert head is not None
    beat = ledger.publish(draft(ledger))
    assert (beat.kind, beat.previous, beat.sequence) == ("heartbeat", head, 2)
    ledger.record("two", change(), path=None)
    assert ledger.publish(draft(ledger)).previous == head
    assert ledger.state.head != head


def test_a_cut_anywhere_in_publishing_uses_no_sequence_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a signed report lies in the outbox, its sequence is used, whatever the ledger missed."""
    counted = Faults()
    for at in range(40):
        place = tmp_path / str(at)
        ledger = ledger_at(place)
        ledger.record("one", change(), path=None)
        faults = Faults(at, Strike.KILL_BEFORE) if at else counted
        signed: list[bytes] = []
        with monkeypatch.context() as patch:
            for name, stand_in in frail_disk(faults).items():
                patch.setattr(durable, name, stand_in)
            try:
                ledger.publish(draft(ledger))
            except Killed:
                left = list((place / "outbox").glob("*.json"))
                signed = [path.read_bytes() for path in left]
        again = ledger_at(place)
        again.record("two", change("configured"), path=None)
        again.publish(draft(again))
        for content in signed:
            assert any(path.read_bytes() == content for path in (place / "outbox").glob("*.json"))
        told: list[bytes] = []
        again.deliver(partial(_take, told))
        assert sum(envelope.count(b'"activated"') for envelope in told) == 1
        assert sum(envelope.count(b'"configured"') for envelope in told) == 1
    assert len(counted.calls) < 39


def test_only_an_acknowledgement_empties_the_outbox(tmp_path: Path) -> None:
    """A stick is no server: what it carries is kept as well; what is refused waits."""
    ledger = ledger_at(tmp_path)
    ledger.record("one", change(), path=None)
    ledger.publish(draft(ledger))
    assert ledger.deliver(lambda envelope: b"", acknowledges=False) == 1
    assert ledger.undelivered() == (1,)

    def down(envelope: bytes) -> bytes:
        raise Unavailable("unreachable", "cannot reach the server")

    with pytest.raises(Unavailable):
        ledger.deliver(down)
    assert ledger_at(tmp_path).undelivered() == (1,)
    ledger.deliver(lambda envelope: b"")
    assert ledger_at(tmp_path).undelivered() == ()


def test_heartbeats_that_nobody_fetches_do_not_fill_the_disk(tmp_path: Path) -> None:
    """Changes are kept for ever, heartbeats up to a number."""
    ledger = ledger_at(tmp_path)
    ledger.record("one", change(), path=None)
    ledger.publish(draft(ledger))
    for _ in range(MAX_HEARTBEATS + 20):
        ledger.publish(draft(ledger))
    waiting = ledger.undelivered()
    assert waiting[0] == 1
    assert len(waiting) <= MAX_HEARTBEATS + 2


def test_the_newest_list_of_the_hosts_software_waits(tmp_path: Path) -> None:
    """It is sent once, be it with a heartbeat: without it the owner would never know."""
    ledger = ledger_at(tmp_path)
    for version in ("1.0", "2.0"):
        lists = Inventory(digest=version, dpkg=[HostPackage(name="bash", version=version)])
        ledger.publish(draft(ledger, inventory=lists))
    for _ in range(MAX_HEARTBEATS + 20):
        ledger.publish(draft(ledger, inventory=Inventory(digest="2.0")))
    waiting = ledger.undelivered()
    assert waiting[0] == 2
    assert len(waiting) == MAX_HEARTBEATS + 1


def test_a_flipped_bit_in_one_copy_costs_nothing(tmp_path: Path) -> None:
    """The other copy heals it."""
    ledger = ledger_at(tmp_path)
    ledger.record("one", change(), path=None)
    (tmp_path / "ledger.1").write_bytes(b"damaged")
    again = ledger_at(tmp_path)
    assert again.state == ledger.state
    assert again.alarms == ()


def test_the_loss_of_both_copies_is_an_alarm_and_uses_no_sequence_twice(tmp_path: Path) -> None:
    """The chain begins anew, far above everything that was used."""
    ledger = ledger_at(tmp_path)
    ledger.publish(draft(ledger))
    for copy in ("ledger.1", "ledger.2"):
        (tmp_path / copy).write_bytes(b"damaged")
    again = ledger_at(tmp_path)
    assert [alarm.code for alarm in again.alarms] == ["ledger-damaged"]
    assert again.publish(draft(again)).sequence > 1_000_000


def test_what_differs_only_in_time_says_nothing_new(tmp_path: Path) -> None:
    """Uptime, times and the roles that are signed by the clock do not make a report due."""
    ledger = ledger_at(tmp_path)
    ledger.publish(draft(ledger))
    later = draft(
        ledger,
        at=instant(START + timedelta(minutes=5)),
        uptime=400,
        trust=TrustState(root=1, trust=1, roles={"timestamp": 9}, time=instant(START)),
    )(9, None)
    assert not ledger.due(later, START + timedelta(minutes=5), 3600)
    assert ledger.due(later, START + timedelta(minutes=61), 3600)
    news = draft(ledger, trust=TrustState(root=2, trust=1, roles={}, time=instant(START)))(9, None)
    assert ledger.due(news, START, 3600)
