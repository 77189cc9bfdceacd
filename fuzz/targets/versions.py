"""Two versions, a line each, in every order (docs/explanation/versions.md)."""

from __future__ import annotations

from contextlib import suppress

from allod.advisories.orders import Order, order_named
from allod.errors import InvalidInput
from allod.testing.versions import ORACLES

ORDERS = tuple(
    filter(None, map(order_named, ("dpkg", "rpm", "apk", "semver", "maven", "nuget", "pep440")))
)


def target(data: bytes) -> None:
    """Each order refuses one of them, or places them as they stand the other way round."""
    first, _, second = data.decode(errors="surrogateescape").partition("\n")
    for order in ORDERS:
        with suppress(InvalidInput):
            _place(order, first, second)


def _place(order: Order, first: str, second: str) -> None:
    answer = order.compare(first, second)
    if answer != -order.compare(second, first) or order.compare(first, first):
        raise RuntimeError(f"{order.name} is no order")
    walk = ORACLES.get(order.name)
    if walk is not None and walk(first, second) != answer:
        raise RuntimeError(f"{order.name} answers otherwise than a walk does")
