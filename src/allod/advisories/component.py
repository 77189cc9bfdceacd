"""A component as advisories know it: an ecosystem, a name within it, a version in its order."""

from __future__ import annotations

from dataclasses import dataclass

from allod.domain.sbom import SbomComponent


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """Something that advisories can be asked about."""

    ecosystem: str  #: as OSV has it, with its release: "PyPI", "Debian:12", "Alpine:v3.20"
    name: str  #: normalised as the ecosystem does; of distributions the source package
    version: str  #: in the ecosystem's order; of distributions that of the source package
    said: SbomComponent  #: what it was read from


@dataclass(frozen=True, slots=True, order=True)
class Unmatchable:
    """Something that no advisory can be asked about: unknown, and never clean.

    Codes: `no-version`, `no-purl`, `bad-purl`, `unknown-ecosystem`, `no-release` (a
    distribution's package without the distribution's release), `bad-version` (its ecosystem
    cannot order it).
    """

    said: SbomComponent
    code: str
    why: str
