"""Copy a release that a channel names from its provider's registry into the fleet's.

The provider's own signed statement is checked first, under what the owner says of the provider:
not a byte of a payload is fetched for a release that nobody signed. Everything else is bound to
the digest that stands in the statement and in the channel. What else lies beside it comes along.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from allod.domain.delegation import ChannelRelease
from allod.domain.ids import Digest, FleetId, Purl, package_name, parse_digest, sha256
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.server.registry.ports import FleetStore, FleetStores, Repository
from allod.server.registry.service import push_manifest, release_of
from allod.server.services.mirror_referrers import Carrying
from allod.server.services.mirror_source import Source
from allod.trust.provenance import verify_provenance
from allod.trust.release import STATEMENT_CAP, verify_release_statement
from allod.wire import oci
from allod.wire.oci import Descriptor, Index, Manifest
from allod.wire.provenance import PROVENANCE_CAP
from allod.wire.trust import ProviderDocument

RELEASE_CAP: Final = 16 * 1024**3  #: bytes of one release, all platforms together
_STATEMENTS: Final = 16  #: that are looked at for one that counts


_LAYERS: Final = {oci.STATEMENT: oci.statement_layer, oci.PROVENANCE: oci.provenance_layer}
_CAPS: Final = {oci.STATEMENT: STATEMENT_CAP, oci.PROVENANCE: 2 * PROVENANCE_CAP}


@dataclass(frozen=True, slots=True)
class _Statement:
    manifest: bytes
    document: Manifest
    envelope: bytes


class Mirror:
    """The use case.

    Args:
        stores: the registry of a fleet.
        source: where releases come from.
        cap: bytes of one release.
    """

    def __init__(self, stores: FleetStores, source: Source, cap: int = RELEASE_CAP) -> None:
        self._stores = stores
        self._source = source
        self._cap = cap

    def __call__(
        self,
        fleet: FleetId,
        provider: ProviderDocument,
        source: str,
        package: Purl,
        wanted: ChannelRelease,
    ) -> bool:
        """Have a release in the fleet's registry; whether it had to be fetched.

        Raises:
            InvalidInput: it is malformed; `too-large`.
            Untrusted: `no-statement`, `wrong-digest`, or as `verify_release_statement`.
            Refused: `provider-distrusted`.
            Conflict: `version-taken`: another release has this version here.
            Unavailable: as `Source`.
        """
        store = self._stores(fleet)
        if store is None:
            raise Unavailable("not-found", "cannot copy releases: the fleet is not served here")
        repository = Repository(provider.provider, package_name(package))
        kinds = {oci.STATEMENT} if provider.provenance is None else set(_LAYERS)
        carry = Carrying(self._source, source, store, repository)
        if _is_whole(store, repository, wanted.digest, kinds):
            carry(wanted.digest)
            return False
        copy = _Copy(self._source, source, store, repository)
        statement = copy.statement(provider, package, wanted)
        built = [] if provider.provenance is None else copy.provenance(provider, wanted.digest)
        copy.release(wanted.digest, self._cap)
        for one in (*built, statement):
            copy.keep_statement(one)
        carry(wanted.digest)
        return True


@dataclass(frozen=True, slots=True)
class _Copy:
    """Copying into one repository."""

    source: Source
    place: str
    store: FleetStore
    repository: Repository

    def statement(
        self, provider: ProviderDocument, package: Purl, wanted: ChannelRelease
    ) -> _Statement:
        """The provider's signed word that this is their release."""
        failure: AllodError = Untrusted(
            "no-statement",
            f"cannot copy {package} {wanted.version}: its provider's statement is not beside it",
        )
        name = self.repository.name
        about = self.source.referrers(self.place, name, wanted.digest, oci.STATEMENT)
        for descriptor in about[:_STATEMENTS]:
            try:
                found = self._statement(parse_digest(descriptor.digest))
                identity = verify_release_statement(found.envelope, provider, wanted.digest).value
            except (InvalidInput, Untrusted) as error:
                failure = error
                continue
            if (identity.package, identity.version) == (package, wanted.version):
                return found
        raise failure

    def provenance(self, provider: ProviderDocument, release: Digest) -> list[_Statement]:
        """A builder's word about the release that fits the owner's policy."""
        policy = provider.provenance
        failure: AllodError = Untrusted(
            "no-provenance", f"cannot copy {release}: its provenance is not beside it"
        )
        name = self.repository.name
        about = self.source.referrers(self.place, name, release, oci.PROVENANCE)
        for descriptor in about[:_STATEMENTS] if policy is not None else ():
            try:
                found = self._statement(parse_digest(descriptor.digest), oci.PROVENANCE)
                if policy is not None:
                    verify_provenance(found.envelope, policy, release)
            except (InvalidInput, Untrusted) as error:
                failure = error
            else:
                return [found]
        raise failure

    def _statement(self, digest: Digest, kind: str = oci.STATEMENT) -> _Statement:
        raw = self._manifest(digest)
        document = oci.decode_manifest(raw, what="the provider's statement")
        layer, cap = _LAYERS[kind](document), _CAPS[kind]
        if layer.size > cap:
            raise InvalidInput("too-large", "cannot take the statement: it is too long")
        if document.config.digest != oci.EMPTY_DESCRIPTOR.digest:
            raise InvalidInput("bad-manifest", "cannot take the statement: it has a configuration")
        pieces = self.source.blob(self.place, self.repository.name, layer.digest, layer.size)
        return _Statement(raw, document, b"".join(pieces))

    def release(self, digest: Digest, cap: int) -> None:
        """Everything that the release's manifest names, and then the manifest."""
        raw = self._manifest(digest)
        document = oci.decode_document(raw, what="the release")
        parts: list[tuple[bytes, Manifest]] = []
        if isinstance(document, Index):
            if len(document.manifests) > oci.MAX_MANIFESTS:
                raise InvalidInput("bad-manifest", "cannot take a release for so many platforms")
            for one in document.manifests:
                part = self._manifest(parse_digest(one.digest))
                parts.append((part, oci.decode_manifest(part, what="a part of the release")))
        else:
            parts.append((raw, document))
        for _, part_document in parts:
            oci.release_manifest(part_document)
        blobs = {blob.digest: blob for _, part in parts for blob in (part.config, *part.layers)}
        if sum(blob.size for blob in blobs.values()) > cap:
            raise InvalidInput("too-large", f"cannot copy {digest}: it has more than {cap} bytes")
        self._fetch(blobs.values())
        for part_raw, _ in parts:
            self._push(part_raw, oci.MANIFEST)
        if isinstance(document, Index):
            self._push(raw, oci.INDEX)

    def keep_statement(self, statement: _Statement) -> None:
        """The statement, which gives the release its version here."""
        layer = statement.document.layers[0]
        self.store.blobs.put(parse_digest(layer.digest), [statement.envelope])
        self.store.blobs.put(sha256(oci.EMPTY_BLOB), [oci.EMPTY_BLOB])
        self._push(statement.manifest, oci.MANIFEST)

    def _manifest(self, digest: Digest) -> bytes:
        raw = self.source.manifest(self.place, self.repository.name, digest)
        if raw is None:
            raise Unavailable(
                "registry-failed",
                f"cannot find {digest} of {self.repository} at {self.place[:200]}",
            )
        return raw

    def _fetch(self, blobs: Iterable[Descriptor]) -> None:
        for blob in blobs:
            digest = parse_digest(blob.digest)
            if self.store.blobs.size(digest) is None:
                pieces = self.source.blob(self.place, self.repository.name, digest, blob.size)
                self.store.blobs.put(digest, pieces)

    def _push(self, raw: bytes, media_type: str) -> None:
        push_manifest(self.store, self.repository, sha256(raw), media_type, raw)


def _is_whole(store: FleetStore, repository: Repository, digest: Digest, kinds: set[str]) -> bool:
    """Whether a release and statements of all these kinds about it are here."""
    if release_of(store, repository, digest) is None:
        return False
    about = store.catalogue.referrers(repository, digest)
    return kinds <= {str(row.artifact_type) for row in about}
