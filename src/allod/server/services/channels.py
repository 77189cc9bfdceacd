"""Providers' channels: documents that are taken in, logged, published, and never changed.

A document is checked as a device would: by the provider's keys, under the owner's own word about
the provider, for a channel that a delegation follows. It is carried out as a publication is (see
`publication`): whole, or not at all, whatever stops the server. Sequences only rise; one sequence
with two contents is refused and an alarm, whoever brings it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from allod.domain.delegation import Channel
from allod.domain.ids import Digest, FleetId, sha256
from allod.errors import AllodError, Conflict, Refused, Untrusted
from allod.server.events import AlarmRaised, ChannelTaken
from allod.server.services.alarms import Alarms
from allod.server.services.fleets import FleetState
from allod.server.services.limits import Rate
from allod.server.services.online import sign_online
from allod.server.services.publication import Publications
from allod.server.services.publish import Logged, make_pending
from allod.server.services.records import TakenChannel, make_record
from allod.tlog.checkpoint import open_checkpoint, vouched
from allod.tlog.note import parse_key
from allod.trust.channels import verify_channel
from allod.trust.dsse import decode_envelope, payload_of
from allod.wire.api import ChannelList, ChannelReceipt, ChannelStatus
from allod.wire.channel import channel_path, decode_channel
from allod.wire.codec import instant
from allod.wire.envelope import CHANNEL
from allod.wire.log import AUTHORITY, ENTRY_CAP, encode_authority

DOCUMENT_CAP: Final = 2 * ENTRY_CAP  #: of an upload, which may be spelled with more room
_log = structlog.get_logger("allod.server.channels")


@dataclass(frozen=True, slots=True)
class Polled:
    """How the copying of one channel stands."""

    at: datetime | None = None  #: when its source was read last
    failure: str = ""  #: of the last attempt


def _not_polled(_fleet: FleetId, _provider: str, _channel: str) -> Polled:
    return Polled()


@dataclass(frozen=True, slots=True)
class VerifiedChannel:
    """A document that may be taken."""

    entry: bytes  #: as it is logged and served: the envelope in its one form
    digest: Digest  #: of the payload
    channel: Channel


class Channels:
    """The use cases. Their methods may be called from several threads.

    Args:
        publications: carries it out.
        alarms: told of two contents.
        rate: how many documents a channel may have.
        polled: how the copying of a channel stands.
    """

    def __init__(
        self,
        publications: Publications,
        alarms: Alarms,
        rate: Rate,
        polled: Callable[[FleetId, str, str], Polled] = _not_polled,
    ) -> None:
        self._publications = publications
        self._alarms = alarms
        self._rate = rate
        self.polled = polled
        self._guard = threading.Lock()
        self._settled: set[FleetId] = set()

    def verify(self, fleet: FleetId, raw: bytes) -> VerifiedChannel:
        """Check a document as `take` does, and keep nothing. Raises as `take`."""
        state = self._publications.fleets.need(fleet)
        return check_channel(raw, state, self._publications.stores.clock.now())

    def take(self, fleet: FleetId, raw: bytes) -> ChannelReceipt:
        """Take a document in. When it returns, it is logged and published.

        Raises:
            InvalidInput: it can't be read.
            Untrusted: `auth`, `wrong-type`, `rollback`, `equivocation`.
            Refused: `not-followed`, `provider-distrusted`, `channel-expired`.
            Conflict: `floors-unknown`.
            Unavailable: `too-many`, or the fleet's log cannot be gone on with.
        """
        publications = self._publications
        with publications.lock(fleet):
            publications.recover(fleet)
            state = publications.fleets.need(fleet)
            found = check_channel(raw, state, publications.stores.clock.now())
            channel = found.channel
            if not self._is_known(state, found):
                if state.restored:
                    raise Conflict(
                        "floors-unknown",
                        "cannot take the channel: this server was restored from a backup and must "
                        "first learn the newest state from its owner",
                    )
                self._rate.take(f"{fleet}/{channel.provider}/{channel.channel}")
                state = self._carry_out(state, found)
            return ChannelReceipt(
                provider=channel.provider,
                channel=channel.channel,
                sequence=channel.sequence,
                news=state.news,
            )

    def listed(self, fleet: FleetId) -> ChannelList:
        """The channels that the fleet's delegations follow, and how they stand."""
        state = self._publications.fleets.need(fleet)
        rows = {
            (row.provider, row.channel): row
            for row in self._publications.stores.database.channels(fleet)
        }
        followed: dict[tuple[str, str], list[str]] = {}
        sources: dict[tuple[str, str], str] = {}
        for one in sorted(state.delegations.values(), key=lambda delegation: delegation.id):
            if one.follow is not None:
                place = (str(one.follow.provider), one.follow.channel)
                followed.setdefault(place, []).append(one.id)
                sources[place] = sources.get(place) or one.follow.source
        return ChannelList(
            channels=[
                self._status(fleet, place, ids, sources[place], rows)
                for place, ids in sorted(followed.items())
            ]
        )

    def witness(self) -> None:
        """Lay the first checkpoint that witnesses vouch for beside each newest document."""
        for state in self._publications.fleets.all():
            try:
                self._witness(state)
            except (AllodError, OSError) as error:
                _log.error("channel-not-witnessed", fleet=state.fleet, exc_info=error)

    def _status(
        self,
        fleet: FleetId,
        place: tuple[str, str],
        ids: list[str],
        source: str,
        rows: Mapping[tuple[str, str], ChannelTaken],
    ) -> ChannelStatus:
        row, polled = rows.get(place), self.polled(fleet, *place)
        status = ChannelStatus(
            provider=place[0],
            channel=place[1],
            delegations=ids,
            source=source,
            polled=None if polled.at is None else instant(polled.at),
            failure=polled.failure,
        )
        if row is None:
            return status
        return msgspec.structs.replace(
            status,
            sequence=row.sequence,
            digest=row.digest,
            at=instant(row.at),
            expires=instant(row.expires),
            received=instant(row.received),
            witnessed=self._checkpoint_file(row).is_file(),
        )

    def _is_known(self, state: FleetState, found: VerifiedChannel) -> bool:
        """Whether this very document is there already.

        Raises:
            Untrusted: `rollback`, `equivocation`.
        """
        channel = found.channel
        name = f"{channel.provider}/{channel.channel}"
        known = document_file(self._root(state.fleet), channel)
        if known.is_file():
            held = sha256(payload_of(decode_envelope(known.read_bytes(), what=known.name)))
            if held == found.digest:
                return True
            says = f"{name} {channel.sequence} was signed twice: {held} and {found.digest}"
            self._alarms.raised(
                AlarmRaised(
                    state.fleet,
                    "equivocation",
                    f"channel {name}",
                    says,
                    self._publications.stores.clock.now(),
                )
            )
            raise Untrusted("equivocation", f"cannot take the channel: {says}")
        newest = newest_sequence(known.parent)
        if channel.sequence < newest:
            raise Untrusted(
                "rollback",
                f"cannot take {name} {channel.sequence}: {newest} is there already",
                newest=newest,
            )
        return False

    def _carry_out(self, state: FleetState, found: VerifiedChannel) -> FleetState:
        publications, channel = self._publications, found.channel
        fleet, now = state.fleet, publications.stores.clock.now()
        log = publications.logs.mine(state.statement, AUTHORITY)
        if log is not None:
            publications.logs.require(fleet, log.origin)
        online = sign_online(
            publications.keys.under(state.anchor.root), now, previous=state.online, changed={}
        )
        record = make_record(
            state.news, fleet, "channel", now, roles={**state.versions, **online.versions}
        )
        taken = TakenChannel(
            provider=channel.provider,
            channel=channel.channel,
            sequence=channel.sequence,
            digest=found.digest,
            at=instant(channel.at),
            expires=instant(channel.expires),
            log=None if log is None else log.origin,
        )
        path = channel_path(channel.provider, channel.channel, channel.sequence)
        logged = Logged() if log is None else Logged((), log.origin, (found.entry,))
        pending = make_pending(record, {path: found.entry}, {}, online, logged)
        with self._guard:
            self._settled.discard(fleet)
        after = publications.carry_out(pending.of_channel(taken, found.entry))
        self._witness(after)
        return after

    def _witness(self, state: FleetState) -> None:
        """As `witness`, of one fleet."""
        with self._guard:
            if state.fleet in self._settled:
                return
        log = self._publications.logs.mine(state.statement, AUTHORITY)
        terms = None if state.statement is None else state.statement.witnesses
        waiting = [
            row
            for row in self._publications.stores.database.channels(state.fleet)
            if row.index is not None and not self._checkpoint_file(row).is_file()
        ]
        if log is None or terms is None or not waiting:
            if not waiting:
                with self._guard:
                    self._settled.add(state.fleet)
            return
        raw = self._publications.logs.reader(state.fleet, log.origin).published()
        if raw is None:
            return
        signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
        keys = [parse_key(key) for key in terms.keys]
        if vouched(signed, keys).as_of(terms.quorum) is None:
            return
        for row in waiting:
            if row.log == log.origin and row.index is not None and row.index < signed.size:
                self._publications.stores.files.write_new(self._checkpoint_file(row), raw)

    def _checkpoint_file(self, row: ChannelTaken) -> Path:
        path = channel_path(row.provider, row.channel, row.sequence)
        return (self._root(row.fleet) / path).with_suffix(".checkpoint")

    def _root(self, fleet: FleetId) -> Path:
        return self._publications.directory(fleet).root


