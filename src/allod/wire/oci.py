"""OCI manifests, indexes and descriptors (OCI image specification 1.1), as far as Allod reads them.

These formats belong to others: fields that are unknown here are ignored, as OCI demands. What is
read is still capped and parsed strictly (no duplicate keys, bounded depth), and the digests of a
release must be SHA-256. Documents that Allod writes are canonical, so that the same release is
always the same digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from allod.domain.ids import Digest, parse_digest, sha256
from allod.domain.release import Layer
from allod.errors import InvalidInput
from allod.wire.codec import convert, parse_strict

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
RELEASE: Final = "application/vnd.allod.release.v1"  #: artifactType of a release
CONFIG: Final = "application/vnd.allod.release.config.v1+json"
TREE_LAYER: Final = "application/vnd.allod.release.tree.v1.tar+gzip"
STATEMENT: Final = (
    "application/vnd.allod.release.statement.v1+json"  #: artifactType of the referrer
)
ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"  #: media type of the referrer's one layer
PROVENANCE: Final = "application/vnd.in-toto+json"  #: artifactType of a builder's provenance
ORIGIN: Final = (
    "application/vnd.allod.release.origin.v1+json"  #: artifactType: what an import was made of
)
EVIDENCE: Final = "application/vnd.allod.evidence.v1+json"  #: artifactType of a verifier's evidence
CHANNEL: Final = "application/vnd.allod.channel.v1+json"  #: artifactType of a channel's document
CHANNELS: Final = "channels"  #: the repository beside the packages; a tag is a channel's name

SCHEMA_VERSION: Final = 2
MANIFEST_CAP: Final = 4 * 1024 * 1024  #: OCI distribution 1.1 asks registries for this much
MAX_LAYERS: Final = 128
MAX_MANIFESTS: Final = 64  #: platforms of one release
MAX_BLOB: Final = 1 << 40  #: bytes; what a descriptor may promise

#: `uname -m` -> the name that OCI (that is, Go) has for it; what is not listed stays as it is.
OCI_ARCHITECTURES: Final[Mapping[str, str]] = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "i386": "386",
    "loongarch64": "loong64",
}
_VARIANTS: Final[Mapping[str, str]] = {"armv7l": "v7", "armv6l": "v6"}


class Foreign(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Root of the structs of foreign formats: open, immutable, camelCase on the wire."""


class Platform(Foreign, frozen=True, kw_only=True):
    """What a manifest of an index is for."""

    architecture: str
    os: str
    variant: str = ""


class Descriptor(Foreign, frozen=True, kw_only=True):
    """A typed, sized reference to content."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None
    platform: Platform | None = None
    urls: list[str] | None = None
    data: str | None = None


class Manifest(Foreign, frozen=True, kw_only=True):
    """An image manifest; Allod's releases and statements are such."""

    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Index(Foreign, frozen=True, kw_only=True):
    """An index: one release for several platforms, a layout's entry, or a list of referrers."""

    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    manifests: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class LayoutMarker(Foreign, frozen=True, kw_only=True):
    """The file `oci-layout`."""

    image_layout_version: str = msgspec.field(name="imageLayoutVersion")


@dataclass(frozen=True, slots=True)
class ReleaseManifest:
    """What a manifest of artifact type `RELEASE` names."""

    config: Digest
    config_size: int
    layers: tuple[Layer, ...]


EMPTY_BLOB: Final = b"{}"
EMPTY_DESCRIPTOR: Final = Descriptor(
    media_type=EMPTY, digest=sha256(EMPTY_BLOB), size=len(EMPTY_BLOB), data="e30="
)


def decode_document(data: bytes, *, what: str = "the manifest") -> Manifest | Index:
    """Read a manifest or an index, whichever it says (or, saying nothing, shows) it is.

    Raises:
        InvalidInput: `too-large`, `bad-json`, or `bad-manifest`.
    """
    value = parse_strict(data, cap=MANIFEST_CAP, what=what)
    if not isinstance(value, dict):
        raise InvalidInput("bad-manifest", f"cannot read {what}: it is no JSON object")
    media_type = value.get("mediaType", INDEX if "manifests" in value else MANIFEST)
    types: Mapping[object, type[Manifest | Index]] = {MANIFEST: Manifest, INDEX: Index}
    kind = types.get(media_type) if isinstance(media_type, str) else None
    if kind is None:
        raise InvalidInput(
            "bad-manifest", f"cannot read {what}: its type is {str(media_type)[:80]!r}"
        )
    if {"config", "layers"} & value.keys() and "manifests" in value:
        raise InvalidInput(
            "bad-manifest", f"cannot read {what}: it could be a manifest or an index"
        )
    try:
        document: Manifest | Index = convert(value, kind, what=what)
    except InvalidInput as error:
        raise InvalidInput("bad-manifest", error.message) from error
    if document.schema_version != SCHEMA_VERSION:
        raise InvalidInput("bad-manifest", f"cannot read {what}: its schemaVersion is not 2")
    return document


def decode_manifest(data: bytes, *, what: str = "the manifest") -> Manifest:
    """Read a manifest. Raises InvalidInput `too-large`, `bad-json`, `bad-manifest`."""
    document = decode_document(data, what=what)
    if not isinstance(document, Manifest):
        raise InvalidInput("bad-manifest", f"cannot read {what}: it is an index, not a manifest")
    return document


