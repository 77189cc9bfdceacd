"""Gather cosignatures: every witness is shown the newest checkpoint, and what it says is served.

A witness that cannot be reached stops nobody: each is asked by itself, under a deadline, and after
failures less and less often. What it refuses as another history is an alarm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from allod.errors import AllodError, Conflict, Unavailable, Untrusted
from allod.server.log.ports import LogFiles
from allod.server.log.sequencer import Sequencer
from allod.tlog.asking import Heard, ask
from allod.tlog.checkpoint import SignedCheckpoint, vouched
from allod.tlog.note import Note, VerifierKey
from allod.tlog.tiles import Tile, TileReader

FIRST_PAUSE: Final = 5.0  #: seconds after a failure, doubled with each further one
LONGEST_PAUSE: Final = 900.0
RENEW: Final = 3600.0  #: seconds after which a cosignature of an unchanged log is asked for anew
_AT_ONCE: Final = 8
_log = structlog.get_logger("allod.server.gather")


@dataclass(frozen=True, slots=True)
class KnownWitness:
    """A witness: its key, and the address below which it answers."""

    key: VerifierKey
    url: str


class WitnessCalls(Protocol):
    """Carries requests to witnesses. May be called from several threads."""

    def post(self, url: str, body: bytes) -> Heard:
        """Post to `add-checkpoint` below `url`, within a deadline and under a cap.

        Raises:
            Unavailable: `witness-unavailable`: nothing came back.
        """
        ...


@dataclass(slots=True)
class _Terms:
    """How one witness and one log stand."""

    size: int = 0  #: that it saw last
    failures: int = 0
    next: float = 0.0  #: not before this time


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of one round."""

    checkpoint: SignedCheckpoint
    failed: dict[str, AllodError] = field(default_factory=dict)  #: by the witness's name


class Gather:
    """The use case.

    Args:
        calls: the wire.
        seconds: the time, since 1970.
        refused: told of a witness that saw another history: the log's origin, its name, and why.
    """

    def __init__(
        self,
        calls: WitnessCalls,
        seconds: Callable[[], float],
        refused: Callable[[str, str, str], None],
    ) -> None:
        self._calls = calls
        self._seconds = seconds
        self._refused = refused
        self._guard = threading.Lock()
        self._terms: dict[tuple[str, str], _Terms] = {}

    def __call__(
        self, sequencer: Sequencer, files: LogFiles, witnesses: Sequence[KnownWitness]
    ) -> Gathered:
        """Show the newest checkpoint to each witness whose turn it is; serve what they sign.

        Raises:
            AllodError: of the log itself; witnesses that fail are in the answer.
        """
        signed = sequencer.checkpoint()
        due = [witness for witness in witnesses if self._is_due(signed, witness)]
        failed: dict[str, AllodError] = {}
        if due:
            with ThreadPoolExecutor(min(_AT_ONCE, len(due)), thread_name_prefix="witness") as pool:
                asked = [(one, pool.submit(self._ask, signed, files, one)) for one in due]
                for witness, future in asked:
                    try:
                        cosigned = future.result()
                        sequencer.publish(_own_lines(cosigned, witness.key))
                    except Conflict as error:  # it has grown meanwhile: the next round asks again
                        failed[witness.key.name] = error
                    except AllodError as error:
                        failed[witness.key.name] = error
                        self._failed(signed, witness, error)
        return Gathered(sequencer.checkpoint(), failed)

    def _is_due(self, signed: SignedCheckpoint, witness: KnownWitness) -> bool:
        now = self._seconds()
        if now < self._of(signed, witness).next:
            return False
        said = vouched(signed, [witness.key]).as_of(1)
        return said is None or said + RENEW <= now

    def _ask(
        self, signed: SignedCheckpoint, files: LogFiles, witness: KnownWitness
    ) -> SignedCheckpoint:
        def read(tile: Tile) -> bytes:
            data = files.read(tile.path)
            if data is None:
                raise Conflict("log-grew", "cannot prove how the log grew: it grew meanwhile")
            return data

        terms = self._of(signed, witness)
        talk = ask(
            signed,
            witness.key,
            TileReader(signed.size, read),
            old=min(terms.size, signed.size),
        )
        body = next(talk)
        while True:
            heard = self._calls.post(witness.url, body)
            try:
                body = talk.send(heard)
            except StopIteration as done:
                cosigned: SignedCheckpoint = done.value
                terms.size, terms.failures, terms.next = signed.size, 0, 0.0
                return cosigned

    def _failed(self, signed: SignedCheckpoint, witness: KnownWitness, error: AllodError) -> None:
        terms = self._of(signed, witness)
        pause = min(FIRST_PAUSE * 2**terms.failures, LONGEST_PAUSE)
        terms.failures, terms.next = min(terms.failures + 1, 16), self._seconds() + pause
        origin = signed.checkpoint.origin
        _log.warning("not-cosigned", log=origin, witness=witness.key.name, why=error.message)
        if isinstance(error, Untrusted):
            self._refused(origin, witness.key.name, error.message)

    def _of(self, signed: SignedCheckpoint, witness: KnownWitness) -> _Terms:
        with self._guard:
            return self._terms.setdefault((signed.checkpoint.origin, str(witness.key)), _Terms())


def _own_lines(signed: SignedCheckpoint, key: VerifierKey) -> SignedCheckpoint:
    """Without what others signed: that may be older than what is served by now."""
    lines = tuple(
        line for line in signed.note.signatures if (line.name, line.id) == (key.name, key.id)
    )
    return SignedCheckpoint(signed.checkpoint, Note(signed.note.text, lines))


def unreachable(url: str, why: str) -> Unavailable:
    """The error for a witness from which nothing came back."""
    return Unavailable("witness-unavailable", f"cannot reach the witness at {url[:200]}: {why}")
