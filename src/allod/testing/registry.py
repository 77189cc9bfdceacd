"""Releases as a registry would serve them, in a dictionary, signed by whoever is told to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from securesystemslib.signer import CryptoSigner

from allod.domain.desired import Level, ReleaseOrder
from allod.domain.ids import Digest, ProviderName, Purl, Version, package_name, sha256
from allod.testing.payloads import MemoryTransport, Payload
from allod.trust.keys import from_key
from allod.trust.papers import make_release_statement
from allod.trust.release import ReleaseIdentity
from allod.wire import oci
from allod.wire.release import encode_release
from allod.wire.trust import ProviderDocument

FLEET = "f" * 64


@dataclass
class Publisher:
    """A provider with a key, who pushes releases into a dictionary."""

    name: str = "acme"
    fleet: str = FLEET
    namespaces: tuple[str, ...] = ("pkg:generic/acme/",)
    key: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    transport: MemoryTransport = field(default_factory=MemoryTransport)

    @property
    def document(self) -> ProviderDocument:
        """What the owner says of this provider."""
        return ProviderDocument(
            fleet=self.fleet,
            provider=self.name,
            keys=[from_key(self.key.public_key)],
            namespaces=list(self.namespaces),
        )

    def repository(self, package: Purl) -> str:
        """The address of a package's repository."""
        return f"v2/{self.fleet}/{self.name}/{package_name(package)}"

    def push(self, made: Payload, *, sign: bool = True, at: Purl | None = None) -> ReleaseOrder:
        """Serve a release, with its statement; gives the order for it."""
        release = made.release
        place = self.repository(at or release.package)
        config = encode_release(release)
        manifest = oci.Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            artifact_type=oci.RELEASE,
            config=_descriptor(oci.CONFIG, config),
            layers=[
                oci.Descriptor(media_type=one.media_type, digest=one.digest, size=one.size)
                for one in release.layers
            ],
        )
        raw = oci.encode_document(manifest)
        digest = sha256(raw)
        files = self.transport.files
        files[f"{place}/manifests/{digest}"] = raw
        files[f"{place}/blobs/{sha256(config)}"] = config
        files[f"{place}/blobs/{release.layers[0].digest}"] = made.data
        order = ReleaseOrder(ProviderName(release.provider), release.version, digest, Level.ACTIVE)
        if sign:
            identity = ReleaseIdentity(order.provider, release.package, release.version, digest)
            self.attach(place, digest, len(raw), make_release_statement(identity, [self.key]))
        return order

    def attach(
        self,
        place: str,
        subject: Digest,
        size: int,
        envelope: bytes,
        *,
        kind: str = oci.STATEMENT,
    ) -> None:
        """Serve an envelope as a statement about `subject`, beside those that are there."""
        files = self.transport.files
        about = oci.Descriptor(media_type=oci.MANIFEST, digest=subject, size=size)
        raw = oci.encode_document(oci.statement_manifest(envelope, about, kind=kind))
        files[f"{place}/manifests/{sha256(raw)}"] = raw
        files[f"{place}/blobs/{sha256(envelope)}"] = envelope
        path = f"{place}/referrers/{subject}"
        known = oci.decode_index(files[path]).manifests if path in files else []
        entry = oci.Descriptor(
            media_type=oci.MANIFEST, digest=sha256(raw), size=len(raw), artifact_type=kind
        )
        index = oci.Index(schema_version=2, media_type=oci.INDEX, manifests=[*known, entry])
        files[path] = oci.encode_document(index)

    def vouch(self, order: ReleaseOrder, package: Purl, version: Version, size: int) -> None:
        """Sign a statement that says whatever the arguments say, about the order's digest."""
        identity = ReleaseIdentity(ProviderName(self.name), package, version, order.digest)
        envelope = make_release_statement(identity, [self.key])
        self.attach(self.repository(package), order.digest, size, envelope)


def _descriptor(media_type: str, data: bytes) -> oci.Descriptor:
    return oci.Descriptor(media_type=media_type, digest=sha256(data), size=len(data))


def other_version(order: ReleaseOrder, version: str) -> ReleaseOrder:
    """The same digest under another version."""
    return replace(order, version=Version(version))
