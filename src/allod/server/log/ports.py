"""What the sequencer needs of the world: where one log lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class LogFiles(Protocol):
    """What readers see of a log. May be called by anybody, at any time."""

    def published(self) -> bytes | None:
        """The signed checkpoint that is served; None: there is none yet."""
        ...

    def read(self, path: str) -> bytes | None:
        """A tile or bundle by its address; None: it is not there."""
        ...


class LogStorage(LogFiles, Protocol):
    """One log, with what its sequencer keeps for itself.

    When a call that writes returns, what it wrote is durable. When it raises, it may or may not
    be. Only one sequencer holds a log at a time: a write by another one, or by one that held it
    once, is refused and does nothing. Calls come one after the other.
    """

    def hold(self) -> None:
        """Become the sequencer of this log. Holding it already is fine.

        Raises:
            Conflict: `log-in-use`: another one holds it.
        """
        ...

    def release(self) -> None:
        """Let go of the log, if it is held."""
        ...

    def head(self) -> str | None:
        """The text of the checkpoint that the log is committed to; None: there is no log."""
        ...

    def commit(self, old: str | None, new: str) -> None:
        """Make `new` the head, if `old` still is; this alone decides what the log is.

        Raises:
            Conflict: `log-in-use`: it is not held, or the head is another one.
        """
        ...

    def stage(self, name: str, data: bytes) -> None:
        """Keep what is to be written once `name` is committed, and forget all other stages.

        Raises:
            Conflict: `log-in-use`.
        """
        ...

    def staged(self, name: str) -> bytes | None:
        """What was staged under this name; None: nothing, or it was forgotten."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write tiles and bundles by their addresses: each whole, all of them or some.

        The same file may be written again with the same bytes.

        Raises:
            Conflict: `log-in-use`.
        """
        ...

    def remove_under(self, directories: Sequence[str]) -> None:
        """Remove all files in these directories, if there are any. Raises Conflict `log-in-use`."""
        ...

    def publish(self, checkpoint: bytes) -> None:
        """Replace the checkpoint that is served. Raises Conflict `log-in-use`."""
        ...
