"""How each change stands: published, in force, and seen by so many of the devices it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from allod.cli.in_force import Force, force_of
from allod.domain.reported import Member
from allod.trust.metadata import DEVICES, TARGETS

if TYPE_CHECKING:
    from allod.cli.logbook import Logbook
    from allod.cli.past import PastChange
    from allod.cli.refresh import View

_ALWAYS: Final = frozenset({TARGETS, DEVICES})  #: roles that every device reads


@dataclass(frozen=True, slots=True)
class Standing:
    """One change.

    Attributes:
        force: what this machine can prove of it.
        seen: names of the devices whose own report shows that they know it, of those it concerns.
        unseen: of those that have not said so yet.
        unknown: of those whose reports are missing or in doubt.
    """

    change: PastChange
    force: Force
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def concerned(self) -> int:
        """How many devices it concerns."""
        return len(self.seen) + len(self.unseen) + len(self.unknown)

    def data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "force": self.force,
            "seen": {
                "by": len(self.seen),
                "of": self.concerned,
                "unseen": list(self.unseen),
                "unknown": list(self.unknown),
            },
        }

    @property
    def force_says(self) -> str:
        """What is proved, in a few words."""
        if self.force.state == "in-force":
            return f"in force (entry {self.force.index}, log of {self.force.size})"
        if self.force.state == "published":
            return f"published, not yet provable: {self.force.why}"
        return "published" + (f" ({self.force.why})" if self.force.why else "")

    @property
    def seen_says(self) -> str:
        """Who knows it, in a few words."""
        said = f"{len(self.seen)} of {self.concerned}"
        return said + (f", {len(self.unknown)} unknown" if self.unknown else "")


def change_data(change: PastChange) -> dict[str, Any]:
    """A change for `--json`, from its signed note and files."""
    return {
        "number": change.number,
        "id": change.text("id"),
        "at": change.text("at"),
        "by": change.text("by"),
        "decided": change.author,
        "message": change.text("message"),
        "ticket": change.text("ticket"),
        "roles": change.roles,
        "touches": [touch.path for touch in change.touches],
    }


def standings(
    view: View, book: Logbook | None, changes: Sequence[PastChange], devices: Iterable[Member]
) -> Iterator[Standing]:
    """How changes stand, by verified files, log and reports."""
    members = [one for one in devices if not one.retired and not one.surplus]
    for change in changes:
        seen, unseen, unknown = [], [], []
        for member in members:
            if not _concerns(change, member):
                continue
            if member.actual is None or member.doubts:
                unknown.append(member.shown)
            elif _knows(change, member, book):
                seen.append(member.shown)
            else:
                unseen.append(member.shown)
        force = force_of(view, book, change.roles)
        yield Standing(change, force, tuple(seen), tuple(unseen), tuple(unknown))


def _concerns(change: PastChange, member: Member) -> bool:
    """Whether it says something to the device: its scopes do, or it is for all."""
    scopes = [touch.scope for touch in change.touches]
    return not scopes or any(scope is None or scope in member.scopes for scope in scopes)


def _knows(change: PastChange, member: Member, book: Logbook | None) -> bool:
    """Whether the device's own report says that it has these versions, or newer ones.

    Of a role that it never read (other devices' bins) the log tells, if it read far enough.
    """
    actual = member.actual
    if actual is None:
        return False
    needed = _ALWAYS | {
        touch.role
        for touch in change.touches
        if touch.scope is None or touch.scope in member.scopes
    }
    for role, version in change.roles.items():
        known = actual.roles.get(role)
        if known is not None:
            if known < version:
                return False
        elif role in needed and not _beyond(book, role, version, actual.logs):
            return False
    return True


def _beyond(book: Logbook | None, role: str, version: int, logs: Mapping[str, str]) -> bool:
    place = None if book is None else book.place(role, version)
    if book is None or place is None:
        return False
    size = logs.get(book.origin, "").partition(" ")[0]
    return size.isdecimal() and int(size) > place.index
