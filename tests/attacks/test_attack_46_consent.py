"""Attack 46: a local user who may answer for the device can't choose what runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from allod.agent import supervisor_consent
from allod.domain.desired import When
from allod.domain.terms import Consent, Soak
from allod.testing.device import TOASTER, FakeDevice, Owner


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    """An empty device."""
    return FakeDevice(tmp_path / "state")


@pytest.fixture
def owner(device: FakeDevice) -> Owner:
    """Its owner, who runs 1.0, and lets acme decide with consent."""
    owner = Owner()
    owner.deploy(device.publish("1.0"))
    device.run(owner.view())
    owner.grant("acme", Consent())
    return owner


def agree(device: FakeDevice) -> bytes:
    """Agree to what is asked; the answer as it lies on the disk."""
    root = str(device.state.root)
    (question,) = supervisor_consent.questions(root)
    assert supervisor_consent.answer(root, str(question["id"]), True, "user 1000") == ""
    (path,) = (device.state.consent / "answers").iterdir()
    return path.read_bytes()


def test_attack_46_an_old_agreement_brings_no_old_version(device: FakeDevice, owner: Owner) -> None:
    """1.1 was agreed to and proved vulnerable; its answer is kept and put back: 1.2 stays."""
    vulnerable = device.publish("1.1")
    owner.speak("acme", vulnerable)
    device.run(owner.view())
    kept = agree(device)
    device.run(owner.view())
    assert device.version() == "1.1"
    owner.speak("acme", device.publish("1.2"))
    device.run(owner.view())
    agree(device)
    device.run(owner.view())
    assert device.version() == "1.2"
    for name in ("0.json", "9.json"):
        (device.state.consent / "answers" / name).write_bytes(kept)
        device.run(owner.view())
    assert device.version() == "1.2"


def test_attack_46_an_answer_to_what_nobody_asked_is_none(device: FakeDevice, owner: Owner) -> None:
    """Answers are only ever looked up for what is ordered; forged questions order nothing."""
    old = device.publish("0.9")
    forged = {"package": TOASTER, "attempt": f"{old[1]}||x|", "agrees": True, "digest": old[1]}
    (device.state.consent / "answers" / "1.json").write_bytes(msgspec.json.encode(forged))
    (device.state.consent / "pending.json").write_bytes(
        msgspec.json.encode([{"id": "a", "what": "activate", **forged}])
    )
    device.run(owner.view())
    assert device.version() == "1.0"
    assert supervisor_consent.questions(str(device.state.root)) == []


def test_attack_46_an_agreement_sets_no_other_term_aside(device: FakeDevice, owner: Owner) -> None:
    """Whoever agrees at once still waits for the soak that the owner set."""
    owner.grant("acme", Consent(), Soak(3600))
    owner.speak("acme", device.publish("1.1"))
    device.run(owner.view())
    agree(device)
    device.run(owner.view())
    assert device.version() == "1.0"
    device.pass_time(hours=1)
    device.run(owner.view())
    assert device.version() == "1.1"


def test_attack_46_an_agreement_does_not_outlive_the_word(device: FakeDevice, owner: Owner) -> None:
    """Agreed to and armed for the restart, then withdrawn: the restart brings the old one."""
    bad = device.publish("1.1")
    owner.speak("acme", bad, when=When.RESTART)
    device.run(owner.view())
    agree(device)
    device.run(owner.view())
    assert (device.state.package(TOASTER) / "next").is_symlink()
    owner.withdrawn[bad[1]] = "a hole"
    device.run(owner.view())
    device.reboot()
    device.run(owner.view())
    assert device.version() == "1.0"
