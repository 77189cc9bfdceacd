"""The mark of what was verified."""

from __future__ import annotations

from typing import Final, Generic, TypeVar, final

T_co = TypeVar("T_co", covariant=True)
_T = TypeVar("_T")

_SEAL: Final = object()


@final
class Verified(Generic[T_co]):
    """A value whose signatures were checked, and by which keys. Only `trust` can make one.

    Attributes:
        value: what was signed.
        by: ids of the keys whose signatures counted.
    """

    __slots__ = ("by", "value")

    def __init__(self, value: T_co, by: frozenset[str], *, seal: object) -> None:
        if seal is not _SEAL:
            raise RuntimeError("Verified values are made in allod.trust only")
        self.value: Final = value
        self.by: Final = by

    def __repr__(self) -> str:
        return f"Verified({self.value!r}, by={sorted(self.by)})"


def seal(value: _T, by: frozenset[str]) -> Verified[_T]:
    """Mark `value` as verified. For modules of `allod.trust` alone (an architecture test holds it)."""
    return Verified(value, by, seal=_SEAL)
