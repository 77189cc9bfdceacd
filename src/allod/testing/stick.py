"""A whole fleet on a stick: real signatures, real releases, no server.

What `allod export` writes, made without the owner's tools, so that the agent's worker can be run
for real on it: `StickFleet.write` after every change, `bind` to make a device of the fleet.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from allod.agent.bound import Bound, save_bound
from allod.agent.floors_store import FloorsStore
from allod.agent.identity import make_identity
from allod.agent.state_dir import StateDir, open_state
from allod.domain.desired import PackageEntry, StateDocument
from allod.domain.ids import (
    Digest,
    GroupName,
    ProviderName,
    Purl,
    Version,
    group_scope,
    package_name,
    sha256,
)
from allod.domain.release import Release
from allod.testing.payloads import Item, payload
from allod.testing.repository import RepositorySimulator
from allod.wire import oci
from allod.wire.codec import instant
from allod.wire.oci import Descriptor, Index, Manifest
from allod.wire.release import encode_release
from allod.wire.trust import Location

ME: Final = ProviderName("me")
KITCHEN: Final = GroupName("kitchen")


class StickFleet:
    """A fleet whose files lie in a directory.

    Args:
        directory: the stick.
        now: the owner's time.
    """

    def __init__(self, directory: Path, now: datetime) -> None:
        self.directory = directory
        self.simulator = RepositorySimulator(now=now)
        self.packages: dict[str, PackageEntry] = {}
        self._blobs: dict[str, bytes] = {}

    def release(
        self, package: Purl, version: str, items: tuple[Item, ...] = (), **fields: Any
    ) -> tuple[Release, Digest]:
        """Publish a release, signed by provider `me`; its manifest's digest."""
        made = payload(items, package=package, version=Version(version), provider=ME, **fields)
        config = encode_release(made.release)
        manifest = oci.encode_document(
            Manifest(
                schema_version=oci.SCHEMA_VERSION,
                media_type=oci.MANIFEST,
                artifact_type=oci.RELEASE,
                config=Descriptor(media_type=oci.CONFIG, digest=sha256(config), size=len(config)),
                layers=[
                    Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
                    for layer in made.release.layers
                ],
            )
        )
        digest = sha256(manifest)
        repository = f"v2/{self.simulator.fleet}/me/{package_name(package)}"
        self._put(f"{repository}/manifests/{digest}", manifest)
        for blob in (config, made.data):
            self._put(f"{repository}/blobs/{sha256(blob)}", blob)
        self._vouch(repository, package, Version(version), digest, len(manifest))
        return made.release, digest

    def _vouch(
        self, repository: str, package: Purl, version: Version, digest: Digest, size: int
    ) -> None:
        envelope = self.simulator.release_statement(package, version, digest)
        subject = Descriptor(media_type=oci.MANIFEST, digest=digest, size=size)
        referrer = oci.encode_document(oci.statement_manifest(envelope, subject))
        entry = Descriptor(
            media_type=oci.MANIFEST,
            digest=sha256(referrer),
            size=len(referrer),
            artifact_type=oci.STATEMENT,
        )
        index = Index(schema_version=oci.SCHEMA_VERSION, media_type=oci.INDEX, manifests=[entry])
        self._put(f"{repository}/manifests/{entry.digest}", referrer)
        self._put(f"{repository}/blobs/{sha256(envelope)}", envelope)
        self._put(f"{repository}/referrers/{digest}", oci.encode_document(index))

    def document(self, content: bytes) -> Digest:
        """Publish a configuration document."""
        digest = sha256(content)
        self._put(f"f/{self.simulator.fleet}/blobs/{digest}", content)
        return digest

    def sign(self, package: Purl, entry: PackageEntry) -> None:
        """The owner's word on one package of the group `kitchen`."""
        self.packages[package] = entry
        self.sign_document(
            StateDocument(self.simulator.fleet, group_scope(KITCHEN), packages=dict(self.packages))
        )

    def sign_document(self, document: StateDocument) -> None:
        """The owner's word on a whole scope."""
        self.simulator.set_state(document)
        self.write()

    def write(self) -> None:
        """Put everything onto the stick."""
        for path, data in self.simulator.files.items():
            self._put(f"f/{self.simulator.fleet}/{path}", data)
        for path, data in self._blobs.items():
            place = self.directory / path.replace(":", "-")
            if not place.exists() or place.read_bytes() != data:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)

    def _put(self, path: str, data: bytes) -> None:
        self._blobs[path] = data

    def bind(self, root: Path, *, locations: tuple[Location, ...] = ()) -> StateDir:
        """A device of the group `kitchen`, with its state directory at `root`."""
        state = open_state(root)
        key = make_identity(state.identity)
        FloorsStore(state).begin(self.simulator.observe().floors)
        save_bound(
            state,
            Bound(
                fleet=self.simulator.fleet,
                name="home",
                device=key.device,
                epoch=0,
                invite="invite-1",
                groups=(KITCHEN,),
                anchor=self.simulator.anchor,
                locations=locations,
                at=instant(self.simulator.now),
            ),
        )
        return state
