"""Gather cosignatures: every witness is shown the newest checkpoint, and what it says is served.

A witness that cannot be reached stops nobody: each is asked in a thread of its own, never twice at
once, and after failures less and less often. Whoever waits for a quorum waits a bounded time. What
a witness refuses as another history is an alarm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from allod.errors import AllodError, Conflict, Unavailable, Untrusted
from allod.server.log.ports import LogFiles
from allod.server.log.sequencer import Sequencer
from allod.server.services.logs import read_tile
from allod.tlog.asking import Heard, ask
from allod.tlog.checkpoint import SignedCheckpoint, vouched
from allod.tlog.note import Note, Signature, VerifierKey
from allod.tlog.tiles import Tile, TileReader

FIRST_PAUSE: Final = 5.0  #: seconds after a failure, doubled with each further one
LONGEST_PAUSE: Final = 900.0
RENEW: Final = 3600.0  #: seconds after which a cosignature of an unchanged log is asked for anew
AT_ONCE: Final = 64  #: witnesses that are being asked
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


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon witnesses are asked again, in seconds."""

    renew: float = RENEW
    longest_pause: float = LONGEST_PAUSE

    @classmethod
    def within(cls, greatest_age: float) -> Pace:
        """So that cosignatures stay well below that age, also when one attempt fails."""
        longest = max(FIRST_PAUSE, greatest_age / 8)
        return cls(min(RENEW, greatest_age / 4), min(LONGEST_PAUSE, longest))


@dataclass(slots=True)
class _Terms:
    """How one witness and one log stand."""

    size: int = 0  #: that it saw last
    failures: int = 0
    next: float = 0.0  #: not before this time
    asked: bool = False  #: at this moment


