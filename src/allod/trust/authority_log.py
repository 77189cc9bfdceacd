"""The authority log, read by whoever descends (docs/explanation/acceptance.md, steps 3 and 4).

Work is proportional to what is new: the bundles after the last entry that was judged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from allod.domain.ids import sha256
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.tlog.checkpoint import (
    CHECKPOINT_CAP,
    Checkpoint,
    SignedCheckpoint,
    open_checkpoint,
    vouched,
)
from allod.tlog.known import KnownLog
from allod.tlog.merkle import EMPTY_ROOT, CompactRange
from allod.tlog.note import parse_key
from allod.tlog.tail import Tail
from allod.tlog.tiles import ENTRIES, tile_at
from allod.trust.accepted import Repository
from allod.trust.counting import Counting
from allod.trust.effects import Need, Steps
from allod.trust.floors import BEFORE, Counted, Floors
from allod.trust.fork_evidence import EVIDENCE, contradiction, read_evidence, worth_keeping
from allod.trust.metadata import (
    ROOT,
    ROOT_CAP,
    RoleFile,
    metadata_path,
    open_role,
    read,
    tuf_rules,
    withheld,
)
from allod.trust.passing import grown
from allod.trust.statements import authority_log, log_prefix
from allod.wire.log import TRUST_ROLE
from allod.wire.trust import Log, Witnesses


def read_authority(
    repository: Repository, now: datetime, *, lazily: bool = False
) -> Steps[Mapping[str, tuple[Counted, ...]]]:
    """Read what is new in the fleet's authority log; nothing, if its owner named none.

    Args:
        repository: whose statement names the log; its floors are raised here.
        now: what the machine's clock says.
        lazily: delegates are judged when they are asked for (`rereading`).

    Returns:
        Role -> every new entry that counted when it was judged, in order.

    Raises:
        Untrusted: `note-signature`, `wrong-log`, `log-consistency`, `root-withheld`, …
        Unavailable: `withheld`, `publishing`, `no-quorum`, `stale`.
    """
    statement = repository.statement
    log = None if statement is None else authority_log(statement)
    if statement is None or log is None:
        return {}
    named = statement.witnesses if repository.profile.witnesses else None
    prefix = log_prefix(log, repository.anchor.fleet)
    # 3. The checkpoint: signed by the log's key, for this log.
    raw = yield Need(f"{prefix}/checkpoint", CHECKPOINT_CAP)
    if raw is None:
        raise withheld(f"{prefix}/checkpoint")
    with refused():
        _check_genesis(log)
        signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
        witnessed = as_of(signed, named)
        floor = repository.floors.log_floor(log.origin)
        judged = repository.floors.judged_log(log.origin)
    counting = Counting(
        repository.anchor.fleet,
        {},
        _counted_before(repository, judged),
        repository.cached,
        begin=0 if judged is None else judged.range.end,
    )
    try:
        with refused():
            known = yield from _tail(prefix, signed, floor, judged, counting)
    except Untrusted as error:
        if error.code == "log-consistency" and floor is not None:
            # Both are signed: whoever has the log's key can see what it did (attack 36, 52).
            yield from _keep_evidence(repository, log, floor, signed)
        raise
    if EVIDENCE in repository.cached and not read_evidence(repository.cached[EVIDENCE], log.origin):
        repository.forget = (*repository.forget, EVIDENCE)  # its log was succeeded
    # What was seen is a floor, whether its entries can be judged or not (attack 7).
    repository.floors = repository.floors.with_log(known)
    repository.witnessed = witnessed
    if witnessed is not None:
        repository.floors = repository.floors.raised_time(witnessed)
        repository.decided = max(now, repository.floors.time)
    if named is not None and witnessed is not None:
        _check_age(repository.decided - witnessed, named)
    counting.roots = yield from read_roots(repository, counting)
    yield from counting.finish(lazily=lazily)
    repository.alarms.extend(counting.alarms)
    passed = grown({} if judged is None else repository.floors.passed, counting.waiting())
    floors = repository.floors.with_counted(known, counting.counted).with_passed(passed)
    repository.floors = floors if judged is not None else _succeeded(floors)
    repository.tail = counting
    repository.logged = counting.counted
    _check_tops(repository)
    return counting.reigns


def _check_genesis(log: Log) -> None:
    """The log that the owner named began empty, under this name: no entry came before the first.

    Raises:
        Untrusted: `wrong-log`.
    """
    if log.genesis != sha256(Checkpoint(log.origin, 0, EMPTY_ROOT).text.encode()):
        raise Untrusted(
            "wrong-log", f"cannot read the log {log.origin}: it is named with another beginning"
        )


def _keep_evidence(
    repository: Repository, log: Log, floor: SignedCheckpoint, signed: SignedCheckpoint
) -> Steps[None]:
    """Keep what the two checkpoints show; a proof is never given up for less."""
    prefix = log_prefix(log, repository.anchor.fleet)
    fork = yield from contradiction(prefix, floor, signed)
    if fork is None:
        return
    named = repository.statement.witnesses if repository.statement is not None else None
    keys = [parse_key(key) for key in (log.key, *(named.keys if named is not None else ()))]
    if worth_keeping(fork, repository.cached, log.origin):
        repository.pending[EVIDENCE] = fork.stripped(keys).encode()


def judged_log(repository: Repository) -> KnownLog | None:
    """Up to where the entries of the fleet's authority log were judged; None: it has none."""
    statement = repository.statement
    log = None if statement is None else authority_log(statement)
    return None if log is None else repository.floors.judged_log(log.origin)


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """What cannot be read is refused like what cannot be trusted."""
    try:
        yield
    except InvalidInput as error:
        raise Untrusted(error.code, error.message) from error


