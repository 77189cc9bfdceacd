"""What the engine needs beyond `ports`: releases, configurations, copies of data, inhibitors.

The same rules hold: every effect is idempotent, and what a call did is durable when it returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from allod.agent.ports import Clock, Installer, Probe, Restarter, ServiceManager
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import Digest, Purl
from allod.domain.observed import Facts, Inhibition
from allod.domain.release import Layer, Release
from allod.wire.report import HostPackage


class ReleaseSource(Protocol):
    """Releases and configuration documents, verified before anybody sees them (docs/explanation/acceptance.md, 9 and 10)."""

    def describe(self, package: Purl, order: ReleaseOrder) -> Release:
        """Fetch and keep the description, with the provider's signature verified.

        Raises:
            Untrusted: it does not carry its provider's authority.
            Unavailable: it can't be had now.
        """
        ...

    def described(self, package: Purl, digest: Digest) -> Release | None:
        """The description, if it is kept here; read from the disk and checked by digest."""
        ...

    def vetted(self, package: Purl, digest: Digest) -> bool:
        """Whether what is described meets the owner's policy on its provider as it is now."""
        ...

    def evidence(
        self, package: Purl, order: ReleaseOrder
    ) -> Mapping[Digest, frozenset[tuple[str, str]]]:
        """Older release -> (source, flaw) that the ordered one mends, by verifiers' words."""
        ...

    def fetch(self, package: Purl, digest: Digest, *, bandwidth: int | None) -> None:
        """Fetch and keep the payload, resuming what came before; digests checked on the way.

        Raises:
            Untrusted: what came is not what was signed.
            Unavailable: it can't be had now, or there is no room for it.
        """
        ...

    def held(self, package: Purl) -> frozenset[Digest]:
        """The releases whose description and payload are kept whole."""
        ...

    def open(
        self, package: Purl, digest: Digest
    ) -> AbstractContextManager[Mapping[Layer, BinaryIO]]:
        """The payload of a release that is held."""
        ...

    def forget(self, package: Purl, digest: Digest) -> None:
        """Remove description and payload, but for what other releases need too."""
        ...

    def progress(self, package: Purl, digest: Digest) -> float | None:
        """How much of the payload is here, 0 to 1; None: nothing is known."""
        ...

    def document(self, digest: Digest, size: int) -> None:
        """Fetch and keep a configuration document.

        Raises:
            Untrusted, Unavailable: as above.
        """
        ...

    def read_document(self, digest: Digest) -> bytes | None:
        """A configuration document, if it is kept here and whole."""
        ...

    def keep_documents(self, wanted: Iterable[Digest]) -> None:
        """Remove all configuration documents but these."""
        ...


@dataclass(frozen=True, slots=True)
class ConfigurationCheck:
    """What was found when a configuration was compared with what it should be."""

    ok: bool
    digest: Digest  #: over what stands there
    changed: tuple[str, ...] = ()  #: what nobody was allowed to change
    local: tuple[str, ...] = ()  #: JSON pointers that users changed, as they may


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that makes up one configuration."""

    package: Purl
    release: Release
    document: bytes | None  #: None: the release's default
    secrets: frozenset[str]  #: that it may use


class Renderer(Protocol):
    """Makes configurations out of documents, facts of the device, and its secrets."""

    def check(self, sheet: Sheet) -> None:
        """Whether it could be rendered.

        Raises:
            InvalidInput, Refused: why not (schema, unknown fact, missing or not granted secret).
        """
        ...

    def render(self, sheet: Sheet, directory: Path, earlier: Path | None) -> None:
        """Write it into `directory`; what users changed in `earlier`, where they may, goes along."""
        ...

    def measure(self, sheet: Sheet, directory: Path) -> ConfigurationCheck:
        """Compare what stands in `directory` with what should."""
        ...


class Snapshots(Protocol):
    """Copies of a package's data."""

    def take(self, package: Purl, number: int) -> None:
        """Copy the data as they are; a whole copy of this number from before a cut is kept."""
        ...

    def restore(self, package: Purl, number: int) -> None:
        """Make the data what they were; the copy stays."""
        ...

    def numbers(self, package: Purl) -> frozenset[int]:
        """The numbers of the copies that are whole."""
        ...

    def prune(self, package: Purl, keep: Iterable[int]) -> None:
        """Remove all copies but these, and what cuts left of others."""
        ...


class Inhibitors(Protocol):
    """Who asks not to be disturbed."""

    def held(self) -> tuple[Inhibition, ...]:
        """All that are held now; those whose holder is gone do not count."""
        ...


@dataclass(frozen=True, slots=True)
class HostSoftware:
    """What is installed beside Allod."""

    dpkg: tuple[HostPackage, ...]
    pip: tuple[HostPackage, ...]


class HostInventory(Protocol):
    """Software that Allod does not manage, and what the machine is."""

    def software(self) -> HostSoftware:
        """All of it, sorted."""
        ...

    def facts(self) -> Mapping[str, str]:
        """What the machine is, for reports and configurations."""
        ...

    def fitness(self) -> Facts:
        """What the machine is, as far as releases ask."""
        ...

    def uptime(self) -> int:
        """Seconds since the machine started."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """All that the engine acts through; made in one place, `agent.worker`."""

    clock: Clock
    installer: Installer
    services: ServiceManager
    restarter: Restarter
    probe: Probe
    source: ReleaseSource
    renderer: Renderer
    snapshots: Snapshots
    inhibitors: Inhibitors
    host: HostInventory
