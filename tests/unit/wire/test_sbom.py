"""Bills of materials are read as their formats mean them, and bad ones refused, or told by place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from allod.domain.sbom import Sbom, SbomComponent
from allod.errors import InvalidInput
from allod.wire.cyclonedx import encode_cyclonedx
from allod.wire.sbom import SBOM_CAP, decode_sbom, sbom_media_type
from allod.wire.sbom_fields import MAX_COMPONENTS, MAX_FAULTS

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "sbom"


def vector(name: str) -> Sbom:
    return decode_sbom((VECTORS / name).read_bytes())


def cyclonedx(**fields: Any) -> bytes:
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", **fields}).encode()


def spdx(**fields: Any) -> bytes:
    return json.dumps({"spdxVersion": "SPDX-2.3", **fields}).encode()


@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6", "1.7"])
def test_the_specifications_own_examples_are_read(version: str) -> None:
    """Of every version: nested components, the subject, and all who made it, in their order."""
    found = vector(f"cyclonedx-{version}.json")
    assert found.format == f"CycloneDX {version}"
    assert found.subject is not None
    assert (found.subject.name, found.subject.version) == ("Acme Application", "9.1.1")
    assert found.made_by == ("Awesome Tool 9.1.2", "Samantha Wright", "Acme, Inc.")
    tomcat = found.components[0]
    assert (tomcat.name, tomcat.version) == ("com.acme/tomcat-catalina", "9.0.14")
    assert tomcat.purl in {
        "pkg:npm/acme/component@1.0.0",  # so it stands there, up to 1.5
        "pkg:maven/com.acme/tomcat-catalina@9.0.14?packaging=jar",
    }
    assert found.faults == ()
    assert not found.by_allod


def test_parts_of_parts_are_parts() -> None:
    """What is nested in a component, or in the subject, counts like all others."""
    found = vector("cyclonedx-assembly.json")
    assert [one.name for one in found.components] == ["acme-library-a", "acme-library-b"]
    inside = {"type": "library", "name": "c", "version": "3"}
    about = {"type": "application", "name": "a", "components": [inside]}
    found = decode_sbom(cyclonedx(metadata={"component": about}))
    assert [one.name for one in found.components] == ["c"]


def test_tools_are_read_in_their_newer_form() -> None:
    """Since 1.5 tools are components and services."""
    assert vector("cyclonedx-tools.json").made_by == ("Awesome Tool 9.1.2", "Acme Signing Server")


def test_a_range_of_versions_is_no_version() -> None:
    """What somebody else brings in some version of a range is a part without a version: unknown."""
    assert vector("cyclonedx-version-range.json").components == (SbomComponent("libcurl"),)


def test_a_list_of_a_python_environment() -> None:
    """As its generator writes it."""
    found = vector("cyclonedx-python.json")
    assert SbomComponent("Django", "4.2.1", "pkg:pypi/django@4.2.1") in found.components
    assert len(found.components) == 4
    assert found.made_by == ("cyclonedx-py 7.5.0", "cyclonedx-python-lib 11.12.0")


def test_spdx_packages_are_components() -> None:
    """A package is one by its purl, version and purpose; the one described is the subject."""
    found = vector("spdx-acme.json")
    assert found.format == "SPDX 2.3"
    assert found.subject == SbomComponent("Acme Applcation", "2.3", kind="application")
    assert found.components == (
        SbomComponent("elliptic", "6.5.2", "pkg:npm/elliptic@6.5.2"),
        SbomComponent("alpine", "latest"),
        SbomComponent("OpenSSL", "3.0.4", "pkg:alpine/openssl@3.0.4"),
    )
    assert found.made_by == ("ExampleCodeInspect ()", "Jane Doe ()")
    maven = vector("spdx-maven.json")
    assert maven.subject == SbomComponent("examplemaven", "0.0.1")
    assert [one.version for one in maven.components] == ["3.8.1", "", "", "", ""]


def test_spdx_says_what_it_describes_in_two_ways() -> None:
    """By `documentDescribes`, or by a relationship in either direction; two described are parts."""
    packages = [{"SPDXID": "SPDXRef-a", "name": "a"}, {"SPDXID": "SPDXRef-b", "name": "b"}]
    ways: list[dict[str, Any]] = [
        {"documentDescribes": ["SPDXRef-a"]},
        {"relationships": [_related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-a")]},
        {"relationships": [_related("SPDXRef-a", "DESCRIBED_BY", "SPDXRef-DOCUMENT")]},
    ]
    for way in ways:
        found = decode_sbom(spdx(packages=packages, **way))
        assert (found.subject, found.components) == (SbomComponent("a"), (SbomComponent("b"),))
    both = decode_sbom(spdx(packages=packages, documentDescribes=["SPDXRef-a", "SPDXRef-b"]))
    assert (both.subject, len(both.components)) == (None, 2)


def _related(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def test_every_purl_of_a_package_counts() -> None:
    """A package under two purls is two components, and NOASSERTION is no version."""
    references = [
        {"referenceType": kind, "referenceLocator": at}
        for kind, at in (
            ("purl", "pkg:pypi/a@1"),
            ("http://spdx.org/rdf/references/purl", "pkg:deb/debian/a@1"),
            ("cpe23Type", "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*"),
        )
    ]
    package = {"name": "a", "versionInfo": "NOASSERTION", "externalRefs": references}
    found = decode_sbom(spdx(packages=[package]))
    assert [one.purl for one in found.components] == ["pkg:pypi/a@1", "pkg:deb/debian/a@1"]
    assert {one.version for one in found.components} == {""}
    assert found.components[0].cpe == "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*"


def test_a_source_package_is_read_where_trivy_says_it() -> None:
    """Trivy says the source of a distribution's package beside its purl, in either format."""
    said = {"Name": "openssl", "Version": "3.0.2", "Release": "0ubuntu1", "Epoch": "2", "X": "y"}
    properties = [
        {"name": f"aquasecurity:trivy:Src{key}", "value": value} for key, value in said.items()
    ]
    libssl = {"type": "library", "name": "libssl3", "purl": "pkg:deb/ubuntu/libssl3@1"}
    for some, source in (
        (properties, "openssl@2:3.0.2-0ubuntu1"),
        (properties[:3], "openssl@3.0.2-0ubuntu1"),
        (properties[:1], "openssl"),
        (properties[1:], ""),
        ([], ""),
    ):
        (found,) = decode_sbom(cyclonedx(components=[{**libssl, "properties": some}])).components
        assert found.source == source
    package = {"name": "libssl3", "sourceInfo": "built package from: openssl 3.0.2-0ubuntu1"}
    assert decode_sbom(spdx(packages=[package])).components[0].source == "openssl@3.0.2-0ubuntu1"
    package["sourceInfo"] = "acquired package info from DPKG DB: /var/lib/dpkg/status"
    assert decode_sbom(spdx(packages=[package])).components[0].source == ""


