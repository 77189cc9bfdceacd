"""Wanted and actual in words, for the table of `allod status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from allod.domain.desired import OWNER, Level, ReleaseOrder
from allod.domain.ids import Digest
from allod.domain.reported import ActualPackage, ActualRelease
from allod.domain.resolution import ResolvedConfiguration, ResolvedPackage, Unresolved

RANK: Final = {Level.TRANSFERRED: 1, Level.INSTALLED: 2, Level.ACTIVE: 3}


def wanted_words(wanted: ResolvedPackage) -> tuple[str, ...]:
    """What is wanted of a package."""
    if isinstance(wanted.software, Unresolved):
        words = ["as it is"]
    else:
        words = [_order_words(order) for order in wanted.software.releases] or ["deleted"]
    if wanted.software.manager != OWNER:
        words.append(f"as {wanted.software.manager} decides")
    configuration = wanted.configuration
    if isinstance(configuration, ResolvedConfiguration):
        digest = configuration.order.digest
        words.append(f"configuration {_short(digest)}" if digest else "default configuration")
    return tuple(words)


def _order_words(order: ReleaseOrder) -> str:
    return f"{order.version} {order.level}" + (
        f" at {order.when}" if order.level is Level.ACTIVE and order.when != "now" else ""
    )


def actual_words(actual: ActualPackage | None) -> tuple[str, ...]:
    """What a device has of a package."""
    if actual is None or not actual.releases:
        return ("nothing",)
    ordered: Sequence[ActualRelease] = sorted(actual.releases, key=lambda one: -RANK[one.level])
    words = [f"{one.version} {one.level}" for one in ordered]
    if actual.configuration is not None:
        words.append(f"configuration {_short(actual.configuration)}")
    if actual.healthy is False:
        words.append("unhealthy")
    return tuple(words)


def _short(digest: Digest) -> str:
    return digest.removeprefix("sha256:")[:12]
