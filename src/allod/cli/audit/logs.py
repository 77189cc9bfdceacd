"""One log from beginning to end: checkpoint, witnesses, bundles, tiles, and what was seen before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from allod.audit.findings import Finding, Findings
from allod.audit.reading import Bundle, Entry, Expected, Part, TileCheck
from allod.audit.receipts import KnownEntries, check_seen
from allod.cli.audit.source import Source, read_tile
from allod.cli.audit.state import AuditDirectory
from allod.cli.audit.workers import Reader, Stretch, Workers
from allod.cli.evidence import fork_name
from allod.domain.ids import FleetId, sha256
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.tlog.checkpoint import (
    CHECKPOINT_CAP,
    Checkpoint,
    SignedCheckpoint,
    open_checkpoint,
    vouched,
)
from allod.tlog.fork import fork_between, unproven
from allod.tlog.known import KnownLog
from allod.tlog.merkle import EMPTY_ROOT, CompactRange
from allod.tlog.note import parse_key
from allod.tlog.tiles import ENTRIES, WIDTH, Tile, TileReader, tile_at
from allod.trust.statements import log_prefix
from allod.wire.codec import instant
from allod.wire.log import AUTHORITY
from allod.wire.trust import Log, Witnesses

BUNDLES: Final = 16  #: of a job


@dataclass(slots=True)
class LogAudit:
    """The reading of one log.

    Attributes:
        known: what was verified the last time; None: nothing.
        signed: the checkpoint that is read up to.
        findings: about the log as a log.
        range: what was read so far, joined.
        witnesses: who vouches for the checkpoint: name and time.
    """

    source: Source
    fleet: FleetId
    log: Log
    known: KnownLog | None
    signed: SignedCheckpoint
    findings: Findings = field(default_factory=Findings)
    witnesses: list[tuple[str, str]] = field(default_factory=list)
    range: CompactRange = field(init=False)
    channels: int = 0
    _tiles: TileCheck = field(default_factory=TileCheck)

    def __post_init__(self) -> None:
        self.range = CompactRange() if self.known is None else self.known.range

    @property
    def prefix(self) -> str:
        """Where it is served, relative to /f/<fleet>/."""
        return log_prefix(self.log, self.fleet)

    @property
    def fresh(self) -> int:
        """How many entries are to be read."""
        return self.signed.size - self.range.end

    # -- the checkpoint --------------------------------------------------------------------------

    def vouched_by(self, terms: Witnesses | None) -> bool:
        """Whether a quorum cosigned the checkpoint, at whatever time; or nobody has to."""
        if terms is None:
            return True
        votes = vouched(self.signed, [parse_key(key) for key in terms.keys])
        return votes.as_of(terms.quorum) is not None

    def check_witnesses(self, terms: Witnesses | None, now: datetime | None) -> None:
        """Who vouches for the checkpoint, and whether the owner's terms are met.

        Args:
            terms: the owner's.
            now: None: it is of some moment, and nobody asks how long ago that was.
        """
        if terms is None:
            return
        votes = vouched(self.signed, [parse_key(key) for key in terms.keys])
        self.witnesses = [(key.name, _moment(at)) for key, at in votes.times]
        as_of = votes.as_of(terms.quorum)
        if as_of is None:
            says = f"{len(votes.times)} of {terms.quorum} witnesses vouch for it"
            self._found("no-quorum", says)
        elif now is not None and now.timestamp() - as_of > terms.max_age_seconds:
            age = timedelta(seconds=int(now.timestamp()) - as_of)
            self._found("stale", f"the witnesses last vouched for it {age} ago")

    def check_genesis(self) -> None:
        """The statement names the log's beginning, which is that of every empty log."""
        empty = sha256(Checkpoint(self.log.origin, 0, EMPTY_ROOT).text.encode())
        if self.log.genesis != empty:
            self._found("wrong-genesis", f"it is named as {self.log.genesis}")

    # -- entries ---------------------------------------------------------------------------------

    def read(self, workers: Workers) -> Iterator[list[Entry]]:
        """The new entries in order, with every tile compared; to be acted on after `finish`.

        Raises:
            InvalidInput: `bad-tile`.
            Unavailable: `withheld`: a bundle is not served.
        """
        method: Callable[[Reader, Stretch], Part]
        method = Reader.authority if self.log.name == AUTHORITY else Reader.activity
        for part in workers.ordered(method, self._stretches()):
            self.range = self.range.merged(part.range)
            self.channels += part.channels
            for index in part.wrong:
                self._found("bad-tile", f"{Tile(0, index).path} is not what the entries make")
            for index in part.missing:
                self._found("bad-tile", f"{Tile(0, index).path} is not served")
            self._compare(self._tiles.take(part.nodes))
            yield part.entries
        self._compare(self._tiles.edge())

    def _stretches(self) -> Iterator[Stretch]:
        size, begin = self.signed.size, self.range.end
        first = begin // WIDTH
        while begin < size:
            last = min(first + BUNDLES, (size + WIDTH - 1) // WIDTH)
            yield Stretch([self._bundle(index) for index in range(first, last)], begin)
            first, begin = last, last * WIDTH

    def _bundle(self, index: int) -> Bundle:
        tile = tile_at(ENTRIES, index, self.signed.size)
        found = read_tile(self.source, self.prefix, tile)
        if found is None:
            raise Unavailable("withheld", f"cannot read {self.log.origin}: {tile.path} is missing")
        above = read_tile(self.source, self.prefix, tile_at(0, index, self.signed.size))
        hashes = None if above is None else above[1][: tile.width * 32]
        return Bundle(index, tile.width, _cut(*found, tile.width), hashes)

    def _compare(self, expected: Iterable[Expected]) -> None:
        for one in expected:
            found = read_tile(self.source, self.prefix, one.tile)
            if found is None:
                self._found("bad-tile", f"{one.tile.path} is not served")
            elif not one.agrees(found[1][: one.tile.width * 32]):
                self._found("bad-tile", f"{one.tile.path} is not what the entries make")

    # -- the end ---------------------------------------------------------------------------------

    def finish(self, directory: AuditDirectory) -> KnownLog | None:
        """Check that what was read is the log of the checkpoint; None: it is not."""
        if self.range.end == self.signed.size and self.range.root() == self.signed.root:
            return KnownLog(self.signed, self.range)
        if self.known is None:
            says = f"the entries that are served make another log of {self.range.end}"
        else:
            says = (
                f"it does not go on from the {self.known.signed.size} entries that were verified "
                "before: it was rewritten"
            )
        self._found("log-consistency", says)
        if self.known is not None:
            self._keep(self.known.signed, directory)
        return None

    def check_before(self, older: SignedCheckpoint, directory: AuditDirectory) -> None:
        """Check that a checkpoint that was verified before, by this machine, is a beginning."""
        if older.size > self.signed.size:
            says = f"it had {older.size} entries when it was verified here; now it has "
            self._found("log-consistency", f"{says}{self.signed.size}")
            self._keep(older, directory)
            return
        try:
            check_seen(older.size, older.root, self.entries())
        except Untrusted:
            says = f"it does not begin with the {older.size} entries that were verified here"
            self._found("log-consistency", f"{says}: it was rewritten")
            self._keep(older, directory)

    def entries(self) -> KnownEntries:
        """The log as its nodes prove it."""
        return KnownEntries(self.signed.checkpoint, self._nodes())

    def _nodes(self) -> TileReader:
        def read(tile: Tile) -> bytes:
            found = read_tile(self.source, self.prefix, tile)
            if found is None:
                raise InvalidInput("bad-tile", f"cannot read {tile.path}: it is not served")
            return found[1][: tile.width * 32]

        return TileReader(self.signed.size, read)

    def _keep(self, older: SignedCheckpoint, directory: AuditDirectory) -> None:
        """Evidence for third parties: proven if the tiles give the proof, else the two as they are."""
        fork = None
        try:
            if older.size <= self.signed.size:
                fork = fork_between(older, self.signed, self._nodes())
        except AllodError:
            fork = None
        kept = fork or unproven(older, self.signed)
        name = fork_name(kept) if fork is not None else f"unproven-{fork_name(kept)}"
        path = directory.evidence(name, kept.encode())
        proven = "proves it" if fork is not None else "accuses, and proves nothing yet"
        self._found("log-consistency", f"{path} {proven}: 'allod audit fork' checks it")

    def _found(self, code: str, says: str) -> None:
        self.findings.found(code, self.log.origin, says)


def _cut(tile: Tile, data: bytes, width: int) -> bytes:
    """The first entries of a bundle that came with more of them."""
    if tile.width == width:
        return data
    at = 0
    for _ in range(width):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    return data[:at]


def _moment(seconds: int) -> str:
    try:
        return instant(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def open_log(
    source: Source, fleet: FleetId, log: Log, known: KnownLog | None
) -> LogAudit | Finding | None:
    """Read a log's checkpoint; a finding if it is not its own, None if none is served."""
    raw = source.file(f"{log_prefix(log, fleet)}/checkpoint", CHECKPOINT_CAP)
    if raw is None:
        return None
    try:
        signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
    except AllodError as error:
        code = error.code if error.code in {"wrong-log", "log-consistency"} else "note-signature"
        return Finding(code, log.origin, error.message)
    if known is not None and signed.size < known.signed.size:
        known = None  # it went back: what is served is read whole, and `check_before` accuses it
    return LogAudit(source, fleet, log, known, signed)
