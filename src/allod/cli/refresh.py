"""Fetch the fleet's newest state and verify it here, under floors of this machine's own.

The server may show the owner an old base, so that a new signature takes something back unseen
(attack 60). So everything that a signature is made on goes through the same walk as on a device,
and floors are durable before anything is used.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from allod.cli.evidence import with_evidence
from allod.cli.options import now as clock
from allod.errors import AllodError, Unavailable, Untrusted
from allod.trust.accepted import Repository, TargetFile
from allod.trust.effects import Keep, Steps, drive
from allod.trust.metadata import ROOT, metadata_path
from allod.trust.profile import ALLOD, PUBLISHER, UNWITNESSED, Profile
from allod.trust.repository import descend
from allod.wire.codec import decode
from allod.wire.desired import STATE_CAP
from allod.wire.trust import FleetDocument

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.trust.floors import Floors

_T = TypeVar("_T")

STALE: Final = "stale"
SETTLE: float = 5.0  #: seconds that a publication by somebody else may be under way
_PAUSE: Final = 0.25
#: What a server says to a key that it does not know (any more).
NOT_KNOWN: Final = frozenset({"unauthenticated", "unknown-key", "bad-signature", "forbidden"})


@dataclass(slots=True)
class View:
    """The newest state that was proved here.

    Attributes:
        fleet: whose it is.
        repository: what `descend` accepted.
        expired: what is past its date, if anything; it can be read and renewed, no more.
        unproved: why nobody vouches for the log as it is shown, if nobody does; likewise.
    """

    fleet: LocalFleet
    repository: Repository
    expired: str | None = None
    unproved: str | None = None

    @property
    def versions(self) -> Mapping[str, int]:
        """Role -> version, as proved."""
        return self.repository.versions

    def run(self, steps: Steps[_T]) -> _T:
        """Let steps of `trust` fetch from the fleet's server and keep in its directory."""
        return _drive(self.fleet, steps)

    def load_all(self) -> None:
        """Verify every role: what signing and listing need."""
        self.run(self.repository.load_all(lenient=True))

    def target(self, path: str, *, cap: int = STATE_CAP) -> TargetFile | None:
        """A document; None only if the signed metadata proves that there is none."""
        found = self.run(self.repository.target(path, cap))
        self.run(self.repository.keep())  # the document itself goes to the cache too
        return found

    def document(self, path: str, type_: type[_T], *, cap: int = STATE_CAP) -> _T | None:
        """A document, read; None only if it is proved not to be there."""
        found = self.target(path, cap=cap)
        return None if found is None else decode(found.data, type_, cap=cap, what=path)

    @property
    def fleet_document(self) -> FleetDocument:
        """`fleet.json`. Raises Unavailable `not-found` where the owner never signed one."""
        found = self.document("fleet.json", FleetDocument)
        if found is None:
            raise Unavailable("not-found", "cannot go on: the fleet has no fleet.json")
        return found


def refresh(
    fleet: LocalFleet,
    *,
    allow_expired: bool = False,
    allow_unwitnessed: bool = False,
    without_log: bool = False,
    by_clock: bool = False,
    at: datetime | None = None,
) -> View:
    """Fetch and verify the newest state.

    Args:
        fleet: whose.
        allow_expired: go on where only dates are over, as they were at this machine's time
            floor, or where witnesses are missing: so that the owner can mend it.
        allow_unwitnessed: go on where witnesses are missing, to look at it.
        without_log: do not read the log: so that the root can name another one.
        by_clock: judge by this machine's clock where its time floor, or the time that witnesses
            vouch for, is ahead of it: so that the root can take the floor down.
        at: the time to judge by; this machine's clock unless given.

    Raises:
        Untrusted: `rollback`, `equivocation`, `auth`, `log-consistency`, … : the server shows
            what must not be.
        Unavailable: `stale`, `withheld`, `no-quorum`, `server-unreachable`.
    """
    floors = fleet.floors
    moment = clock() if at is None else at
    expired: str | None = None
    unproved = "the time floor is ahead of this machine's clock" if by_clock else None
    limit = time.monotonic() + SETTLE
    while True:
        try:
            profile = ALLOD if unproved is None else UNWITNESSED
            how = _How(PUBLISHER if without_log else profile, by_clock=by_clock)
            repository = _walk(fleet, moment, how)
            break
        except Untrusted as error:
            raise with_evidence(fleet, error) from error
        except Unavailable as error:
            strict = not (allow_expired or allow_unwitnessed)
            passes = error.code == "publishing" or (strict and error.code == "no-quorum")
            if passes and time.monotonic() < limit:
                time.sleep(_PAUSE)  # somebody publishes just now
            elif unproved is None and _lacks_witnesses(error):
                if strict:
                    raise
                unproved = error.message
            elif error.code == STALE and allow_expired and expired is None:
                expired = str(error.details.get("role", "something"))
                moment = floors.time
            else:
                raise
    fleet.save_anchor(root=repository.anchor.root, trust=repository.anchor.trust)
    _follow(fleet, repository)
    return View(fleet, repository, expired, unproved)


