"""What the attack tests on delegates share: two groups, a delegate for one, a thief of their key."""

from __future__ import annotations

from dataclasses import dataclass

from tests.attacks.trust_world import CELLAR, DEVICE, KITCHEN, PACKAGE
from tuf.api.metadata import TargetFile

from allod.domain.delegation import Delegate
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Software, StateDocument
from allod.domain.ids import ProviderName, Scope, Version, sha256
from allod.testing.authority import AuthorityLog
from allod.testing.client import SimulatedClient
from allod.testing.delegations import Delegating
from allod.testing.repository import RepositorySimulator
from allod.trust.authoring import Publication
from allod.trust.device_view import DeviceView
from allod.wire.desired import encode_state


def wants(version: str) -> PackageEntry:
    """An entry that wants one version of the toaster to run."""
    order = ReleaseOrder(
        ProviderName("me"), Version(version), sha256(version.encode()), Level.ACTIVE
    )
    return PackageEntry(software=Software(releases=(order,)))


@dataclass(slots=True)
class DelegateWorld:
    """In the kitchen `ops` manages the toaster, and wants 1.0; in the cellar the owner does."""

    owner: Delegating
    client: SimulatedClient

    @classmethod
    def make(cls, log: AuthorityLog | None = None, **grant: object) -> DelegateWorld:
        """The device is in the kitchen, and has accepted this."""
        owner = Delegating(RepositorySimulator(log=log))
        owner.grant("ops", [KITCHEN], [PACKAGE], **grant)  # type: ignore[arg-type]
        owner.set_manager(KITCHEN, PACKAGE, "ops")
        owner.fleet.set_packages(CELLAR, {PACKAGE: wants("7.0")})
        owner.order("ops", KITCHEN, {PACKAGE: wants("1.0")})
        world = cls(owner, SimulatedClient(owner.fleet, device=DEVICE))
        assert world.wanted() == "1.0"
        return world

    @property
    def sim(self) -> RepositorySimulator:
        """The fleet as published."""
        return self.owner.fleet

    def sign(self, path: str, data: bytes, by: str = "ops") -> Publication:
        """The delegate lists any path in the role that is theirs."""
        draft = self.sim.draft()
        info = TargetFile.from_data(path, data, ["sha256"])
        draft._signed(f"delegation-{by}").targets[path] = info
        draft._targets[path] = data
        draft._dirty.add(f"delegation-{by}")
        return self.sim.publish(draft)

    def state(self, scope: Scope, version: str, author: str = "owner") -> bytes:
        """A document for any scope, in anybody's name."""
        packages = {PACKAGE: wants(version)}
        return encode_state(StateDocument(self.sim.fleet, scope, packages, author=author))

    def wanted(self, view: DeviceView | None = None) -> str | None:
        """The version that the delegate wants, if the delegate's word counts."""
        return word(view or self.client.accept())


def word(view: DeviceView) -> str | None:
    """The version of the toaster that `ops` wants in the kitchen; None: no word of theirs counts."""
    delegate = view.delegates.get("ops", None)
    return None if delegate is None else _version(delegate)


def _version(delegate: Delegate) -> str | None:
    document = delegate.documents.get(KITCHEN)
    entry = None if document is None else document.packages.get(PACKAGE)
    software = None if entry is None else entry.software
    return None if software is None or software.active is None else software.active.version
