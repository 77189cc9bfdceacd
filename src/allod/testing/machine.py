"""The machine under a fake device: its clock, what is on it, who may stop it, how it restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from allod.agent.engine_ports import HostSoftware
from allod.domain.observed import Facts, Inhibition
from allod.wire.report import HostPackage

START: Final = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)  #: a Monday


@dataclass(slots=True)
class FakeClock:
    """A clock that moves only when it is told, or slept on."""

    wall: datetime = START
    ticks: float = 1000.0
    boot: int = 1

    def now(self) -> datetime:
        """Wall time."""
        return self.wall

    def monotonic(self) -> float:
        """Seconds since some start."""
        return self.ticks

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds)

    def boot_id(self) -> str:
        """Differs after every `reboot`."""
        return f"boot-{self.boot}"


@dataclass(slots=True)
class FakeInhibitors:
    """Whoever stands in the list."""

    holders: list[Inhibition] = field(default_factory=list)

    def held(self) -> tuple[Inhibition, ...]:
        """All of them."""
        return tuple(self.holders)


@dataclass(slots=True)
class FakeHost:
    """A small machine."""

    hardware: frozenset[str] = frozenset({"acme,toaster-1"})
    dpkg: tuple[HostPackage, ...] = (HostPackage(name="bash", version="5.2"),)

    def software(self) -> HostSoftware:
        """What dpkg says."""
        return HostSoftware(self.dpkg, ())

    def facts(self) -> Mapping[str, str]:
        """What it is."""
        return {"device.name": "toaster"}

    def fitness(self) -> Facts:
        """As far as releases ask."""
        return Facts(self.hardware, "x86_64")

    def uptime(self) -> int:
        """Seconds."""
        return 60


@dataclass(slots=True)
class FakeRestarter:
    """Counts restarts; the machine restarts when the test says so."""

    reasons: list[str] = field(default_factory=list)

    def restart(self, reason: str) -> None:
        """Begin one."""
        self.reasons.append(reason)


@dataclass(slots=True)
class FakeKey:
    """Puts the payload into an envelope that nobody could verify."""

    def public(self) -> Mapping[str, object]:
        """A key in form only."""
        return {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00" * 32}}

    def sign_envelope(self, payload_type: str, payload: bytes) -> bytes:
        """The payload itself, after its type."""
        return payload_type.encode() + b"\n" + payload
