"""Bills of materials: what is written is read again, whatever it names, and purls as others read them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from packageurl import PackageURL

from allod.domain.sbom import Sbom, SbomComponent
from allod.errors import InvalidInput
from allod.packaging.purl import purl
from allod.wire.cyclonedx import encode_cyclonedx
from allod.wire.sbom import decode_sbom

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.strip)
NAMES = WORDS.filter(bool)
COMPONENTS = st.builds(
    SbomComponent,
    NAMES,
    WORDS,
    WORDS,
    st.sampled_from(["library", "application", "operating-system", "file"]),
    WORDS,
)
SEGMENTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=12
).filter(lambda text: text.strip(". ") != "" and text == text.strip())
VALUES = st.text("abcxyz0189.+~:@% -/_", min_size=1, max_size=12).map(str.strip).filter(bool)


@settings(max_examples=40)
@given(st.lists(COMPONENTS, max_size=8), st.none() | COMPONENTS, st.booleans())
def test_a_list_that_is_written_is_read_again(
    parts: list[SbomComponent], subject: SbomComponent | None, by_allod: bool
) -> None:
    """All of it, in its order, each part once."""
    made_by = ("Allod",) if by_allod else ()
    sbom = Sbom("CycloneDX 1.6", tuple(dict.fromkeys(parts)), subject, made_by)
    assert decode_sbom(encode_cyclonedx(sbom)) == sbom


@settings(max_examples=40)
@given(st.binary(max_size=300))
def test_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else happens, with an SBOM's beginning in front of them too."""
    for raw in (data, b'{"bomFormat":"CycloneDX","specVersion":"1.6",' + data):
        try:
            decode_sbom(raw)
        except InvalidInput as error:
            assert error.message.startswith("cannot ")


@settings(max_examples=40)
@given(SEGMENTS, SEGMENTS, VALUES, VALUES)
def test_purls_are_read_by_others(namespace: str, name: str, version: str, distro: str) -> None:
    """packageurl-python finds the same parts in what is written here."""
    found = PackageURL.from_string(purl("generic", namespace, name, version, {"distro": distro}))
    assert found.name == name
    assert found.namespace == namespace
    assert found.version == version
    assert found.qualifiers == {"distro": distro}
