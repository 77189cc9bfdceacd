"""Copy the channels that a fleet's delegations follow, and the releases that they name.

Each channel is read in a thread of its own, never twice at once, and after failures less and less
often; jitter keeps many servers from asking together. What comes is checked before anything of it
is stored, and releases are here before devices hear of them. A source that is slow, gone or lies
delays its own channel and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from allod.domain.delegation import Channel, ChannelRelease, Delegation, Follow
from allod.domain.ids import Digest, FleetId, Purl, is_pattern, pattern_covers, sha256
from allod.errors import AllodError, Unavailable, Untrusted
from allod.server.ports import Clock
from allod.server.services.channels import Channels, Polled, VerifiedChannel
from allod.server.services.fleets import Fleets, FleetState
from allod.server.services.mirror import Mirror
from allod.server.services.mirror_source import Source
from allod.server.services.refusals import Refusals
from allod.trust.metadata import TARGETS
from allod.wire import oci
from allod.wire.log import ENTRY_CAP

AT_ONCE: Final = 16  #: channels that are being read
OF_ONE: Final = 4  #: of them of one fleet, and of one host: nobody's slow registry takes all places
FIRST_PAUSE: Final = 30.0  #: seconds after a failure, doubled with each further one
LONGEST_PAUSE: Final = 3600.0
_JITTER: Final = 0.2  #: of a pause, up or down
_log = structlog.get_logger("allod.server.copy-channels")
_Key = tuple[FleetId, str, str]


@dataclass(slots=True)
class _Standing:
    """How one channel stands."""

    failures: int = 0
    next: float = 0.0  #: not before this time
    busy: bool = False
    at: datetime | None = None
    failure: str = ""
    host: str = ""  #: that is being read
    known: tuple[str, Digest, int] | None = None
    """Source and manifest of what is wholly here, and the owner's version that said what it takes."""


