"""Attack 5: the server says that all is well; receipts and the log say what is."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from tests.attacks.speaking import Speaker, other_history
from tests.e2e.home import Home

from allod.wire.report import Refusal, SeenCheckpoint

pytestmark = pytest.mark.timeout(180)


def test_attack_05_what_the_servers_database_says_is_not_shown(home: Home) -> None:
    """Whoever holds the server makes its database say that the device is well, and the failed
    report its own: nothing of it is shown; the device's last state that was seen is in doubt.
    """
    speaker = Speaker(home, "forged05")
    speaker.say(speaker.receipt())
    trouble = Refusal(
        code="health-failed", reasons=["it did not become healthy"], subject="toaster"
    )
    speaker.say(refusals=[trouble])
    assert [one["code"] for one in speaker.shown()["refusals"]] == ["health-failed"]

    with sqlite3.connect(home.place / "server" / "database.sqlite", timeout=10) as database:
        whose = (speaker.device.id,)
        database.execute("DELETE FROM reports WHERE device = ? AND sequence = 2", whose)
        database.execute("UPDATE reports SET agent = 'all OK' WHERE device = ?", whose)
    database.close()
    shown = speaker.shown()
    assert shown["unknown"][0].startswith("the server does not show reports")
    assert not shown["settled"]
    assert "all OK" not in str(home.do("device", "show", speaker.device.id))


def test_attack_05_true_receipts_hold(home: Home) -> None:
    """What follows is no accident: an honest device's receipts are proved, each of them."""
    speaker = Speaker(home, "honest05")
    home.do("group", "add", "grows05", "-y")
    speaker.say(speaker.receipt(), speaker.receipt())
    home.do("group", "add", "grows05b", "-y")
    shown = home.do("device", "show", speaker.device.id)
    assert (shown["chain"]["receipts"], shown["chain"]["faults"]) == (2, [])
    assert shown["unknown"] == []


@pytest.mark.slow
def test_attack_05_a_device_that_was_shown_another_history(home: Home) -> None:
    """The log's key signed two histories. The device accepted one of them and says so, in its
    report and in its receipt: the owner's machine, which was shown the other one, raises an alarm.
    """
    speaker = Speaker(home, "history05")
    true = speaker.receipt()
    ((origin, text),) = speaker.log.items()
    size = int(text.split()[0])
    for length in (size, size - 1, 1):
        speaker.log = {origin: other_history(length)}
        speaker.say()
        shown = speaker.shown()
        assert "other-history" in {one["code"] for one in shown["alarms"]}
        assert any("shown another history" in why for why in shown["unknown"])
        assert not shown["settled"]
    speaker.look()
    root = other_history(size).split()[1]
    seen = SeenCheckpoint(origin=origin, size=size, root=root)
    speaker.say(speaker.receipt(checkpoint=seen, log_index=true.log_index))
    assert "other-history" in speaker.codes()
    assert not home.do("device", "show", speaker.device.id)["chain"]["receipts"]


def test_attack_05_a_log_that_the_owner_is_not_shown(home: Home) -> None:
    """The device saw more of the log than the owner's machine is shown: somebody withholds it."""
    speaker = Speaker(home, "longer05")
    ((origin, text),) = speaker.log.items()
    speaker.log = {origin: other_history(int(text.split()[0]) + 5)}
    speaker.say()
    assert speaker.codes() >= {"log-withheld"}
    speaker.log = {"allod.dev/log/other/authority": text}
    speaker.say()
    assert speaker.codes() >= {"wrong-log"}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("index", {"log_index": 0}),
        ("version", {"version": 1}),
        ("role", {"role": "devices"}),
        ("beyond", {"log_index": 10_000}),
        ("half", {"checkpoint": None}),
    ],
)
def test_attack_05_a_receipt_that_does_not_fit(home: Home, name: str, other: dict) -> None:
    """A device acted, as it says, under an entry that is another one, counts for nothing, or is
    not there: what it says is in doubt.
    """
    speaker = Speaker(home, f"false05{name}")
    speaker.say(speaker.receipt(**other))
    shown = speaker.shown()
    assert {one["code"] for one in shown["alarms"]} == {"false-receipt"}
    assert shown["unknown"]


def test_attack_05_old_news_is_not_fresh(home: Home) -> None:
    """The server cannot make a silent device look alive: the device's own time counts too."""
    speaker = Speaker(home, "silent05")
    speaker.say(at=datetime.now(UTC) - timedelta(hours=3))
    shown = speaker.shown()
    assert shown["unknown"][0].startswith("silent since")
