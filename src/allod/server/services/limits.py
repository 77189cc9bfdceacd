"""Rates: so many in a span, then a refusal that says when to come again. And locks by name."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from allod.errors import Unavailable
from allod.server.ports import Clock

_KEYS: Final = 100_000


class Rate:
    """A token bucket for every key; the least recently used keys are forgotten.

    Args:
        clock: the server's.
        most: how many in a span; as many may come at once.
        what: in words, for the refusal.
        seconds: the span.
    """

    def __init__(self, clock: Clock, most: int, what: str, *, seconds: int = 60) -> None:
        self._clock = clock
        self._most = most
        self._what = what
        self._seconds = seconds
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, count: int = 1) -> None:
        """Count some. Raises Unavailable `too-many` with `retry_after` seconds."""
        now, most = self._clock.seconds(), float(self._most)
        with self._lock:
            left, at = self._buckets.pop(key, (most, now))
            left = min(most, left + max(0.0, now - at) * most / self._seconds)
            allowed = left >= count
            self._buckets[key] = (left - count if allowed else left, now)
            if len(self._buckets) > _KEYS:
                self._buckets.popitem(last=False)
        if not allowed:
            wait = int((count - left) * self._seconds / most) + 1
            span = {60: "a minute", 86_400: "a day"}.get(self._seconds, f"in {self._seconds} s")
            raise Unavailable(
                "too-many",
                f"cannot take more than {self._most} {self._what} {span}: try again in {wait} s",
                retry_after=wait,
            )


class Locks:
    """One lock a name, the same for every thread that asks."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.RLock] = {}

    def of(self, name: str) -> threading.RLock:
        """The lock of a name. `setdefault` is atomic; a `defaultdict` could make two."""
        return self._locks.get(name) or self._locks.setdefault(name, threading.RLock())
