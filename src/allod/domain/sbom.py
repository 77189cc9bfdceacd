"""What software is made of, whichever format said so (docs/spec/sbom.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALLOD: Final = "Allod"  #: stands first in `made_by` of a list that Allod made from a payload


@dataclass(frozen=True, slots=True, order=True)
class SbomComponent:
    """One part, as it was written down: nothing is made up that was not said."""

    name: str
    version: str = ""  #: empty: not said
    purl: str = ""  #: with version and qualifiers; empty: not said
    kind: str = "library"  #: as CycloneDX has it: library, application, operating-system, …
    cpe: str = ""


@dataclass(frozen=True, slots=True)
class Sbom:
    """A software bill of materials."""

    format: str  #: like "CycloneDX 1.6" or "SPDX 2.3"
    components: tuple[SbomComponent, ...]
    subject: SbomComponent | None = None  #: what it is about
    made_by: tuple[str, ...] = ()  #: tools and people, in words
    faults: tuple[str, ...] = ()  #: parts that could not be read: where, and why

    @property
    def by_allod(self) -> bool:
        """Whether Allod made it from the payload, as nobody else had said what is in it."""
        return any(one == ALLOD or one.startswith(f"{ALLOD} ") for one in self.made_by)
