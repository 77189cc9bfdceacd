"""What is looked at: one thing with its parts, and the devices that run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from allod.domain.foreign import Control
from allod.domain.ids import Digest, ProviderName, Purl, Version, package_name
from allod.domain.sbom import SbomComponent


class Kind(StrEnum):
    """What a ware is."""

    RELEASE = "release"  #: of a package that Allod brings
    HOST = "host"  #: what a device has beside them
    FOREIGN = "foreign"  #: a device that its vendor controls
    SBOM = "sbom"  #: a file


@dataclass(frozen=True, slots=True)
class Release:
    """Which release it is."""

    provider: ProviderName
    package: Purl
    version: Version
    digest: Digest

    @property
    def shown(self) -> str:
        """As people call it."""
        return f"{package_name(self.package)} {self.version}"


@dataclass(frozen=True, slots=True)
class Ware:
    """One thing and its parts. Same `key`, same parts: it is compared by that alone."""

    key: str
    kind: Kind = field(compare=False)
    name: str = field(compare=False)
    parts: tuple[SbomComponent, ...] = field(default=(), compare=False)
    distribution: str = field(
        default="", compare=False
    )  #: like "debian-12": of those parts that do not say
    #: Purls and digests by which VEX may name it.
    products: frozenset[str] = field(default=frozenset(), compare=False)
    release: Release | None = field(default=None, compare=False)
    control: Control | None = field(default=None, compare=False)  #: who decides on a foreign one
    listed_by: str = field(default="", compare=False)  #: whose list of parts it is, in words
    #: Code and words: why parts are not known.
    unseen: tuple[tuple[str, str], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A device that runs something."""

    device: str
    shown: str


@dataclass(frozen=True, slots=True)
class Blind:
    """Somewhere that nothing is known of: unknown, and never clean."""

    where: str
    code: str
    why: str
    device: str = ""  #: if all that a device has is meant


@dataclass(frozen=True, slots=True)
class Running:
    """What runs where."""

    wares: tuple[Ware, ...]
    places: dict[str, tuple[Place, ...]]  #: by the key of a ware
    blind: tuple[Blind, ...] = ()
    devices: int = 0

    @property
    def dark(self) -> frozenset[str]:
        """Devices that have something of which nothing is known: what is not seen is not gone."""
        unseen = {ware.key for ware in self.wares if ware.unseen}
        found = {place.device for key in unseen for place in self.places.get(key, ())}
        return frozenset(found | {one.device for one in self.blind if one.device})

    def where(self, wares: Iterable[Ware]) -> tuple[Place, ...]:
        """The devices that run any of these, each once."""
        return tuple(sorted({place for ware in wares for place in self.places.get(ware.key, ())}))


def alone(ware: Ware) -> Running:
    """One thing that is looked at by itself, wherever it runs."""
    return gathered([(ware, None)])


def gathered(
    found: Sequence[tuple[Ware, Place | None]], blind: Iterable[Blind] = (), devices: int = 0
) -> Running:
    """Put together; what several devices run is one ware."""
    wares: dict[str, Ware] = {}
    places: dict[str, list[Place]] = {}
    for ware, place in found:
        wares.setdefault(ware.key, ware)
        if place is not None:
            places.setdefault(ware.key, []).append(place)
    missing = [Blind(w.name, code, why) for w in wares.values() for code, why in w.unseen]
    return Running(
        tuple(wares.values()),
        {key: tuple(sorted(set(known))) for key, known in places.items()},
        (*missing, *blind),
        devices,
    )
