"""Attack 15, seen by who audits: a provider makes a release for one victim only."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.trust_world import wants
from tests.unit.audit.fleet_source import Auditor, audited

from allod.domain.ids import sha256
from allod.testing.server import SimulatedDevice
from allod.wire.report import ConfigurationOnDevice, PackageReport, ReleaseOnDevice

PACKAGE = "pkg:generic/toaster"


def runs(version: str, content: bytes) -> list[PackageReport]:
    """What a device says that it runs."""
    release = ReleaseOnDevice(
        provider="me", version=version, digest=sha256(content), level="active"
    )
    return [
        PackageReport(
            package=PACKAGE,
            state="active",
            releases=[release],
            configuration=ConfigurationOnDevice(digest=None),
        )
    ]


def report(auditor: Auditor, device: SimulatedDevice, version: str, content: bytes) -> None:
    """A device reports."""
    raw = device.report(packages=runs(version, content))
    auditor.rig.server.receive_report(auditor.rig.fleet, device.id, raw)


def devices(auditor: Auditor, count: int) -> list[SimulatedDevice]:
    """Bound devices."""
    return [auditor.rig.bound(f"d{n}", invite=f"invite-{n}") for n in range(count)]


def test_attack_15_what_only_one_device_has_is_listed(tmp_path: Path) -> None:
    """A release of its own is no alarm (a trial looks the same), and it is shown with its device."""
    auditor = audited(tmp_path)
    one, two, victim = devices(auditor, 3)
    report(auditor, one, "1.0", b"one")
    report(auditor, two, "1.0", b"one")
    report(auditor, victim, "1.1", b"for you")
    result = auditor.audit()
    assert result.findings == []
    assert [(s.version, s.digest, s.device) for s in result.singletons] == [
        ("1.1", sha256(b"for you"), victim.id)
    ]
    report(auditor, two, "1.1", b"for you")
    assert [s.version for s in auditor.audit().singletons] == ["1.0"], "the newest reports count"


def test_attack_15_one_version_that_is_two_things(tmp_path: Path) -> None:
    """The victim has another thing under the same version: an alarm that names both."""
    auditor = audited(tmp_path)
    one, victim = devices(auditor, 2)
    report(auditor, one, "1.0", b"one")
    assert auditor.codes() == []
    report(auditor, victim, "1.0", b"another")
    (finding,) = auditor.audit().findings
    assert finding.code == "release-two-digests"
    assert sha256(b"one") in finding.says
    assert sha256(b"another") in finding.says
    assert auditor.codes() == [], "it is said once"


def test_attack_15_the_owner_ordered_another_thing(tmp_path: Path) -> None:
    """A document's digest and a report's under one version: the same alarm."""
    auditor = audited(tmp_path)
    rig = auditor.rig
    auditor.upload(rig.simulator.set_state(wants(rig.simulator, "1.0")))
    (victim,) = devices(auditor, 1)
    report(auditor, victim, "1.0", b"1.0")
    assert auditor.codes() == [], "wants() orders sha256 of the version"
    report(auditor, victim, "1.0", b"another")
    assert auditor.codes() == ["release-two-digests"]
