"""SBOMs beside a release: laid into its layout, signed by its provider, read from wherever it lies.

One is an OCI referrer of the release whose only layer is the document. Beside it stands the
provider's signed word that it belongs there (in-toto reference); without that it is anybody's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from allod.domain.ids import Digest, parse_digest, sha256
from allod.domain.sbom import Sbom
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.packaging.bill import bill_of
from allod.packaging.layout import Layout
from allod.trust.dsse import decode_envelope, payload_of, sign_envelope, verify_envelope
from allod.trust.references import signed_documents
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.cyclonedx import encode_cyclonedx
from allod.wire.envelope import IN_TOTO
from allod.wire.intoto import STATEMENT_TYPE
from allod.wire.oci import Descriptor, Manifest
from allod.wire.reference import (
    ATTESTER,
    REFERENCE,
    REFERENCE_CAP,
    Attester,
    ReferencedDocument,
    ReferencePredicate,
    ReferenceStatement,
    ReferenceSubject,
    decode_reference,
)
from allod.wire.sbom import SBOM_CAP, SBOM_TYPES, decode_sbom, sbom_media_type
from allod.wire.trust import ProviderDocument

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.packaging.build import Built

MAX_LOOKED_AT: Final = 64  #: referrers of one kind that are read
_ENVELOPE_CAP: Final = 2 * REFERENCE_CAP


class Beside(Protocol):
    """Where a release lies, as far as what stands beside it goes: a layout, a registry."""

    def referrers(
        self, digest: str, artifact_type: str | None
    ) -> Sequence[tuple[Descriptor, Manifest]]:
        """The manifests of a type, or of any, about `digest`."""
        ...

    def get(self, digest: str, *, cap: int = ...) -> bytes:
        """A blob, checked."""
        ...


@dataclass(frozen=True, slots=True)
class HeldSbom:
    """An SBOM that lies beside a release."""

    digest: Digest
    media_type: str
    size: int
    sbom: Sbom | None  #: None: it cannot be read
    fault: str = ""  #: why
    signed_by: frozenset[str] = frozenset()  #: keys of the provider; none: anybody's word

    @property
    def signed(self) -> bool:
        """Whether the release's provider says that it belongs to it."""
        return bool(self.signed_by)


def sboms_beside(
    source: Beside, release: Digest, provider: ProviderDocument | None
) -> tuple[HeldSbom, ...]:
    """The SBOMs of a release, the provider's first.

    Args:
        source: where it lies.
        release: digest of its manifest or index.
        provider: what the owner says of its provider; None: nothing, so none counts as signed.

    Raises:
        AllodError: the source cannot be read; a single malformed SBOM is told in its place.
    """
    signed: Mapping[Digest, frozenset[str]] = {}
    if provider is not None:
        signed = signed_documents(_envelopes(source, release), provider, release)
    found: dict[Digest, HeldSbom] = {}
    for media_type in SBOM_TYPES:
        for _, manifest in source.referrers(release, media_type)[:MAX_LOOKED_AT]:
            for held in _held(source, manifest, media_type, signed):
                found[held.digest] = held
    return tuple(sorted(found.values(), key=lambda one: (not one.signed, one.digest)))


def _held(
    source: Beside, manifest: Manifest, media_type: str, signed: Mapping[Digest, frozenset[str]]
) -> Iterable[HeldSbom]:
    for layer in manifest.layers[:1]:
        digest = parse_digest(layer.digest)
        by = signed.get(digest, frozenset())
        try:
            sbom = decode_sbom(source.get(digest, cap=min(max(layer.size, 0), SBOM_CAP)))
        except (InvalidInput, Untrusted) as error:
            yield HeldSbom(digest, media_type, layer.size, None, error.message, by)
        else:
            yield HeldSbom(digest, media_type, layer.size, sbom, "", by)


def _envelopes(source: Beside, release: Digest) -> list[bytes]:
    """The statements beside a release that say that they are references."""
    found = []
    for _, manifest in source.referrers(release, oci.PROVENANCE)[:MAX_LOOKED_AT]:
        with contextlib.suppress(AllodError):
            layer = oci.provenance_layer(manifest)
            if layer.size <= _ENVELOPE_CAP:
                raw = source.get(layer.digest, cap=_ENVELOPE_CAP)
                if _references(raw) is not None:
                    found.append(raw)
    return found


def _references(envelope: bytes) -> frozenset[str] | None:
    """The digests that a statement names, unverified; None: it is no reference."""
    with contextlib.suppress(InvalidInput):
        statement = decode_reference(
            payload_of(decode_envelope(envelope, cap=_ENVELOPE_CAP, what="a statement"))
        )
        if statement.predicate_type == REFERENCE:
            named = statement.predicate.references
            return frozenset(f"sha256:{one.digest.get('sha256', '')}" for one in named)
    return None


def sbom_manifest(digest: Digest, size: int, media_type: str, subject: Descriptor) -> Manifest:
    """The referrer that carries an SBOM about `subject`."""
    return Manifest(
        schema_version=oci.SCHEMA_VERSION,
        media_type=oci.MANIFEST,
        artifact_type=media_type,
        config=oci.EMPTY_DESCRIPTOR,
        layers=[Descriptor(media_type=media_type, digest=digest, size=size)],
        subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
    )


