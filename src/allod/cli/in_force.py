"""Whether a change is in force: this machine has proved that the log holds it.

The server's receipt says that it took the files. In force is a change when this machine itself
verified a checkpoint of the log (signature, consistency with its floors, every new entry, and
enough witnesses, not too long ago, where the owner names some) that holds an entry that counts
for each file of the change. What runs on a device is another matter: only its report says it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from allod.cli.logbook import Logbook, Place, read_logbook
from allod.cli.output import Output
from allod.cli.phrases import parse_span
from allod.cli.refresh import View, refresh
from allod.errors import Unavailable, Untrusted
from allod.tlog.checkpoint import vouched
from allod.tlog.lines import write_base64
from allod.tlog.note import parse_key
from allod.trust.fork_evidence import EVIDENCE, alarm_of, read_evidence
from allod.wire.api import ChangeReceipt
from allod.wire.codec import instant
from allod.wire.log import TRUST_ROLE

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.wire.api import ChangeUpload

WAIT: Final = "ALLOD_WITNESS_WAIT"  #: how long witnesses are waited for, as a span
_WAIT: Final = "20s"
_PAUSE: Final = 0.5  #: seconds between two looks

State = Literal["in-force", "published", "no-log"]


class Force(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine can prove of a change.

    `in-force`: entry `index` of `log` and those before it hold it, since a checkpoint of `size`
    entries.
    `published`: not yet provable; `why` says what is missing. `no-log`: the fleet has no log, or
    had none then; nothing proves more than that the server shows it.
    """

    state: State
    log: str | None = None  #: its origin
    index: int | None = None
    size: int | None = None
    why: str = ""

    @property
    def brief(self) -> str:
        """The end of a verb that has nothing else to say."""
        return "Published, and in force." if self.state == "in-force" else "Published."

    def says(self, what: str) -> str:
        """A sentence, without its full stop."""
        if self.state == "in-force":
            return f"{what} is in force"
        if self.state == "published":
            return f"{what} is published, not yet provable: {self.why}"
        return f"{what} is published"


class SeenReceipt(ChangeReceipt, frozen=True, kw_only=True):
    """The server's receipt, and what this machine could prove of it."""

    force: Force


@dataclass(frozen=True, slots=True)
class LogState:
    """The authority log as this machine has verified it."""

    origin: str
    size: int
    root: str
    vouch: int = 0  #: witnesses that cosigned the checkpoint
    quorum: int = 0  #: how many have to; 0: the owner names none
    named: int = 0
    as_of: datetime | None = None  #: the time that a quorum vouches for
    odd: tuple[tuple[str, str], ...] = ()  #: code and words of what does not count, and of forks

    def data(self, now: datetime) -> dict[str, Any]:
        """For `--json`."""
        age = None if self.as_of is None else int((now - self.as_of).total_seconds())
        return {
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "witnesses": {"vouch": self.vouch, "quorum": self.quorum, "named": self.named},
            "witnessed": None if self.as_of is None else instant(self.as_of),
            "age": age,
            "remarks": [{"code": code, "says": says} for code, says in self.odd],
        }

    def says(self, now: datetime) -> str:
        """A line for people."""
        line = f"log: {self.size} entries"
        if not self.quorum:
            return f"{line}, no witnesses named"
        line += f", {self.vouch} of {self.quorum} witnesses"
        if self.as_of is not None:
            line += f", seen {timedelta(seconds=int((now - self.as_of).total_seconds()))} ago"
        return line


def log_state(view: View, book: Logbook | None) -> LogState | None:
    """The log of the fleet; None: it has none."""
    statement = view.repository.statement
    if book is None or statement is None:
        return None
    signed = book.known.signed
    odd = [(one.code, one.says) for one in book.odd]
    odd += _forks(view, book)
    named = statement.witnesses
    if named is None:
        return LogState(book.origin, signed.size, write_base64(signed.root), odd=tuple(odd))
    votes = vouched(signed, [parse_key(key) for key in named.keys])
    as_of = votes.as_of(named.quorum)
    return LogState(
        book.origin,
        signed.size,
        write_base64(signed.root),
        vouch=len(votes.times),
        quorum=named.quorum,
        named=len(named.keys),
        as_of=None if as_of is None else _moment(as_of),
        odd=tuple(odd),
    )


