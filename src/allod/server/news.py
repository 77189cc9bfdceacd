"""News within one process: a counter a fleet, and the futures of those who wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class InProcessNews:
    """Implements `allod.server.ports.News`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, int] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._closed = False

    def current(self, fleet: str) -> int | None:
        """See the port."""
        return self._counters.get(fleet)

    def announce(self, fleet: str, news: int) -> None:
        """See the port."""
        with self._lock:
            self._counters[fleet] = news
            waiting = self._waiting.pop(fleet, set())
        _wake_all(waiting)

    def close(self) -> None:
        """See the port."""
        with self._lock:
            self._closed = True
            waiting = set().union(*self._waiting.values())
            self._waiting.clear()
        _wake_all(waiting)

    async def wait(self, fleet: str, after: int, seconds: float) -> int | None:
        """See the port."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            current = self._counters.get(fleet)
            if current is None or current != after or self._closed:
                return current
            self._waiting.setdefault(fleet, set()).add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return None
        finally:
            with self._lock:
                self._waiting.get(fleet, set()).discard(future)
        return self._counters.get(fleet)


def _wake_all(waiting: set[asyncio.Future[None]]) -> None:
    for future in waiting:
        with contextlib.suppress(RuntimeError):  # its loop has ended, and whoever waited with it
            future.get_loop().call_soon_threadsafe(_wake, future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
