"""Where each signed file stands in the fleet's authority log, as this machine has verified it.

`logbook.json` in the fleet's directory holds, for every version of a role that counted, the index
of its entry and the size of the first checkpoint under which this machine proved it. It is read
on from where it ends, from the log itself; one that is lost is read again from the first entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from allod.cli.log_channels import new_documents
from allod.durable import write_atomic
from allod.errors import AllodError
from allod.tlog.known import KnownLog, parse_known
from allod.trust.authority_log import judged_log, read_authority
from allod.trust.floors import Counted
from allod.trust.profile import UNWITNESSED
from allod.wire.codec import Document, decode, encode
from allod.wire.floors import CountedFile

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.cli.refresh import View

_CAP: Final = 64 * 1024 * 1024
_REMARKS: Final = 50
_ODD: Final = frozenset({"log-entry-ignored", "equivocation"})


class Place(Document, frozen=True, kw_only=True):
    """The entry of one version of a role."""

    role: str
    version: int
    log: str  #: its origin
    index: int
    size: int = 0  #: of the first checkpoint that proved it here; 0: none did yet


class Odd(Document, frozen=True, kw_only=True):
    """Something in the log that did not count, or should not be there."""

    code: str
    says: str


class BookFile(Document, frozen=True, kw_only=True):
    """`logbook.json`: up to where it was read, what counts there, and the entries that did."""

    type: Literal["allod.logbook"] = "allod.logbook"
    format: Literal[1] = 1
    fleet: str
    known: str = ""  #: a `tlog.known.KnownLog`
    counted: dict[str, CountedFile] = {}  # noqa: RUF012 — msgspec copies it
    places: list[Place] = []  # noqa: RUF012
    past: list[Place] = []  # noqa: RUF012 — proved in logs that were succeeded
    odd: list[Odd] = []  # noqa: RUF012


@dataclass
class Logbook:
    """The authority log of a fleet, entry by entry as far as it counted.

    Attributes:
        known: the newest checkpoint that was verified, and the range under it.
        places: all entries of the present log that counted, in order.
        past: those that were proved in logs that were succeeded.
        odd: what was found in it beside them.
    """

    known: KnownLog
    places: tuple[Place, ...]
    past: tuple[Place, ...] = ()
    odd: tuple[Odd, ...] = ()
    _by_role: dict[tuple[str, int], Place] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        listed = (*self.past, *self.places)
        self._by_role = {(one.role, one.version): one for one in listed}

    @property
    def origin(self) -> str:
        """Of the log."""
        return self.known.signed.checkpoint.origin

    def place(self, role: str, version: int) -> Place | None:
        """The newest entry of a version that counted, in the present log if it is there."""
        return self._by_role.get((role, version))

    @cached_property
    def begins(self) -> Mapping[str, int]:
        """Role -> the lowest version that the log has."""
        lowest: dict[str, int] = {}
        for one in self.places:
            lowest[one.role] = min(one.version, lowest.get(one.role, one.version))
        return lowest

    @cached_property
    def counted(self) -> Mapping[tuple[str, int], tuple[int, ...]]:
        """Role and version -> the indices of the entries that counted for them."""
        found: dict[tuple[str, int], tuple[int, ...]] = {}
        for one in self.places:
            key = (one.role, one.version)
            found[key] = (*found.get(key, ()), one.index)
        return found


def read_logbook(view: View) -> Logbook | None:
    """Read on to where the view is, and remember it; None: the fleet has no log.

    Raises:
        Untrusted, Unavailable: as the walk of `view`.
    """
    known = judged_log(view.repository)
    if known is None:
        return None
    book = _load(view.fleet)
    if book.known != view.repository.floors.counted_log:
        book = _read_on(view, book)
        known = parse_known(book.known.encode())
    if view.unproved is None:
        book = _proved(book, known.signed.size)
    _save(view.fleet, book)
    return Logbook(known, tuple(book.places), tuple(book.past), tuple(book.odd))


def _read_on(view: View, book: BookFile) -> BookFile:
    """Judge what the book lacks, from where it ends, under the floors that hold here."""
    before = view.repository
    floors = replace(
        before.floors,
        counted=_counted(book.counted),
        counted_log=book.known,
    )
    repository = replace(
        before,
        floors=floors,
        kept=floors,
        pending={},
        forget=(),
        alarms=[],
        roots=dict(before.roots),
        profile=UNWITNESSED if view.unproved is not None else before.profile,
    )
    found = view.run(read_authority(repository, before.decided))
    after = judged_log(repository)
    if after is None:
        raise RuntimeError("a log that was read is judged")
    began = parse_known(book.known.encode()).signed.checkpoint.origin if book.known else ""
    origin = after.signed.checkpoint.origin
    same = began == origin
    proved = [] if same else [one for one in book.places if one.size]
    places = [
        Place(role=role, version=entry.version, log=origin, index=entry.index)
        for role, entries in found.items()
        for entry in entries
    ]
    newest = {one.role: one.version for one in (*book.past, *book.places)}
    places += [
        Place(role=role, version=sequence, log=origin, index=index)
        for role, sequence, index in new_documents(view, repository, newest)
    ]
    odd = [Odd(code=one.code, says=one.says) for one in repository.alarms if one.code in _ODD]
    return BookFile(
        fleet=view.fleet.id,
        known=repository.floors.counted_log,
        counted=_written(repository.floors.counted),
        places=[*(book.places if same else ()), *sorted(places, key=_index)],
        past=[*book.past, *proved],
        odd=[*book.odd, *odd][-_REMARKS:],
    )


def _index(place: Place) -> int:
    return place.index


def _proved(book: BookFile, size: int) -> BookFile:
    """Whoever has to vouch for the log did so for a checkpoint of this size."""
    if all(one.size for one in book.places):
        return book
    places = [
        msgspec.structs.replace(one, size=size) if not one.size and one.index < size else one
        for one in book.places
    ]
    return msgspec.structs.replace(book, places=places)


def _counted(file: Mapping[str, CountedFile]) -> dict[str, Counted]:
    return {
        role: Counted(entry.index, entry.version, entry.digest, frozenset(entry.by))
        for role, entry in file.items()
    }


def _written(counted: Mapping[str, Counted]) -> dict[str, CountedFile]:
    return {
        role: CountedFile(
            index=entry.index, version=entry.version, digest=entry.digest, by=sorted(entry.by)
        )
        for role, entry in counted.items()
    }


def _load(fleet: LocalFleet) -> BookFile:
    """The book as it was kept; one that is lost or damaged is read from the log again."""
    empty = BookFile(fleet=fleet.id)
    try:
        data = (fleet.directory / "logbook.json").read_bytes()
        book = decode(data, BookFile, cap=_CAP, what="logbook.json")
        if book.known:
            parse_known(book.known.encode())
    except (FileNotFoundError, AllodError):
        return empty
    return book if book.fleet == fleet.id else empty


def _save(fleet: LocalFleet, book: BookFile) -> None:
    """Keep it; another command may have read further meanwhile."""
    with fleet.alone():
        kept = _load(fleet)
        if kept != book and _reach(kept.places) <= _reach(book.places):
            write_atomic(fleet.directory / "logbook.json", encode(book))


def _reach(places: Iterable[Place]) -> tuple[int, int]:
    listed = list(places)
    return len(listed), sum(1 for one in listed if one.size)