def _forks(view: View, book: Logbook) -> list[tuple[str, str]]:
    """What this machine was shown beside the log that it goes by."""
    raw = view.fleet.cached().get(EVIDENCE)
    if read_evidence(raw, book.origin) is None:
        return []
    says = f"the log {book.origin} showed this machine two histories: 'allod audit fork'"
    return [(one.code, says) for one in alarm_of(raw)]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def force_of(view: View, book: Logbook | None, roles: Mapping[str, int]) -> Force:
    """What can be proved of the files of a change, by their roles and versions."""
    if book is None:
        return Force(state="no-log")
    newest: Place | None = None
    size = 0
    for role, version in roles.items():
        place = book.place(role, version)
        if place is None:
            if version < book.begins.get(role, 0):
                return Force(state="no-log", why=f"the log begins after {role} {version}")
            return Force(
                state="published",
                why=f"the log holds no entry that counts for {role} {version}; the server has to"
                " log it, or sign it again",
            )
        if not place.size:
            why = _unproved(view, book)
            return Force(state="published", log=place.log, index=place.index, why=why)
        size = max(size, place.size)
        if newest is None or place.index > newest.index:
            newest = place
    if newest is None:
        return Force(state="no-log", why="it has no signed file")
    return Force(state="in-force", log=newest.log, index=newest.index, size=size)


def _unproved(view: View, book: Logbook) -> str:
    state = log_state(view, book)
    if state is None or state.vouch < state.quorum:
        counts = "too few" if state is None else f"{state.vouch} of {state.quorum}"
        return (
            f"{counts} witnesses vouch for the log; it is in force once the others do"
            " ('allod status' looks again, 'allod witness submit' asks one)"
        )
    return (
        "the log was witnessed too long ago; the server has to show it to its witnesses again"
        " ('allod witness submit' does it from here)"
    )


def roles_of(upload: ChangeUpload) -> dict[str, int]:
    """Role -> version of every signed file of an upload."""
    found: dict[str, int] = {}
    for name in upload.metadata:
        number, _, rest = name.partition(".")
        role = rest.removesuffix(".json")
        found[role] = max(int(number), found.get(role, 0))
    if upload.trust:
        found[TRUST_ROLE] = max(int(number) for number in upload.trust)
    return found


def see_in_force(fleet: LocalFleet, upload: ChangeUpload) -> Force:
    """Verify what the server shows now, whole, and keep it: it may have to be brought back there.

    Waits for witnesses, for a while.

    Raises:
        Untrusted: `not-in-force`, and whatever shows that the server lies.
        Unavailable: `not-seen-in-force`: it was taken, and then the server could not be asked,
            or showed log and files that differ.
    """
    limit = time.monotonic() + patience()
    force = _look(fleet, upload)
    if force.state != "published":
        return force
    with Output().progress("waiting for the log's witnesses") as advance:
        while time.monotonic() < limit:
            time.sleep(_PAUSE)
            advance(1)
            force = _look(fleet, upload)
            if force.state != "published":
                break
    return force


def patience() -> float:
    """How many seconds witnesses have for a checkpoint that is new. Raises InvalidInput."""
    return parse_span(os.environ.get(WAIT) or _WAIT).total_seconds()


def _look(fleet: LocalFleet, upload: ChangeUpload) -> Force:
    try:
        view = refresh(fleet, allow_expired=True)
        confirm_shown(view, upload)
        view.load_all()
        for path in upload.targets:
            view.target(path)
        return force_of(view, read_logbook(view), roles_of(upload))
    except Unavailable as error:
        raise Unavailable(
            "not-seen-in-force",
            f"cannot see the change in force, though the server took it: {error.message}; "
            "look again with 'allod history'",
        ) from error


def confirm_shown(view: View, upload: ChangeUpload) -> None:
    """Whether what was uploaded is what the server now shows. Raises Untrusted `not-in-force`."""
    shown = {**view.versions, TRUST_ROLE: view.repository.floors.trust_number}
    for role, version in roles_of(upload).items():
        if shown.get(role, 0) < version:
            raise Untrusted(
                "not-in-force",
                f"cannot see the change in force: the server shows {role} {shown.get(role, 0)} "
                f"after it took {version}",
            )
