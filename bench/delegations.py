"""A device in ten groups of a fleet with 1,000 groups and 1,000 delegations: one table.

    python bench/delegations.py [--groups 1000] [--member 10] [--log]

Every group hands one package to a delegation of its own; every delegate ordered a release of it.
The device is the agent's own acceptance and engine, in this process, on a disk in memory where
there is one; registry and services are simulated. Figures are the processor time of a run, and the
bytes that it fetched of the fleet's metadata and documents, as a server sends them: compressed by
gzip at its usual level, file by file.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from allod.domain.condition import Verb
from allod.domain.delegation import Delegation
from allod.domain.desired import Accepts, Level, PackageEntry, ReleaseOrder, Software, StateDocument
from allod.domain.ids import GroupName, ProviderName, Purl, Scope, Version, group_scope, sha256
from allod.domain.release import Release, Service
from allod.testing.authority import AuthorityLog
from allod.testing.fleet_device import FleetDevice, FleetTransport
from allod.testing.fleet_world import identity
from allod.testing.owner import key_from, role_keys
from allod.testing.payloads import Item, payload
from allod.testing.registry import Publisher
from allod.testing.repository import RepositorySimulator
from allod.trust.device_view import provider_path
from allod.wire.codec import encode
from allod.wire.delegation import delegation_path, encode_delegation
from allod.wire.desired import encode_state

ACCESS = frozenset({"network.outbound"})
MEMORY = Path("/dev/shm")


@dataclass
class Fleet:
    """Groups, delegations, and what delegates ordered."""

    groups: int
    logged: bool
    mine: int = 10  #: groups of the device
    sim: RepositorySimulator = field(init=False)
    acme: Publisher = field(init=False)
    releases: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sim = RepositorySimulator(
            log=AuthorityLog(witnesses=2, quorum=2) if self.logged else None
        )
        self.acme = Publisher("acme", self.sim.fleet, key=key_from("acme"))
        draft = self.sim.draft()
        draft.set_target(provider_path(ProviderName("acme")), encode(self.acme.document))
        for number in range(self.groups):
            name, scope = f"ops{number}", self.scope(number)
            entry = PackageEntry(Software(name), accepts=Accepts(access=ACCESS))
            page = StateDocument(self.sim.fleet, scope, {str(self.package(number)): entry})
            draft.set_target(scope.target_path, encode_state(page))
            grant = Delegation(
                name, frozenset({scope}), (self.package(number),), frozenset(Verb), ()
            )
            draft.set_target(delegation_path(name), encode_delegation(self.sim.fleet, grant))
        self.sim.publish(draft)
        draft = self.sim.draft()
        for number in range(self.groups):
            key = key_from(f"delegate/ops{number}")
            self.sim.owner.delegates[f"ops{number}"] = [key]
            draft.delegate(f"delegation-ops{number}", role_keys([key]), [f"by/ops{number}/*/*"])
        self.sim.publish(draft)
        self.order("1.0", range(self.groups))

    def scope(self, number: int) -> Scope:
        return group_scope(GroupName(f"group{number}"))

    def package(self, number: int) -> Purl:
        return Purl(f"pkg:generic/acme/part{number}")

    def order(self, version: str, numbers: range) -> None:
        """Delegates order a release, each in their own document."""
        draft = self.sim.draft()
        for number in numbers:
            order = self.release(number, version) if number < self.mine else _unseen(version)
            entry = PackageEntry(Software(releases=(order,)))
            page = StateDocument(
                self.sim.fleet,
                self.scope(number),
                {str(self.package(number)): entry},
                author=f"ops{number}",
            )
            draft.set_target(f"by/ops{number}/{page.scope}.json", encode_state(page))
        self.sim.publish(draft)

    def release(self, number: int, version: str) -> ReleaseOrder:
        made = payload(
            [Item("bin/app", f"{number} {version}".encode(), 0o755)],
            package=self.package(number),
            version=Version(version),
            service=Service("app", ("bin/app",)),
            access=ACCESS,
        )
        order = self.acme.push(made)
        self.releases[order.digest] = made.release
        return order


def _unseen(version: str) -> ReleaseOrder:
    """What is ordered of other devices' packages: this one never asks for it."""
    return ReleaseOrder(ProviderName("acme"), Version(version), sha256(b"other"), Level.ACTIVE)


class Counted(FleetTransport):
    """Counts what comes over the wire, compressed."""

    __slots__ = ("fetched", "files")

    def get(self, path: str, *, cap: int) -> bytes | None:
        found = super().get(path, cap=cap)
        if found is not None and not path.startswith(("v2/", "blobs/")):
            self.fetched += len(gzip.compress(found, 6))
            self.files.append(path)
        return found


def run(device: FleetDevice, what: str) -> None:
    """One run, and its row of the table."""
    transport = device.transport
    transport.fetched, transport.files = 0, []
    begin = time.process_time()
    device.run(None, lambda _: None)
    spent = time.process_time() - begin
    kept = "yes" if spent <= 1.0 else "NO"
    fetched = f"{len(transport.files)} files, {transport.fetched / 1000:.1f} kB"
    print(f"| {what} | {spent:.2f} s | {fetched} | {len(device.runs())} run | {kept} |", flush=True)


def main() -> None:
    """Make the fleet, then run the device through its life."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--member", type=int, default=10)
    parser.add_argument("--log", action="store_true", help="with a log and two witnesses")
    given = parser.parse_args()
    fleet = Fleet(given.groups, given.log, given.member)
    groups = tuple(fleet.scope(number).name for number in range(given.member))
    floors = fleet.sim.observe().floors
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:
        transport = Counted(fleet.sim, fleet.acme.transport.files)
        releases: dict[str, Release] = fleet.releases
        device = FleetDevice(
            "bench", Path(place) / "state", identity("bench"), fleet.sim.anchor, floors, groups,
            transport, releases,
        )  # fmt: skip
        device.hardware.clock.wall = fleet.sim.now
        print("| run | processor | fetched, compressed | packages | at most 1 s |")
        print("|---|---|---|---|---|")
        run(device, f"first contact: {given.member} groups, as many releases installed")
        run(device, "nothing changed")
        fleet.sim.refresh()
        run(device, "the server signed anew")
        fleet.order("1.1", range(1))
        run(device, "one of the device's delegates changed their order")
        fleet.order("1.2", range(given.member, given.member + 5))
        run(device, "five delegates of other groups did")
        page = StateDocument(fleet.sim.fleet, fleet.scope(given.groups - 1))
        fleet.sim.set_state(page)
        run(device, "the owner changed another group")


if __name__ == "__main__":
    main()
