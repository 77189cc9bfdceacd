"""Attack 37: evidence on the device: who says what a release mends, and what it is worth there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.attacks.evidence_world import (
    ACME,
    AT,
    FLAW,
    FLEET,
    HOUSE,
    LAB,
    OLD,
    OTHER_LAB,
    TOASTER,
    evidence,
)
from tests.attacks.test_attack_20_provenance import attach

from allod.agent.acquire import RegistrySource
from allod.agent.transfer import Blobs
from allod.domain.ids import ProviderName, Version, sha256
from allod.domain.observed import Facts
from allod.domain.terms import PROVIDER, NewAccess, VersionRule, Versions
from allod.testing.device import TOASTER as OURS
from allod.testing.device import FakeDevice, Owner
from allod.testing.machine import FakeClock
from allod.testing.owner import key_from
from allod.testing.payloads import payload
from allod.testing.registry import Publisher
from allod.wire import oci

SAID = {OLD: frozenset({("pypa", FLAW)})}


class World:
    """A release with what verifiers say beside it, and a device."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.acme = Publisher(key=ACME)
        self.order = self.acme.push(payload(data=b"2.1.2", version=Version("2.1.2")))
        self.house = HOUSE

    def say(self, signer: Any = LAB, by: str = "lab", **said: Any) -> None:
        """Lay evidence beside the release."""
        envelope = evidence(signer, by, release=said.pop("release", self.order.digest), **said)
        place = self.acme.repository(TOASTER)
        self.acme.attach(place, self.order.digest, 1, envelope, kind=oci.EVIDENCE)

    def heard(self, *, online: bool = True) -> dict[Any, Any]:
        """What a device makes of it, in one run."""
        source = RegistrySource(
            self.acme.transport if online else None,
            Blobs(self.directory / "blobs", reserve=0),
            self.directory / "packages",
            fleet=FLEET,
            providers={ProviderName("acme"): self.acme.document},
            fitness=lambda: Facts(frozenset(), "x86_64"),
            clock=FakeClock(),
            house=self.house,
        )
        return dict(source.evidence(TOASTER, self.order))

    def forget(self) -> None:
        """The server shows nothing beside the release any more."""
        place = f"{self.acme.repository(TOASTER)}/referrers/{self.order.digest}"
        self.acme.transport.files.pop(place, None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nobody has said anything yet."""
    return World(tmp_path)


def test_attack_37_evidence_is_kept_and_judged_by_who_counts_now(world: World) -> None:
    """What came once holds without a network and without the server's help; it ends when the owner
    names the verifier no more, or lets them speak for other sources only.
    """
    assert world.heard() == {}
    world.say()
    assert world.heard() == SAID
    world.forget()
    assert world.heard(online=False) == world.heard() == SAID
    [lab, other] = HOUSE.verifiers
    world.house = msgspec.structs.replace(
        HOUSE, verifiers=[msgspec.structs.replace(lab, sources=["ghsa"]), other]
    )
    assert world.heard() == {OLD: frozenset()}
    world.house = msgspec.structs.replace(HOUSE, verifiers=[other])
    assert world.heard() == {}
    assert world.heard(online=False) == {}


def test_attack_37_what_was_taken_back_is_not_brought_back(world: World) -> None:
    """Once a verifier's newer word came, a server that shows the older one again changes nothing."""
    world.say()
    assert world.heard() == SAID
    world.say(at=AT.replace(hour=13), old=sha256(b"another"))
    newer = {sha256(b"another"): frozenset({("pypa", FLAW)})}
    assert world.heard() == newer
    world.forget()
    world.say()
    assert world.heard() == newer


def test_attack_37_nobody_elses_word_counts_on_the_device(world: World) -> None:
    """The provider, a stranger, a verifier for other things or under another name, another release,
    package, version or fleet; and evidence that is laid there as a provider's statement.
    """
    world.say(ACME)
    world.say(ACME, "acme")
    world.say(key_from("mallory"))
    world.say(OTHER_LAB, "lab")
    world.say(LAB, "other-lab")
    world.say(release=sha256(b"another"))
    world.say(version=Version("2.1.3"))
    world.say(fleet="e" * 64)
    for junk in (b"", b"{}", b"\xff" * 100, b"[" * 100):
        attach(world.acme, world.order, junk)
    assert world.heard() == {}
    world.say(sources=[PROVIDER])
    assert world.heard() == {OLD: frozenset()}


def test_attack_37_a_server_that_answers_nonsense_stops_nothing(world: World) -> None:
    """A list that cannot be read, names nonsense or things that are not there: what came before
    holds, and no run ends by it.
    """
    world.say()
    assert world.heard() == SAID
    place = f"{world.acme.repository(TOASTER)}/referrers/{world.order.digest}"
    files = world.acme.transport.files
    good = files[place]
    for nonsense in (b"", b"[]", b"{", b"\xff", b'{"schemaVersion":2,"manifests":7}', good[:-9]):
        files[place] = nonsense
        assert world.heard() == SAID
    files[place] = good.replace(b"sha256:", b"sha512:")
    assert world.heard() == SAID
    for path in [one for one in files if "/manifests/" in one and world.order.digest not in one]:
        del files[path]
    files[place] = good
    assert world.heard() == SAID


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    """An empty device."""
    return FakeDevice(tmp_path / "state")


def follow(device: FakeDevice, *terms: Any, **fields: Any) -> tuple[Owner, Any, Any]:
    """Version 1 runs; a delegate who may bring security fixes only wants 1.1."""
    owner = Owner()
    first = device.publish("1.0")
    owner.deploy(first)
    device.run(owner.view())
    owner.grant("ops", Versions(VersionRule.SECURITY, frozenset({"pypa"})), *terms)
    release = device.publish("1.1", **fields)
    owner.speak("ops", release)
    return owner, first[1], release[1]


def test_attack_37_a_delegates_fix_needs_evidence_over_what_runs(device: FakeDevice) -> None:
    """The provider's own claim, evidence over another release, or by another source is none; by a
    source that the owner named, over what runs, it is.
    """
    owner, old, new = follow(device, mends=("CVE-1",))
    device.run(owner.view())
    assert device.version() == "1.0"
    source = device.hardware.source
    source.mends[new] = {sha256(b"elsewhere"): frozenset({("pypa", "CVE-1")})}
    device.run(owner.view())
    source.mends[new] = {old: frozenset({("ghsa", "CVE-1"), (PROVIDER, "CVE-1")})}
    device.run(owner.view())
    assert device.version() == "1.0"
    assert {one["code"] for one in device.said()[-1]["refusals"]} == {"version-rule"}
    source.mends[new] = {old: frozenset({("pypa", "CVE-1")})}
    device.run(owner.view())
    assert device.version() == "1.1"


def test_attack_37_a_fix_that_opens_something_is_none(device: FakeDevice) -> None:
    """With new access it is refused, even where the delegation allows that access."""
    term = NewAccess(frozenset({"microphone"}))
    owner, old, new = follow(device, term, access=frozenset({"microphone"}))
    device.hardware.source.mends[new] = {old: frozenset({("pypa", "CVE-1")})}
    device.run(owner.view())
    assert device.version() == "1.0"
    assert {one["code"] for one in device.said()[-1]["refusals"]} == {"version-rule"}


def test_attack_37_what_is_here_is_not_run_when_the_owner_asks_for_more(
    device: FakeDevice,
) -> None:
    """A release that is transferred, or installed, and does not meet what the owner asks since, is
    not activated; what runs goes on, whatever is asked of it.
    """
    owner = Owner()
    first = device.publish("1.0")
    owner.deploy(first)
    device.run(owner.view())
    second = device.publish("1.1")
    owner.deploy(first, keep=(second,))
    device.run(owner.view())
    assert second[1] in device.hardware.installer.staged(OURS)
    device.hardware.source.unmet |= {first[1], second[1]}
    owner.deploy(second)
    device.run(owner.view())
    assert device.version() == "1.0"
    assert "no-provenance" in {one["code"] for one in device.said()[-1]["refusals"]}
    device.hardware.source.unmet.clear()
    device.run(owner.view())
    assert device.version() == "1.1"
