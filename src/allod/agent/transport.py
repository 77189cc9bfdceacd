"""Where the fleet's files come from: several locations, tried in turn, none of them trusted.

Paths are relative to `/f/<fleet>/` of a location; those that begin with `v2/` (or '/') are
relative to the location itself.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from allod.agent.tokens import Tokens
from allod.agent.transport_http import ANSWER_CAP, Answer, HttpSource, Limits, Pace, Ticks
from allod.domain.ids import FleetId
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Unavailable
from allod.wire.trust import Location

_PATH: Final = re.compile(r"/?[A-Za-z0-9._~:@+=,-]+(?:/[A-Za-z0-9._~:@+=,-]+)*", re.ASCII)
_ROUNDS: Final = 2  #: how often a small file is asked of all locations
_STALLS: Final = 5  #: how often a transfer may stop without a single byte gained
SILENT: Final = frozenset({"unreachable", "too-slow", "no-location"})  #: nobody was there
_LONGEST: Final = 60.0  #: seconds that a failing location is left alone at most


def server_path(fleet: FleetId, path: str) -> str:
    """The address of `path` below a location.

    Raises:
        InvalidInput: `bad-path`.
    """
    if _PATH.fullmatch(path) is None or any(part in {".", ".."} for part in path.split("/")):
        raise InvalidInput("bad-path", f"cannot ask for {path[:200]!r}")
    if path.startswith(("/", "v2/")):
        return path.lstrip("/")
    return f"f/{fleet}/{path}"


@dataclass(slots=True)
class _Place:
    """A location and how it did so far in this run."""

    source: HttpSource
    failures: int = 0
    rests_until: float = field(default=float("-inf"))


class HttpTransport:
    """`Transport` over the fleet's locations."""

    def __init__(
        self,
        fleet: FleetId,
        locations: Sequence[Location],
        ticks: Ticks,
        *,
        tokens: Tokens | None = None,
        limits: Limits | None = None,
        bandwidth: int | None = None,
    ) -> None:
        self._fleet = fleet
        self._ticks = ticks
        self._tokens = tokens
        self._limits = limits or Limits()
        self.bandwidth = bandwidth
        self._jitter = random.Random()  # noqa: S311 - spreads requests, guards nothing
        self._served: dict[str, int] = {}
        self._first = 0
        self._places = [
            _Place(HttpSource(url, pins, ticks, self._limits))
            for url, pins in merged(locations).items()
        ]
        if not self._places:
            raise Unavailable("no-location", "cannot reach the fleet: no location of it is known")

    @property
    def width(self) -> int:
        """How many locations there are."""
        return len(self._places)

    def prefer(self, index: int) -> None:
        """Ask the location number `index` first from now on (what the others say did not hold)."""
        self._first = index % len(self._places)

    def get(self, path: str, *, cap: int) -> bytes | None:
        """The file, whole; None only if a location answers 404 or 410 and none has it."""

        def ask(source: HttpSource) -> bytes | None:
            answer = self._authorised(source, path, cap)
            if answer.status in {404, 410}:
                return None
            _expect(answer, source, path)
            return answer.body

        return self._from_any(path, ask)

    def stream(self, path: str, *, offset: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The file from `offset` on; goes on elsewhere, and from where it was, after a fault."""
        return _closing(self._stream(path, offset))

    def post(self, path: str, body: bytes) -> bytes:
        """Hand in a signed statement.

        Raises:
            Conflict: the server has something newer or else.
            Refused: the server does not take it; handing it in again will not help.
        """

        def hand_in(source: HttpSource) -> bytes | None:
            headers = {"Content-Type": "application/json"}
            answer = source.request(
                "POST", server_path(self._fleet, path), headers, cap=ANSWER_CAP, body=body
            )
            if answer.status in {404, 405, 410, 501}:
                return None
            if answer.status in {200, 201, 202, 204}:
                return answer.body
            raise _failure(answer, source, path)

        taken = self._from_any(path, hand_in)
        if taken is None:
            raise Unavailable("not-found", f"cannot hand in {path}: no location takes it")
        return taken

    def close(self) -> None:
        """Give the connections up."""
        for place in self._places:
            place.source.close()

    # ---------------------------------------------------------------- one after the other

    def _order(self, *, elsewhere: int | None = None) -> list[int]:
        """All locations, the preferred first, those that rest last."""
        count = len(self._places)
        start = self._first if elsewhere is None else elsewhere + 1
        turn = [(start + step) % count for step in range(count)]
        now = self._ticks.monotonic()
        return sorted(turn, key=lambda index: self._places[index].rests_until > now)

    def _from_any(self, path: str, ask: Callable[[HttpSource], bytes | None]) -> bytes | None:
        failure: AllodError | None = None
        for attempt in range(_ROUNDS):
            absent = False
            for index in self._order():
                place = self._places[index]
                if absent and place.rests_until > self._ticks.monotonic():
                    continue
                try:
                    found = ask(place.source)
                except Unavailable as error:
                    # A place that answers tells more than one that does not.
                    if failure is None or failure.code in SILENT:
                        failure = error
                    self._failed(place)
                    continue
                place.failures = 0
                if found is not None:
                    return found
                absent = True
            if absent:
                return None
            if attempt + 1 < _ROUNDS:
                self._ticks.sleep(self._jitter.uniform(0.2, 1.0))
        raise failure if failure is not None else Unavailable("unreachable", f"cannot reach {path}")

    def _failed(self, place: _Place) -> None:
        place.failures += 1
        longest = min(_LONGEST, 2.0**place.failures)
        place.rests_until = self._ticks.monotonic() + self._jitter.uniform(longest / 2, longest)

    def _authorised(
        self, source: HttpSource, path: str, cap: int, extra: Mapping[str, str] | None = None
    ) -> Answer:
        address = server_path(self._fleet, path)
        answer = source.request("GET", address, self._headers(extra), cap=cap)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._tokens is not None:
            self._tokens.renew(source)
            answer = source.request("GET", address, self._headers(extra), cap=cap)
        return answer

    def _headers(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        token = None if self._tokens is None else self._tokens.current()
        headers = dict(extra or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    # ---------------------------------------------------------------- long transfers

    def _stream(self, path: str, offset: int) -> Iterator[bytes]:
        pace = Pace(self._ticks, self._limits, self.bandwidth)
        # Whoever asks for the same file from its start again did not like what came.
        before = self._served.get(path) if offset == 0 else None
        stalls = 0
        renewed = False
        while True:
            order = self._order(elsewhere=before)
            index = order[stalls % len(order)]
            place = self._places[index]
            self._served[path] = index
            gained = 0
            try:
                for piece in self._pieces(place.source, path, offset, pace):
                    gained += len(piece)
                    offset += len(piece)
                    yield piece
            except Unavailable as error:
                if error.code == "unauthenticated" and self._tokens is not None and not renewed:
                    renewed = True
                    self._tokens.renew(place.source)
                    continue
                if error.code != "not-found":
                    self._failed(place)
                stalls = 1 if gained else stalls + 1
                if stalls >= _STALLS or (error.code == "not-found" and stalls >= len(order)):
                    raise
                self._ticks.sleep(self._jitter.uniform(0.1, 0.5) * 2**stalls)
            else:
                return

    def _pieces(self, source: HttpSource, path: str, offset: int, pace: Pace) -> Iterator[bytes]:
        extra = {"Range": f"bytes={offset}-"} if offset else {}
        address = server_path(self._fleet, path)
        with source.stream(address, self._headers(extra), pace) as (answer, pieces):
            if answer.status not in {200, 206}:
                raise _failure(answer, source, path)
            skip = offset
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                if not answer.headers.get("content-range", "").startswith(f"bytes {offset}-"):
                    raise Unavailable(
                        "bad-range",
                        f"cannot go on with {path} from {source.url}: another range came",
                    )
                skip = 0
            for piece in pieces:
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                yield piece[skip:]
                skip = 0


def merged(locations: Sequence[Location]) -> dict[str, tuple[str, ...]]:
    """URL to pins, in order, each URL once with all the pins that it has anywhere.

    Locations that cannot be used are left out; the others must do.
    """
    pins: dict[str, tuple[str, ...]] = {}
    for location in locations:
        url = location.url.rstrip("/")
        if re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?", url, re.ASCII):
            known = pins.get(url, ())
            pins[url] = (*known, *(pin for pin in location.pins if pin not in known))
    return pins


@contextmanager
def _closing(generator: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    try:
        yield generator
    finally:
        generator.close()  # type: ignore[attr-defined]


def _expect(answer: Answer, source: HttpSource, path: str) -> None:
    if answer.status != HTTPStatus.OK:
        raise _unavailable(answer, source, path)


def _unavailable(answer: Answer, source: HttpSource, path: str) -> Unavailable:
    codes = {401: "unauthenticated", 403: "not-admitted", 404: "not-found", 410: "not-found"}
    return Unavailable(
        codes.get(answer.status, "unreachable"),
        f"cannot get {path} from {source.url}: it answers {answer.status}",
        status=answer.status,
    )


def _failure(answer: Answer, source: HttpSource, path: str) -> AllodError:
    """The failure that an answer to a statement stands for; a problem document names its code."""
    code, words = answer.problem()
    message = f"cannot hand in {path} at {source.url}: {words}"
    if answer.status == HTTPStatus.CONFLICT:
        return Conflict(code, message)
    if answer.status in {400, 403, 413, 422}:
        return Refused(code, message)
    return _unavailable(answer, source, path)