def _lacks_witnesses(error: Unavailable) -> bool:
    """Whether too few vouch for the log, or did too long ago; roles that are too old say so."""
    return error.code == "no-quorum" or (error.code == STALE and "role" not in error.details)


@dataclass(frozen=True, slots=True)
class _How:
    """By which rules a walk goes."""

    profile: Profile
    by_clock: bool

    def floors(self, fleet: LocalFleet, moment: datetime) -> Floors:
        """The floors that it begins with; what is kept after it rises from those that are kept."""
        floors = fleet.floors
        return replace(floors, time=min(floors.time, moment)) if self.by_clock else floors


def _walk(fleet: LocalFleet, moment: datetime, how: _How) -> Repository:
    """The walk; where the server no longer knows the API key, with the one that waits.

    So a rotation of that key that was cut short between the server and this machine goes on.
    """
    try:
        return _descend(fleet, moment, how)
    except AllodError as error:
        waiting = [record for record in fleet.keys.records("api") if record.state == "next"]
        if error.code not in NOT_KNOWN or not waiting:
            raise
        from allod.cli.client import ApiClient
        from allod.cli.fleet import signing_key

        location = fleet.client.location
        fleet.use(ApiClient(location, fleet.id, signing_key(fleet.keys, waiting[-1])))
        repository = _descend(fleet, moment, how)
        fleet.keys.reconcile({"api": [waiting[-1].id]})
        return repository


def _descend(fleet: LocalFleet, moment: datetime, how: _How) -> Repository:
    """The walk; the roots and statements on the way are kept for a server that loses them."""
    seen: dict[str, bytes] = {}
    floors = how.floors(fleet, moment)
    steps = descend(fleet.anchor, floors, fleet.cached(), moment, profile=how.profile)
    repository = _drive(fleet, steps, seen)
    roots, statements = {}, {}
    newest = 0 if repository.statement is None else repository.statement.number
    for path, data in seen.items():
        room, _, name = path.partition("/")
        number = int(name.partition(".")[0]) if name.partition(".")[0].isdecimal() else 0
        if room == "trust" and 0 < number <= newest:
            statements[name] = data
        elif path == metadata_path(ROOT, number) and number <= repository.root.version:
            roots[name] = data
    fleet.save_history("roots", roots)
    fleet.save_history("trust", statements)
    return repository


def _follow(fleet: LocalFleet, repository: Repository) -> None:
    """What was cut short goes on: keys that are named are current, and so are the server's pins."""
    root = repository.root
    fleet.keys.reconcile({role: root.roles[role].keyids for role in ("root", "targets")})
    statement, server = repository.statement, fleet.settings.server
    if statement is None or server is None or not fleet.established:
        return
    for anchor in statement.anchors:
        if anchor.url == server.url and anchor != server:
            fleet.repin(anchor)


def _drive(fleet: LocalFleet, steps: Steps[_T], seen: dict[str, bytes] | None = None) -> _T:
    client = fleet.client

    def get(path: str, cap: int) -> bytes | None:
        data = client.file(path, cap=cap)
        if seen is not None and data is not None:
            seen[path] = data
        return data

    def keep(effect: Keep) -> None:
        fleet.save_floors(effect.floors)
        fleet.save_cache(effect.files, drop=effect.forget)

    return drive(steps, get, keep)