def test_a_part_that_cannot_be_read_is_told_by_its_place() -> None:
    """The others count; and of very many faults the rest is counted."""
    parts: list[Any] = [
        {"type": "library", "name": "good", "version": "1"},
        "no object",
        {"type": "library", "version": "2"},
        {"type": "library", "name": "odd", "version": 3, "components": {"a": 1}},
    ]
    found = decode_sbom(cyclonedx(components=parts, metadata={"tools": 7}))
    assert [one.name for one in found.components] == ["good", "odd"]
    assert found.faults == (
        "components[1]: is no object",
        "components[2]: has no name",
        "components[3].version: is no string",
        "components[3].components: is no list",
        "metadata.tools: is neither a list nor an object",
    )
    many = decode_sbom(cyclonedx(components=[0] * (MAX_FAULTS + 5)))
    assert (len(many.faults), many.faults[-1]) == (MAX_FAULTS + 1, "and 5 more")


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "bad-json", "Expecting value"),
        (b"[]", "bad-sbom", "no JSON object"),
        (b"{}", "bad-sbom", "bomFormat"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><bom/>', "bad-sbom", "XML"),
        (b'{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}', "bad-sbom", "SPDX 3"),
        (b'{"payloadType": "application/vnd.in-toto+json"}', "bad-sbom", "statement about one"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.3"}', "sbom-version", "1.3"),
        (b'{"bomFormat": "CycloneDX", "specVersion": 1.6}', "sbom-version", "1.6"),
        (b'{"spdxVersion": "SPDX-2.2"}', "sbom-version", "SPDX-2.2"),
        (b'{"bomFormat": "CycloneDX", "bomFormat": "CycloneDX"}', "bad-json", "twice"),
        (b'{"bomFormat": "CycloneDX", "x": ' + b"[" * 30 + b"]" * 30 + b"}", "bad-json", "deeper"),
        (b" " * (SBOM_CAP + 1), "too-large", "at most"),
    ],
)
def test_what_is_no_sbom_is_refused_with_its_reason(data: bytes, code: str, says: str) -> None:
    """With a stable code, and a word that says what would mend it."""
    with pytest.raises(InvalidInput, match="cannot read the SBOM") as refused:
        decode_sbom(data)
    assert refused.value.code == code
    assert says in refused.value.message


