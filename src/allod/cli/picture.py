"""The newest verified picture of a fleet: documents, devices, releases; each looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from allod.cli.catalog import Catalog, PackageVersion
from allod.cli.consequences import Surroundings
from allod.cli.deciders import deciders
from allod.cli.documents import Base, newest
from allod.cli.foreign import CONTROLLED, foreign_members
from allod.cli.foreseen import Outlook
from allod.cli.members import Members
from allod.cli.options import now as clock
from allod.cli.phrases import choices
from allod.cli.rollouts_open import open_gates
from allod.cli.scopes import all_groups, find_scope
from allod.domain.delegation import Delegate
from allod.domain.desired import OWNER, StateDocument
from allod.domain.edit import empty
from allod.domain.ids import DeviceId, GroupName, Purl, Scope, is_pattern, package_name
from allod.domain.reported import Member
from allod.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet


@dataclass
class Picture:
    """What a verb sees of the fleet.

    Args:
        base: the owner's documents, verified.
        members: the devices, verified when first looked at.
        now: when it was taken.
        author: as whom it is changed: the owner, or a delegation.
    """

    base: Base
    members: Members
    now: datetime
    author: str = OWNER

    @property
    def fleet(self) -> LocalFleet:
        """Whose it is."""
        return self.base.fleet

    @cached_property
    def devices(self) -> tuple[Member, ...]:
        """The devices."""
        return self.members.all

    @cached_property
    def foreign(self) -> tuple[Member, ...]:
        """The devices that are only on record: no agent of ours runs there."""
        return foreign_members(self.base.states)

    @cached_property
    def groups(self) -> tuple[GroupName, ...]:
        """Groups that have a document or a device."""
        return all_groups(self.base.groups, (*self.devices, *self.foreign))

    @cached_property
    def catalog(self) -> Catalog:
        """The releases that can be had."""
        return Catalog(self.fleet.client, self.base.fleet_id, self.base.providers)

    @cached_property
    def delegates(self) -> dict[str, Delegate]:
        """Who else decides, with what they said."""
        return deciders(self.base)

    @cached_property
    def gates(self) -> dict[str, frozenset[int]]:
        """Rollout -> the stages that are open, by gates that a device lets pass."""
        return open_gates(self.base)

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the consequences of a change depend on."""
        statement = self.base.view.repository.statement
        witnesses = None if statement is None else statement.witnesses
        outlook = Outlook(
            self.now,
            None if witnesses is None else self.now,
            self.delegates,
            self.base.providers,
            self.base.fleet_document,
        )
        return Surroundings(
            self.devices, self.catalog, self.base.withdrawn, self.members.documents(), outlook
        )

    def scope(self, text: str) -> Scope:
        """The group or device that a user names.

        Raises:
            InvalidInput: there is none.
            Refused: `foreign-device`: it is only on record.
        """
        self._ours(text)
        if text in self.base.groups and not any(
            text in {member.label, member.device} for member in self.devices
        ):
            return find_scope(f"groups/{text}", self.groups, ())
        return find_scope(text, self.groups, self.devices)

    def _ours(self, text: str) -> None:
        """Nothing is decided for a device on record, nor known of it but its record."""
        name = text.removeprefix("devices/")
        member = next((one for one in self.foreign if name in {one.label, one.device}), None)
        if member is not None and member.foreign is not None and text not in self.base.groups:
            raise Refused(
                "foreign-device",
                f"cannot decide what {name[:80]} has: it is on record only, and "
                f"{CONTROLLED[member.foreign.control]}",
            )

    def document(self, scope: Scope) -> StateDocument:
        """The scope's document, or the one to begin with.

        A device's document that was made for an earlier binding begins anew: devices ignore it.
        """
        if self.author != OWNER:
            own = self.base.by(self.author, scope)
            return own or StateDocument(self.base.fleet_id, scope, author=self.author)
        return self.owners(scope)

    def owners(self, scope: Scope) -> StateDocument:
        """The owner's document for the scope, or the one to begin with."""
        known = self.base.state(scope)
        if scope.kind == "groups":
            return known if known is not None else empty(self.base.fleet_id, scope)
        epoch = self.epoch(DeviceId(scope.name))
        if known is None or known.device is None or known.device.epoch < epoch:
            return empty(self.base.fleet_id, scope, epoch=epoch)
        return known

    def epoch(self, device: DeviceId) -> int:
        """How often the device was bound."""
        return next((m.epoch for m in self.devices if m.device == device), 1)

    def packages(self) -> tuple[Purl, ...]:
        """Every package that a document names or a device has."""
        named = {
            Purl(key)
            for document in (*self.base.states.values(), *self.base.delegated.values())
            for key in document.packages
            if not is_pattern(key)
        }
        held = {
            package
            for member in self.devices
            if member.actual is not None
            for package in member.actual.packages
        }
        return tuple(sorted(named | held))

    def package(self, named: PackageVersion, *, among: Sequence[Purl] | None = None) -> Purl:
        """The known package that a user names.

        Raises:
            InvalidInput: `unknown-package` (and says what there is), `ambiguous-package`.
        """
        known = self.packages() if among is None else among
        whole = named.purl
        found = [
            p for p in known if p == whole or (whole is None and package_name(p) == named.name)
        ]
        if len(found) > 1:
            raise InvalidInput(
                "ambiguous-package",
                f"cannot tell which {named.name} is meant: {choices(found)}; say it in full",
            )
        if not found:
            raise InvalidInput(
                "unknown-package",
                f"cannot find the package {named.package[:80]!r}; there are: "
                + choices([package_name(p) for p in known]),
            )
        return found[0]


def take(
    fleet: LocalFleet, *, reports: bool = True, reading: bool = False, author: str = OWNER
) -> Picture:
    """Fetch and verify everything anew.

    Args:
        fleet: whose.
        author: as whom it is to be changed.
        reports: fetch those of the devices too.
        reading: nothing is signed on it, so that it may be looked at without enough witnesses.

    Raises:
        Untrusted: the server shows what must not be.
        Unavailable: it cannot be reached, or what it has is past its date.
    """
    base = newest(fleet, reading=reading)
    return Picture(base, Members(base, reports=reports), clock(), author)
