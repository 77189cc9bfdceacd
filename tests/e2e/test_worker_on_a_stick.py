"""The worker as it runs on a device: real processes, files, signatures; only the fleet is on a stick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from allod.agent.services.process import ProcessServiceManager
from allod.agent.state_dir import StateDir
from allod.domain.desired import (
    Accepts,
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
)
from allod.domain.ids import Digest, Purl
from allod.domain.release import ConfigurationSpec, HealthCheck, ProbeKind, Release, Service
from allod.testing.payloads import Item
from allod.testing.stick import ME, StickFleet

TOASTER = Purl("pkg:generic/acme/toaster")
SCRIPT = b"""#!/bin/sh
echo "%s $(cat "$1"/config.json | tr -d ' \\n')" > "$2/says"
exec sleep 600
"""


class Device:
    """A device of the fleet on the stick."""

    def __init__(self, place: Path) -> None:
        self.fleet = StickFleet(place / "stick", datetime.now(UTC))
        self.boot = place / "boot"
        self.boot.write_text("boot-1")
        self.says = place / "says"
        self.says.mkdir()
        self.state: StateDir = self.fleet.bind(place / "state")
        self.state.settings_file.write_text(
            json.dumps(
                {
                    "service_manager": "process",
                    "restarter": "command",
                    "restart_command": ["/bin/true"],
                    "boot_id_file": str(self.boot),
                    "facts": {"device.name": "bench"},
                }
            )
        )

    def release(self, version: str, **fields: Any) -> tuple[Release, Digest]:
        """A service that writes its version and its configuration into a file."""
        script = SCRIPT % version.encode()
        return self.fleet.release(
            TOASTER,
            version,
            (Item("bin/app", script, mode=0o755),),
            service=Service("toaster", ("bin/app", "{config}", str(self.says))),
            configuration=ConfigurationSpec(schema={"type": "object"}, default={"level": 1}),
            **fields,
        )

    def deploy(
        self, release: tuple[Release, Digest], *others: tuple[Release, Digest], **fields: Any
    ) -> None:
        """The owner orders it."""
        orders = [ReleaseOrder(ME, release[0].version, release[1], Level.ACTIVE)]
        orders += [ReleaseOrder(ME, r.version, d, Level.INSTALLED) for r, d in others]
        self.fleet.sign(
            TOASTER,
            PackageEntry(
                software=Software(releases=tuple(orders)),
                accepts=Accepts(access=release[0].access),
                **fields,
            ),
        )

    def run(self, *arguments: str) -> int:
        """One run of the worker, as a process; its exit status."""
        command = [sys.executable, "-m", "allod.agent.worker", "--state", str(self.state.root)]
        done = subprocess.run(
            [*command, "--from", str(self.fleet.directory), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "ALLOD_LOG": "INFO"},
        )
        self.stderr = done.stderr
        return done.returncode

    def report(self) -> dict[str, Any]:
        """The newest report on the stick."""
        import base64

        outbox = self.fleet.directory / "outbox" / "reports"
        newest = max(outbox.rglob("*.json"), key=lambda path: int(path.stem))
        found: dict[str, Any] = json.loads(
            base64.b64decode(json.loads(newest.read_text())["payload"])
        )
        return found

    def close(self) -> None:
        """Stop what runs."""
        ProcessServiceManager(self.state.services, boot_id_file=self.boot).stop(TOASTER)


@pytest.fixture
def device(tmp_path: Path) -> Any:
    """A device that is cleaned up."""
    made = Device(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_the_worker_deploys_configures_and_goes_back(device: Device) -> None:
    """Deploy, configure, a sick release goes back with its configuration, undo, delete: for real."""
    first = device.release("1.0")
    device.deploy(first)
    assert device.run() == 0, device.stderr
    assert (device.says / "says").read_text().startswith("1.0"), device.report()

    document = device.fleet.document(b'{"level": 2, "name": "{device.name}"}')
    order = ConfigurationOrder(digest=document, size=37)
    device.deploy(first, configuration=order)
    assert device.run() == 0, device.stderr
    assert '"level":2,"name":"bench"' in (device.says / "says").read_text(), device.report()

    sick = HealthCheck(ProbeKind.COMMAND, within=0.5, every=0.2, command=("/bin/false",))
    second = device.release("2.0", health=(sick,))
    device.deploy(second, first, configuration=ConfigurationOrder())
    assert device.run() == 0, device.stderr
    report = device.report()
    assert "1.0" in (device.says / "says").read_text(), report
    assert '"level":2' in (device.says / "says").read_text(), report
    (package,) = report["packages"]
    assert package["failed"] == [second[1]]
    assert report["changes"][-1]["what"] == "reverted"

    third = device.release("3.0")
    device.deploy(third, first, configuration=order)
    assert device.run() == 0, device.stderr
    assert "3.0" in (device.says / "says").read_text(), device.report()

    device.fleet.sign(TOASTER, PackageEntry(software=Software()))
    assert device.run() == 0, device.stderr
    manager = ProcessServiceManager(device.state.services, boot_id_file=device.boot)
    assert not manager.state(TOASTER).running
    (package,) = device.report()["packages"]
    assert package["releases"] == []
    assert [change["what"] for change in device.report()["changes"]][0] == "deactivated"


def test_a_quiet_run_writes_nothing_new(device: Device) -> None:
    """With nothing to do, a run changes neither what runs nor the number of reports."""
    device.deploy(device.release("1.0"))
    assert device.run() == 0, device.stderr
    assert device.run() == 0, device.stderr
    before = device.report()["sequence"]
    assert device.run() == 0, device.stderr
    assert device.report()["sequence"] == before


def test_lost_floors_stop_change_and_not_operation(device: Device) -> None:
    """Both copies of the floors are gone: the service runs, nothing changes, the owner is told."""
    first = device.release("1.0")
    device.deploy(first)
    assert device.run() == 0, device.stderr
    for copy in device.state.floors.iterdir():
        copy.write_bytes(b"damaged")
    device.deploy(device.release("2.0"), first)
    ProcessServiceManager(device.state.services, boot_id_file=device.boot).stop(TOASTER)
    assert device.run() == 6, device.stderr
    assert "floors-damaged" in {alarm["code"] for alarm in device.report()["alarms"]}
    (package,) = device.report()["packages"]
    assert [one["version"] for one in package["releases"]] == ["1.0"]
    manager = ProcessServiceManager(device.state.services, boot_id_file=device.boot)
    assert manager.state(TOASTER).running
