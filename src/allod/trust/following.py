"""The newest document of a channel that counts, and since when that is known (docs/spec/channel.md).

Without a log it is what the source serves as the newest, under a floor; with one, the highest
sequence that counts among the log's entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from allod.domain.delegation import Channel, Follow
from allod.domain.ids import sha256
from allod.errors import AllodError, InvalidInput, Refused, Untrusted
from allod.trust.accepted import Repository
from allod.trust.channels import (
    ENVELOPE_CAP,
    check_channel,
    holders_of,
    read_channel,
    require_trusted,
    spoken_for,
)
from allod.trust.dsse import decode_envelope, good_signatures, payload_of
from allod.trust.effects import Need, Steps
from allod.trust.floors import UNLOGGED, Counted
from allod.trust.holding import Holders, SignedBy, Verdict, judge
from allod.trust.metadata import withheld
from allod.trust.rereading import channel_entries, known_since, settle_channel
from allod.wire.channel import channel_path, decode_channel, latest_path
from allod.wire.codec import encode, instant, parse_instant
from allod.wire.envelope import CHANNEL, Envelope
from allod.wire.report import Alarm, Refusal
from allod.wire.trust import ProviderDocument


@dataclass(slots=True)
class Following:
    """What became of one look at a channel.

    Attributes:
        channel: the newest document that counts; None: there is none.
        newest: its place and digest.
        vain: place of the first entry that would count if the owner said something else.
        refusals: what was shown and does not count.
        alarms: what the owner should look at.
    """

    channel: Channel | None = None
    newest: Counted | None = None
    vain: int | None = None
    refusals: list[Refusal] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    def refuse(self, follow: Follow, code: str, says: str, index: int) -> None:
        """A document that does not count; of many in the log the first is told."""
        if index != UNLOGGED:
            if self.vain is not None:
                return
            self.vain = index
            says += f" (entry {index} of the log)"
        self.refusals.append(Refusal(code=code, reasons=[says], subject=f"channels/{follow}"))


def cached_channel(follow: Follow) -> str:
    """The flat name under which a channel's newest document is cached."""
    return f"channel-{follow.provider}+{follow.channel}"


def judge_channel(
    current: Counted | None,
    shown: Iterable[tuple[int, Envelope]],
    provider: ProviderDocument,
    follow: Follow,
    found: Following,
) -> Envelope | None:
    """Put documents of a channel, in order, to the newest that counted before.

    Args:
        current: the newest before; its signers may have lost the channel since.
        shown: place in the log, and envelope.
        provider: the owner's document about the provider, as it is now.
        follow: the channel.
        found: takes the newest that counts, and what does not.

    Returns:
        The envelope of the newest, if it is among those that were shown.
    """
    holders = holders_of(provider)
    if current is not None and _is_distrusted(current.index, provider):
        current = None
    taken: Envelope | None = None
    for index, envelope in shown:
        try:
            entry = _entry(index, envelope, provider, follow)
            verdict, after = judge(current, entry, holders, _signed_by(envelope))
        except AllodError as error:
            found.refuse(follow, error.code, error.message, index)
            continue
        if verdict is Verdict.COUNTS:
            taken, current = envelope, after
        elif verdict is Verdict.TWICE:
            says = f"{follow} {entry.version} was signed with two contents; the first holds"
            found.alarms.append(Alarm(code="equivocation", says=says))
        elif verdict is Verdict.UNSIGNED:
            says = f"cannot follow {follow}: document {entry.version} is not signed by the provider"
            found.refuse(follow, "auth", says, index)
        elif index == UNLOGGED and current is not None and entry.version < current.version:
            says = f"cannot go back to {follow} {entry.version}: {current.version} was seen before"
            found.refuse(follow, "rollback", says, index)
    found.newest = current if current is not None and holders.still(current) else None
    return taken if found.newest is not None else None


