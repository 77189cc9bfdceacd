"""What a delegate may change, held against their delegation before they sign (docs/spec/delegation.md).

Devices hold them to it in any case, and the server takes nothing else; here they are told first,
in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from allod.domain.condition import AGENT, Change, ChangeFacts, Term, Verb
from allod.domain.decision import decide
from allod.domain.desired import (
    OWNER,
    Accepts,
    ConfigurationOrder,
    Level,
    PackageEntry,
    Software,
    StateDocument,
)
from allod.domain.ids import Purl, Scope, is_pattern, pattern_covers
from allod.domain.terms import Packages, Scopes, Until, Verbs
from allod.errors import AllodError, InvalidInput, Refused

if TYPE_CHECKING:
    from allod.cli.picture import Picture
    from allod.domain.delegation import Delegation
    from allod.domain.release import Release

_FRAME: Final = (Scopes, Packages, Verbs, Until)  #: terms that depend on no device
_OWNERS: Final = {  #: members of a document that are the owner's, and how they are told
    "settings": "the settings",
    "hold": "a hold",
    "terms": "the terms",
    "device": "the device's record",
    "author": "the owner's own document",
}
_VERBS: Final = {
    Level.TRANSFERRED: Verb.TRANSFER,
    Level.INSTALLED: Verb.INSTALL,
    Level.ACTIVE: Verb.ACTIVATE,
}


def delegation_of(picture: Picture) -> Delegation:
    """The delegation as which a picture is changed, if it gives orders.

    Raises:
        InvalidInput: `unknown-delegation`, `follows-channel`.
    """
    known = picture.base.delegations
    found = known.get(picture.author)
    if found is None:
        raise InvalidInput(
            "unknown-delegation",
            f"cannot change anything as {picture.author[:64]}: there is no such delegation; there "
            f"are: {', '.join(known) or 'none'}",
        )
    if found.follow is not None:
        raise InvalidInput(
            "follows-channel",
            f"cannot change anything as {found.id}: it follows the channel {found.follow}, whose "
            "provider decides; see 'allod channel publish'",
        )
    return found


def check_word(picture: Picture, changed: Mapping[Scope, StateDocument]) -> None:
    """Whether a delegate's documents say nothing but what their delegation lets them decide.

    Raises:
        InvalidInput: as `delegation_of`.
        Refused: `owners-word`, `not-delegated`, `outside-terms`.
    """
    delegation = delegation_of(picture)
    for scope, document in changed.items():
        before = picture.base.by(delegation.id, scope) or StateDocument(
            document.fleet, scope, author=delegation.id
        )
        _check_owners(document, before)
        owners = picture.owners(scope)
        for key in sorted(before.packages.keys() | document.packages.keys()):
            was, entry = (one.packages.get(key, PackageEntry()) for one in (before, document))
            if was != entry:
                _check_entry(picture, delegation, owners, Purl(key), was, entry)
        if before.restarts != document.restarts:
            change = Change(Verb.RESTART, scope, AGENT)
            _decide(picture, delegation, change, delegation.all_terms, "order a restart")


def _check_owners(document: StateDocument, before: StateDocument) -> None:
    """What only the owner can say."""
    theirs = [
        says for name, says in _OWNERS.items() if getattr(document, name) != getattr(before, name)
    ]
    for key, entry in document.packages.items():
        managers = {half.manager for half in (entry.software, entry.configuration) if half}
        if managers - {OWNER}:
            theirs.append(f"who decides on {key}")
        if entry.accepts != Accepts() or entry.overrides or entry.secrets:
            theirs.append(f"what is accepted, set aside or granted for {key}")
        if is_pattern(key):
            theirs.append(f"the pattern {key}")
    if theirs:
        raise Refused(
            "owners-word",
            f"cannot change {document.scope} as {before.author}: only the owner says that",
            reasons=tuple(theirs),
        )


def _check_entry(
    picture: Picture,
    delegation: Delegation,
    owners: StateDocument,
    package: Purl,
    was: PackageEntry,
    entry: PackageEntry,
) -> None:
    halves = [
        name for name in ("software", "configuration") if getattr(was, name) != getattr(entry, name)
    ]
    key = _key(owners, package)
    named = None if key is None else owners.packages[key]
    for name in halves:
        half = None if named is None else getattr(named, name)
        if half is None or half.manager != delegation.id:
            who = "nobody" if half is None else half.manager
            raise Refused(
                "not-delegated",
                f"cannot change the {name} of {package} in {owners.scope} as {delegation.id}: "
                f"by the owner's document {who} decides on it there",
            )
    terms = (
        delegation.all_terms
        if key in {None, package}
        else (*delegation.all_terms, Packages((key or "",)))
    )
    for verb, release in verbs_of(picture, package, was, entry):
        change = Change(verb, owners.scope, package, release)
        _decide(picture, delegation, change, terms, f"{verb} {package}")


def _decide(
    picture: Picture, delegation: Delegation, change: Change, terms: tuple[Term, ...], what: str
) -> None:
    frame = [term for term in terms if isinstance(term, _FRAME)]
    if change.verb is Verb.RESTART:
        frame = [term for term in frame if not isinstance(term, Packages)]
    decision = decide(change, frame, ChangeFacts(), picture.now)
    if not decision.allowed:
        raise Refused(
            "outside-terms",
            f"cannot {what} in {change.scope} as {delegation.id}: the delegation does not allow it",
            reasons=tuple(f"{one.code}: {one.says}" for one in decision.refusals),
        )


def _key(document: StateDocument, package: Purl) -> str | None:
    """The key under which a document speaks of a package, exact before pattern."""
    if package in document.packages:
        return package
    covering = [
        key for key in document.packages if is_pattern(key) and pattern_covers(key, package)
    ]
    return covering[0] if covering else None


def verbs_of(
    picture: Picture, package: Purl, was: PackageEntry, entry: PackageEntry
) -> Iterator[tuple[Verb, Release | None]]:
    """What a change of an entry lets devices do, each with the release that is to come."""
    old, new = was.software or Software(), entry.software or Software()
    had = {order.digest: order for order in old.releases}
    for order in new.releases:
        known = had.get(order.digest)
        if known is None or (known.level, known.when) != (order.level, order.when):
            try:
                release = picture.catalog.release(order.provider, package, order.digest)
            except AllodError:
                release = None  # what it needs is unknown here; devices will see
            yield _VERBS[order.level], release
    if had.keys() - {order.digest for order in new.releases} and entry.software is not None:
        yield Verb.DELETE, None
    if was.configuration != entry.configuration and entry.configuration != ConfigurationOrder():
        yield Verb.CONFIGURE, None
