"""`allod audit explain` beside a whole server: from signed files and the device's own reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.attacks.trust_world import KITCHEN, PACKAGE
from tests.unit.audit.machine import Machine, machine_of

from allod.domain.desired import (
    ChangeNote,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
)
from allod.domain.ids import Digest, ProviderName, Version, sha256
from allod.testing.server import ServerRig, SimulatedDevice
from allod.testing.server_logs import entry_of, naming
from allod.tlog.checkpoint import parse_checkpoint
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.metadata import SNAPSHOT, TIMESTAMP, open_role
from allod.wire.api import ChangeUpload
from allod.wire.codec import instant
from allod.wire.log import TRUST_ROLE
from allod.wire.report import (
    Authority,
    ChangeReport,
    ConfigurationOnDevice,
    PackageReport,
    Refusal,
    ReleaseOnDevice,
    SeenCheckpoint,
)

ONE, TWO, THREE = (sha256(f"{number}.0".encode()) for number in (1, 2, 3))


@pytest.fixture
def machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """An owner with a fleet of two logs."""
    with machine_of(tmp_path, capsys, monkeypatch) as made:
        yield made


@dataclass
class Kitchen:
    """A device in the kitchen, and an owner who deploys to it."""

    machine: Machine
    device: SimulatedDevice
    number: int = 0

    @property
    def now(self) -> datetime:
        return self.machine.rig.clock.moment

    def deploy(self, digest: Digest, version: str, message: str) -> Authority:
        """The owner orders a release; the authority as a device that sees it names it."""
        self.number += 1
        note = ChangeNote(self.number, f"id{self.number}", self.now, "ann", message, "T-7")
        order = ReleaseOrder(ProviderName("me"), Version(version), digest, Level.ACTIVE)
        entry = PackageEntry(Software(releases=(order,)), change=note)
        simulator = self.machine.rig.simulator
        document = StateDocument(simulator.fleet, KITCHEN, {PACKAGE: entry}, change=note)
        made = simulator.set_state(document)
        self.machine.publish(made)
        self.machine.run("history")
        floors = self.machine.fleet.floors
        (raw,) = made.targets.values()
        counted = floors.counted["targets"]
        (note_text,) = (text for origin, text in floors.notes.items() if "authority" in origin)
        seen = parse_checkpoint(note_text.partition("\n\n")[0] + "\n")
        size, root = floors.checkpoints[seen.origin].split()
        return Authority(
            document=KITCHEN.target_path,
            digest=sha256(raw),
            role="targets",
            version=counted.version,
            change=self.number,
            log_index=counted.index,
            checkpoint=SeenCheckpoint(origin=seen.origin, size=int(size), root=root),
        )

    def report(
        self, active: Digest, version: str, *changes: ChangeReport, refused: str = ""
    ) -> None:
        """What the device says now."""
        self.machine.rig.clock.pass_time(minutes=10)
        release = ReleaseOnDevice(provider="me", version=version, digest=active, level="active")
        package = PackageReport(
            package=PACKAGE,
            state="active",
            releases=[release],
            configuration=ConfigurationOnDevice(digest=None),
        )
        refusal = Refusal(code=refused, reasons=["it needs: camera"], subject=PACKAGE)
        self.machine.hand_in(
            self.device,
            at=instant(self.now),
            kind="change" if changes else "heartbeat",
            trust=self.machine.trust(),
            packages=[package],
            changes=list(changes),
            refusals=[refusal] if refused else [],
        )

    def activated(self, digest: Digest, authority: Authority, **more: Any) -> ChangeReport:
        return ChangeReport(
            at=instant(self.now), package=PACKAGE, what="activated", after=digest,
            authority=authority, **more,
        )  # fmt: skip

    def explain(self, *options: str) -> Any:
        return self.machine.ask("audit", "explain", self.device.id[:12], "toaster", *options)


@pytest.fixture
def kitchen(machine: Machine) -> Kitchen:
    """1.0 runs, 2.0 was refused for a while, then activated; 3.0 is ordered."""
    found = Kitchen(machine, machine.rig.bound())
    one = found.deploy(ONE, "1.0", "the first")
    found.report(ONE, "1.0", found.activated(ONE, one))
    two = found.deploy(TWO, "2.0", "with a camera")
    found.report(ONE, "1.0", refused="access-not-accepted")
    found.report(TWO, "2.0", found.activated(TWO, two))
    return found


def test_it_says_what_runs_and_who_allowed_it(kitchen: Kitchen) -> None:
    """Release, since when, document, note, keys, the entry in the log; proved here."""
    said = kitchen.explain()
    assert (said["runs"]["version"], said["runs"]["digest"]) == ("2.0", TWO)
    assert said["since"]["report"] == 3
    allowed = said["allowed"]
    assert (allowed["change"]["by"], allowed["change"]["message"]) == ("ann", "with a camera")
    assert allowed["change"]["ticket"] == "T-7"
    assert (allowed["document"], allowed["orders"]) == (KITCHEN.target_path, True)
    owner = kitchen.machine.rig.simulator.owner.targets[0].public_key.keyid
    assert [key["id"] for key in allowed["keys"]] == [owner]
    log = allowed["log"]
    assert log["proved"]
    assert log["index"] == log["entry"]
    assert log["checkpoint"]["size"] >= log["inForceSince"] > log["index"]
    assert allowed["doubts"] == said["doubts"] == []


def test_it_says_what_was_refused_on_the_way_and_what_comes(kitchen: Kitchen) -> None:
    """The refusal between the two releases; 3.0 is ordered and not there, and why."""
    kitchen.deploy(THREE, "3.0", "soon")
    said = kitchen.explain()
    (refused,) = said["refused"]
    assert (refused["code"], refused["reports"]) == ("access-not-accepted", [2, 2])
    assert said["ordered"]["state"] == "not seen yet"
    assert any("3.0" in wanted for wanted in said["ordered"]["wanted"])
    assert kitchen.machine.run("audit", "explain", kitchen.device.id[:12], "toaster") == 0
    words = kitchen.machine.out
    for part in ("runs: 2.0", "change 2: with a camera [T-7]", "proved here", "3.0", "camera"):
        assert part in words


def test_it_says_what_ran_then(kitchen: Kitchen) -> None:
    """Before the second release: the first, by the first change; before everything: nothing known."""
    then = (kitchen.now - timedelta(minutes=15)).isoformat()
    said = kitchen.explain("--at", then)
    assert said["runs"]["version"] == "1.0"
    assert said["allowed"]["change"]["message"] == "the first"
    assert said["ordered"] is None
    long_ago = (kitchen.now - timedelta(days=2)).isoformat()
    assert kitchen.explain("--at", long_ago)["runs"] is None


def test_a_device_that_claims_another_authority_is_doubted(kitchen: Kitchen) -> None:
    """It names a document that orders something else, or an entry that is not the document's."""
    authority = kitchen.deploy(THREE, "3.0", "soon")
    other = sha256(b"other")
    kitchen.report(other, "9.9", kitchen.activated(other, authority))
    allowed = kitchen.explain()["allowed"]
    assert allowed["orders"] is False
    assert allowed["doubts"]
    false = Authority(
        document=authority.document, digest=authority.digest, role="targets",
        version=authority.version, log_index=1, checkpoint=authority.checkpoint,
    )  # fmt: skip
    kitchen.report(THREE, "3.0", kitchen.activated(THREE, false))
    said = kitchen.explain()
    assert (said["allowed"]["orders"], said["allowed"]["log"]["proved"]) == (True, False)
    assert said["allowed"]["doubts"]