def _entry(index: int, envelope: Envelope, provider: ProviderDocument, follow: Follow) -> Counted:
    if envelope.payload_type != CHANNEL:
        raise Untrusted("wrong-type", f"cannot follow {follow}: it is signed as something else")
    if _is_distrusted(index, provider):
        raise Refused(
            "provider-distrusted",
            f"cannot follow {follow}: the owner distrusts what the provider signed by then",
        )
    signed = read_channel(envelope)
    check_channel(signed.channel, provider, follow)
    return Counted(index, signed.channel.sequence, signed.digest)


def _signed_by(envelope: Envelope) -> SignedBy:
    payload = payload_of(envelope)

    def signed(holders: Holders) -> frozenset[str]:
        return holders.enough(frozenset(good_signatures(envelope, payload, holders.keys)))

    return signed


def _is_distrusted(index: int, provider: ProviderDocument) -> bool:
    """Whether the owner's distrust begins before this place in the log."""
    after = provider.distrusted_after
    return after is not None and (index == UNLOGGED or index > after)


def follow_channel(
    repository: Repository, follow: Follow, provider: ProviderDocument
) -> Steps[Following]:
    """The newest document of a channel, under the floor of what was seen before.

    Args:
        repository: whose floors and cache are used; they are raised here.
        follow: the channel.
        provider: the owner's document about its provider.

    Raises:
        InvalidInput: the owner's document about the provider cannot be used.
        Refused: `provider-distrusted`.
        Unavailable: `withheld`: the newest document is not served any more.
    """
    require_trusted(provider, f"the channel {follow}")
    found = Following()
    name = str(follow)
    before = repository.floors.channels.get(name)
    shown = yield from channel_entries(repository, follow, provider)
    logged = shown is not None
    if shown is None:
        shown = yield from _latest(follow, found)
    taken = judge_channel(before, shown, provider, follow, found)
    if logged:
        settle_channel(repository, follow, provider, found.vain)
    newest = found.newest
    if newest != before:
        repository.floors = repository.floors.with_channel(name, newest)
    if newest is None or (logged and newest.index == UNLOGGED):
        return found  # what never stood in the log is a floor, and nobody's word any more
    if taken is None:
        taken = yield from _known(repository, follow, newest)
    raw = encode(taken)
    if repository.cached.get(cached_channel(follow)) != raw:
        repository.pending[cached_channel(follow)] = raw
    since = repository.floors.seen.get(name)
    if since is None:
        moment = yield from known_since(repository, follow, newest.version, newest.index)
        if moment is not None:
            since = instant(moment)
            repository.floors = repository.floors.with_channel(name, newest, since)
    channel = spoken_for(decode_channel(payload_of(taken)), provider)
    found.channel = replace(channel, seen_since=None if since is None else parse_instant(since))
    return found


def _latest(follow: Follow, found: Following) -> Steps[list[tuple[int, Envelope]]]:
    """What the source serves as the newest document."""
    raw = yield Need(latest_path(follow.provider, follow.channel), ENVELOPE_CAP)
    if raw is None:
        return []
    try:
        return [(UNLOGGED, decode_envelope(raw, cap=ENVELOPE_CAP, what=f"the channel {follow}"))]
    except InvalidInput as error:
        found.refuse(follow, error.code, error.message, UNLOGGED)
        return []


def _known(repository: Repository, follow: Follow, newest: Counted) -> Steps[Envelope]:
    """The bytes of what counted before: from the cache, else by its number."""
    data = repository.cached.get(cached_channel(follow))
    envelope = None if data is None else _of_digest(data, newest.digest)
    if envelope is None:
        path = channel_path(follow.provider, follow.channel, newest.version)
        data = yield Need(path, ENVELOPE_CAP)
        envelope = None if data is None else _of_digest(data, newest.digest)
        if envelope is None:
            raise withheld(path)
    return envelope


def _of_digest(data: bytes, digest: str) -> Envelope | None:
    try:
        envelope = decode_envelope(data, cap=ENVELOPE_CAP)
        return envelope if sha256(payload_of(envelope)) == digest else None
    except InvalidInput:
        return None
