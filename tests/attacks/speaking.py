"""A real owner's machine and server, and devices that say whatever a test puts into their mouths."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.e2e.home import Home

from allod.cli.logbook import Logbook, read_logbook
from allod.cli.refresh import refresh
from allod.domain.ids import sha256
from allod.testing.repository import key_from
from allod.testing.server import SimulatedDevice
from allod.tlog.lines import write_base64
from allod.tlog.merkle import CompactRange
from allod.wire.codec import instant
from allod.wire.report import Authority, ChangeReport, SeenCheckpoint, TrustState

PACKAGE = "pkg:generic/me/toaster"


@dataclass
class Speaker:
    """A device whose key the test holds.

    Attributes:
        home: its owner.
        log: what it will name as its newest checkpoint: origin -> size and root.
        roles: the versions that it will say it has.
    """

    home: Home
    name: str
    device: SimulatedDevice = field(init=False)
    log: dict[str, str] = field(default_factory=dict)
    roles: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made = self.home.do(
            "device", "invite", "--group", self.name, "--out",
            self.home.place / f"{self.name}.invite", "--yes",
        )  # fmt: skip
        invite = Path(made["file"]).read_bytes()
        client = self.home.fleet().client
        self.device = SimulatedDevice(key_from(f"speaker {self.name}"), client.fleet)
        now = datetime.now(UTC).replace(microsecond=0)
        client.request("POST", f"/f/{client.fleet}/bindings", body=self.device.bind(invite, now))
        self.look()

    def look(self) -> Logbook:
        """Accept what the owner's machine accepts: its versions, and its checkpoint."""
        view = refresh(self.home.fleet())
        book = read_logbook(view)
        assert book is not None
        signed = book.known.signed
        self.roles = {
            role: version
            for role, version in view.versions.items()
            if role in {"targets", "devices"}
        }
        self.log = {book.origin: f"{signed.size} {write_base64(signed.root)}"}
        return book

    def receipt(self, **other: Any) -> Authority:
        """The receipt for the newest version of targets, but for what a test says otherwise."""
        book = self.look()
        version = self.roles["targets"]
        place = book.place("targets", version)
        assert place is not None
        signed = book.known.signed
        fields: dict[str, Any] = {
            "document": f"state/groups/{self.name}.json",
            "digest": sha256(b"document"),
            "role": "targets",
            "version": version,
            "log_index": place.index,
            "checkpoint": SeenCheckpoint(
                origin=book.origin, size=signed.size, root=write_base64(signed.root)
            ),
        }
        return Authority(**{**fields, **other})

    def envelope(self, *authorities: Authority, at: datetime | None = None, **fields: Any) -> bytes:
        """The next report, signed; a change for each authority."""
        moment = instant((at or datetime.now(UTC)).replace(microsecond=0))
        changes = [
            ChangeReport(at=moment, package=PACKAGE, what="activated", authority=one)
            for one in authorities
        ]
        trust = TrustState(
            root=1, trust=1, roles=self.roles, time="2026-11-01T12:00:00Z", logs=self.log
        )
        kind = "change" if changes else "heartbeat"
        said = {"kind": kind, "at": moment, "trust": trust, "changes": changes, **fields}
        return self.device.report(**said)

    def send(self, envelope: bytes) -> None:
        """Hand a report in."""
        client = self.home.fleet().client
        path = f"/f/{client.fleet}/devices/{self.device.id}/reports"
        client.request("POST", path, body=envelope)

    def say(self, *authorities: Authority, **fields: Any) -> None:
        """Sign the next report and hand it in."""
        self.send(self.envelope(*authorities, **fields))

    def shown(self) -> dict[str, Any]:
        """What the owner is shown of it."""
        return self.home.status(self.device)  # type: ignore[arg-type]

    def codes(self) -> set[str]:
        """The alarms that the owner is shown of it."""
        return {one["code"] for one in self.shown()["alarms"]}


def other_history(size: int) -> str:
    """Size and root of a log that nobody has."""
    return f"{size} {write_base64(CompactRange().extended([b'x' * 32] * size).root())}"


def payload_of(envelope: bytes) -> Mapping[str, Any]:
    """What a report says."""
    found: Mapping[str, Any] = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    return found