def attach_sboms(built: Built, documents: Sequence[bytes]) -> tuple[Digest, ...]:
    """Let these be the SBOMs of a release in its layout, and no others.

    Raises:
        InvalidInput: one of them is no SBOM that can be read; nothing is changed.
    """
    types = [sbom_media_type(raw) for raw in documents]
    layout = built.layout
    _remove_sboms(layout, built.digest)
    for raw, media_type in zip(documents, types, strict=True):
        layout.put(oci.EMPTY_BLOB)
        layout.attach(sbom_manifest(layout.put(raw), len(raw), media_type, built.descriptor))
    return tuple(sha256(raw) for raw in documents)


def settle_sbom(built: Built, given: bytes | None, beside: Mapping[str, bytes]) -> None:
    """After a build: the SBOM that was given, or else the one that Allod can make, if any.

    One that somebody else made and that was laid into the layout before stays.

    Args:
        built: the release, in its layout.
        given: the file that the description names.
        beside: lock files that lie beside the tree.

    Raises:
        InvalidInput: what was given is no SBOM that can be read.
    """
    if given is not None:
        attach_sboms(built, [given])
        return
    here = sboms_beside(built.layout, built.digest, None)
    if any(one.sbom is None or not one.sbom.by_allod for one in here):
        return
    made = make_again(built, beside)
    wanted = [] if made is None else [encode_cyclonedx(made)]
    if [sha256(raw) for raw in wanted] != [one.digest for one in here]:
        attach_sboms(built, wanted)


def make_again(built: Built, beside: Mapping[str, bytes] | None = None) -> Sbom | None:
    """The list that Allod makes of a release's payload; None: nothing in it says what it is.

    Raises:
        InvalidInput: `bad-archive`, `too-large`.
    """
    with ExitStack() as files:
        digests = dict.fromkeys(layer.digest for one in built.releases for layer in one.layers)
        layers = (files.enter_context(built.layout.open(digest)) for digest in digests)
        return bill_of(layers, built.releases, beside)


def read_sbom_file(path: Path) -> bytes:
    """The bytes of a file. Raises InvalidInput `no-sbom-file`, `too-large`."""
    try:
        with path.open("rb") as file:
            raw = file.read(SBOM_CAP + 1)
    except OSError as error:
        raise InvalidInput("no-sbom-file", f"cannot read {path}: {error.strerror}") from error
    if len(raw) > SBOM_CAP:
        raise InvalidInput("too-large", f"cannot read {path}: more than {SBOM_CAP} bytes")
    return raw


def _remove_sboms(layout: Layout, release: Digest) -> None:
    """Take out the SBOMs about a release, and the words that name them."""
    gone = {one.digest for kind in SBOM_TYPES for one, _ in layout.referrers(release, kind)}
    for descriptor, manifest in layout.referrers(release, oci.PROVENANCE):
        with contextlib.suppress(AllodError):
            layer = oci.provenance_layer(manifest)
            if _references(layout.get(layer.digest, cap=_ENVELOPE_CAP)) is not None:
                gone.add(descriptor.digest)
    if gone:
        kept = [one for one in layout.read_index().manifests if one.digest not in gone]
        layout.write_index(kept)
        layout.sweep()


def sign_sboms(built: Built, signers: Sequence[Signer]) -> bytes | None:
    """Sign that the SBOMs in a release's layout are its own; None: there is none.

    Returns:
        The envelope. If the same keys signed it before, it is that one again.
    """
    layout, release = built.layout, built.release
    named = [
        ReferencedDocument(
            digest={"sha256": layer.digest.removeprefix("sha256:")},
            media_type=layer.media_type,
            download_location=f"../blobs/{layer.digest}",
        )
        for kind in SBOM_TYPES
        for _, manifest in layout.referrers(built.digest, kind)
        for layer in manifest.layers[:1]
    ]
    if not named or not signers:
        return None
    statement = ReferenceStatement(
        statement_type=STATEMENT_TYPE,
        subject=[
            ReferenceSubject(
                name=release.package, digest={"sha256": built.digest.removeprefix("sha256:")}
            )
        ],
        predicate_type=REFERENCE,
        predicate=ReferencePredicate(
            attester=Attester(id=f"{ATTESTER}{release.provider}"),
            references=sorted(named, key=lambda one: (one.media_type, one.download_location)),
        ),
    )
    payload = encode(statement)
    for envelope in _envelopes(layout, built.digest):
        if _signed_already(envelope, payload, signers):
            return envelope
    envelope = sign_envelope(payload, IN_TOTO, signers)
    layout.put(oci.EMPTY_BLOB)
    layout.put(envelope)
    layout.attach(oci.statement_manifest(envelope, built.descriptor, kind=oci.PROVENANCE))
    return envelope


def _signed_already(envelope: bytes, payload: bytes, signers: Sequence[Signer]) -> bool:
    keys = [signer.public_key for signer in signers]
    with contextlib.suppress(AllodError):
        known = verify_envelope(envelope, IN_TOTO, keys, len(keys), _ENVELOPE_CAP)
        return known.value == payload
    return False