def check_channel(raw: bytes, state: FleetState, now: datetime) -> VerifiedChannel:
    """Check a document as a device would, against what is published. Raises as `Channels.take`."""
    envelope = decode_envelope(raw, cap=DOCUMENT_CAP, what="the channel's document")
    if envelope.payload_type != CHANNEL:
        raise Untrusted("wrong-type", "cannot take the channel: it is signed as something else")
    entry = encode_authority(envelope)
    # Whose keys have to be asked stands inside; nothing else of it is used before they were.
    said = decode_channel(payload_of(envelope))
    provider = state.providers.get(said.provider)
    name = f"{said.provider}/{said.channel}"
    if provider is None or all(str(one.follow) != name for one in state.delegations.values()):
        raise Refused("not-followed", f"cannot take {name}: no delegation follows it")
    if provider.distrusted is not None:
        raise Refused(
            "provider-distrusted",
            f"cannot take {name}: the owner distrusts this provider",
            reasons=(provider.distrusted,),
        )
    signed = verify_channel(entry, provider).value
    if said.expires <= now:
        raise Refused("channel-expired", f"cannot take {name}: it ended {instant(said.expires)}")
    return VerifiedChannel(entry, signed.digest, signed.channel)


def document_file(root: Path, channel: Channel) -> Path:
    """Where a document lies below a fleet's directory."""
    return root / channel_path(channel.provider, channel.channel, channel.sequence)


def newest_sequence(directory: Path) -> int:
    """The highest sequence that a channel's directory holds; 0: none."""
    names = (path.stem for path in directory.glob("*.json"))
    return max((int(name) for name in names if name.isdecimal()), default=0)
