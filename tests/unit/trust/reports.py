"""Reports for the tests of this room."""

from __future__ import annotations

from typing import Any, Literal

from allod.domain.ids import DeviceId
from allod.testing.repository import key_from
from allod.trust.keys import device_id, from_key
from allod.wire.report import Boot, Report, TrustState

FLEET = "f" * 64
KEY = key_from("device")
DEVICE: DeviceId = device_id(from_key(KEY.public_key))


def report(
    sequence: int,
    previous: str | None = None,
    kind: Literal["change", "heartbeat"] = "change",
    **fields: Any,
) -> Report:
    """A report with nothing in it."""
    known = {
        "fleet": FLEET,
        "device": DEVICE,
        "epoch": 1,
        "sequence": sequence,
        "previous": previous,
        "kind": kind,
        "at": "2026-11-01T12:00:00Z",
        "agent": "0.1.0",
        "boot": Boot(id="b", count=1),
        "uptime": 1,
        "facts": {},
        "trust": TrustState(root=1, trust=1, roles={}, time="2026-11-01T12:00:00Z"),
        "packages": [],
        "journey": "sha256:0",
    }
    return Report(**{**known, **fields})
