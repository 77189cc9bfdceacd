"""What simulated providers have made: a shelf of small releases that every simulated fleet shares.

Made once in a process: every simulated fleet has the same first root, and so the same id.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from allod.domain.desired import ReleaseOrder
from allod.domain.ids import Digest, ProviderName, Purl, Version, sha256
from allod.domain.release import Release, Service
from allod.testing.fleet_words import Ware
from allod.testing.owner import key_from
from allod.testing.payloads import Item, payload
from allod.testing.registry import Publisher

TOASTER: Final = "pkg:generic/acme/toaster"
BUTLER: Final = "pkg:generic/acme/butler"
LAMP: Final = "pkg:generic/bolt/lamp"
PACKAGES: Final = (TOASTER, BUTLER, LAMP)
SIZE: Final = 64  #: of every configuration document

#: version, access, flaws that it mends, whether it is sick, whether it is forged
_MADE: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...], bool, bool], ...]] = (
    ("1.0.0", ("network.outbound",), (), False, False),
    ("1.0.1", ("network.outbound",), ("CVE-1",), False, False),
    ("1.0.2", ("network.outbound",), (), True, False),
    ("1.0.3", ("network.outbound", "microphone"), ("CVE-1", "CVE-2"), False, False),
    ("1.0.4", ("network.outbound",), ("CVE-1", "CVE-2"), False, False),
    ("1.1.0", ("network.outbound", "camera"), ("CVE-1",), False, False),
    ("1.1.1", ("network.outbound",), ("CVE-1", "CVE-3"), False, True),
    ("2.0.0", ("network.outbound",), ("CVE-1",), False, False),
    ("2.0.1", ("network.outbound", "root"), ("CVE-1", "CVE-4"), False, False),
)


@dataclass(frozen=True, slots=True)
class Shop:
    """Files of the registry, and what they are."""

    files: Mapping[str, bytes]
    wares: Mapping[str, Ware]  #: by digest
    releases: Mapping[Digest, Release]
    orders: Mapping[tuple[str, str], ReleaseOrder]  #: package and version
    documents: Mapping[str, str] = field(default_factory=dict)  #: configuration: digest -> text

    def ware(self, package: str, version: str) -> Ware:
        """A release by name."""
        return self.wares[self.orders[package, version].digest]

    def of(self, package: str) -> list[Ware]:
        """All releases of a package."""
        return [ware for ware in self.wares.values() if ware.package == package]


def provider_of(package: str) -> str:
    """Who makes it."""
    return package.split("/")[1]


@functools.cache
def stocked(fleet: str) -> Shop:
    """The shop of the fleet with this id."""
    publishers = {name: Publisher(name, fleet, key=key_from(name)) for name in ("acme", "bolt")}
    wares: dict[str, Ware] = {}
    releases: dict[Digest, Release] = {}
    orders: dict[tuple[str, str], ReleaseOrder] = {}
    for package in PACKAGES:
        name = provider_of(package)
        for version, access, mends, sick, forged in _MADE:
            made = payload(
                [Item("bin/app", f"{package} {version}".encode(), 0o755)],
                package=Purl(package),
                version=Version(version),
                provider=ProviderName(name),
                service=Service("app", ("bin/app",)),
                access=frozenset(access),
                mends=mends,
            )
            order = publishers[name].push(made, sign=not forged)
            wares[order.digest] = Ware(
                package, version, name, order.digest, frozenset(access), mends, sick, forged
            )
            releases[order.digest] = made.release
            orders[package, version] = order
    texts = {number: f"level {number}".ljust(SIZE) for number in range(3)}
    documents = {str(sha256(text.encode())): text for text in texts.values()}
    files = {
        path: data for one in publishers.values() for path, data in one.transport.files.items()
    }
    files |= {f"blobs/{digest}": text.encode() for digest, text in documents.items()}
    return Shop(files, wares, releases, orders, documents)
