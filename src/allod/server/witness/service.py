"""What a witness does with a request: judge it, keep what it accepts, only then cosign.

1. the log's lock: requests about one log come one after the other;
2. `judge`, against what was cosigned last;
3. what is to be cosigned, *durable*;
4. the cosignature. A crash between 3 and 4 costs a repetition: the same checkpoint again is fine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import structlog

from allod.errors import InvalidInput
from allod.tlog.checkpoint import Checkpoint, parse_checkpoint
from allod.tlog.note import NoteSigner, VerifierKey
from allod.tlog.witness import SIZE_TYPE, Status, cosign, judge, parse_add_checkpoint

_log = structlog.get_logger("allod.witness")


class WitnessState(Protocol):
    """What a witness keeps. When a call that writes returns, it is durable."""

    def keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys of a log; none: it is not known."""
        ...

    def latest(self, origin: str) -> Checkpoint:
        """What was cosigned last of a known log. Raises Unavailable `witness-damaged`."""
        ...

    def keep(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Replace it by what is to be cosigned now."""
        ...

    def keep_evidence(self, origin: str, request: bytes) -> None:
        """Keep a request that contradicts it."""
        ...


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """An answer in HTTP's terms."""

    status: Status
    body: bytes
    content_type: str


class Witness:
    """The use case; may be called from several threads.

    Args:
        state: what is kept; no other process writes it.
        signer: cosigns.
        seconds: the time, since 1970.
    """

    def __init__(
        self, state: WitnessState, signer: NoteSigner, seconds: Callable[[], float]
    ) -> None:
        self._state = state
        self._signer = signer
        self._seconds = seconds
        self._guard = Lock()
        self._locks: dict[str, Lock] = {}

    def add_checkpoint(self, body: bytes) -> WitnessAnswer:
        """Answer a request to cosign.

        Raises:
            Unavailable: `witness-damaged`.
            OSError: it could not be kept; nothing was cosigned.
        """
        try:
            request = parse_add_checkpoint(body)
            origin = parse_checkpoint(request.note.text).origin
        except InvalidInput as error:
            return _plain(Status.BAD_REQUEST, error.message)
        keys = self._state.keys(origin)
        if not keys:
            verdict = judge(request, (), None)
            return _plain(verdict.status, verdict.why)
        with self._lock(origin):
            verdict = judge(request, keys, self._state.latest(origin))
            if verdict.status is Status.INCONSISTENT:
                self._state.keep_evidence(origin, body)
                _log.error("inconsistent", log=origin, known=verdict.known, why=verdict.why)
            if verdict.checkpoint is None:
                return _answer(verdict.status, verdict.body)
            self._state.keep(verdict.checkpoint, request.note.encode())
            line = cosign(verdict.checkpoint, self._signer, int(self._seconds()))
        _log.info("cosigned", log=origin, size=verdict.checkpoint.size)
        return _answer(Status.COSIGNED, line)

    def _lock(self, origin: str) -> Lock:
        """One for each log that is known, so that strangers cannot fill memory."""
        with self._guard:
            return self._locks.setdefault(origin, Lock())


def _plain(status: Status, why: str) -> WitnessAnswer:
    return _answer(status, f"{why}\n".encode())


def _answer(status: Status, body: bytes) -> WitnessAnswer:
    kind = SIZE_TYPE if status is Status.OTHER_SIZE else "text/plain; charset=utf-8"
    return WitnessAnswer(status, body, kind)
