"""What the registry needs: a catalogue, and somebody who knows who may do what.

Ports may be called from several threads and processes at once. When a call that writes returns,
what it wrote is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from allod.domain.ids import Digest
from allod.server.ports import BlobStore


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """One repository of a fleet."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A manifest that a repository holds; its bytes are a blob."""

    digest: Digest
    media_type: str
    size: int
    artifact_type: str | None = None
    subject: Digest | None = None
    annotations: Mapping[str, str] | None = None


class Catalogue(Protocol):
    """What the repositories of one fleet hold."""

    def add(self, repository: Repository, row: ManifestRow) -> None:
        """Hold a manifest, and let it be found by its subject. Idempotent."""
        ...

    def manifest(self, repository: Repository, digest: Digest) -> ManifestRow | None:
        """A manifest that the repository holds."""
        ...

    def referrers(self, repository: Repository, subject: Digest) -> tuple[ManifestRow, ...]:
        """The manifests about `subject`, by digest."""
        ...

    def claim(self, repository: Repository, tag: str, digest: Digest) -> Digest:
        """Give the tag to `digest` unless it has one; whose it is now. One of many racers wins."""
        ...

    def move(self, repository: Repository, tag: str, digest: Digest) -> None:
        """Give the tag to `digest`, whosever it was."""
        ...

    def resolve(self, repository: Repository, tag: str) -> Digest | None:
        """Whose the tag is."""
        ...

    def tags(
        self, repository: Repository, *, after: str = "", limit: int | None = None
    ) -> tuple[str, ...] | None:
        """Tags greater than `after` in lexical order; None for a repository that is not there."""
        ...

    def repositories(self) -> tuple[Repository, ...]:
        """All repositories, in order."""
        ...


@dataclass(frozen=True, slots=True)
class FleetStore:
    """Where one fleet's releases are."""

    blobs: BlobStore
    catalogue: Catalogue


#: Gives the store of a fleet; None for a fleet that this server does not have.
FleetStores = Callable[[str], FleetStore | None]


class Action(StrEnum):
    """What somebody wants to do."""

    PULL = "pull"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class Caller:
    """A request, as far as it says who sends it."""

    method: str
    path: str  #: as it came, percent-encoded
    query: str
    headers: Mapping[str, str]  #: lower-case names


class Gate(Protocol):
    """Knows who may pull and push."""

    def admit(self, fleet: str | None, action: Action, caller: Caller) -> bytes | None:
        """Let the caller in, or raise; `fleet` None: is it anybody that this server knows?

        Returns:
            The SHA-256 that the body must have, if the caller signed it.

        Raises:
            Refused: `unauthenticated`, `forbidden`.
            Untrusted: `bad-signature`, `signature-too-old`.
        """
        ...
