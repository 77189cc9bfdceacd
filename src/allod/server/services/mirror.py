"""Copy a release that a channel names from its provider's registry into the fleet's.

The provider's own signed statement is checked first, under what the owner says of the provider:
not a byte of a payload is fetched for a release that nobody signed. Everything else is bound to
the digest that stands in the statement and in the channel. What else lies beside it comes along.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from allod.domain.delegation import ChannelRelease
from allod.domain.ids import (
    Digest,
    FleetId,
    Purl,
    package_name,
    parse_digest,
    parse_provider,
    sha256,
)
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.server.registry.ports import FleetStore, FleetStores, Repository
from allod.server.registry.service import push_manifest, release_of
from allod.server.services.mirror_referrers import Carrying
from allod.server.services.mirror_source import Source
from allod.server.services.vetting import statements_of
from allod.trust.policy import ATTESTATION_CAP, Met, check_policy
from allod.trust.release import STATEMENT_CAP, ReleaseIdentity, verify_release_statement
from allod.wire import oci
from allod.wire.oci import Descriptor, Index, Manifest
from allod.wire.trust import ProviderDocument, Verifier

RELEASE_CAP: Final = 16 * 1024**3  #: bytes of one release, all platforms together
_STATEMENTS: Final = 16  #: that are looked at for one that counts
_BESIDE: Final = 64  #: other statements that are looked at
_BESIDE_CAP: Final = 16 * 1024 * 1024  #: bytes of them, all together


_LAYERS: Final = {oci.STATEMENT: oci.statement_layer, oci.PROVENANCE: oci.provenance_layer}
_CAPS: Final = {oci.STATEMENT: STATEMENT_CAP, oci.PROVENANCE: ATTESTATION_CAP}


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
        verifiers: Sequence[Verifier] = (),
    ) -> bool:
        """Have a release in the fleet's registry; whether it had to be fetched.

        What does not meet the owner's policy on its provider is not taken in. Where the policy is
        for verifiers to look at, it is taken in for them, and no device takes it before one has
        vouched for it; until then this is an error every time.

        Raises:
            InvalidInput: it is malformed; `too-large`.
            Untrusted: `no-statement`, `wrong-digest`, or as `verify_release_statement` and
                `check_policy`.
            Refused: `provider-distrusted`.
            Conflict: `version-taken`: another release has this version here.
            Unavailable: as `Source`.
        """
        store = self._stores(fleet)
        if store is None:
            raise Unavailable("not-found", "cannot copy releases: the fleet is not served here")
        repository = Repository(provider.provider, package_name(package))
        release = ReleaseIdentity(
            parse_provider(provider.provider), package, wanted.version, wanted.digest
        )
        carry = Carrying(self._source, source, store, repository)
        here = list(statements_of(store, repository, wanted.digest))
        if _is_whole(store, repository, wanted.digest) and _meets(
            provider, verifiers, release, here
        ):
            carry(wanted.digest)
            return False
        copy = _Copy(self._source, source, store, repository)
        statement = copy.statement(provider, package, wanted)
        beside = [] if provider.provenance is None else copy.beside(wanted.digest)
        unmet: Untrusted | None = None
        try:
            met = check_policy(
                provider, verifiers, release, [*here, *(one.envelope for one in beside)]
            )
        except Untrusted as error:
            if not _for_verifiers(provider):
                raise
            unmet, met = error, Met()
        copy.release(wanted.digest, self._cap)
        proofs = [one for one in beside if sha256(one.envelope) in met.proofs]
        for one in (*proofs, statement):
            copy.keep_statement(one)
        carry(wanted.digest)
        if unmet is not None:
            raise unmet
        return True


def _for_verifiers(provider: ProviderDocument) -> bool:
    """Whether somebody has to look at a release here before devices take it."""
    policy = provider.provenance
    return policy is not None and bool(policy.identities)


def _meets(
    provider: ProviderDocument,
    verifiers: Sequence[Verifier],
    release: ReleaseIdentity,
    envelopes: Sequence[bytes],
) -> bool:
    try:
        check_policy(provider, verifiers, release, envelopes)
    except Untrusted:
        return False
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

    def beside(self, release: Digest) -> list[_Statement]:
        """The in-toto statements beside the release at its source, unverified."""
        found, room = [], _BESIDE_CAP
        about = self.source.referrers(self.place, self.repository.name, release, oci.PROVENANCE)
        for descriptor in about[:_BESIDE]:
            with contextlib.suppress(InvalidInput, Untrusted):
                one = self._statement(parse_digest(descriptor.digest), oci.PROVENANCE)
                subject = one.document.subject
                room -= len(one.envelope)
                if room >= 0 and subject is not None and subject.digest == release:
                    found.append(one)
        return found

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


def _is_whole(store: FleetStore, repository: Repository, digest: Digest) -> bool:
    """Whether a release and a statement of its provider about it are here."""
    if release_of(store, repository, digest) is None:
        return False
    about = store.catalogue.referrers(repository, digest)
    return any(row.artifact_type == oci.STATEMENT for row in about)
