"""Software bills of materials, as others write them: CycloneDX and SPDX (docs/spec/sbom.md).

These formats belong to others: what is unknown here is ignored. A document that is no JSON, or of
a format or version that is not known, is refused; of one that can be read, each part that cannot
is a fault of its own with its place, and the rest counts.
"""

from __future__ import annotations

from typing import Any, Final

from allod.domain.sbom import Sbom
from allod.errors import InvalidInput
from allod.wire.codec import parse_strict
from allod.wire.cyclonedx import read_cyclonedx
from allod.wire.spdx import read_spdx

CYCLONEDX_JSON: Final = "application/vnd.cyclonedx+json"  #: media type, and artifactType
SPDX_JSON: Final = "application/spdx+json"  #: media type, and artifactType
SBOM_TYPES: Final = (CYCLONEDX_JSON, SPDX_JSON)
SBOM_CAP: Final = 64 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"  #: the mark that some programs write before UTF-8


def decode_sbom(data: bytes, *, what: str = "the SBOM") -> Sbom:
    """Read CycloneDX 1.4 to 1.7 or SPDX 2.3, whichever it is.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-sbom` (it is neither), or `sbom-version`.
    """
    document = _parsed(data, what)
    if sbom_type_of(document) == CYCLONEDX_JSON:
        return read_cyclonedx(document, what=what)
    if sbom_type_of(document) == SPDX_JSON:
        return read_spdx(document, what=what)
    raise InvalidInput("bad-sbom", f"cannot read {what}: {_instead(document)}")


def sbom_media_type(data: bytes, *, what: str = "the SBOM") -> str:
    """The media type under which a registry has it. Raises InvalidInput as `decode_sbom` does."""
    return CYCLONEDX_JSON if decode_sbom(data, what=what).format.startswith("Cyclo") else SPDX_JSON


def sbom_type_of(document: dict[str, Any]) -> str | None:
    """The media type of a parsed document that says it is an SBOM."""
    if document.get("bomFormat") == "CycloneDX":
        return CYCLONEDX_JSON
    return SPDX_JSON if "spdxVersion" in document else None


def _parsed(data: bytes, what: str) -> dict[str, Any]:
    if data[:100].removeprefix(_BOM).lstrip().startswith(b"<"):
        raise InvalidInput(
            "bad-sbom", f"cannot read {what}: it is XML; write it as JSON (CycloneDX or SPDX 2.3)"
        )
    document = parse_strict(data.removeprefix(_BOM), cap=SBOM_CAP, what=what)
    if not isinstance(document, dict):
        raise InvalidInput("bad-sbom", f"cannot read {what}: it is no JSON object")
    return document


def _instead(document: dict[str, Any]) -> str:
    """What it may be, to say what would mend it."""
    if "spdx.org" in str(document.get("@context", ""))[:200]:
        return "it is SPDX 3, which is not read; write it as SPDX 2.3 or CycloneDX"
    if "predicateType" in document or "payloadType" in document:
        return "it is a statement about one; take the SBOM itself out of it"
    return "it says neither that it is CycloneDX ('bomFormat') nor SPDX ('spdxVersion')"