@dataclass(slots=True)
class _Round:
    """The witnesses of one log that are being asked together."""

    left: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    failed: dict[str, AllodError] = field(default_factory=dict)

    def ended(self, name: str, error: AllodError | None) -> None:
        """One of them was asked."""
        with self.changed:
            self.left -= 1
            if error is not None:
                self.failed[name] = error
            self.changed.notify_all()


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
        self._publishing = threading.Lock()
        self._closed = False
        self._terms: dict[tuple[str, str], _Terms] = {}
        self._asked = 0

    def __call__(
        self,
        sequencer: Sequencer,
        files: LogFiles,
        witnesses: Sequence[KnownWitness],
        *,
        pace: Pace | None = None,
        wait: float = 0.0,
        quorum: int | None = None,
    ) -> Gathered:
        """Show the newest checkpoint to each witness whose turn it is; serve what they sign.

        Args:
            sequencer: of the log.
            files: of the log.
            witnesses: that its owner names.
            pace: how soon they are asked again.
            wait: so many seconds at most for those that are asked.
            quorum: no longer than until so many vouch.

        Raises:
            AllodError: of the log itself; witnesses that fail are in the answer.
        """
        pace = pace or Pace()
        signed = sequencer.checkpoint()
        due = [witness for witness in witnesses if self._take(signed, witness, pace)]
        turn = _Round(len(due))
        for witness in due:
            visit = (sequencer, files, witness, signed, pace, turn)
            threading.Thread(
                target=self._visit, args=visit, name=f"witness {witness.key.name}", daemon=True
            ).start()
        keys = [witness.key for witness in witnesses]

        def enough() -> bool:
            if turn.left == 0:
                return True
            return quorum is not None and _as_of(sequencer.checkpoint(), keys, quorum) is not None

        if due and wait > 0:
            with turn.changed:
                turn.changed.wait_for(enough, wait)
        return Gathered(sequencer.checkpoint(), dict(turn.failed))

    def merge(
        self, sequencer: Sequencer, keys: Iterable[VerifierKey], brought: SignedCheckpoint
    ) -> SignedCheckpoint:
        """Serve cosignatures that somebody brought, if they are newer than what is served.

        Args:
            sequencer: of the log.
            keys: of the witnesses that its owner names.
            brought: a checkpoint of the log that was opened with the log's key.

        Raises:
            Conflict: `log-grew`: it is not the newest checkpoint any more; `log-in-use`.
            Untrusted: `note-signature`: one that should be by a witness is wrong.
        """
        with self._publishing:
            self._require_open()
            served = sequencer.checkpoint()
            known = {key.public: at for key, at in vouched(served, keys).times}
            news = {
                (key.name, key.id, at)
                for key, at in vouched(brought, keys).times
                if at > known.get(key.public, 0)
            }
            lines = tuple(line for line in brought.note.signatures if _stamp(line) in news)
            if lines or brought.note.text != served.note.text:
                note = Note(brought.note.text, lines)
                sequencer.publish(SignedCheckpoint(brought.checkpoint, note))
            return sequencer.checkpoint()

    def close(self) -> None:
        """Serve nothing any more; whoever is still being asked is not waited for."""
        with self._publishing:
            self._closed = True

    def _take(self, signed: SignedCheckpoint, witness: KnownWitness, pace: Pace) -> bool:
        """Whether it is this witness's turn; then nobody else asks it meanwhile."""
        said = _as_of(signed, [witness.key], 1)
        now = self._seconds()
        with self._guard:
            terms = self._of(signed, witness)
            fresh = said is not None and said + pace.renew > now
            if fresh or terms.asked or now < terms.next or self._asked >= AT_ONCE:
                return False
            terms.asked = True
            self._asked += 1
            return True

    def _visit(
        self,
        sequencer: Sequencer,
        files: LogFiles,
        witness: KnownWitness,
        signed: SignedCheckpoint,
        pace: Pace,
        turn: _Round,
    ) -> None:
        failure: AllodError | None = None
        try:
            failure = self._shown(sequencer, files, witness, signed, pace)
        except OSError as error:
            _log.error("not-published", log=signed.checkpoint.origin, exc_info=error)
        finally:
            with self._guard:
                self._of(signed, witness).asked = False
                self._asked -= 1
            turn.ended(witness.key.name, failure)

    def _shown(
        self,
        sequencer: Sequencer,
        files: LogFiles,
        witness: KnownWitness,
        signed: SignedCheckpoint,
        pace: Pace,
    ) -> AllodError | None:
        """Show the checkpoint to a witness, and serve what it signs; why not."""
        try:
            cosigned = self._ask(signed, files, witness)
            self.merge(sequencer, [witness.key], cosigned)
        except Conflict as error:
            seen = int(str(error.details.get("size", 0)))
            if seen > sequencer.checkpoint().size:  # of this log, or of a fork of it
                self._failed(signed, witness, error, pace)
                self._refused(signed.checkpoint.origin, witness.key.name, error.message)
            return error  # or it has grown meanwhile: the next round asks again
        except AllodError as error:
            self._failed(signed, witness, error, pace)
            return error
        return None

    def _ask(
        self, signed: SignedCheckpoint, files: LogFiles, witness: KnownWitness
    ) -> SignedCheckpoint:
        def read(tile: Tile) -> bytes:
            data = read_tile(files, tile)
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

    def _failed(
        self, signed: SignedCheckpoint, witness: KnownWitness, error: AllodError, pace: Pace
    ) -> None:
        origin = signed.checkpoint.origin
        with self._guard:
            terms = self._of(signed, witness)
            pause = min(FIRST_PAUSE * 2**terms.failures, pace.longest_pause)
            terms.failures, terms.next = min(terms.failures + 1, 16), self._seconds() + pause
        _log.warning("not-cosigned", log=origin, witness=witness.key.name, why=error.message)
        if isinstance(error, Untrusted):
            self._refused(origin, witness.key.name, error.message)

    def _of(self, signed: SignedCheckpoint, witness: KnownWitness) -> _Terms:
        return self._terms.setdefault((signed.checkpoint.origin, str(witness.key)), _Terms())

    def _require_open(self) -> None:
        if self._closed:
            raise Conflict("log-in-use", "cannot serve a cosignature: this server has stopped")


def _as_of(signed: SignedCheckpoint, keys: Iterable[VerifierKey], quorum: int) -> int | None:
    return vouched(signed, keys).as_of(quorum)


def _stamp(line: Signature) -> tuple[str, bytes, int]:
    """Whose cosignature a line is, and of when (C2SP tlog-cosignature: 8 bytes of time first)."""
    return line.name, line.id, int.from_bytes(line.signature[:8], "big")


def unreachable(url: str, why: str) -> Unavailable:
    """The error for a witness from which nothing came back."""
    return Unavailable("witness-unavailable", f"cannot reach the witness at {url[:200]}: {why}")
