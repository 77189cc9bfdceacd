"""Package URLs, and what advisories are asked about for them (docs/explanation/versions.md)."""

from __future__ import annotations

from allod.advisories.component import Unmatchable
from allod.advisories.purl import parse
from allod.advisories.purls import component_of
from allod.domain.sbom import SbomComponent


def target(data: bytes) -> None:
    """As a part of a list it is asked about, or unknown with a reason; then read on its own."""
    text = data.decode(errors="replace")
    found = component_of(SbomComponent("it", "1", text), distribution="debian-12")
    if isinstance(found, Unmatchable):
        if not (found.code and found.why):
            raise RuntimeError("it is unknown without a reason")
    elif not (found.ecosystem and found.name and found.version):
        raise RuntimeError("nothing can be asked with an empty ecosystem, name or version")
    parse(text)
