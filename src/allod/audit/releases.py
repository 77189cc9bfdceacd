"""Releases over a whole fleet: one version that is two things, and what runs on one device only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from allod.audit.activity import Place, Run
from allod.audit.findings import SHOWN, Finding


class Seen(msgspec.Struct, frozen=True):
    """The digest of a version of a package, and where it was seen first."""

    digest: str
    where: str


class Single(msgspec.Struct, frozen=True):
    """A release that only one device runs."""

    package: str
    version: str
    digest: str
    device: str


class Releases(msgspec.Struct):
    """What documents and reports say of releases.

    Attributes:
        versions: package and version -> digest.
        runs: device -> what its newest report names.
        told: versions that are known to be two things.
    """

    versions: dict[str, Seen] = {}
    runs: dict[str, tuple[int, list[Run]]] = {}
    told: set[str] = set()

    def named(self, runs: Iterable[Run], where: str) -> Iterator[Finding]:
        """A document or a report names these releases."""
        for run in runs:
            name = f"{run.package}@{run.version}"
            known = self.versions.setdefault(name, Seen(run.digest, where))
            if known.digest != run.digest and name not in self.told:
                self.told.add(name)
                says = f"{known.digest} in {known.where}, {run.digest} in {where}"
                yield Finding("release-two-digests", name[:SHOWN], says[:SHOWN])

    def reported(self, place: Place, runs: Iterable[Run]) -> None:
        """The newest report of a device in its newest binding."""
        if place.epoch >= self.runs.get(place.device, (0, []))[0]:
            self.runs[place.device] = (place.epoch, list(runs))

    def singletons(self) -> list[Single]:
        """Releases that only one of several devices has."""
        where: dict[Run, set[str]] = {}
        for device, (_, runs) in self.runs.items():
            for run in runs:
                where.setdefault(run, set()).add(device)
        if len(self.runs) <= 1:
            return []
        return [
            Single(run.package, run.version, run.digest, *devices)
            for run, devices in sorted(where.items())
            if len(devices) == 1
        ]
