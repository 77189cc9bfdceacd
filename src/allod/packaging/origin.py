"""What an imported release was made of, and what was said of that, kept beside it as it was.

An import has a manifest of its own, so attestations of the original are about another digest. The
original's manifest lies beside the release (artifact type `oci.ORIGIN`), and what refers to it
comes along unchanged: it can be verified against the original's digest, whose layers can be
compared with those of the release.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from allod.domain.ids import Digest, parse_digest
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.packaging.build import Built
from allod.packaging.layout import REF_NAME, Layout
from allod.packaging.sboms import attach_sboms, settle_sbom
from allod.trust.dsse import decode_envelope, payload_of
from allod.wire import oci
from allod.wire.codec import encode, parse_strict
from allod.wire.oci import Descriptor, Manifest
from allod.wire.sbom import SBOM_CAP, decode_sbom

TAG: Final = "sha256-"  #: begins tags under which older tools keep what refers to a digest
_BOMS: Final = ("https://cyclonedx.org/bom", "https://spdx.dev/Document")
_IN_TOTO: Final = (oci.ENVELOPE, oci.PROVENANCE, "application/vnd.dev.sigstore.bundle")
_MOST: Final = 8  #: SBOMs that are taken over


def beside(layout: Layout, descriptor: Descriptor) -> bool:
    """Whether an entry of a layout's index is about another: a referrer, or under such a tag."""
    if (descriptor.annotations or {}).get(REF_NAME, "").startswith(TAG):
        return True
    if descriptor.media_type != oci.MANIFEST:
        return False
    with contextlib.suppress(AllodError):
        return oci.decode_manifest(layout.get(descriptor.digest)).subject is not None
    return False


def keep_origin(
    source: Layout, theirs: Sequence[Descriptor], built: Built, given: bytes | None = None
) -> tuple[str, ...]:
    """Lay beside an imported release what it was made of, and all that lies beside that.

    Its SBOMs become those of the release; without any, Allod makes one of the payload.

    Args:
        source: a layout with the original.
        theirs: its manifest, and the index that it was chosen from, if any.
        built: the release, in its layout.
        given: an SBOM that the owner names, which takes the place of theirs.

    Returns:
        What of it could not be taken along, and why, in words.
    """
    layout = built.layout
    about, notes = [], []
    for descriptor in source.read_index().manifests:
        if beside(source, descriptor):
            try:
                _copy(source, layout, descriptor)
            except (InvalidInput, Untrusted) as error:
                notes.append(f"Left out {descriptor.digest}: {error.message}")
            else:
                about.append(descriptor)
    if theirs:
        for one in theirs:
            layout.put(source.get(one.digest))
        layout.put(oci.EMPTY_BLOB)
        layout.attach(_origin(theirs, built))
    _name(layout, about)
    boms = [] if given is not None else list(_sboms(source, about))[:_MOST]
    if boms:
        attach_sboms(built, boms)
    else:
        settle_sbom(built, given, {})
    return tuple(notes)


def _origin(theirs: Sequence[Descriptor], built: Built) -> Manifest:
    subject = built.descriptor
    return Manifest(
        schema_version=oci.SCHEMA_VERSION,
        media_type=oci.MANIFEST,
        artifact_type=oci.ORIGIN,
        config=oci.EMPTY_DESCRIPTOR,
        layers=[
            Descriptor(media_type=one.media_type, digest=one.digest, size=one.size)
            for one in theirs
        ],
        subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
    )


def _name(layout: Layout, about: Sequence[Descriptor]) -> None:
    present = layout.read_index().manifests
    known = {(one.digest, (one.annotations or {}).get(REF_NAME)) for one in present}
    new = [one for one in about if (one.digest, (one.annotations or {}).get(REF_NAME)) not in known]
    if new:
        layout.write_index([*present, *new])


def _copy(source: Layout, target: Layout, descriptor: Descriptor) -> None:
    """A small manifest and its blobs, checked by their digests."""
    raw = source.get(descriptor.digest)
    document = oci.decode_manifest(raw)
    for blob in (document.config, *document.layers[: oci.MAX_LAYERS]):
        target.put(source.get(blob.digest, cap=SBOM_CAP))
    target.put(raw)


def origins(layout: Layout, release: Digest) -> list[Digest]:
    """What a release was made of, if it is an import."""
    return [
        parse_digest(layer.digest)
        for _, manifest in layout.referrers(release, oci.ORIGIN)
        for layer in manifest.layers
    ]


def said_of_origin(layout: Layout, release: Digest) -> Iterator[tuple[Descriptor, Manifest]]:
    """What lies in a layout about the original of an import, in the order to push it."""
    for digest in origins(layout, release):
        yield from layout.all_about(digest)
        tags = f"{digest.replace(':', '-')}."
        for one in layout.read_index().manifests:
            if (one.annotations or {}).get(REF_NAME, "").startswith(tags):
                yield one, oci.decode_manifest(layout.get(one.digest))


def _sboms(source: Layout, about: Sequence[Descriptor]) -> Iterator[bytes]:
    """The SBOMs among what lies beside the original: plain ones, and those in statements."""
    seen: set[str] = set()
    for descriptor in about:
        with contextlib.suppress(InvalidInput, Untrusted):
            for layer in oci.decode_manifest(source.get(descriptor.digest)).layers:
                if layer.digest not in seen and layer.media_type.endswith(("json", "dsse")):
                    seen.add(layer.digest)
                    yield from _sbom_in(source.get(layer.digest, cap=SBOM_CAP), layer.media_type)


def _sbom_in(raw: bytes, media_type: str) -> Iterator[bytes]:
    with contextlib.suppress(InvalidInput, AttributeError, TypeError):
        if media_type.startswith(_IN_TOTO):
            raw = _predicate(parse_strict(raw, cap=SBOM_CAP, what="a statement"))
        decode_sbom(raw)
        yield raw


def _predicate(outside: Any) -> bytes:
    """The SBOM that is the predicate of an in-toto statement, as cosign and GitHub write it."""
    envelope = outside.get("dsseEnvelope", outside)
    payload = payload_of(decode_envelope(encode(envelope), cap=SBOM_CAP, what="a statement"))
    statement = parse_strict(payload, cap=SBOM_CAP, what="a statement")
    if not str(statement.get("predicateType")).startswith(_BOMS):
        raise InvalidInput("bad-sbom", "cannot read the statement: it is no SBOM")
    predicate = statement["predicate"]
    wrapped = predicate.get("Data") if isinstance(predicate, dict) else None
    return wrapped.encode() if isinstance(wrapped, str) else encode(predicate)
