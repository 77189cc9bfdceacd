"""Entries of the authority log that were read without being judged, because they concerned nobody.

A device judges the roles of those delegates, and follows those channels, that decide something
for it. It remembers where entries of the others began; when one begins to concern it, it judges
what the log has just gained, and reads once more what is older.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from allod.domain.delegation import Follow
from allod.domain.ids import sha256
from allod.errors import AllodError, Untrusted
from allod.tlog.checkpoint import CHECKPOINT_CAP, open_checkpoint
from allod.tlog.known import KnownLog
from allod.tlog.merkle import CompactRange
from allod.tlog.note import parse_key
from allod.tlog.proofs import consistency_proof, verify_consistency
from allod.tlog.tiles import Tile, TileReader
from allod.trust.accepted import Repository
from allod.trust.authority_log import as_of, judged_log, read_roots, refused, stretch
from allod.trust.counting import Counting
from allod.trust.effects import Need, Steps
from allod.trust.floors import Passed, channel_role
from allod.trust.fork_evidence import tile_hashes
from allod.trust.metadata import DEVICES, ROOT, TARGETS
from allod.trust.passing import known_passed
from allod.trust.statements import authority_log, log_prefix
from allod.wire.channel import checkpoint_path
from allod.wire.codec import encode
from allod.wire.envelope import Envelope
from allod.wire.trust import Log, ProviderDocument

_TILES: Final = 64  #: of hashes, for one proof


def judge_delegate(repository: Repository, role: str) -> Steps[None]:
    """Make sure that the entries of a delegate's role are judged, before its files are used.

    Raises:
        Untrusted: `mix-and-match`, …
        Unavailable: `withheld`, `publishing`, `no-quorum`.
    """
    tail, log = repository.tail, judged_log(repository)
    if tail is None or log is None or role in tail.counted:
        return
    passed = known_passed(repository.floors.passed, role)
    if passed is None:
        return
    source = tail
    if passed.first < tail.begin:
        source = yield from _reread(repository, log, frozenset({ROOT, TARGETS, DEVICES, role}))
    else:
        yield from tail.judge_role(role)
    if role in source.counted:
        tail.counted[role] = source.counted[role]
        repository.logged = tail.counted
    _settled(repository, log, role, None)


def channel_entries(
    repository: Repository, follow: Follow, provider: ProviderDocument
) -> Steps[Sequence[tuple[int, Envelope]] | None]:
    """The documents of a channel in the log that were not judged yet; None: there is no log.

    What was judged in vain is read again only if the owner says something new of the provider.
    """
    tail, log = repository.tail, judged_log(repository)
    if tail is None or log is None:
        return None
    name = str(follow)
    passed = known_passed(repository.floors.passed, channel_role(name))
    if passed is None:
        return ()
    older = passed.first < tail.begin and passed.under != judged_under(provider)
    if older or name in tail.spilled:
        source = yield from _reread(repository, log, frozenset({name}))
        return source.channels.get(name, [])
    return tail.channels.get(name, [])


def judged_under(provider: ProviderDocument) -> str:
    """A digest of what the owner says of a provider, as far as entries are judged by it."""
    return sha256(encode([provider.keys, provider.threshold, provider.distrusted_after]))


def settle_channel(
    repository: Repository, follow: Follow, provider: ProviderDocument, vain: int | None
) -> None:
    """Remember that a channel's entries were judged; `vain`: the first that did not count."""
    log, role = judged_log(repository), channel_role(str(follow))
    before = repository.floors.passed.get(role)
    if log is None:
        return
    under = judged_under(provider)
    left = None if vain is None else Passed(vain, under)
    if before is not None and before.under == under:
        left = before  # what was judged in vain before is so still
    _settled(repository, log, role, left)


def _settled(repository: Repository, log: KnownLog, role: str, left: Passed | None) -> None:
    passed = {name: one for name, one in repository.floors.passed.items() if name != role}
    if left is not None:
        passed[role] = left
    floors = repository.floors.with_passed(passed)
    counted = floors.counted if repository.tail is None else repository.tail.counted
    repository.floors = floors.with_counted(log, counted)


def _reread(repository: Repository, log: KnownLog, only: frozenset[str]) -> Steps[Counting]:
    """Read the log from its beginning to where it was judged, for a few roles or channels."""
    named = _log(repository)
    counting = Counting(repository.anchor.fleet, {}, {}, repository.cached, only=only)
    prefix = log_prefix(named, repository.anchor.fleet)
    with refused():
        # What is read has to have the root of the checkpoint that was verified.
        yield from stretch(prefix, CompactRange(), log.signed, log.signed.size, counting)
    if ROOT in only:
        counting.roots = yield from read_roots(repository, counting)
        yield from counting.finish(lazily=True, eager=only)
    return counting


def _log(repository: Repository) -> Log:
    log = None if repository.statement is None else authority_log(repository.statement)
    if log is None:
        raise RuntimeError("the fleet has no authority log")
    return log


def known_since(
    repository: Repository, follow: Follow, sequence: int, index: int
) -> Steps[datetime | None]:
    """When a quorum of witnesses had seen a checkpoint that has this entry; None: not proved.

    The server keeps the first such checkpoint beside the document; a later one only says less.
    """
    statement, known = repository.statement, judged_log(repository)
    if statement is None or known is None or statement.witnesses is None or index < 0:
        return None
    path = checkpoint_path(follow.provider, follow.channel, sequence)
    raw = yield Need(path, CHECKPOINT_CAP)
    if raw is None:
        return None
    log = _log(repository)
    try:
        signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
        since = as_of(signed, statement.witnesses)
        if not index < signed.size <= known.signed.size:
            return None
        prefix = log_prefix(log, repository.anchor.fleet)
        yield from _check_consistent(prefix, signed.size, signed.root, known)
    except AllodError:
        return None  # no evidence is a longer wait, and nothing else
    return None if since is None else since.astimezone(UTC)


class _LacksError(Exception):
    def __init__(self, tile: Tile) -> None:
        super().__init__(tile.path)
        self.tile = tile


def _check_consistent(prefix: str, size: int, root: bytes, known: KnownLog) -> Steps[None]:
    """The log that is known begins with the tree of this size and root.

    Raises:
        Untrusted: `log-consistency`.
    """
    tiles: dict[Tile, bytes] = {}

    def read(tile: Tile) -> bytes:
        if tile not in tiles:
            raise _LacksError(tile)
        return tiles[tile]

    for _ in range(_TILES):
        try:
            reader = TileReader(known.signed.size, read)
            proof = consistency_proof(size, known.signed.size, reader)
        except _LacksError as lacks:
            data = yield from tile_hashes(prefix, lacks.tile)
            if data is None:
                break
            tiles[lacks.tile] = data
        else:
            verify_consistency(size, known.signed.size, proof, root, known.signed.root)
            return
    raise Untrusted("log-consistency", "cannot bring a checkpoint together with the log")
