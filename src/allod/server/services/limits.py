"""Rates: so many in a minute, then a refusal that says when to come again."""

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
        a_minute: how many; as many may come at once.
        what: in words, for the refusal.
    """

    def __init__(self, clock: Clock, a_minute: int, what: str) -> None:
        self._clock = clock
        self._a_minute = a_minute
        self._what = what
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Count one. Raises Unavailable `too-many` with `retry_after` seconds."""
        now = self._clock.seconds()
        with self._lock:
            left, at = self._buckets.pop(key, (float(self._a_minute), now))
            left = min(float(self._a_minute), left + max(0.0, now - at) * self._a_minute / 60)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            if len(self._buckets) > _KEYS:
                self._buckets.popitem(last=False)
        if not allowed:
            wait = int((1 - left) * 60 / self._a_minute) + 1
            raise Unavailable(
                "too-many",
                f"cannot take more than {self._a_minute} {self._what} a minute: try again in {wait} s",
                retry_after=wait,
            )
