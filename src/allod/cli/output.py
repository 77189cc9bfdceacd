"""What a verb shows: text for people on a terminal, or one JSON document (`--json`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from allod.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console


_PIPE_WIDTH: Final = 1000  #: where nobody looks, a row is one line, for grep and its like


def printable(text: str) -> str:
    """`text` without control characters: what came from elsewhere can't steer the terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def outline(value: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """A document for people, an indented line a member; what is empty is left out."""
    margin = "  " * depth
    for key, part in value.items():
        if part is None or part in ("", [], {}):
            continue
        if isinstance(part, Mapping):
            yield f"{margin}{key}:"
            yield from outline(part, depth + 1)
        elif isinstance(part, list) and any(isinstance(one, Mapping) for one in part):
            yield f"{margin}{key}:"
            for one in part:
                shown = list(outline(one, depth + 2)) if isinstance(one, Mapping) else [_plain(one)]
                yield f"{margin}  - {' '.join(shown[:1]).strip()}"
                yield from shown[1:]
        elif isinstance(part, list):
            yield f"{margin}{key}: {', '.join(_plain(one) for one in part)}"
        else:
            yield f"{margin}{key}: {_plain(part)}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@dataclass(frozen=True, slots=True)
class Output:
    """Where a verb's answer goes.

    Args:
        json: answer with one JSON document on standard output, and nothing else there.
    """

    json: bool = False

    def result(self, data: Any, text: Callable[[Console], None] | str) -> None:
        """The verb's answer: `data` as JSON, or `text` for people."""
        if self.json:
            encoded = msgspec.json.format(msgspec.json.encode(data), indent=2)
            sys.stdout.write(encoded.decode() + "\n")
        elif isinstance(text, str):
            sys.stdout.write(printable(text) + "\n")
        else:
            text(self.console())
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """A remark beside the answer, on standard error."""
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def console(self, *, stderr: bool = False) -> Console:
        """A rich console on standard output (or error)."""
        from rich.console import Console

        terminal = (sys.stderr if stderr else sys.stdout).isatty()
        return Console(
            stderr=stderr,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=not terminal,
            width=None if terminal or "COLUMNS" in os.environ else _PIPE_WIDTH,
        )

    def table(
        self, data: Any, columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = ""
    ) -> None:
        """An answer that is a table; `data` is what `--json` shows instead."""
        self.result(data, lambda console: _table(console, columns, rows, empty))

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if the user agrees.

        Raises:
            InvalidInput: `not-confirmed`, they said no, or can't be asked.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise InvalidInput(
                "not-confirmed", "cannot go on without a yes: there is no terminal; give --yes"
            )
        sys.stderr.write(f"{printable(question)} [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            sys.stderr.write("\n")
        if answer.strip().lower() not in {"y", "yes"}:
            raise InvalidInput("not-confirmed", "cannot go on without a yes; nothing was published")

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show long work on standard error; the value called with a number advances by it."""
        if self.json or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.progress import Progress

        with Progress(console=self.console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda step: bar.advance(task, step)


def _table(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str
) -> None:
    if not rows:
        if empty:
            console.print(empty)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    console.print(table)
