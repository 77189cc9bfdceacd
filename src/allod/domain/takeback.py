"""Undo: software, configuration and settings of a scope as they were before one change.

A change is known by two versions of the document: the one before it and the one that it made.
What lies between them is put back in the present document, part by part, and nothing else is
touched. Parts that later changes altered again are put back too, and named, so that the owner
can be asked first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from allod.domain.desired import ConfigurationOrder, PackageEntry, Restart, Software, StateDocument
from allod.domain.edit import empty
from allod.errors import InvalidInput

_DOCUMENT_PARTS = ("settings", "hold", "terms", "device")
#: What is of one change alone and never comes back: its note, its approvals, what it set aside.
_OF_A_CHANGE = frozenset({"change", "approvals", "approved", "overrides"})
_ENTRY_PARTS = tuple(field.name for field in fields(PackageEntry) if field.name not in _OF_A_CHANGE)


@dataclass(frozen=True, slots=True)
class Undone:
    """A document with one change taken out of it."""

    document: StateDocument
    overlaps: tuple[str, ...]  #: parts that later changes touched as well, as 'package: software'
    happened: tuple[str, ...]  #: what cannot be made unhappened, in words


def undo(
    current: StateDocument,
    before: StateDocument | None,
    after: StateDocument,
    *,
    named_elsewhere: Iterable[str] = (),
) -> Undone:
    """Take the step from `before` to `after` out of `current`.

    A package that the change named for the first time becomes, if no other scope names it
    (`named_elsewhere`), one that is named with an empty list: silence would leave it running.

    Raises:
        InvalidInput: the three are not versions of one document.
    """
    if before is None:
        epoch = after.device.epoch if after.device is not None else 1
        before = replace(empty(after.fleet, after.scope, epoch=epoch), author=after.author)
        if after.device is None:
            before = replace(before, device=None)
    if not current.scope == before.scope == after.scope or current.author != after.author:
        raise InvalidInput("bad-scope", "cannot undo a change of one scope in another")
    overlaps: list[str] = []
    for name in _DOCUMENT_PARTS:
        was, became, now = (getattr(d, name) for d in (before, after, current))
        if was == became:
            continue
        if now not in (was, became):
            overlaps.append(name)
        current = replace(current, **{name: was})
    packages = dict(current.packages)
    elsewhere = frozenset(named_elsewhere)
    for key in sorted(before.packages.keys() | after.packages.keys()):
        entry, touched = _entry(
            packages.get(key), before.packages.get(key), after.packages.get(key), key in elsewhere
        )
        overlaps.extend(f"{key}: {part}" for part in touched)
        if entry is None:
            packages.pop(key, None)
        elif entry is not packages.get(key):
            packages[key] = entry
    restarts, happened = _restarts(current, before, after)
    return Undone(
        replace(current, packages=packages, restarts=restarts), tuple(overlaps), tuple(happened)
    )


def _entry(
    now: PackageEntry | None,
    was: PackageEntry | None,
    became: PackageEntry | None,
    elsewhere: bool,
) -> tuple[PackageEntry | None, list[str]]:
    blank = PackageEntry()
    first, second, present = was or blank, became or blank, now or blank
    touched = []
    put_back: dict[str, Any] = {}  # part -> its value before the change
    for name in _ENTRY_PARTS:
        old, new, value = (getattr(e, name) for e in (first, second, present))
        if old == new:
            continue
        if value not in (old, new):
            touched.append(name)
        put_back[name] = old
    if not put_back:
        return now, touched
    if not elsewhere:
        # Named for the first time and never before: gone again takes a word, not silence.
        if first.software is None and second.software is not None:
            put_back["software"] = Software()
        if first.configuration is None and second.configuration is not None:
            put_back["configuration"] = ConfigurationOrder()
    entry = replace(present, **put_back, overrides=frozenset(), approvals=())
    if was is None and replace(entry, change=None) == blank:
        return None, touched
    return entry, touched


def _restarts(
    current: StateDocument, before: StateDocument, after: StateDocument
) -> tuple[tuple[Restart, ...], list[str]]:
    was, became = ({known.id for known in d.restarts} for d in (before, after))
    here = {known.id for known in current.restarts}
    since = after.change.at if after.change is not None else None
    left = [known for known in current.restarts if known.id not in became - was]
    left += [
        known
        for known in before.restarts
        if known.id not in became | here and (since is None or known.latest > since)
    ]
    happened = [
        f"the restart {known.id} is called off only where it has not happened yet"
        for known in current.restarts
        if known.id in became - was
    ]
    return tuple(left), happened


def touched_parts(before: StateDocument | None, after: StateDocument) -> Iterator[str]:
    """The parts of a document that one step touched, named as in `Undone.overlaps`."""
    start = before if before is not None else empty(after.fleet, after.scope)
    for name in (*_DOCUMENT_PARTS, "restarts"):
        if getattr(start, name) != getattr(after, name):
            yield name
    blank = PackageEntry()
    for key in sorted(start.packages.keys() | after.packages.keys()):
        first, second = start.packages.get(key, blank), after.packages.get(key, blank)
        for name in _ENTRY_PARTS:
            if getattr(first, name) != getattr(second, name):
                yield f"{key}: {name}"
