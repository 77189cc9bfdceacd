"""Several people of one fleet, each at a machine of their own: an owner, approvers, delegates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.cli.conftest import Owner

from allod.cli.documents import newest
from allod.domain.desired import PackageEntry
from allod.domain.ids import Purl, Version, parse_scope
from allod.testing.payloads import payload
from allod.testing.registry import Publisher
from allod.wire.codec import encode
from allod.wire.oci import decode_manifest

TOASTER = Purl("pkg:generic/acme/toaster")
KETTLE = Purl("pkg:generic/acme/kettle")
KITCHEN = parse_scope("groups/kitchen")


@dataclass
class Works:
    """A fleet with a group `kitchen` and a provider `acme`."""

    owner: Owner
    acme: Publisher

    @classmethod
    def begin(cls, owner: Owner) -> Works:
        """Make group and provider, and put two releases of two packages into the registry."""
        acme = Publisher(fleet=owner.fleet().id)
        key = owner.home / "acme.pub"
        key.write_bytes(encode(acme.document.keys[0]))
        owner.do("group", "add", "kitchen", "--yes")
        owner.do(
            "provider", "add", "acme", "--key", key, "--namespace", "pkg:generic/acme/",
            "--any-access", "--yes",
        )  # fmt: skip
        works = cls(owner, acme)
        for package in (TOASTER, KETTLE):
            for version in ("1.0", "1.1", "2.0"):
                works.push(package, version)
        return works

    def push(self, package: Purl, version: str, *access: str) -> None:
        """A signed release, with its tag."""
        made = payload(
            data=f"{package} {version}".encode(),
            package=package,
            version=Version(version),
            access=frozenset(access),
        )
        order = self.acme.push(made)
        files = self.acme.transport.files
        place = self.acme.repository(package)
        files[f"{place}/manifests/{version}"] = files[f"{place}/manifests/{order.digest}"]
        decode_manifest(files[f"{place}/manifests/{version}"])
        self.owner.served.wares = files

    def person(self, name: str, *kinds: str, right: str | None = None) -> Owner:
        """Somebody at a machine of their own, whom the owner lets approve."""
        machine = self.owner.elsewhere(name)
        card = self.owner.home.parent / f"{name}.card"
        machine.do("people", "key", card)
        words = [part for kind in kinds for part in ("--kind", kind)]
        words += [] if right is None else ["--right", right]
        self.owner.do("people", "add", name, card, *words, "--yes")
        return self._joined(machine, name)

    def delegate(self, name: str, *terms: str | Path, package: str = TOASTER) -> Owner:
        """A delegate at a machine of their own, who decides on a package in the kitchen."""
        machine = self.owner.elsewhere(name)
        card = self.owner.home.parent / f"{name}.card"
        machine.do("delegate", "key", name, "--out", card)
        self.owner.do(
            "delegate", "grant", name, "--key", card, "--group", "kitchen", "--package", package,
            *terms, "--yes",
        )  # fmt: skip
        return self._joined(machine, name)

    def _joined(self, machine: Owner, name: str) -> Owner:
        file = self.owner.home.parent / f"{name}.join"
        self.owner.do("delegate", "join-file", name, "--out", file)
        machine.do("join", file)
        return machine

    def entry(self, package: Purl = TOASTER, author: str = "owner") -> PackageEntry | None:
        """The package's entry in the kitchen's document, as published."""
        document = newest(self.owner.fleet()).by(author, KITCHEN)
        return None if document is None else document.packages.get(package)

    def runs(self, package: Purl = TOASTER, author: str = "owner") -> str | None:
        """The version that is to run."""
        entry = self.entry(package, author)
        active = None if entry is None or entry.software is None else entry.software.active
        return None if active is None else active.version


def deploy(machine: Owner, what: str, *more: str | Path) -> dict[str, Any]:
    """Deploy in the kitchen."""
    return dict(machine.do("deploy", "kitchen", what, *more, "--yes"))