class CopyChannels:
    """The use case.

    Args:
        fleets: whose delegations follow channels.
        channels: takes documents in.
        mirror: copies releases.
        source: where both come from.
        refusals: told of what is refused for a cause.
        clock: the server's.
        every: seconds between two looks at a channel.
        chance: a number from 0 up to 1, for the jitter.
    """

    def __init__(
        self,
        fleets: Fleets,
        channels: Channels,
        mirror: Mirror,
        source: Source,
        refusals: Refusals,
        clock: Clock,
        *,
        every: float,
        chance: Callable[[], float],
    ) -> None:
        self._fleets = fleets
        self._channels = channels
        self._mirror = mirror
        self._source = source
        self._refusals = refusals
        self._clock = clock
        self._every = every
        self._chance = chance
        self._guard = threading.Lock()
        self._storing = threading.Lock()
        self._closed = False
        self._standings: dict[_Key, _Standing] = {}
        self._threads: set[threading.Thread] = set()

    def __call__(self) -> None:
        """Read every channel whose turn it is; nobody is waited for."""
        for state in self._fleets.all():
            for follow in sources_of(state):
                key = (state.fleet, str(follow.provider), follow.channel)
                if not self._take(key, _host(follow)):
                    continue
                thread = threading.Thread(
                    target=self._visit, args=(key, follow), name=f"channel {follow}", daemon=True
                )
                with self._guard:
                    self._threads.add(thread)
                thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for those that are being read, so long at most."""
        with self._guard:
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(seconds)

    def polled(self, fleet: FleetId, provider: str, channel: str) -> Polled:
        """How the copying of a channel stands."""
        with self._guard:
            standing = self._standings.get((fleet, provider, channel), _Standing())
            return Polled(standing.at, standing.failure)

    def close(self) -> None:
        """Store nothing any more; whoever is still being read is not waited for."""
        with self._storing:
            self._closed = True

    def _take(self, key: _Key, host: str) -> bool:
        """Whether it is this channel's turn; then nobody else reads it meanwhile."""
        with self._guard:
            standing = self._standings.setdefault(key, _Standing())
            if standing.busy or self._clock.seconds() < standing.next:
                return False
            busy = [(of[0], one.host) for of, one in self._standings.items() if one.busy]
            fleet = sum(one[0] == key[0] for one in busy)
            same = sum(one[1] == host for one in busy)
            if len(busy) >= AT_ONCE or fleet >= OF_ONE or same >= OF_ONE:
                return False
            standing.busy, standing.host = True, host
            return True

    def _visit(self, key: _Key, follow: Follow) -> None:
        failure = ""
        try:
            self._copy(key, follow)
        except AllodError as error:
            failure = error.message
            _log.warning("channel-not-copied", fleet=key[0], channel=str(follow), why=failure)
        except Exception as error:  # noqa: BLE001 - a bug here stops no other channel
            failure = "cannot copy the channel: the server's log says why"
            _log.error("channel-not-copied", fleet=key[0], channel=str(follow), exc_info=error)
        finally:
            self._done(key, failure)

    def _done(self, key: _Key, failure: str) -> None:
        with self._guard:
            standing = self._standings[key]
            standing.busy, standing.failure = False, failure
            standing.failures = min(standing.failures + 1, 16) if failure else 0
            pause = self._every
            if failure:
                pause = min(FIRST_PAUSE * 2 ** (standing.failures - 1), LONGEST_PAUSE)
            else:
                standing.at = self._clock.now()
            pause *= 1 + _JITTER * (2 * self._chance() - 1)
            standing.next = self._clock.seconds() + pause
            self._threads.discard(threading.current_thread())

    def _copy(self, key: _Key, follow: Follow) -> None:
        """Look at the source; check what it has, then copy its releases, then take it in."""
        fleet, standing = key[0], self._standings[key]
        raw = self._source.manifest(follow.source, oci.CHANNELS, follow.channel)
        if raw is None:
            raise Unavailable("registry-failed", f"cannot find {follow} at {follow.source[:200]}")
        here = (follow.source, sha256(raw), self._fleets.need(fleet).versions[TARGETS])
        if standing.known == here:
            return
        document = self._document(follow, raw)
        subject = f"source {follow}"
        with self._refusals.of(fleet, "a channel", subject, sha256(document)):
            found = self._channels.verify(fleet, document)
            said = found.channel
            if (said.provider, said.channel) != (follow.provider, follow.channel):
                raise Untrusted(
                    "wrong-channel",
                    f"cannot copy {follow}: its source has {said.provider}/{said.channel}",
                )
            failures = tuple(self._mirrored(fleet, follow, said))
            self._store(fleet, document, found)
        if failures:
            raise failures[0]
        standing.known = here

    def _document(self, follow: Follow, raw: bytes) -> bytes:
        layer = oci.channel_layer(oci.decode_manifest(raw), what=str(follow))
        if layer.size > ENTRY_CAP:
            raise Untrusted("too-large", f"cannot copy {follow}: its document is too large")
        pieces = self._source.blob(follow.source, oci.CHANNELS, layer.digest, layer.size)
        document = b"".join(pieces)
        if sha256(document) != layer.digest:
            raise Untrusted("wrong-digest", f"cannot copy {follow}: its source sends other bytes")
        return document

    def _mirrored(self, fleet: FleetId, follow: Follow, channel: Channel) -> Iterator[AllodError]:
        """Copy what devices of this fleet may need; why some of it could not be.

        One release that cannot be had keeps nobody from the others.
        """
        state = self._fleets.need(fleet)
        provider = state.providers[follow.provider]
        for package, release in covered(state, follow, channel):
            try:
                verifiers = state.document.verifiers
                if self._mirror(fleet, provider, follow.source, package, release, verifiers):
                    _log.info("release-copied", fleet=fleet, package=package, digest=release.digest)
            except AllodError as error:
                _log.warning("release-not-copied", fleet=fleet, package=package, why=error.message)
                yield error

    def _store(self, fleet: FleetId, document: bytes, found: VerifiedChannel) -> None:
        with self._storing:
            if self._closed:
                raise Unavailable("closed", "cannot take the channel: this server has stopped")
            self._channels.take(fleet, document)
        _log.info(
            "channel-copied",
            fleet=fleet,
            channel=f"{found.channel.provider}/{found.channel.channel}",
            sequence=found.channel.sequence,
        )


def sources_of(state: FleetState) -> tuple[Follow, ...]:
    """The channels that are followed and have a source; the first one that is named, each."""
    found: dict[str, Follow] = {}
    for delegation in sorted(state.delegations.values(), key=_name):
        if delegation.follow is not None and delegation.follow.source:
            found.setdefault(str(delegation.follow), delegation.follow)
    return tuple(found.values())


def covered(
    state: FleetState, follow: Follow, channel: Channel
) -> Iterator[tuple[Purl, ChannelRelease]]:
    """The packages of a channel on which some delegation lets it decide."""
    patterns = {
        pattern
        for delegation in state.delegations.values()
        if str(delegation.follow) == str(follow)
        for pattern in delegation.packages
    }
    for package, release in channel.packages.items():
        if package in patterns or any(
            is_pattern(one) and pattern_covers(one, package) for one in patterns
        ):
            yield package, release


def _name(delegation: Delegation) -> str:
    return delegation.id


def _host(follow: Follow) -> str:
    """Whose patience it is; whether the source can be read at all is seen later."""
    return follow.source.partition("://")[2].partition("/")[0].partition(":")[0].lower()