def _succeeded(floors: Floors) -> Floors:
    """What counted of channels in the log before holds on, from before the first entry."""
    channels = {
        name: replace(entry, index=min(entry.index, BEFORE))
        for name, entry in floors.channels.items()
    }
    return replace(floors, channels=channels)


def _counted_before(repository: Repository, judged: KnownLog | None) -> dict[str, Counted]:
    """What counted so far. In a successor of the log it still holds, from before the first entry."""
    counted = dict(repository.floors.counted)
    if judged is None:
        counted = {role: replace(entry, index=BEFORE) for role, entry in counted.items()}
    return counted


def as_of(signed: SignedCheckpoint, witnesses: Witnesses | None) -> datetime | None:
    """The time that a quorum of witnesses vouches for; None: the owner names none.

    Raises:
        Unavailable: `no-quorum`: the log may show this device a history of its own (attack 52).
    """
    if witnesses is None:
        return None
    votes = vouched(signed, [parse_key(key) for key in witnesses.keys])
    as_of = votes.as_of(witnesses.quorum)
    if as_of is None:
        raise Unavailable(
            "no-quorum",
            f"cannot go on: {len(votes.times)} of {witnesses.quorum} witnesses vouch for the log",
            quorum=witnesses.quorum,
        )
    try:
        return datetime.fromtimestamp(as_of, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Untrusted(
            "note-signature", "cannot accept a cosignature: its time is none"
        ) from error


def _check_age(age: timedelta, witnesses: Witnesses) -> None:
    """An old truth is shown for so long and no longer (attack 32, 55)."""
    if age > timedelta(seconds=witnesses.max_age_seconds):
        raise Unavailable(
            "stale",
            f"cannot go on: the log's checkpoint was last witnessed {age} ago; it must be"
            " witnessed anew",
        )


def _tail(
    prefix: str,
    signed: SignedCheckpoint,
    floor: SignedCheckpoint | None,
    judged: KnownLog | None,
    counting: Counting,
) -> Steps[KnownLog]:
    """Everything after what was judged, by way of the newest checkpoint that was verified."""
    known = CompactRange() if judged is None else judged.range
    if floor is not None and floor.size > signed.size:
        raise Untrusted(
            "log-consistency",
            f"cannot accept a log of {signed.size} entries: it had {floor.size} before",
            old=floor.size,
            new=signed.size,
        )
    if floor is not None and floor.size > known.end:
        known = yield from stretch(prefix, known, floor, signed.size, counting)
    known = yield from stretch(prefix, known, signed, signed.size, counting)
    return KnownLog(signed, known)


def stretch(
    prefix: str, known: CompactRange, to: SignedCheckpoint, size: int, counting: Counting
) -> Steps[CompactRange]:
    """The entries from `known` to a checkpoint; `size` is that of the log as it is served."""
    tail = Tail(known, to.size)
    while (wanted := tail.wanted) is not None:
        tile = tile_at(ENTRIES, wanted.index, size)
        data = yield Need(f"{prefix}/{tile.path}", tile.cap)
        if data is None and tile != tile.full:
            tile = tile.full  # the log grew meanwhile, and partial bundles may go
            data = yield Need(f"{prefix}/{tile.path}", tile.cap)
        if data is None:
            raise withheld(f"{prefix}/{tile.path}")
        counting.take(tail.take(data, width=tile.width))
    return tail.finish(to.checkpoint)


def read_roots(repository: Repository, counting: Counting) -> Steps[Mapping[int, RoleFile]]:
    """Every root from the newest that counted (or the fleet's first) to the newest served."""
    roots = dict(repository.roots)
    first = counting.counted.get(ROOT)
    lowest, newest = min(roots), max(roots)
    if first is not None and first.version > newest:
        raise Untrusted(
            "root-withheld",
            f"cannot go on: the log has root version {first.version}, which is not served",
        )
    begin = 1 if first is None else first.version
    before: RoleFile | None = None
    for version in range(begin, lowest + 1):
        file = roots[lowest] if version == lowest else (yield from _root(version))
        # The first is the fleet's name, one that counted has its digest; each signs for the next.
        digest = f"sha256:{repository.anchor.fleet}" if first is None else first.digest
        if before is None and begin < lowest and file.digest != digest:
            raise Untrusted("equivocation", f"cannot accept root version {version}: it is another")
        if before is not None:
            with tuf_rules(ROOT):
                metadata = read(file.data, ROOT)
                before.signed.verify_delegate(ROOT, metadata.signed_bytes, metadata.signatures)
                file.signed.verify_delegate(ROOT, metadata.signed_bytes, metadata.signatures)
        roots[version] = before = file
    return roots


def _root(version: int) -> Steps[RoleFile]:
    data = yield Need(metadata_path(ROOT, version), ROOT_CAP)
    if data is None:
        raise withheld(metadata_path(ROOT, version))
    with tuf_rules(ROOT):
        file = open_role(data, ROOT)
        if file.version != version:
            raise InvalidInput("bad-metadata", f"root version {version} says {file.version}")
    return file


def _check_tops(repository: Repository) -> None:
    """Root and statement are those of the log, which cannot hide one that it has."""
    repository.require_logged(open_role(repository.verified[ROOT], ROOT))
    logged = repository.floors.counted.get(TRUST_ROLE)
    number = repository.floors.trust_number
    if logged is not None and logged.version > number:
        raise withheld(f"trust/{logged.version}.json")
    if (
        logged is not None
        and logged.version == number
        and logged.digest != repository.floors.trust_digest
    ):
        raise Untrusted("equivocation", f"cannot accept trust statement {number}: the log differs")
