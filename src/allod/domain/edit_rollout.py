"""What an owner or a delegate does with rollouts, as edits of a document of desired state."""

from __future__ import annotations

from dataclasses import replace

from allod.domain.desired import ConfigurationOrder, PackageEntry, Software, StateDocument
from allod.domain.ids import Purl
from allod.domain.rollout import Rollout, Stage
from allod.errors import Conflict, InvalidInput


def stage(
    before: StateDocument,
    after: StateDocument,
    package: Purl,
    name: str,
    stages: tuple[Stage, ...],
    retries: int = 0,
) -> StateDocument:
    """Let what `after` wants of a package come stage by stage; what `before` wants holds meanwhile.

    Raises:
        Conflict: `rollout-open`: another one of the package is open there.
        InvalidInput: `nothing-to-roll-out`: the entry is as it was.
    """
    was = before.packages.get(package, PackageEntry())
    entry = after.packages[package]
    if was.rollout is not None:
        raise open_already(before, package, was.rollout)
    software = was.software != entry.software
    configuration = was.configuration != entry.configuration
    if not software and not configuration:
        raise InvalidInput(
            "nothing-to-roll-out", f"cannot roll out {package} in {before.scope}: it is so already"
        )
    plan = Rollout(
        name,
        stages,
        before=(was.software or Software()) if software else None,
        before_configuration=(was.configuration or ConfigurationOrder()) if configuration else None,
        retries=retries,
    )
    return _put(after, package, replace(entry, rollout=plan))


def open_already(document: StateDocument, package: Purl, known: Rollout) -> Conflict:
    """Two plans for one package would leave devices between them without a word."""
    return Conflict(
        "rollout-open",
        f"cannot change {package} in {document.scope} so: the rollout {known.id} is open; end it "
        f"first, with 'allod rollout finish {known.id}' or 'allod rollout abort {known.id}'",
        rollout=known.id,
    )


def finish(document: StateDocument, name: str) -> StateDocument:
    """What comes after holds everywhere, from now on."""
    packages = {
        key: replace(entry, rollout=None)
        if entry.rollout is not None and entry.rollout.id == name
        else entry
        for key, entry in document.packages.items()
    }
    return replace(document, packages=packages)


def abort(document: StateDocument, name: str) -> StateDocument:
    """What stood before holds everywhere again, also where what comes after runs already."""
    packages = {
        key: _as_before(entry, entry.rollout)
        if entry.rollout is not None and entry.rollout.id == name
        else entry
        for key, entry in document.packages.items()
    }
    return replace(document, packages=packages)


def _as_before(entry: PackageEntry, plan: Rollout) -> PackageEntry:
    return replace(
        entry,
        software=entry.software if plan.before is None else plan.before,
        configuration=entry.configuration
        if plan.before_configuration is None
        else plan.before_configuration,
        rollout=None,
    )


def rollouts_in(document: StateDocument) -> dict[str, tuple[Purl, PackageEntry]]:
    """The open rollouts of a document by id."""
    return {
        entry.rollout.id: (Purl(key), entry)
        for key, entry in document.packages.items()
        if entry.rollout is not None
    }


def _put(document: StateDocument, package: Purl, entry: PackageEntry) -> StateDocument:
    return replace(document, packages={**document.packages, package: entry})
