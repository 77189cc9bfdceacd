"""Attack 14, with the log: the order of reports is the activity log's, which forgets nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import Any

import pytest
from tests.attacks.speaking import Speaker
from tests.e2e.home import Home

pytestmark = pytest.mark.timeout(180)
WITHHELD = ["the server does not show reports that it had: you saw them, or its log"]


def forgets(home: Home, speaker: Speaker, beyond: int) -> None:
    """Whoever holds the server takes the newest reports out of its database."""
    with sqlite3.connect(home.place / "server" / "database.sqlite", timeout=10) as database:
        database.execute(
            "DELETE FROM reports WHERE device = ? AND sequence > ?", (speaker.device.id, beyond)
        )
    database.close()


def new_machine(home: Home) -> None:
    """The owner's machine has seen none of it: what it remembered of reports is gone."""
    for name in ("seen.json", "activity.json"):
        (home.machine.home / "fleets" / "home" / name).unlink(missing_ok=True)


def test_attack_14_an_old_report_is_not_the_newest(home: Home) -> None:
    """The server replays a report of before the failed update to a machine that never saw the
    newer ones: the log, whose entries it cannot take back, has them.
    """
    speaker = Speaker(home, "replay14")
    speaker.say(speaker.receipt())
    speaker.say(speaker.receipt())
    assert speaker.shown()["unknown"] == []
    forgets(home, speaker, 1)
    new_machine(home)
    shown = speaker.shown()
    assert shown["unknown"] == WITHHELD
    assert not shown["settled"]
    assert {one["code"] for one in shown["alarms"]} == {"reports-withheld"}


def test_attack_14_no_report_at_all(home: Home) -> None:
    """A device that never spoke, says the server; the log says that it did."""
    speaker = Speaker(home, "silent14")
    speaker.say(speaker.receipt())
    forgets(home, speaker, 0)
    new_machine(home)
    shown = speaker.shown()
    assert "reports-withheld" in {one["code"] for one in shown["alarms"]}
    assert not shown["settled"]


def test_attack_14_a_log_that_went_back_is_an_alarm(home: Home) -> None:
    """To hide the report the server shows the activity log of before it: it had more."""
    speaker = Speaker(home, "back14")
    fleet = home.fleet().id
    log = home.place / "server" / "fleets" / fleet / "log" / "activity" / "checkpoint"
    before = log.read_bytes()
    speaker.say(speaker.receipt())
    assert speaker.shown()["unknown"] == []
    newest = log.read_bytes()
    log.write_bytes(before)
    try:
        found: dict[str, Any] = home.do("status")
    finally:
        log.write_bytes(newest)
    assert "log-consistency" in {one["code"] for one in found["alarms"]}
    assert "log-consistency" not in {one["code"] for one in home.do("status")["alarms"]}


def test_attack_14_what_was_read_of_the_log_may_be_lost(home: Home) -> None:
    """It is read again; and only what is new is asked for the next time."""
    speaker = Speaker(home, "lost14")
    speaker.say(speaker.receipt())
    path = home.machine.home / "fleets" / "home" / "activity.json"
    speaker.shown()
    kept = json.loads(path.read_bytes())
    assert kept["devices"][speaker.device.id]["sequence"] == 1
    path.write_bytes(b"{")
    assert speaker.shown()["unknown"] == []
    assert json.loads(path.read_bytes())["devices"] == kept["devices"]
    shutil.copy(path, path.with_suffix(".copy"))
    speaker.say()
    speaker.shown()
    assert path.read_bytes() == path.with_suffix(".copy").read_bytes()
