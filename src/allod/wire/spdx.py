"""SPDX 2.3 JSON (https://spdx.github.io/spdx-spec/v2.3/), read.

Packages are components; files and snippets are not. What the document describes, if it is one
package, is its subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from allod.domain.sbom import Sbom, SbomComponent
from allod.wire.sbom_fields import Reading, version_of

VERSIONS: Final = ("SPDX-2.3",)
_DOCUMENT: Final = "SPDXRef-DOCUMENT"
_NOTHING: Final = frozenset({"NOASSERTION", "NONE"})
_SOURCE: Final = re.compile(r"built package from: (\S{1,400}) (\S{1,400})$")  #: as Trivy says it
_CPES: Final = ("cpe23Type", "cpe22Type")


def read_spdx(document: dict[str, Any], *, what: str) -> Sbom:
    """Read a parsed document. Raises InvalidInput `sbom-version`, `too-large`."""
    version = version_of(document.get("spdxVersion"), VERSIONS, what, "SPDX")
    reading = Reading(what)
    described = _described(reading, document)
    subjects: list[SbomComponent] = []
    for index, said in enumerate(reading.items(document, "packages", "")):
        place = f"packages[{index}]"
        reading.one_more()
        if not isinstance(said, dict):
            reading.fault(place, "is no object")
            continue
        found = _components(reading, said, place)
        if len(described) == 1 and reading.text(said, "SPDXID", place) in described:
            subjects += found[:1]
            found = found[1:]
        for component in found:
            reading.add(component)
    return Sbom(
        version.replace("-", " "),
        tuple(reading.components),
        subjects[0] if subjects else None,
        tuple(_makers(reading, document)),
        reading.all_faults(),
    )


def _described(reading: Reading, document: dict[str, Any]) -> set[str]:
    """The ids of what the document is about, said in either way that there is."""
    named = reading.items(document, "documentDescribes", "")
    ids = {one for one in named if isinstance(one, str)}
    for one in reading.items(document, "relationships", ""):
        if not isinstance(one, dict):
            continue
        ends = (one.get("spdxElementId"), one.get("relatedSpdxElement"))
        if one.get("relationshipType") == "DESCRIBED_BY":
            ends = ends[::-1]
        elif one.get("relationshipType") != "DESCRIBES":
            continue
        if ends[0] == _DOCUMENT and isinstance(ends[1], str):
            ids.add(ends[1])
    return ids


def _components(reading: Reading, said: dict[str, Any], place: str) -> list[SbomComponent]:
    """One package: a component for each purl that it goes by."""
    name = reading.text(said, "name", place)
    if not name:
        reading.fault(place, "has no name")
        return []
    version = reading.text(said, "versionInfo", place)
    purpose = reading.text(said, "primaryPackagePurpose", place)
    references = list(_references(reading, said, place))
    cpes = [at for kind, at in references for wanted in _CPES if kind == wanted]
    built_from = _SOURCE.match(str(said.get("sourceInfo")))
    purls = dict.fromkeys(at for kind, at in references if kind == "purl")
    return [
        SbomComponent(
            name,
            "" if version in _NOTHING else version,
            purl,
            purpose.lower().replace("_", "-") or "library",
            cpes[0] if cpes else "",
            "@".join(built_from.groups()) if built_from else "",
        )
        for purl in purls or ("",)
    ]


def _references(reading: Reading, said: dict[str, Any], place: str) -> Iterator[tuple[str, str]]:
    for index, one in enumerate(reading.items(said, "externalRefs", place)):
        here = f"{place}.externalRefs[{index}]"
        if not isinstance(one, dict):
            reading.fault(here, "is no object")
            continue
        kind = reading.text(one, "referenceType", here)
        yield kind.rpartition("/")[2], reading.text(one, "referenceLocator", here)


def _makers(reading: Reading, document: dict[str, Any]) -> Iterator[str]:
    """Creators, as `Tool: name-version` and the like, without the word before the colon."""
    information = reading.object(document, "creationInfo")
    for index, one in enumerate(reading.items(information, "creators", "creationInfo")):
        if not isinstance(one, str):
            reading.fault(f"creationInfo.creators[{index}]", "is no string")
            continue
        kind, colon, words = one[:400].partition(":")
        yield words.strip() if colon and kind in {"Tool", "Organization", "Person"} else one[:400]
