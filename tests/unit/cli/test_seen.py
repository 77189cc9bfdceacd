"""What this machine saw of a device's reports, and everything that does not go on from there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from allod.cli.activity import Logged
from allod.cli.seen import Followed, Seen, begin_at, follow_on
from allod.domain.ids import sha256
from allod.trust.report import SignedReport
from allod.wire.codec import encode
from allod.wire.report import Boot, Report, TrustState

TRUST = TrustState(root=1, trust=1, roles={"targets": 4}, time="2026-11-01T12:00:00Z")


@dataclass
class Device:
    """Makes reports that hang together, unless a test says otherwise."""

    epoch: int = 1
    sequence: int = 0
    head: str | None = None
    trust: TrustState = field(default_factory=lambda: TRUST)

    def say(self, *, change: bool = False, **fields: Any) -> SignedReport:
        """The next report."""
        self.sequence += 1
        kind = "change" if change else "heartbeat"
        report = Report(
            **{
                "fleet": "f", "device": "d", "epoch": self.epoch, "sequence": self.sequence,
                "previous": self.head, "kind": kind, "at": "2026-11-01T12:00:00Z", "agent": "0",
                "boot": Boot(id="b", count=1), "uptime": 1, "facts": {}, "trust": self.trust,
                "packages": [], "journey": "", **fields,
            }
        )  # fmt: skip
        signed = SignedReport(report, sha256(encode(report)))
        self.head = signed.digest if change else self.head
        return signed

    def knows(self, **fields: Any) -> None:
        """It says other floors from now on."""
        self.trust = msgspec.structs.replace(self.trust, **fields)


def codes(found: Followed) -> list[str]:
    """The alarms."""
    return [one.code for one in found.remarks]


def test_whole_chains_are_followed() -> None:
    """From the first look on, at any pace, over a new binding; nothing is in doubt."""
    device = Device()
    reports = [device.say(change=number % 3 == 0) for number in range(12)]
    seen = None
    for begin in range(0, 12, 4):
        for _ in range(2):
            found = follow_on(reports[begin : begin + 4], seen)
            assert codes(found) == []
            seen = found.seen
    assert seen is not None
    assert (seen.sequence, seen.digest) == (12, reports[-1].digest)
    assert seen.whole is not None
    assert seen.whole.head == reports[9].digest
    again = Device(epoch=2)
    again.knows(roles={}, root=1)
    assert codes(follow_on([again.say(change=True)], seen)) == []


def test_a_gap_stays_until_it_is_filled() -> None:
    """At every look, however often it was told, and though what came after hangs together."""
    device = Device()
    first, hidden, *later = (device.say(change=True) for _ in range(5))
    seen = follow_on([first], None).seen
    for end in range(1, 4):
        found = follow_on(later[:end], seen)
        assert codes(found) == ["report-gap"]
        seen = found.seen
        assert seen is not None
        assert seen.sequence == 2 + end
        assert begin_at(seen, 1, seen.sequence) == 1
    found = follow_on([hidden, *later], seen)
    assert codes(found) == []
    assert found.seen is not None
    assert begin_at(found.seen, 1, 5) == 4


def test_two_pasts_are_a_clone() -> None:
    """One number with two contents, and a report that rests on an older past."""
    device = Device()
    first = device.say(change=True)
    seen = follow_on([first], None).seen
    twin = Device()
    assert codes(follow_on([twin.say(change=True, uptime=2)], seen)) == ["clone"]
    second = device.say(change=True)
    seen = follow_on([first, second], seen).seen
    aside = Device(sequence=2, head=first.digest).say(change=True, uptime=3)
    assert codes(follow_on([aside], seen)) == ["report-gap"]
    assert codes(follow_on([Device(sequence=2).say(change=True)], seen)) == ["clone"]


def test_what_was_seen_is_not_taken_back() -> None:
    """An older report, an older binding, or none at all."""
    device = Device(epoch=2)
    reports = [device.say() for _ in range(3)]
    seen = follow_on(reports, None).seen
    assert seen is not None
    assert follow_on(reports[:2], seen).seen == seen
    for shown in (reports[:2], [Device(epoch=1, sequence=9).say()], []):
        assert codes(follow_on(shown, seen)) == ["reports-withheld"]
    assert codes(follow_on([], None)) == []


@pytest.mark.parametrize(
    ("sequence", "expected"), [(3, ["reports-withheld"]), (2, ["clone"]), (1, [])]
)
def test_the_log_has_the_order(sequence: int, expected: list[str]) -> None:
    """A machine that saw nothing: the log has a newer report, or another one of that number."""
    device = Device()
    device.say()
    newest = device.say(change=True)
    logged = Logged(epoch=1, sequence=sequence, digest=sha256(b"another"))
    assert codes(follow_on([newest], None, logged)) == expected
    assert codes(follow_on([newest], None, Logged(epoch=1, sequence=2, digest=newest.digest))) == []
    assert codes(follow_on([], None, logged)) == ["reports-withheld"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"roles": {"targets": 3}}, "targets 4 to 3"),
        ({"roles": {}}, "targets 4 to 0"),
        ({"root": 1}, "root 2 to 1"),
        ({"trust": 1}, "trust statement 2 to 1"),
        ({"logs": {"o": "7 AAAA"}}, "o of 8 entries to 7"),
        ({"logs": {}}, "o of 8 entries to 0"),
        ({"logs": {"o": "x" * 50}}, "o of 8 entries to 0"),
        ({"trust": 3, "logs": {}}, "o of 8 entries to 0"),
    ],
)
def test_a_device_that_went_back(fields: dict[str, Any], says: str) -> None:
    """It is said until it has caught up; what it said in between takes nothing back."""
    device = Device()
    device.knows(root=2, trust=2, logs={"o": "8 AAAA"})
    seen: Seen | None = follow_on([device.say()], None).seen
    good = device.trust
    device.knows(**fields)
    for _ in range(2):
        found = follow_on([device.say()], seen)
        assert codes(found) == ["device-went-back"]
        assert says in found.remarks[0].says
        seen = found.seen
    device.trust = good
    assert codes(follow_on([device.say()], seen)) == []


def test_a_repair_takes_roles_down_lawfully() -> None:
    """A newer trust statement may have named the floors that fell; a log's never fall."""
    device = Device()
    seen = follow_on([device.say()], None).seen
    device.knows(roles={"targets": 2}, trust=2)
    assert codes(follow_on([device.say()], seen)) == []


def test_where_to_begin() -> None:
    """The newest report always comes, and all that may fill a gap."""
    assert begin_at(None, 1, 7) == 6
    device = Device()
    seen = follow_on([device.say() for _ in range(5)], None).seen
    assert begin_at(seen, 1, 9) == 5
    assert begin_at(seen, 1, 5) == 4
    assert begin_at(seen, 1, 3) == 2
    assert begin_at(seen, 2, 3) == 2
