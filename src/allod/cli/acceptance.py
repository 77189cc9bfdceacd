"""What an owner takes on by name when a release is deployed; nothing is taken on silently.

The owner's own releases need no names for the access that they ask for: who signs them has said
so already. Constraints and data that can't be taken back are named always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allod.cli.phrases import choices
from allod.domain.access import new_access
from allod.domain.desired import Accepts, Level, PackageEntry
from allod.domain.ids import Digest
from allod.domain.release import Release, is_one_way
from allod.errors import InvalidInput, Refused


@dataclass(frozen=True, slots=True)
class Named:
    """What the user accepts: names of access and constraints, and data that cannot come back."""

    names: tuple[str, ...] = ()
    one_way: bool = False


def accepts_of(
    release: Release,
    digest: Digest,
    level: Level,
    entry: PackageEntry,
    formers: Sequence[Release],
    named: Named,
    *,
    own: bool,
) -> Accepts:
    """What the entry has to accept so that devices take the release.

    Args:
        release: what is deployed.
        digest: its digest.
        level: how far.
        entry: the package's entry so far.
        formers: what runs now.
        named: what the user accepts by name.
        own: whether the provider is the owner, with the key on this machine.

    Raises:
        Refused: `not-accepted`, with everything that would have to be named.
        InvalidInput: `unknown-name`, something was named that the release does not ask for.
    """
    ids = frozenset(one.id for one in release.constraints)
    _check_names(release, ids, named)
    given = frozenset(named.names)
    reasons: list[str] = []
    access = frozenset[str]()
    constraints = frozenset[str]()
    if level is Level.ACTIVE:
        had = frozenset.intersection(*(one.access for one in formers)) if formers else frozenset()
        fresh = new_access(had | entry.accepts.access, release.access)
        reasons += [
            f"it needs access to {name}: --accept {name}"
            for name in sorted(fresh - given)
            if not own
        ]
        access = release.access
    if level is not Level.TRANSFERRED:
        reasons += [
            f"it binds you: {one.says}: --accept {one.id}"
            for one in release.constraints
            if one.id not in given | entry.accepts.constraints
        ]
        constraints = ids
    one_way = level is Level.ACTIVE and any(is_one_way(former, release) for former in formers)
    if one_way and not named.one_way and digest not in entry.accepts.one_way:
        reasons.append("its data could not be taken back: --accept-one-way")
    if reasons:
        raise Refused(
            "not-accepted",
            f"cannot deploy {release.package} {release.version}: it asks for what you have not "
            "accepted by name",
            reasons=tuple(reasons),
        )
    return Accepts(access, constraints, frozenset({digest}) if one_way else frozenset())


def _check_names(release: Release, constraints: frozenset[str], named: Named) -> None:
    known = release.access | constraints
    for name in named.names:
        if name not in known:
            raise InvalidInput(
                "unknown-name",
                f"cannot accept {name[:80]!r}: {release.package} {release.version} does not ask for "
                f"it; it asks for {choices(sorted(known))}",
            )
