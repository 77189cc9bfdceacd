"""What other groups bring to a device that is moved: which packages run differently there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from allod.domain.desired import ReleaseOrder, StateDocument
from allod.domain.ids import DeviceId, Purl, Scope, package_name
from allod.domain.reported import Remark
from allod.domain.resolution import ResolvedSoftware, resolve, scopes_of

GETS, LOSES = "moved-gets", "moved-loses"

Documents = Mapping[Scope, StateDocument]


def of_move(
    scope: Scope, old: tuple[Scope, ...], new: StateDocument, documents: Documents
) -> Iterator[Remark]:
    """What a device of other groups is to run, to change and to remove.

    Args:
        scope: of the device.
        old: the scopes that spoke to it so far.
        new: the device's document, which names its groups.
        documents: of all scopes, as they were.
    """
    if new.device is None or new.device.groups is None:
        return
    groups = new.device.groups
    before = resolve(old, documents).packages
    after = resolve(scopes_of(DeviceId(scope.name), groups), {**documents, scope: new}).packages
    for package in sorted(after):
        was = before.get(package)
        had = None if was is None else was.software
        has = after[package].software
        if isinstance(has, ResolvedSoftware) and has != had:
            yield from _package(package, had if isinstance(had, ResolvedSoftware) else None, has)


def _package(
    package: Purl, had: ResolvedSoftware | None, has: ResolvedSoftware
) -> Iterator[Remark]:
    name, by = package_name(package), f"{has.scope.kind[:-1]} {has.scope.name[:63]}"
    old: ReleaseOrder | None = None if had is None else had.active
    if not has.releases and had is not None and had.releases:
        yield Remark(LOSES, f"{name} is removed there: {by} wants it deleted", package)
    elif has.active is not None and (old is None or old.digest != has.active.digest):
        instead = "" if old is None else f" instead of {old.version}"
        yield Remark(GETS, f"{name} {has.active.version} is to run there{instead} ({by})", package)
    elif has.active is None and old is not None:
        yield Remark(LOSES, f"no release of {name} runs there any more ({by})", package)
