"""CycloneDX JSON, 1.4 to 1.7 (https://cyclonedx.org/docs/1.6/json/), read; and 1.6 written.

Read are the components, nested ones and those of the subject too, and who made the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from allod.domain.sbom import Sbom, SbomComponent
from allod.wire.codec import encode
from allod.wire.sbom_fields import Reading, version_of

VERSIONS: Final = ("1.4", "1.5", "1.6", "1.7")
UNREAD: Final = "allod:unread"  #: property of the list: a part that could not be read, in words
_WRITTEN: Final = "1.6"
_SOURCE: Final = "aquasecurity:trivy:Src"  #: begins the names of four properties


def read_cyclonedx(document: dict[str, Any], *, what: str) -> Sbom:
    """Read a parsed document. Raises InvalidInput `sbom-version`, `too-large`."""
    version = version_of(document.get("specVersion"), VERSIONS, what, "CycloneDX")
    reading = Reading(what)
    metadata = reading.object(document, "metadata")
    subject = None
    if (about := reading.object(metadata, "component", "metadata")) != {}:
        subject = _component(reading, about, "metadata.component")
        _nested(reading, about, "metadata.component")
    _nested(reading, document, "")
    _unread(reading, metadata)
    return Sbom(
        f"CycloneDX {version}",
        tuple(reading.components),
        subject,
        tuple(dict.fromkeys(_makers(reading, metadata))),
        reading.all_faults(),
    )


def _nested(reading: Reading, holder: dict[str, Any], place: str) -> None:
    """Take in the components of `holder` and theirs; nesting is bounded by the JSON's depth."""
    where = f"{place}.components" if place else "components"
    for index, said in enumerate(reading.items(holder, "components", place)):
        here = f"{where}[{index}]"
        reading.one_more()
        if not isinstance(said, dict):
            reading.fault(here, "is no object")
            continue
        component = _component(reading, said, here)
        if component is not None:
            reading.add(component)
        _nested(reading, said, here)


def _unread(reading: Reading, metadata: dict[str, Any]) -> None:
    """Take over what the list's maker says that it could not read: the list has a hole there."""
    for one in reading.items(metadata, "properties", "metadata"):
        if isinstance(one, dict) and one.get("name") == UNREAD:
            place, _, why = reading.text(one, "value", "metadata.properties").partition(": ")
            reading.fault(place, why)


def _component(reading: Reading, said: dict[str, Any], place: str) -> SbomComponent | None:
    name = reading.text(said, "name", place)
    if not name:
        reading.fault(place, "has no name")
        return None
    group = reading.text(said, "group", place)
    return SbomComponent(
        f"{group}/{name}" if group else name,
        reading.text(said, "version", place),
        reading.text(said, "purl", place),
        reading.text(said, "type", place) or "library",
        reading.text(said, "cpe", place),
        _source(reading, said, place) if "properties" in said else "",
    )


def _source(reading: Reading, said: dict[str, Any], place: str) -> str:
    """The source package of a distribution's package, which Trivy says in properties."""
    parts: dict[str, str] = {}
    for index, one in enumerate(reading.items(said, "properties", place)):
        here = f"{place}.properties[{index}]"
        if isinstance(one, dict) and str(one.get("name")).startswith(_SOURCE):
            parts[one["name"].removeprefix(_SOURCE)] = reading.text(one, "value", here)
    version = "-".join(filter(None, (parts.get("Version"), parts.get("Release"))))
    if version and parts.get("Epoch", "0") not in {"", "0"}:
        version = f"{parts['Epoch']}:{version}"
    return "@".join(filter(None, (parts.get("Name"), version))) if parts.get("Name") else ""


def _makers(reading: Reading, metadata: dict[str, Any]) -> Iterator[str]:
    """Tools first, in both forms that there are, then people and houses."""
    tools = metadata.get("tools")
    if isinstance(tools, list):
        yield from _named(reading, metadata, "tools", "metadata")
    elif isinstance(tools, dict):
        yield from _named(reading, tools, "components", "metadata.tools")
        yield from _named(reading, tools, "services", "metadata.tools")
    elif tools is not None:
        reading.fault("metadata.tools", "is neither a list nor an object")
    yield from _named(reading, metadata, "authors", "metadata")
    for key in ("manufacture", "manufacturer", "supplier"):
        if name := reading.text(reading.object(metadata, key, "metadata"), "name", key):
            yield name


def _named(reading: Reading, holder: dict[str, Any], key: str, place: str) -> Iterator[str]:
    for index, one in enumerate(reading.items(holder, key, place)):
        here = f"{place}.{key}[{index}]"
        if not isinstance(one, dict):
            reading.fault(here, "is no object")
            continue
        parts = (reading.text(one, "name", here), reading.text(one, "version", here))
        if words := " ".join(filter(None, parts)):
            yield words


def encode_cyclonedx(sbom: Sbom) -> bytes:
    """CycloneDX 1.6: the same list is always the same bytes, so it says no time and no serial."""
    metadata: dict[str, Any] = {}
    if sbom.made_by:
        metadata["tools"] = {"components": [_tool(words) for words in sbom.made_by]}
    if sbom.subject is not None:
        metadata["component"] = _written(sbom.subject)
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": _WRITTEN,
        "version": 1,
        "components": [_written(one) for one in dict.fromkeys(sbom.components)],
    }
    if sbom.faults:
        metadata["properties"] = [{"name": UNREAD, "value": fault} for fault in sbom.faults]
    if metadata:
        document["metadata"] = metadata
    return encode(document)


def _tool(words: str) -> dict[str, str]:
    name, _, version = words.rpartition(" ")
    if not name:
        return {"type": "application", "name": words}
    return {"type": "application", "name": name, "version": version}


def _written(component: SbomComponent) -> dict[str, str]:
    optional = {"version": component.version, "purl": component.purl, "cpe": component.cpe}
    return {
        "type": component.kind,
        "name": component.name,
        **{key: value for key, value in optional.items() if value},
    }
