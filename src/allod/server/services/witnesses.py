"""Which witnesses this server asks (`witnesses.json`), and the round that asks them."""

from __future__ import annotations

from typing import Final, Literal

import structlog

from allod import durable
from allod.domain.ids import parse_fleet
from allod.errors import AllodError, InvalidInput
from allod.server.layout import ServerDirectory
from allod.server.ports import AlarmRaised, Clock
from allod.server.services.alarms import Alarms
from allod.server.services.fleets import Fleets
from allod.server.services.gather import Gather, KnownWitness, WitnessCalls
from allod.server.services.logs import Logs
from allod.tlog.note import Kind, parse_key
from allod.wire.codec import Document, decode, encode
from allod.wire.log import ACTIVITY, AUTHORITY

_CAP: Final = 1024 * 1024
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
    """One round: every log of every fleet is shown to the witnesses that its owner names."""

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
        """Ask; what fails is logged, and asked again in a later round."""
        try:
            known = load_witnesses(self._layout)
        except AllodError as error:
            _log.error("witnesses-unreadable", exc_info=error)
            return
        for state in self._fleets.all() if known else ():
            statement = state.statement
            named = (
                () if statement is None or statement.witnesses is None else statement.witnesses.keys
            )
            asked = [witness for witness in known if str(witness.key) in named]
            for name in (AUTHORITY, ACTIVITY) if asked else ():
                log = self._logs.mine(statement, name)
                if log is None:
                    continue
                try:
                    sequencer = self._logs.sequencer(state.fleet, log.origin)
                    self._gather(sequencer, self._logs.reader(state.fleet, log.origin), asked)
                except (AllodError, OSError) as error:
                    _log.error("gather-failed", log=log.origin, exc_info=error)

    def _refused(self, origin: str, witness: str, why: str) -> None:
        """A witness saw another history: the owner must look, whoever is right."""
        fleet = parse_fleet(origin.split("/")[2])
        self._alarms.raised(AlarmRaised(fleet, "witness-refused", witness, why, self._clock.now()))