def decode_index(data: bytes, *, what: str = "the index") -> Index:
    """Read an index. Raises InvalidInput `too-large`, `bad-json`, `bad-manifest`."""
    document = decode_document(data, what=what)
    if not isinstance(document, Index):
        raise InvalidInput("bad-manifest", f"cannot read {what}: it is a manifest, not an index")
    return document


def encode_document(document: Manifest | Index) -> bytes:
    """Canonical JSON: sorted keys, no spaces, nothing that is absent."""
    return msgspec.json.encode(msgspec.to_builtins(document), order="sorted")


def release_manifest(document: Manifest, *, what: str = "the release") -> ReleaseManifest:
    """Check that a manifest is a release's, and give what it names.

    Raises:
        InvalidInput: `bad-manifest` or `bad-digest`.
    """
    if document.artifact_type != RELEASE or document.config.media_type != CONFIG:
        raise InvalidInput(
            "bad-manifest",
            f"cannot read {what}: it is no Allod release; `allod release import` makes one of it",
        )
    if len(document.layers) > MAX_LAYERS:
        raise InvalidInput("bad-manifest", f"cannot read {what}: more than {MAX_LAYERS} layers")
    return ReleaseManifest(
        parse_digest(document.config.digest),
        _size(document.config, what),
        tuple(
            Layer(parse_digest(layer.digest), _size(layer, what), layer.media_type)
            for layer in document.layers
        ),
    )


def _size(descriptor: Descriptor, what: str) -> int:
    if not 0 <= descriptor.size <= MAX_BLOB:
        raise InvalidInput("bad-manifest", f"cannot read {what}: a size of {descriptor.size} bytes")
    return descriptor.size


def platform_of(architecture: str) -> Platform:
    """The OCI platform of Linux on `architecture` (as `uname -m`)."""
    return Platform(
        architecture=OCI_ARCHITECTURES.get(architecture, architecture),
        os="linux",
        variant=_VARIANTS.get(architecture, ""),
    )


def select_platform(index: Index, architecture: str, *, what: str = "the release") -> Descriptor:
    """The one manifest of `index` for Linux on `architecture` (as `uname -m`).

    A manifest without a platform is for any architecture, and taken if none fits better.

    Raises:
        InvalidInput: `bad-manifest`, or `wrong-architecture` if none fits.
    """
    if index.artifact_type != RELEASE or len(index.manifests) > MAX_MANIFESTS:
        raise InvalidInput("bad-manifest", f"cannot read {what}: its index is no Allod release's")
    wanted = platform_of(architecture)
    exact = [entry for entry in index.manifests if entry.platform == wanted]
    loose = [
        entry
        for entry in index.manifests
        if entry.platform is not None
        and (entry.platform.os, entry.platform.architecture) == ("linux", wanted.architecture)
        and not entry.platform.variant
    ]
    every = [entry for entry in index.manifests if entry.platform is None]
    for choice in (exact, loose, every):
        if choice:
            parse_digest(choice[0].digest)
            _size(choice[0], what)
            return choice[0]
    raise InvalidInput(
        "wrong-architecture", f"cannot use {what} here: it has nothing for {architecture}"
    )


def statement_manifest(envelope: bytes, subject: Descriptor, *, kind: str = STATEMENT) -> Manifest:
    """The referrer that carries a statement about `subject`: a provider's, or a builder's."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        media_type=MANIFEST,
        artifact_type=kind,
        config=EMPTY_DESCRIPTOR,
        layers=[Descriptor(media_type=ENVELOPE, digest=sha256(envelope), size=len(envelope))],
        subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
    )


def channel_manifest(envelope: bytes) -> Manifest:
    """The manifest under which a registry has a channel's newest document."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        media_type=MANIFEST,
        artifact_type=CHANNEL,
        config=EMPTY_DESCRIPTOR,
        layers=[Descriptor(media_type=ENVELOPE, digest=sha256(envelope), size=len(envelope))],
    )


def channel_layer(document: Manifest, *, what: str = "the channel") -> Layer:
    """The one layer of such a manifest: the DSSE envelope. Raises InvalidInput `bad-manifest`."""
    return _envelope_layer(document, CHANNEL, f"cannot read {what}: it is no channel's document")


def statement_layer(document: Manifest, *, what: str = "the provider's statement") -> Layer:
    """The one layer of such a referrer: the DSSE envelope. Raises InvalidInput `bad-manifest`."""
    return _envelope_layer(document, STATEMENT, f"cannot read {what}: it is no release statement")


def provenance_layer(document: Manifest, *, what: str = "the provenance") -> Layer:
    """The one layer of such a referrer: the DSSE envelope. Raises InvalidInput `bad-manifest`."""
    return _envelope_layer(document, PROVENANCE, f"cannot read {what}: it is no provenance")


def evidence_layer(document: Manifest, *, what: str = "the evidence") -> Layer:
    """The one layer of such a referrer: the DSSE envelope. Raises InvalidInput `bad-manifest`."""
    return _envelope_layer(document, EVIDENCE, f"cannot read {what}: it is no evidence")


def _envelope_layer(document: Manifest, kind: str, otherwise: str) -> Layer:
    if document.artifact_type != kind or len(document.layers) != 1:
        raise InvalidInput("bad-manifest", otherwise)
    layer = document.layers[0]
    return Layer(parse_digest(layer.digest), _size(layer, "the envelope"), layer.media_type)