def test_what_is_not_known_is_said(kitchen: Kitchen) -> None:
    """No such device, no such package: by their codes."""
    run = kitchen.machine.run
    assert run("audit", "explain", "0000", "toaster") == 2
    assert run("audit", "explain", kitchen.device.id[:12], "kettle") == 2


def succeed(rig: ServerRig) -> None:
    """The owner names successors of both logs; every role is logged anew as it stands."""
    simulator = rig.simulator
    published = rig.settings.layout.fleet(rig.fleet).root / "trust" / "2.json"
    simulator.statements.append(published.read_bytes())
    made = naming(rig, 2)
    files = {
        role: open_role(data, role)
        for role, data in simulator.roles.items()
        if role not in {SNAPSHOT, TIMESTAMP}
    }
    entries = [entry_of(rig, role, file.version, file.digest) for role, file in files.items()]
    (statement,) = made.trust.values()
    digest = sha256(payload_of(decode_envelope(statement)))
    entries.append(entry_of(rig, TRUST_ROLE, 3, digest))
    rig.server.publish(rig.fleet, ChangeUpload(trust=made.trust, entries=entries))


def test_a_log_that_was_succeeded_keeps_what_was_proved(kitchen: Kitchen) -> None:
    """The entry that the device names is in the log before; this machine proved it then."""
    rig = kitchen.machine.rig
    succeed(rig)
    assert kitchen.machine.run("history") == 0
    log = kitchen.explain()["allowed"]["log"]
    assert (log["proved"], log["provedEarlier"]) == (False, True)
    assert kitchen.machine.run("audit", "explain", kitchen.device.id[:12], "toaster") == 0
    assert "proved here before another log followed" in kitchen.machine.out


def test_a_false_entry_of_a_succeeded_log_was_proved_by_nobody(kitchen: Kitchen) -> None:
    """A device cannot hide behind a log that is not read any more."""
    authority = kitchen.deploy(THREE, "3.0", "soon")
    rig = kitchen.machine.rig
    succeed(rig)
    kitchen.machine.run("history")
    false = msgspec.structs.replace(authority, log_index=1)
    kitchen.report(THREE, "3.0", kitchen.activated(THREE, false))
    log = kitchen.explain()["allowed"]["log"]
    assert (log["proved"], log["provedEarlier"]) == (False, False)
