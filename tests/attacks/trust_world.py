"""What the attack tests on trust share: one fleet, one device, one attacker with all online keys."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software, StateDocument
from allod.domain.ids import (
    GroupName,
    ProviderName,
    Purl,
    Scope,
    Version,
    device_scope,
    group_scope,
    sha256,
)
from allod.errors import AllodError
from allod.testing.attacker import OnlineAttacker
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.repository import RepositorySimulator, key_from
from allod.trust.keys import device_id, from_key
from allod.wire.codec import instant
from allod.wire.trust import Repair

PACKAGE = Purl("pkg:generic/toaster")
KITCHEN = group_scope(GroupName("kitchen"))
CELLAR = group_scope(GroupName("cellar"))
DEVICE_KEY = key_from("device")
DEVICE = device_id(from_key(DEVICE_KEY.public_key))
OWN = device_scope(DEVICE)


def wants(sim: RepositorySimulator, version: str, scope: Scope = KITCHEN) -> StateDocument:
    """A document that wants one version of the toaster to run."""
    order = ReleaseOrder(
        ProviderName("me"), Version(version), sha256(version.encode()), Level.ACTIVE
    )
    return StateDocument(sim.fleet, scope, {PACKAGE: PackageEntry(Software(releases=(order,)))})


@dataclass(slots=True)
class World:
    """The fleet as published, the device that accepted it, and who attacks."""

    sim: RepositorySimulator
    client: SimulatedClient
    attacker: OnlineAttacker

    @classmethod
    def make(cls, log: AuthorityLog | None = None) -> World:
        """The owner wants 1.0 in the kitchen and 7.0 in the cellar; the device knows."""
        sim = RepositorySimulator(log=log)
        sim.set_state(wants(sim, "1.0"))
        sim.set_state(wants(sim, "7.0", CELLAR))
        client = SimulatedClient(sim, device=DEVICE)
        client.accept()
        return cls(sim, client, OnlineAttacker(sim))

    def show_old(self, old: RepositorySimulator) -> None:
        """Serve an old state as fresh as the online keys can make it; witnesses do not help."""
        old.now, old.log = self.sim.now, None
        old.refresh()
        self.client.source = old

    def repair_of_time(self) -> Repair:
        """The owner names the time that it is."""
        return Repair(time=instant(self.sim.now))

    def rotate(self, number: int) -> None:
        """Other keys for everybody."""
        self.sim.rotate_root([key_from(f"root{number}")])
        self.sim.rotate_targets([key_from(f"targets{number}")])
        self.sim.rotate_online()

    def refusal(self) -> str:
        """The code with which the device refuses what it is shown."""
        with pytest.raises(AllodError) as caught:
            self.client.accept()
        return caught.value.code

    def wanted(self) -> str | None:
        """The version that the device would run, after it looked again."""
        document = self.client.accept().documents.get(KITCHEN)
        if document is None:
            return None
        software = document.packages[PACKAGE].software
        return None if software is None or software.active is None else software.active.version
