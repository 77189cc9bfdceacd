"""Which witnesses this server asks (`witnesses.json`), when, and what others bring of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import structlog

from allod import durable
from allod.domain.ids import FleetId, parse_fleet
from allod.errors import AllodError, InvalidInput
from allod.server.events import AlarmRaised
from allod.server.layout import ServerDirectory
from allod.server.ports import Clock
from allod.server.services.alarms import Alarms
from allod.server.services.fleets import Fleets, FleetState
from allod.server.services.gather import Gather, KnownWitness, Pace, WitnessCalls
from allod.server.services.logs import Logs, place_of
from allod.tlog.checkpoint import open_checkpoint
from allod.tlog.note import Kind, parse_key
from allod.wire.codec import Document, decode, encode
from allod.wire.log import ACTIVITY, AUTHORITY

_CAP: Final = 1024 * 1024
QUORUM_SECONDS: Final = 3.0  #: that a publication waits for witnesses
_log = structlog.get_logger("allod.server.witnesses")


class WitnessAddress(Document, frozen=True, kw_only=True):
    """One witness."""

    key: str
    url: str


class WitnessesFile(Document, frozen=True, kw_only=True):
    """`witnesses.json`."""

    type: Literal["allod.server-witnesses"] = "allod.server-witnesses"
    format: Literal[1] = 1
    witnesses: tuple[WitnessAddress, ...] = ()


def load_witnesses(layout: ServerDirectory) -> tuple[KnownWitness, ...]:
    """The witnesses that the server knows. Raises InvalidInput."""
    try:
        data = layout.witnesses.read_bytes()
    except FileNotFoundError:
        return ()
    file = decode(data, WitnessesFile, cap=_CAP, what="witnesses.json")
    return tuple(KnownWitness(parse_key(one.key), one.url) for one in file.witnesses)


def add_witness(layout: ServerDirectory, key: str, url: str) -> KnownWitness:
    """Let the server know a witness, or its new address.

    Raises:
        InvalidInput: `bad-key`, `bad-url`.
    """
    witness = KnownWitness(parse_key(key), url.rstrip("/"))
    if witness.key.kind is not Kind.COSIGNATURE:
        raise InvalidInput("bad-key", f"cannot use {witness.key.name} as a witness: it is a log's")
    if not url.startswith(("https://", "http://")):
        raise InvalidInput("bad-url", f"cannot use {url[:200]!r}: it is like https://host:port")
    others = [one for one in load_witnesses(layout) if one.key != witness.key]
    known = (*others, witness)
    file = WitnessesFile(
        witnesses=tuple(WitnessAddress(key=str(one.key), url=one.url) for one in known)
    )
    durable.write_atomic(layout.witnesses, encode(file))
    return witness


class GatherAll:
    """Shows the logs of fleets to the witnesses that their owners name."""

    def __init__(
        self,
        layout: ServerDirectory,
        fleets: Fleets,
        logs: Logs,
        alarms: Alarms,
        calls: WitnessCalls,
        clock: Clock,
    ) -> None:
        self._layout = layout
        self._fleets = fleets
        self._logs = logs
        self._alarms = alarms
        self._clock = clock
        self._gather = Gather(calls, clock.seconds, self._refused)

    def __call__(self) -> None:
        """One round over all fleets; nobody is waited for, and what fails is asked again later."""
        known = self._known()
        for state in self._fleets.all() if known else ():
            for name in (AUTHORITY, ACTIVITY):
                self._show(state, name, known, wait=0.0)

    def vouch(self, fleet: FleetId) -> None:
        """Wait for the quorum of a log that just grew, for a bounded time.

        Devices that hear of a change then find cosignatures under it; without a quorum they go on
        as they are, and the change is published all the same.
        """
        state = self._fleets.get(fleet)
        known = self._known() if state is not None else ()
        if state is not None and known:
            self._show(state, AUTHORITY, known, wait=QUORUM_SECONDS)

    def submitted(self, fleet: FleetId, place: str, raw: bytes) -> None:
        """Serve the cosignatures under a checkpoint of a log that somebody brings.

        Raises:
            InvalidInput: `not-found`: there is no such log, or no witness of it; it can't be read.
            Untrusted: `note-signature`, `wrong-log`.
            Conflict: `log-grew`: it is not the newest checkpoint any more.
        """
        state = self._fleets.need(fleet)
        terms = None if state.statement is None else state.statement.witnesses
        log = self._logs.mine(state.statement, place.partition("/")[0])
        if log is None or terms is None or place_of(log.origin) != place:
            raise InvalidInput("not-found", "cannot find this log, or witnesses of it")
        brought = open_checkpoint(raw, log.origin, [parse_key(log.key)])
        keys = [parse_key(key) for key in terms.keys]
        self._gather.merge(self._logs.sequencer(fleet, log.origin), keys, brought)

    def close(self) -> None:
        """Serve nothing that comes from now on."""
        self._gather.close()

    def _known(self) -> tuple[KnownWitness, ...]:
        try:
            return load_witnesses(self._layout)
        except AllodError as error:
            _log.error("witnesses-unreadable", exc_info=error)
            return ()

    def _show(
        self, state: FleetState, name: str, known: Sequence[KnownWitness], *, wait: float
    ) -> None:
        terms = None if state.statement is None else state.statement.witnesses
        log = self._logs.mine(state.statement, name)
        if terms is None or log is None:
            return
        asked = [witness for witness in known if str(witness.key) in terms.keys]
        try:
            self._gather(
                self._logs.sequencer(state.fleet, log.origin),
                self._logs.reader(state.fleet, log.origin),
                asked,
                pace=Pace.within(terms.max_age_seconds),
                wait=wait,
                quorum=terms.quorum,
            )
        except (AllodError, OSError) as error:
            _log.error("gather-failed", log=log.origin, exc_info=error)

    def _refused(self, origin: str, witness: str, why: str) -> None:
        """A witness saw another history: the owner must look, whoever is right."""
        fleet = parse_fleet(origin.split("/")[2])
        self._alarms.raised(AlarmRaised(fleet, "witness-refused", witness, why, self._clock.now()))
