"""What a recall meets: where the release runs or waits, which rollouts stop, what takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from allod.cli.catalog import Resolved
from allod.cli.deploy import ordered, overridden
from allod.cli.phrases import choices
from allod.cli.rollouts_open import open_rollouts
from allod.domain.desired import OWNER, Level, PackageEntry, ReleaseOrder, StateDocument
from allod.domain.ids import Digest, Scope
from allod.domain.overview_words import RANK
from allod.domain.rollout import Rollout
from allod.errors import Refused

if TYPE_CHECKING:
    from allod.cli.acceptance import Named
    from allod.cli.picture import Picture
    from allod.domain.reported import Member


def met(
    picture: Picture,
    found: Resolved,
    better: Resolved | None = None,
    scopes: frozenset[Scope] = frozenset(),
) -> Iterator[str]:
    """Where a release runs or waits, and what of it stops: lines to be read before signing.

    Args:
        picture: the fleet.
        found: the release.
        better: what takes its place in the owner's documents; None: nothing does.
        scopes: in which of them it does.
    """
    digest = found.digest
    runs, waits = [], []
    for member in picture.devices:
        packages = () if member.actual is None else member.actual.packages.values()
        held = [one for package in packages for one in package.releases if one.digest == digest]
        if any(one.level is Level.ACTIVE for one in held):
            runs.append(member)
        elif held:
            waits.append(member.shown)
    yield from _running(runs, better, scopes)
    if waits:
        yield f"It lies on {len(waits)}, and is not activated there: {choices(waits)}."
    for name, one in open_rollouts(picture.base).items():
        if any(_after(entry) == digest for _, _, entry in one.entries):
            yield f"The rollout {name} of {one.what} stops: none of its devices begins any more."
    for (author, scope), document in sorted(picture.base.delegated.items()):
        if _lists(document, found):
            yield f"! The delegation {author} wants it in {scope}; only {author} can replace it there."


def _running(
    runs: list[Member], better: Resolved | None, scopes: frozenset[Scope]
) -> Iterator[str]:
    ending = [one.shown for one in runs if scopes.intersection(one.scopes)]
    staying = [one.shown for one in runs if not scopes.intersection(one.scopes)]
    if ending and better is not None:
        until = f"until {better.version} takes its place"
        yield f"! It runs, and goes on running {until}, on {len(ending)}: {choices(ending)}."
    if staying:
        why = "" if better is None else "; no document of yours wants it there"
        yield f"! It runs, and goes on running, on {len(staying)}: {choices(staying)}{why}."


def _after(entry: PackageEntry) -> Digest | None:
    active = None if entry.software is None else entry.software.active
    return None if active is None else active.digest


def replaced(
    picture: Picture,
    found: Resolved,
    better: Resolved,
    named: Named,
    override: tuple[str, ...],
) -> dict[Scope, StateDocument]:
    """Every document of the owner that wants the release, with the better one in its place.

    A rollout of it, or away from it, ends: what is better comes to every device at once.

    Raises:
        Refused: `other-package`, or what forbids to deploy the better one.
    """
    if better.package != found.package:
        raise Refused(
            "other-package",
            f"cannot deploy {better.package} in the place of {found.package}: that is another "
            "package; withdraw without --deploy, and decide on each of the two",
        )
    changed = {}
    for scope, wanted in sorted(picture.base.states.items()):
        document = wanted
        level = _lists(document, found)
        if level is None or (document.device is not None and document.device.status != "active"):
            continue
        known = _lists(document, better, now=True)
        if known is not None and RANK[known] >= RANK[level]:
            document = overridden(picture, document, better.package, override)
        else:
            document = ordered(
                picture, document, better, level=level, named=named, override=override
            )
        changed[scope] = _without(document, found)
    return changed


def _lists(document: StateDocument, found: Resolved, *, now: bool = False) -> Level | None:
    """How far a document wants the release; None: not at all.

    Args:
        document: whose.
        found: the release.
        now: what stood before a rollout does not count.
    """
    entry = document.packages.get(found.package)
    if entry is None or entry.software is None or entry.software.manager != OWNER:
        return None
    before = () if now else _before(entry.rollout)
    orders: list[ReleaseOrder] = [*entry.software.releases, *before]
    levels = {order.level for order in orders if order.digest == found.digest}
    return next((one for one in reversed(Level) if one in levels), None)


def _before(rollout: Rollout | None) -> tuple[ReleaseOrder, ...]:
    return () if rollout is None or rollout.before is None else rollout.before.releases


def _without(document: StateDocument, found: Resolved) -> StateDocument:
    """The list without the release: where it ran it is kept as what ran before, and runs no more."""
    entry = document.packages[found.package]
    if entry.software is None:
        return document
    left = tuple(one for one in entry.software.releases if one.digest != found.digest)
    made = replace(entry, software=replace(entry.software, releases=left), rollout=None)
    return replace(document, packages={**document.packages, found.package: made})
