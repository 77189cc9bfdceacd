"""Gates of rollouts, `/f/<fleet>/gates/<rollout>/<stage>.json` (docs/spec/rollout.md).

DSSE with payload type `GATE`, by the fleet's gate key.
"""

from __future__ import annotations

from typing import Final, Literal

from allod.wire.codec import Document
from allod.wire.envelope import Envelope, PublicKey

GATE_CAP: Final = 1024 * 1024


class CanaryReport(Document, kw_only=True, frozen=True):
    """A canary's own word: its signed report, and the key whose hash is the device's id."""

    key: PublicKey
    report: Envelope


class Gate(Document, kw_only=True, frozen=True):
    """The payload: this stage is open."""

    type: Literal["allod.gate"] = "allod.gate"
    format: Literal[1] = 1
    fleet: str
    rollout: str
    stage: int
    at: str
    reports: list[CanaryReport] = []  #: where the stage needs success


def gate_path(rollout: str, stage: int) -> str:
    """Where a fleet's server has it, relative to `/f/<fleet>/`."""
    return f"gates/{rollout}/{stage}.json"
