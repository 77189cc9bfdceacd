"""Faults, one at a time: the n-th call of any port, or of `allod.durable`, fails or kills.

A fault strikes before the call takes effect, or after it: 'not done', and 'done, but reported as
failed' (the two halves of what a power cut can leave behind).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from allod import durable

_T = TypeVar("_T")


class Killed(BaseException):
    """The process was killed here. Not an `Exception`: nothing in the agent may catch it."""


class Strike(StrEnum):
    """What happens at the chosen call."""

    ERROR_BEFORE = "error before"
    ERROR_AFTER = "error after"
    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"


@dataclass(slots=True)
class Faults:
    """Counts calls, and strikes at one of them.

    Args:
        at: the call that is struck, counted from 1; 0: none, calls are only counted.
        strike: what happens then.
        look: gives what a kill at this moment would leave behind, in a form that can be compared.
    """

    at: int = 0
    strike: Strike = Strike.KILL_BEFORE
    error: Callable[[], Exception] = lambda: OSError(5, "Input/output error")
    look: Callable[[], object] | None = None
    calls: list[str] = field(default_factory=list)
    #: With `look`: the calls before which something new was left; a kill before any other call
    #: leaves what a kill before the call ahead of it leaves.
    telling: list[int] = field(default_factory=list)
    _left: object = None

    def call(
        self, name: str, act: Callable[[], _T], error: Callable[[], Exception] | None = None
    ) -> _T:
        """Do `act`, unless this is the call that is struck; `error` makes what it raises then."""
        fails = error or self.error
        self.calls.append(name)
        if self.look is not None:
            left = self.look()
            if left != self._left:
                self.telling.append(len(self.calls))
                self._left = left
        if len(self.calls) != self.at:
            return act()
        if self.strike is Strike.KILL_BEFORE:
            raise Killed(name)
        if self.strike is Strike.ERROR_BEFORE:
            raise fails()
        act()
        if self.strike is Strike.KILL_AFTER:
            raise Killed(name)
        raise fails()

    @property
    def struck(self) -> str:
        """The name of the call that was struck; empty: it was never reached."""
        return self.calls[self.at - 1] if 0 < self.at <= len(self.calls) else ""


class Frail:
    """A port, each call of which may be struck.

    Args:
        port: the one that does the work.
        faults: decides.
        spared: calls that can't fail, such as reading a clock.
        error: makes what a call of this port fails with; None: what `faults` says.
    """

    def __init__(
        self,
        port: object,
        faults: Faults,
        spared: frozenset[str] = frozenset(),
        error: Callable[[], Exception] | None = None,
    ) -> None:
        self._port = port
        self._faults = faults
        self._spared = spared
        self._error = error

    def __getattr__(self, name: str) -> Any:
        """The port's own attribute; a method that counts, if it is one."""
        found = getattr(self._port, name)
        if not callable(found) or name in self._spared:
            return found
        label = f"{type(self._port).__name__}.{name}"

        @functools.wraps(found)
        def frail(*args: object, **kwargs: object) -> object:
            return self._faults.call(label, lambda: found(*args, **kwargs), self._error)

        return frail


DURABLE: Final = ("write_atomic", "make_directory", "switch_link", "remove_file", "sync_directory")


def frail_disk(faults: Faults) -> dict[str, Callable[..., Any]]:
    """Stand-ins for the functions of `allod.durable`, by name, that may be struck."""

    def stand_in(name: str) -> Callable[..., Any]:
        real = getattr(durable, name)

        @functools.wraps(real)
        def frail(*args: object, **kwargs: object) -> object:
            return faults.call(f"durable.{name}", lambda: real(*args, **kwargs))

        return frail

    return {name: stand_in(name) for name in DURABLE}
