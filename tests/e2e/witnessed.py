"""A home whose devices need a witness, which runs and knows its logs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tests.e2e.home import Home
from tests.e2e.log_keys import log_key

from allod.tlog.checkpoint import CHECKPOINT_CAP, SignedCheckpoint, open_checkpoint, vouched
from allod.tlog.note import VerifierKey
from allod.wire.log import ACTIVITY, AUTHORITY


class RunsAsWitness(Protocol):
    """A witness of any make, as a process."""

    @property
    def url(self) -> str:
        """Where it answers."""
        ...

    def know(self, logs: Iterable[VerifierKey]) -> None:
        """Let it cosign these logs."""
        ...

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ...


def witnessed_home(
    place: Path, witness: RunsAsWitness, cosigner: VerifierKey, *, age: str = "1h"
) -> Home:
    """A home whose one witness has cosigned what its server serves."""

    def ready(server: Path) -> None:
        settings = json.loads((place / "laptop" / "fleets" / "home" / "fleet.json").read_bytes())
        witness.know(log_key(server, settings["fleet"], name) for name in (AUTHORITY, ACTIVITY))
        witness.start()

    words = ("--witness", f"{cosigner}={witness.url}", "--quorum", "1", "--witness-age", age)
    home = Home(place, words, ready)
    for _ in range(400):
        if vouched(served(home), [cosigner]).as_of(1) is not None:
            return home
        time.sleep(0.05)
    raise AssertionError("the server does not have its log cosigned")


def served(home: Home) -> SignedCheckpoint:
    """The authority log's checkpoint, as anybody gets it."""
    fleet = home.fleet()
    key = log_key(home.place / "server", fleet.id, AUTHORITY)
    raw = fleet.client.file("log/authority/checkpoint", cap=CHECKPOINT_CAP)
    assert raw is not None
    return open_checkpoint(raw, key.name, [key])
