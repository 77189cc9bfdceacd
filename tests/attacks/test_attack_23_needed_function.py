"""Attack 23: a provider's 'security fix' takes away a function that its owner needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from allod.agent.ports import ProbeResult, RunState, ServiceUnit
from allod.domain.delegation import Channel, ChannelRelease
from allod.domain.desired import Settings
from allod.domain.ids import Digest
from allod.domain.release import HealthCheck
from allod.domain.terms import PROVIDER, VersionRule, Versions
from allod.testing.agent import FakeProbe, FakeServices
from allod.testing.device import ACME, TOASTER, FakeDevice, Owner
from allod.testing.machine import START

EXPORT = HealthCheck(kind="http", url="http://127.0.0.1:8080/export", within=30.0)


@dataclass
class Appliance(FakeProbe):
    """Answers at /export, unless the release that runs lacks it."""

    lacking: Digest | None = None

    def attempt(self, check: HealthCheck, unit: ServiceUnit | None, run: RunState) -> ProbeResult:
        """Look once."""
        runs = None if unit is None else self.services.runs.get(unit.package)
        if check.url == EXPORT.url and runs is not None and runs[0] == self.lacking:
            return ProbeResult(healthy=False, detail="404")
        return FakeProbe.attempt(self, check, unit, run)


def fixed(device: FakeDevice, owner: Owner) -> Digest:
    """A channel brings a release that mends a flaw and lacks /export; the device does its work."""
    first = device.publish("1.0")
    owner.deploy(first)
    device.run(owner.view())
    fix = device.publish("1.1", mends=("CVE-2026-1",))
    services = device.hardware.services
    assert isinstance(services, FakeServices)
    device.hardware.probe = Appliance(services, lacking=fix[1])
    said = ChannelRelease(fix[0].version, fix[1], ("CVE-2026-1",))
    channel = Channel(ACME, "stable", 1, START, START + timedelta(days=30), {TOASTER: said})
    terms = Versions(VersionRule.SECURITY, frozenset({PROVIDER}))
    owner.grant("security", terms, channel=channel)
    device.run(owner.view())
    return fix[1]


def test_attack_23_the_owners_own_test_sends_the_fix_back(tmp_path: Path) -> None:
    """The delegation allows it, the release proves healthy by its own checks; the owner's check of
    the function fails within its window, so the one before runs again, and the report says why. The
    same bytes are not tried again, whatever the channel repeats.
    """
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    owner.replace(owner.document(), settings=Settings(health=(EXPORT,)))
    fix = fixed(device, owner)
    assert device.version() == "1.0"
    (entry,) = [one for one in device.said()[-1]["packages"] if one["package"] == TOASTER]
    assert fix in entry["failed"]
    (back,) = [
        change
        for report in device.said()
        for change in report.get("changes", [])
        if change["what"] == "reverted"
    ]
    assert back["why"] == "its health check failed: http: 404"
    device.run(owner.view())
    assert device.version() == "1.0"


def test_attack_23_without_the_owners_test_nobody_notices(tmp_path: Path) -> None:
    """The check above is what finds it: the release's own do not know what its owner needs."""
    device, owner = FakeDevice(tmp_path / "state"), Owner()
    fixed(device, owner)
    assert device.version() == "1.1"
