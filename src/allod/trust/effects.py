"""What `trust` asks its shell to do: fetch a file, or keep floors and files durably."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from allod.errors import AllodError
from allod.trust.floors import Floors

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Need:
    """Fetch a file. The answer is its bytes, or None if the source says that it has none."""

    path: str  #: relative to /f/<fleet>/
    cap: int  #: bytes; more is refused before it is read whole


@dataclass(frozen=True, slots=True)
class Keep:
    """Make the floors durable, then the files; the answer, None, says that it is done.

    Files go to the TUF cache under flat names; one that is lost costs only a transfer.
    """

    floors: Floors
    files: Mapping[str, bytes] = field(default_factory=dict)
    forget: tuple[str, ...] = ()  #: cached names to remove; they are not used again anyway


Effect: TypeAlias = Need | Keep
Steps: TypeAlias = Generator[Effect, bytes | None, _T]


def drive(
    steps: Steps[_T],
    get: Callable[[str, int], bytes | None],
    keep: Callable[[Keep], None],
) -> _T:
    """Answer every effect until the result is there.

    A failure of `get` or `keep` is thrown into the steps, which keep the floors that they had
    verified before they give up.
    """
    try:
        effect = next(steps)
        while True:
            answer: bytes | None = None
            try:
                if isinstance(effect, Need):
                    answer = get(effect.path, effect.cap)
                else:
                    keep(effect)
            except AllodError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        result: _T = end.value
        return result
