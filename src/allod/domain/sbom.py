"""What software is made of, whichever format said so (docs/spec/sbom.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALLOD: Final = "Allod"  #: stands first in `made_by` of a list that Allod made from a payload
OPERATING_SYSTEM: Final = "operating-system"  #: a kind
_PACKAGES: Final = ("pkg:deb/", "pkg:apk/", "pkg:rpm/")
_OWN_NAMES: Final = ("pkg:generic/", "pkg:oci/", "pkg:docker/")


@dataclass(frozen=True, slots=True, order=True)
class SbomComponent:
    """One part, as it was written down: nothing is made up that was not said."""

    name: str
    version: str = ""  #: empty: not said
    purl: str = ""  #: with version and qualifiers; empty: not said
    kind: str = "library"  #: as CycloneDX has it: library, application, operating-system, …
    cpe: str = ""
    source: str = ""  #: its source package, like "glibc@2.36-9", said beside its purl


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

    @property
    def parts(self) -> tuple[SbomComponent, ...]:
        """All that advisories can be asked about.

        The components, and the subject if somebody else than its provider could know it: one
        with a purl of an ecosystem, not just `pkg:generic` or the name of an image. An operating
        system is its packages, where the list has them.
        """
        found = self.components
        subject = self.subject
        if subject is not None and subject.purl and not subject.purl.startswith(_OWN_NAMES):
            found = tuple(dict.fromkeys((subject, *found)))
        if any(one.purl.startswith(_PACKAGES) for one in found):
            found = tuple(one for one in found if one.purl or one.kind != OPERATING_SYSTEM)
        return found

    @property
    def distribution(self) -> str:
        """The operating system that it lists, like "debian-12"; empty: none, or several."""
        listed = self.components if self.subject is None else (self.subject, *self.components)
        systems = {one for one in listed if one.kind == OPERATING_SYSTEM and one.version}
        named = {f"{one.name.lower()}-{one.version}" for one in systems}
        return named.pop() if len(named) == 1 else ""
