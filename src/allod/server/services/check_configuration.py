"""Validates configuration documents against the releases that they are for, before publication."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from allod.domain.configuration import validate
from allod.domain.desired import PackageEntry, StateDocument
from allod.domain.ids import Digest, FleetId, Purl, is_pattern, package_name
from allod.domain.release import Release
from allod.errors import InvalidInput
from allod.server.ports import BlobStore
from allod.server.registry.ports import FleetStores, Repository
from allod.server.registry.service import release_of
from allod.wire.codec import parse_strict

CONFIGURATION_CAP = 4 * 1024 * 1024


class CheckConfiguration:
    """The use case. A release that this server does not have is left to the device."""

    def __init__(self, blobs: Callable[[FleetId], BlobStore], releases: FleetStores) -> None:
        self._blobs = blobs
        self._releases = releases

    def __call__(self, fleet: FleetId, state: StateDocument, blobs: Mapping[Digest, bytes]) -> None:
        """Check every configuration that a document of desired state names.

        Raises:
            InvalidInput: `no-configuration` (its document is nowhere), `bad-configuration`,
                `write-only-value`, `bad-json`, `wrong-size`.
        """
        for key, entry in state.packages.items():
            order = entry.configuration
            if order is None or order.digest is None or is_pattern(key):
                continue
            data = blobs.get(order.digest) or self._stored(fleet, order.digest)
            if data is None:
                raise InvalidInput(
                    "no-configuration",
                    f"cannot publish {state.scope}: the configuration of {key} ({order.digest}) "
                    "is not in the upload",
                )
            if len(data) != order.size:
                raise InvalidInput(
                    "wrong-size",
                    f"cannot publish {state.scope}: the configuration of {key} has "
                    f"{len(data)} bytes, not {order.size}",
                )
            document = parse_strict(data, cap=CONFIGURATION_CAP, what=f"the configuration of {key}")
            release = self.release(fleet, Purl(key), entry)
            if release is not None and release.configuration is not None:
                validate(document, release.configuration.schema)

    def _stored(self, fleet: FleetId, digest: Digest) -> bytes | None:
        store = self._blobs(fleet)
        size = store.size(digest)
        if size is None or size > CONFIGURATION_CAP:
            return None
        return b"".join(store.read(digest))

    def release(self, fleet: FleetId, package: Purl, entry: PackageEntry) -> Release | None:
        """The release that an entry orders to run, if this server has it."""
        active = None if entry.software is None else entry.software.active
        store = self._releases(fleet)
        if active is None or store is None:
            return None
        repository = Repository(active.provider, package_name(package))
        return release_of(store, repository, active.digest)
