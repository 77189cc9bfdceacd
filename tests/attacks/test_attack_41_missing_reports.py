"""Attack 41: a device hides an update that failed. What is missing is 'unknown', and is said."""

from __future__ import annotations

import pytest
from tests.attacks.speaking import Speaker
from tests.e2e.home import Home

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


def test_attack_41_a_report_that_is_left_out_leaves_a_gap(home: Home) -> None:
    """The report of the failed update never arrives; every later one rests on it. The state is
    unknown at every look, until the missing report is there.
    """
    speaker = Speaker(home, "gap41")
    speaker.say(speaker.receipt())
    assert speaker.shown()["unknown"] == []
    hidden = speaker.envelope(speaker.receipt())
    speaker.say()
    for _ in range(2):
        shown = speaker.shown()
        assert {one["code"] for one in shown["alarms"]} == {"report-gap"}
        assert shown["unknown"] == ["before report 3 a report with changes is missing"]
        assert not shown["settled"]
    speaker.say(speaker.receipt())
    assert "report-gap" in speaker.codes()
    assert home.do("device", "show", speaker.device.id)["chain"]["faults"]
    speaker.send(hidden)
    assert speaker.shown()["unknown"] == []


def test_attack_41_a_device_that_went_back(home: Home) -> None:
    """A disk of before the update is put in: the device says lower versions than it had, and what
    it says of itself is in doubt until it has caught up.
    """
    speaker = Speaker(home, "back41")
    old_roles, old_log = dict(speaker.roles), dict(speaker.log)
    home.do("group", "add", "newer41", "-y")
    speaker.look()
    speaker.say()
    assert speaker.shown()["unknown"] == []
    speaker.roles, speaker.log = old_roles, old_log
    for _ in range(2):
        speaker.say()
        shown = speaker.shown()
        assert {one["code"] for one in shown["alarms"]} == {"device-went-back"}
        assert "targets" in shown["unknown"][0]
        assert " entries to " in shown["unknown"][0]
    speaker.look()
    speaker.say()
    assert speaker.shown()["unknown"] == []


def test_attack_41_silence_is_no_success(home: Home) -> None:
    """A device that was told, and says nothing more, has not seen the change; past its time its
    state is unknown, and the change says so.
    """
    speaker = Speaker(home, "mute41")
    speaker.say()
    change = home.do("group", "set", "mute41", "--retention", "3", "-y")["number"]

    def seen() -> dict:
        found = home.do("status", "--silence", "1s")["changes"]
        return dict(next(one for one in found if one["number"] == change)["seen"])

    assert (seen()["by"], seen()["of"]) == (0, 1)
    (overview,) = home.do("status", speaker.device.id, "--silence", "0s")["devices"]
    assert overview["unknown"][0].startswith("silent since")
    speaker.look()
    speaker.say()
    assert (seen()["by"], seen()["unseen"], seen()["unknown"]) == (1, [], [])


def test_attack_41_a_device_in_doubt_has_seen_nothing(home: Home) -> None:
    """What a device says under a false receipt does not count as having seen a change."""
    speaker = Speaker(home, "doubt41")
    home.do("group", "set", "doubt41", "--retention", "3", "-y")
    speaker.say(speaker.receipt(log_index=0))
    newest = home.do("status")["changes"][-1]["seen"]
    assert newest["by"] == 0
    assert newest["unknown"] == [speaker.device.id[:12]]
