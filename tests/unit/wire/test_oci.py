"""OCI documents: open where OCI says so, capped and unambiguous all the same."""

from __future__ import annotations

import msgspec
import pytest

from allod.domain.ids import sha256
from allod.errors import InvalidInput
from allod.wire import oci
from allod.wire.oci import Descriptor, Index, Manifest, Platform

CONFIG = Descriptor(media_type=oci.CONFIG, digest=sha256(b"c"), size=1)
LAYER = Descriptor(media_type=oci.TREE_LAYER, digest=sha256(b"l"), size=1)
RELEASE = Manifest(
    schema_version=2,
    media_type=oci.MANIFEST,
    artifact_type=oci.RELEASE,
    config=CONFIG,
    layers=[LAYER],
)


def index(*platforms: Platform | None) -> Index:
    """An index with one manifest a platform, told apart by size."""
    return Index(
        schema_version=2,
        media_type=oci.INDEX,
        artifact_type=oci.RELEASE,
        manifests=[
            Descriptor(media_type=oci.MANIFEST, digest=sha256(b"m"), size=place, platform=platform)
            for place, platform in enumerate(platforms)
        ],
    )


def test_unknown_fields_are_ignored() -> None:
    """OCI's formats grow; what is unknown is no error."""
    value = msgspec.json.decode(oci.encode_document(RELEASE))
    value["com.example"] = {"x": 1}
    value["layers"][0]["new"] = True
    assert oci.decode_manifest(msgspec.json.encode(value)) == RELEASE


def test_encoding_is_canonical_and_leaves_absent_fields_away() -> None:
    """The same manifest is always the same bytes, hence the same digest."""
    data = oci.encode_document(RELEASE)
    assert oci.encode_document(oci.decode_manifest(data)) == data
    assert b"null" not in data
    assert b"annotations" not in data


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'{"schemaVersion":1,"mediaType":"%s","config":{},"layers":[]}' % oci.MANIFEST.encode(),
        b'{"schemaVersion":2,"mediaType":"text/plain","layers":[]}',
        b'{"schemaVersion":2,"mediaType":["x"],"layers":[]}',
        b'{"schemaVersion":2,"manifests":[],"layers":[]}',
        b'{"schemaVersion":2,"manifests":[{"digest":"sha256:x"}]}',
        b'{"schemaVersion":1,"manifests":[]}',
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Neither wrong shapes nor documents that could be both a manifest and an index pass."""
    with pytest.raises(InvalidInput) as caught:
        oci.decode_document(data)
    assert caught.value.code == "bad-manifest"


def test_manifest_and_index_are_not_taken_for_each_other() -> None:
    """Who asks for one gets one."""
    with pytest.raises(InvalidInput):
        oci.decode_index(oci.encode_document(RELEASE))
    with pytest.raises(InvalidInput):
        oci.decode_manifest(oci.encode_document(index(None)))


@pytest.mark.parametrize(
    "manifest",
    [
        msgspec.structs.replace(RELEASE, artifact_type=None),
        msgspec.structs.replace(RELEASE, config=oci.EMPTY_DESCRIPTOR),
        msgspec.structs.replace(RELEASE, layers=[LAYER] * (oci.MAX_LAYERS + 1)),
        msgspec.structs.replace(RELEASE, layers=[msgspec.structs.replace(LAYER, size=-1)]),
        msgspec.structs.replace(RELEASE, layers=[msgspec.structs.replace(LAYER, digest="md5:x")]),
    ],
    ids=["no type", "foreign config", "too many layers", "negative size", "weak digest"],
)
def test_what_is_no_release_is_refused(manifest: Manifest) -> None:
    """A container image, or a manifest with impossible parts, is no release."""
    with pytest.raises(InvalidInput):
        oci.release_manifest(manifest)


def test_the_platform_that_fits_best_is_taken() -> None:
    """Exact before loose before 'for any'; and none is an error of its own."""
    arm7, arm = oci.platform_of("armv7l"), Platform(architecture="arm", os="linux")
    intel = oci.platform_of("x86_64")
    assert oci.select_platform(index(None, arm, arm7), "armv7l").size == 2
    assert oci.select_platform(index(None, arm, intel), "armv7l").size == 1
    assert oci.select_platform(index(None, intel), "riscv64").size == 0
    with pytest.raises(InvalidInput) as caught:
        oci.select_platform(index(intel), "aarch64")
    assert caught.value.code == "wrong-architecture"


def test_a_statement_is_a_referrer_with_one_layer() -> None:
    """Written and read back; anything else is refused."""
    subject = Descriptor(
        media_type=oci.MANIFEST, digest=sha256(b"s"), size=1, annotations={"a": "b"}
    )
    manifest = oci.statement_manifest(b"envelope", subject)
    assert manifest.subject is not None
    assert manifest.subject.digest == subject.digest
    assert manifest.subject.annotations is None
    assert oci.statement_layer(manifest).digest == sha256(b"envelope")
    with pytest.raises(InvalidInput):
        oci.statement_layer(RELEASE)
