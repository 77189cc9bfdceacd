"""What the published documents of the owner say of delegations and providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from allod.domain.delegation import Delegation
from allod.server.layout import FleetDirectory
from allod.server.services.fleets import DOCUMENT_CAP, published_file
from allod.trust.accepted import Repository
from allod.trust.effects import drive
from allod.trust.metadata import TARGETS, read
from allod.wire.codec import decode
from allod.wire.delegation import decode_delegation
from allod.wire.trust import ProviderDocument

_DELEGATIONS: Final = "delegations/"
_PROVIDERS: Final = "providers/"


def delegations_in(repository: Repository, directory: FleetDirectory) -> Mapping[str, Delegation]:
    """Id -> delegation. Raises AllodError: the files are not whole."""
    found = (decode_delegation(data)[1] for data in _documents(repository, directory, _DELEGATIONS))
    return {one.id: one for one in found}


def providers_in(
    repository: Repository, directory: FleetDirectory
) -> Mapping[str, ProviderDocument]:
    """Name -> provider. Raises AllodError: the files are not whole."""
    found = (
        decode(data, ProviderDocument, cap=DOCUMENT_CAP, what="a provider's document")
        for data in _documents(repository, directory, _PROVIDERS)
    )
    return {one.provider: one for one in found}


def _documents(repository: Repository, directory: FleetDirectory, prefix: str) -> Iterator[bytes]:
    """The owner's documents below `prefix`: what another role lists there is not read."""
    for path in read(repository.files[TARGETS], TARGETS).signed.targets:
        if path.startswith(prefix):
            target = drive(
                repository.target(path, DOCUMENT_CAP),
                lambda path, cap: published_file(directory, path, cap),
                lambda _: None,
            )
            if target is not None:
                yield target.data


def newest_documents(root: Path) -> tuple[bytes, ...]:
    """The newest document of every channel: what a log that begins has to have."""
    return tuple(path.read_bytes() for path in sorted(root.glob("channels/*/*/latest.json")))
