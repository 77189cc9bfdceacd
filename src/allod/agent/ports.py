"""What the agent needs of the world, by role. One adapter a technology; fakes in `allod.testing`.

Every effect is idempotent: doing it again after a power cut leaves the same state. When a call
returns, what it did is durable, unless its docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from allod.domain.ids import Digest, Purl
from allod.domain.release import HealthCheck, Layer, Release


class Clock(Protocol):
    """Time as the machine claims it. What the device decides by is in `trust` (time floor)."""

    def now(self) -> datetime:
        """Wall time, aware, UTC; may be wrong by decades."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back while the machine runs."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def boot_id(self) -> str:
        """A text that differs after every restart of the machine."""
        ...


class Transport(Protocol):
    """Where the fleet's files come from.

    Paths are relative to `/f/<fleet>/` of a location, like 'tuf/timestamp.json'; those that begin
    with 'v2/' (the registry: 'v2/<fleet>/<provider>/<name>/…') to the location itself.
    Nothing that it returns is trusted. Raises Unavailable (`unreachable`, `too-slow`, …).
    """

    def get(self, path: str, *, cap: int) -> bytes | None:
        """The file, whole, at most `cap` bytes; None if the source says that it has none."""
        ...

    def stream(self, path: str, *, offset: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The file from `offset` on, in pieces of at most 1 MiB."""
        ...

    def post(self, path: str, body: bytes) -> bytes:
        """Hand in a signed statement. When it returns, the server has it durably."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """Everything that it takes to run one package's service."""

    package: Purl
    name: str
    command: tuple[str, ...]  #: absolute, placeholders filled in
    environment: Mapping[str, str]
    directory: Path  #: working directory: the active tree
    data: Path | None
    configuration: Path  #: directory with the rendered configuration
    access: frozenset[str]
    stop_seconds: float
    complain: bool = False  #: report what access is missing instead of denying it


@dataclass(frozen=True, slots=True)
class RunState:
    """What a service does now."""

    running: bool
    restarts: int = 0  #: unasked-for ends since it was last started on purpose
    detail: str = ""


class ServiceManager(Protocol):
    """Runs services, restarts them when they crash, and survives the agent's own death."""

    name: str
    enforces_access: bool

    def start(self, unit: ServiceUnit) -> None:
        """Make exactly this unit run, now and after every boot; a different one is stopped first."""
        ...

    def stop(self, package: Purl) -> None:
        """Make it not run, nor after a boot."""
        ...

    def reload(self, package: Purl) -> None:
        """Tell it to read its configuration again."""
        ...

    def state(self, package: Purl) -> RunState:
        """What it does now."""
        ...

    def missing_access(self, package: Purl) -> frozenset[str]:
        """In complain mode: access that the service used and its release does not declare."""
        ...

    def user(self, unit: ServiceUnit) -> str:
        """As whom its service, and its health command, run; empty: as the agent itself."""
        ...

    def unenforced(self, unit: ServiceUnit) -> tuple[str, ...]:
        """What stays open to the service although it is not declared, in words."""
        ...


class Restarter(Protocol):
    """Restarts the machine."""

    def restart(self, reason: str) -> None:
        """Begin an orderly restart and return; the process will be stopped."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One attempt of one check."""

    healthy: bool
    detail: str


class Probe(Protocol):
    """Asks whether a service is well."""

    def attempt(self, check: HealthCheck, unit: ServiceUnit | None, run: RunState) -> ProbeResult:
        """Try `check` once, within `check.timeout`. Never raises for an unhealthy service."""
        ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found when everything was read again."""

    ok: bool
    digest: Digest  #: over all names, modes and contents
    changed: tuple[str, ...] = ()  #: at most 100 paths: changed, missing, added


class Installer(Protocol):
    """Puts releases of one kind in place, several versions side by side."""

    def stage(
        self, package: Purl, digest: Digest, release: Release, layers: Mapping[Layer, BinaryIO]
    ) -> None:
        """Unpack and verify beside what runs. A half-staged release from before a cut is replaced.

        Raises:
            InvalidInput: the payload is not what its release says (`bad-payload`).
        """
        ...

    def staged(self, package: Purl) -> frozenset[Digest]:
        """The releases that are staged whole."""
        ...

    def directory(self, package: Purl, digest: Digest) -> Path:
        """Where the staged release stands."""
        ...

    def measure(self, package: Purl, digest: Digest) -> Measurement:
        """Read everything again and compare with what was staged."""
        ...

    def unstage(self, package: Purl, digest: Digest) -> None:
        """Remove it."""
        ...


class IdentityKey(Protocol):
    """The device's own key."""

    def public(self) -> Mapping[str, object]:
        """The public half as a TUF key dictionary."""
        ...

    def sign_envelope(self, payload_type: str, payload: bytes) -> bytes:
        """A DSSE envelope (JSON) around `payload` with this key's signature; nothing else is signed."""
        ...
