"""Pain 12 (rauc/rauc-hawkbit-updater#73): show the update before the user agrees."""

from __future__ import annotations

import json

import pytest

from allod.agent.main import main
from allod.domain.desired import Accepts
from allod.domain.terms import Consent
from allod.testing.device import FakeDevice, Owner


def test_pain_12_everything_is_known_before_anybody_agrees(
    device: FakeDevice, owner: Owner, capsys: pytest.CaptureFixture[str]
) -> None:
    """What comes, what it replaces, who wants it, what it mends, interrupts and may do newly."""
    owner.grant("acme", Consent())
    second = device.publish(
        "2.0",
        access=frozenset({"microphone"}),
        mends=("CVE-2026-7",),
        interrupts="toasting",
        interrupts_seconds=20,
    )
    owner.speak("acme", second)
    owner.sign(accepts=Accepts(access=frozenset({"microphone"})))
    device.run(owner.view())
    assert main(["pending", "--json", "--state", str(device.state.root)]) == 0
    (question,) = json.loads(capsys.readouterr().out)
    shown = {
        "what": "activate",
        "version": "2.0",
        "runs": "1.0",
        "digest": second[1],
        "manager": "acme",
        "scope": "groups/kitchen",
        "access": ["microphone"],
        "mends": ["CVE-2026-7"],
        "interrupts": "toasting",
        "interrupts_seconds": 20,
    }
    assert {name: question[name] for name in shown} == shown
    assert device.version() == "1.0"