def test_too_many_components_are_refused() -> None:
    """Before they fill the memory."""
    data = b'{"bomFormat":"CycloneDX","specVersion":"1.6","components":['
    data += b"0," * MAX_COMPONENTS + b"0]}"
    with pytest.raises(InvalidInput, match="more than") as refused:
        decode_sbom(data)
    assert refused.value.code == "too-large"


def test_what_is_written_is_read_again_and_valid() -> None:
    """CycloneDX 1.6 by its own schema, the same bytes each time, and nothing lost: what its maker
    could not read stays said.
    """
    parts = (
        SbomComponent("b", "1", "pkg:pypi/b@1"),
        SbomComponent("debian", "12", kind="operating-system"),
        SbomComponent("c", cpe="cpe:2.3:a:c:c:1:*:*:*:*:*:*:*"),
    )
    own = SbomComponent("x", "1", "pkg:generic/me/x@1", kind="application")
    sbom = Sbom("CycloneDX 1.6", parts, own, ("Allod",), ("a.whl: it is no zip file",))
    written = encode_cyclonedx(sbom)
    assert decode_sbom(written) == sbom
    assert sbom.by_allod
    assert encode_cyclonedx(sbom) == written
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.decode()) is None
    assert sbom_media_type(written) == "application/vnd.cyclonedx+json"
    assert sbom_media_type(spdx()) == "application/spdx+json"


def test_what_advisories_are_asked_about() -> None:
    """A subject that others can know counts too, the provider's own name does not; and a list knows
    its system if there is one.
    """
    part = SbomComponent("b", "1", "pkg:pypi/b@1")
    system = SbomComponent("debian", "12", kind="operating-system")
    known, own = SbomComponent("a", "1", "pkg:pypi/a@1"), SbomComponent("a", "1", "pkg:generic/a@1")
    assert Sbom("", (part,), known).parts == (known, part)
    assert Sbom("", (part,), own).parts == (part,)
    assert Sbom("", (part, system)).distribution == "debian-12"
    assert Sbom("", (part, system)).parts == (part, system), "what it holds is not known"
    package = SbomComponent("c", "1", "pkg:deb/debian/c@1")
    assert Sbom("", (package, system)).parts == (package,), "it is its packages"
    other = SbomComponent("alpine", "3.20", kind="operating-system")
    assert Sbom("", (system, other)).distribution == ""


@pytest.mark.slow
@pytest.mark.skipif("ALLOD_DATA" not in os.environ, reason="ALLOD_DATA names no directory of data")
def test_a_real_list_is_read_whole() -> None:
    """All 351 components of a real environment, with version and purl."""
    found = decode_sbom((Path(os.environ["ALLOD_DATA"]) / "sbom.cdx.json").read_bytes())
    assert len(found.components) == 351
    assert all(one.version and one.purl for one in found.components)
    assert found.faults == ()
