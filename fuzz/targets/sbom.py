"""Bills of materials: CycloneDX and SPDX (docs/spec/sbom.md)."""

from __future__ import annotations

from allod.wire.cyclonedx import encode_cyclonedx
from allod.wire.sbom import decode_sbom


def target(data: bytes) -> None:
    """Read one; what was read can be written."""
    encode_cyclonedx(decode_sbom(data))
