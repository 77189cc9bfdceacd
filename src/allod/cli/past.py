"""What the owner signed before, change by change, from the signed files alone.

Every version of every role is fetched, checked under the proved chain of roots, and kept in the
fleet's directory. The server's own list of changes is not asked: it could leave one out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile, Targets

from allod.cli.picture import Picture
from allod.cli.preview import DELEGATION, Reading, compare, place_of, read_state
from allod.cli.publish import note_of
from allod.domain.desired import OWNER, StateDocument
from allod.domain.ids import Scope
from allod.durable import make_directory, write_atomic
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.trust.anchor import check_root
from allod.trust.metadata import ROOT, SNAPSHOT, TARGETS, TARGETS_CAP, TIMESTAMP, metadata_path
from allod.trust.past import check_past_targets
from allod.wire.desired import STATE_CAP

if TYPE_CHECKING:
    from tuf.api.metadata import Root

    from allod.trust.verified import Verified

_Checked = TypeVar("_Checked")
_ONLINE: Final = frozenset({ROOT, SNAPSHOT, TIMESTAMP})


@dataclass(frozen=True, slots=True)
class Touch:
    """One target that a change touched."""

    path: str
    before: TargetFile | None
    after: TargetFile | None
    role: str

    @property
    def scope(self) -> Scope | None:
        """The scope, if it is a document of desired state."""
        place = place_of(self.path)
        return None if place is None else place[1]

    @property
    def author(self) -> str:
        """Who decided: the owner, or a delegation."""
        return self.role.removeprefix(DELEGATION) if self.role.startswith(DELEGATION) else OWNER


@dataclass(slots=True)
class PastChange:
    """One change, over all roles that it touched."""

    note: Mapping[str, Any] | None  #: as it was signed; None: signed without one
    roles: dict[str, int] = field(default_factory=dict)
    touches: list[Touch] = field(default_factory=list)
    order: float = 0.0

    @property
    def number(self) -> int | None:
        """Its number."""
        return None if self.note is None else int(self.note["number"])

    @property
    def author(self) -> str:
        """Who decided: the owner, or a delegation."""
        named = [role for role in self.roles if role.startswith(DELEGATION)]
        return named[0].removeprefix(DELEGATION) if len(named) == len(self.roles) == 1 else OWNER

    def text(self, name: str) -> str:
        """A text of its note, or nothing."""
        return "" if self.note is None else str(self.note.get(name, ""))


@dataclass
class Past:
    """The history of a fleet.

    Args:
        picture: its newest verified picture.
        last: how many of the newest versions of each role are looked at; None: all.
    """

    picture: Picture
    last: int | None = None
    missing: list[str] = field(default_factory=list)  #: files that the server lacks

    @cached_property
    def changes(self) -> tuple[PastChange, ...]:
        """All changes, oldest first."""
        by_id: dict[tuple[object, ...], PastChange] = {}
        for role in self._listed:
            order = 0.0
            before: Targets | None = None
            for version, signed in self._versions(role):
                if before is None and version > 1 and self.last is not None:
                    before = signed  # only what came after it is looked at
                    continue
                note = note_of(signed.unrecognized_fields)
                order = float(note["number"]) if note is not None else order + 0.001
                key: tuple[object, ...] = (role, version)
                if note is not None:
                    key = (note["number"], note.get("id"))
                if note is None and version == 1:
                    key, order = ("genesis",), 0.0
                change = by_id.setdefault(key, PastChange(note, order=order))
                change.roles[role] = version
                change.touches.extend(_touches(role, before, signed))
                before = signed
        return tuple(sorted(by_id.values(), key=lambda one: one.order))

    @property
    def _listed(self) -> list[str]:
        """The owner's roles, and those of all who ever gave orders: of revoked ones too."""
        view = self.picture.base.view
        ended = {
            role
            for role, version in view.versions.items()
            if role.startswith(DELEGATION) and version > 0
        }
        return sorted({*view.repository.files, *ended} - _ONLINE)

    def change(self, number: int) -> PastChange:
        """The change with that number. Raises InvalidInput `unknown-change`."""
        found = [one for one in self.changes if one.number == number]
        if not found:
            known = [one.number for one in self.changes if one.number is not None]
            span = f"there are {min(known)} to {max(known)}" if known else "there are none yet"
            raise InvalidInput("unknown-change", f"cannot find change {number}: {span}")
        return found[0]

    def reading(self, change: PastChange) -> Reading:
        """What a change changed."""
        pairs = {
            touch.path: (
                self._content(touch.path, touch.before),
                self._content(touch.path, touch.after),
            )
            for touch in change.touches
        }
        return compare(self.picture.base.fleet_id, pairs)

    def document(self, touch: Touch, info: TargetFile | None) -> StateDocument | None:
        """A scope's document as it was before or after a change."""
        scope = touch.scope
        data = self._content(touch.path, info)
        if scope is None or data is None:
            return None
        return read_state(data, self.picture.base.fleet_id, scope, touch.author)

    # -- files ---------------------------------------------------------------------------------

    def signed(self, role: str, version: int) -> Verified[Targets] | None:
        """One version of a role, with the keys that signed it; None: the server lacks it.

        Raises:
            Untrusted: it is not the owner's.
        """
        fleet = self.picture.base.fleet_id

        delegators = self._delegators if role.startswith(DELEGATION) else ()

        def check(data: bytes) -> Verified[Targets]:
            return check_past_targets(data, role, version, fleet, self._roots, delegators)

        return self._file(metadata_path(role, version), TARGETS_CAP, check)

    def content(self, path: str, info: TargetFile) -> bytes | None:
        """A target's bytes, as a version of a role once listed it.

        Raises:
            Untrusted: `mix-and-match`.
            Unavailable: `withheld`.
        """
        return self._content(path, info)

    @cached_property
    def _roots(self) -> list[Root]:
        return [check_root(data).root for data in self.picture.members.roots.values()]

    @cached_property
    def _delegators(self) -> list[Targets]:
        """All versions of the owner's list: one of them named the keys of each delegate."""
        newest = self.picture.base.view.versions[TARGETS]
        found = (self.signed(TARGETS, version) for version in range(1, newest + 1))
        return [one.value for one in found if one is not None]

    def _versions(self, role: str) -> Iterator[tuple[int, Targets]]:
        base = self.picture.base
        newest = base.view.versions[role]
        first = 1 if self.last is None else max(1, newest - self.last)
        for version in range(first, newest + 1):
            signed = self.signed(role, version)
            if signed is None:
                self.missing.append(f"{role} version {version}")
            else:
                yield version, signed.value

    def _content(self, path: str, info: TargetFile | None) -> bytes | None:
        if info is None:
            return None

        def check(data: bytes) -> bytes:
            try:
                info.verify_length_and_hashes(data)
            except LengthOrHashMismatchError as error:
                raise Untrusted("mix-and-match", f"cannot accept an old {path}: {error}") from error
            return data

        where = "tuf/targets/" + quote(info.get_prefixed_paths()[0], safe="/")
        data = self._file(where, STATE_CAP, check)
        if data is None:
            raise Unavailable(
                "withheld", f"cannot see the past of {path}: the server lacks a version of it"
            )
        return data

    def _file(self, path: str, cap: int, check: Callable[[bytes], _Checked]) -> _Checked | None:
        """From this machine if it was fetched before, else from the server; kept once checked."""
        fleet = self.picture.fleet
        kept = fleet.directory / "past" / path.replace("/", "~")
        if kept.is_file():
            with suppress(AllodError):  # damaged since: it is fetched again
                return check(kept.read_bytes())
        data = fleet.client.file(path, cap=cap)
        if data is None:
            return None
        checked = check(data)
        make_directory(kept.parent)
        write_atomic(kept, data)
        return checked


def _touches(role: str, before: Targets | None, after: Targets) -> Iterator[Touch]:
    had = {} if before is None else before.targets
    for path in sorted(had.keys() | after.targets.keys()):
        first, second = had.get(path), after.targets.get(path)
        if first != second:
            yield Touch(path, first, second, role)
