"""Handing packages of a scope to a delegation, and taking them back, as edits of its document.

What the owner took on by name for releases of their own choice does not go along: a delegate
begins with the terms of the delegation and nothing else. Constraints that bind the owner already
stay accepted. Nothing here changes what runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from allod.domain.condition import AGENT
from allod.domain.desired import (
    OWNER,
    Accepts,
    ConfigurationOrder,
    PackageEntry,
    Software,
    StateDocument,
)
from allod.domain.ids import Purl, is_pattern, pattern_covers
from allod.errors import Refused


@dataclass(frozen=True, slots=True)
class Halves:
    """What of a package is handed over."""

    software: bool = True
    configuration: bool = False


def hand_over(
    document: StateDocument,
    manager: str,
    packages: Iterable[str],
    halves: Halves,
    *,
    keep: frozenset[str] = frozenset(),
) -> StateDocument:
    """Let a delegation decide on packages of a scope.

    Packages that the owner lists by exact name and that a pattern covers go along, but for those
    in `keep` and the agent itself, which no pattern covers.

    Raises:
        Refused: `managed-elsewhere`, `unreadable-entries`.
    """
    wanted = tuple(packages)
    keys = [*wanted, *covered(document, wanted, keep)]
    found = dict(document.packages)
    for key in keys:
        if key in document.unreadable:
            raise Refused(
                "unreadable-entries",
                f"cannot hand over {key} in {document.scope}: its entry was written by a newer "
                "program; use the version of allod that wrote it",
            )
        entry = found.get(key, PackageEntry())
        named = key in wanted
        found[key] = _given(
            document,
            key,
            entry,
            manager,
            Halves(
                halves.software and (named or entry.software is not None),
                halves.configuration and (named or entry.configuration is not None),
            ),
        )
    return replace(document, packages=found)


def covered(
    document: StateDocument, packages: Iterable[str], keep: frozenset[str] = frozenset()
) -> tuple[Purl, ...]:
    """Packages that the owner names exactly, under one of these patterns."""
    patterns = [one for one in packages if is_pattern(one)]
    return tuple(
        Purl(key)
        for key in sorted(document.packages)
        if not is_pattern(key)
        and key not in keep
        and key != AGENT
        and any(pattern_covers(pattern, Purl(key)) for pattern in patterns)
    )


def _given(
    document: StateDocument, key: str, entry: PackageEntry, manager: str, halves: Halves
) -> PackageEntry:
    if halves.software:
        held = entry.software
        _check_free(document, key, OWNER if held is None else held.manager, manager)
        if held is None or held.manager != manager:
            entry = replace(
                entry,
                software=Software(manager),
                together=(),
                accepts=Accepts(constraints=entry.accepts.constraints),
                overrides=frozenset(),
                rollout=None,
                approvals=(),
            )
    if halves.configuration:
        order = entry.configuration
        _check_free(document, key, OWNER if order is None else order.manager, manager)
        if order is None or order.manager != manager:
            entry = replace(
                entry,
                configuration=ConfigurationOrder(manager),
                overrides=frozenset(),
                rollout=None,
                approvals=(),
            )
    return entry


def _check_free(document: StateDocument, key: str, present: str, manager: str) -> None:
    if present not in {OWNER, manager}:
        raise Refused(
            "managed-elsewhere",
            f"cannot hand over {key} in {document.scope}: the delegation {present} decides on it; "
            "end that one first",
            manager=present,
        )


def take_back(document: StateDocument, manager: str, *, but: Iterable[str] = ()) -> StateDocument:
    """Let nobody decide in the delegation's place: its packages stay as they are.

    What else the owner says of them stays; an entry that says nothing any more goes.

    Args:
        document: of a scope.
        manager: the delegation.
        but: packages and patterns that stay with it, and what they cover.
    """
    found: dict[str, PackageEntry] = {}
    staying = tuple(but)
    for key, entry in document.packages.items():
        left = entry
        if _stays(key, staying):
            found[key] = entry
            continue
        if entry.software is not None and entry.software.manager == manager:
            left = replace(left, software=None, accepts=Accepts(), overrides=frozenset())
        if entry.configuration is not None and entry.configuration.manager == manager:
            left = replace(left, configuration=None)
        says = left.software is not None or left.configuration is not None
        if left is entry or says or left.health or left.secrets:
            found[key] = left
    return replace(document, packages=found)


def _stays(key: str, staying: tuple[str, ...]) -> bool:
    if key in staying:
        return True
    patterns = [one for one in staying if is_pattern(one)]
    return not is_pattern(key) and any(pattern_covers(one, Purl(key)) for one in patterns)


def managed_by(document: StateDocument, manager: str) -> tuple[str, ...]:
    """The keys of the document whose software or configuration the delegation decides on."""
    return tuple(
        key
        for key, entry in sorted(document.packages.items())
        if (entry.software is not None and entry.software.manager == manager)
        or (entry.configuration is not None and entry.configuration.manager == manager)
    )
