"""What a delegation allows, in plain words: shown before it is signed, and ever after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from allod.cli.scopes import show_scope, touched
from allod.domain import terms
from allod.domain.condition import AGENT, Term, Verb, moment, span, window_text
from allod.domain.delegation import Delegation
from allod.domain.ids import is_pattern
from allod.domain.terms import VersionRule
from allod.wire.codec import instant
from allod.wire.terms import term_to_wire

if TYPE_CHECKING:
    from allod.domain.reported import Member

_ORDER = (Verb.TRANSFER, Verb.INSTALL, Verb.ACTIVATE, Verb.CONFIGURE, Verb.DELETE, Verb.RESTART)


def words(
    delegation: Delegation,
    members: Iterable[Member] = (),
    *,
    keys: tuple[int, int] | None = None,
    root: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """What it means; lines that begin with `!` must not be overlooked.

    Args:
        delegation: as it stands in the bytes that are signed.
        members: the devices.
        keys: how many keys of how many have to sign its orders.
        root: those of its packages whose release is known to run as root.
    """
    known = tuple(members)
    lines = [_who(delegation, keys), f"  {_where(delegation, known)}"]
    lines += [f"  {_terms_words(term)}" for term in delegation.all_terms if _free(term)]
    lines += [f"! {line}" for line in _graves(delegation, root)]
    return tuple(lines)


def _who(delegation: Delegation, keys: tuple[int, int] | None) -> str:
    packages = ", ".join(delegation.packages)
    verbs = ", ".join(verb for verb in _ORDER if verb in delegation.verbs)
    if delegation.follow is not None:
        return (
            f"{delegation.id}: what the provider {delegation.follow.provider} publishes in the "
            f"channel {delegation.follow} for {packages} is done without asking you ({verbs})."
        )
    holders = "whoever holds its key"
    if keys is not None and keys != (1, 1):
        holders = f"any {keys[0]} of the holders of its {keys[1]} keys"
    return f"{delegation.id}: {holders} may {verbs} {packages} without asking you."


def _where(delegation: Delegation, members: tuple[Member, ...]) -> str:
    places = []
    for scope in sorted(delegation.scopes):
        count = len(touched(scope, members))
        places.append(f"{show_scope(scope, members)} ({count} device{'' if count == 1 else 's'})")
    return f"only in: {', '.join(places)}; devices that join later included"


def _free(term: Term) -> bool:
    """Whether a term is one of its own, and not its frame."""
    return not isinstance(term, terms.Scopes | terms.Packages | terms.Verbs)


def _terms_words(term: Term) -> str:
    """A term, with what it means where its name does not say it."""
    if isinstance(term, terms.Versions):
        if term.rule is VersionRule.SECURITY:
            return f"{term.says}: it mends a flaw of the release that runs; nothing that does not run yet"
        return f"{term.says} as the release that runs; nothing that does not run yet"
    if isinstance(term, terms.NewAccess):
        if term.allowed:
            return f"{term.says}; any other new microphone, camera, port or path is refused"
        return "no access that what runs does not have: no new microphone, camera, port or path"
    if isinstance(term, terms.Lease):
        return (
            f"its word counts on a device {term.says}: a device that sees nothing newer stops going "
            f"by it {span(term.seconds)} later by itself"
        )
    return _short_words(term)


def _short_words(term: Term) -> str:
    match term:
        case terms.Soak():
            return f"a release runs only once it has been known for {span(term.seconds)}"
        case terms.Windows():
            shown = ", ".join(window_text(one) for one in term.windows)
            return f"what runs changes only in {shown} (UTC)"
        case terms.Rate():
            return f"what runs of a package changes {term.says}"
        case terms.Approvals():
            return f"every change has to be {term.says}"
        case terms.Until():
            return f"it ends {moment(term.at)} by itself"
        case _:
            return term.says


def _graves(delegation: Delegation, root: frozenset[str]) -> Iterator[str]:
    for package in full_control(delegation, root):
        yield (
            f"full control: {package} is named, and whoever decides on it decides on everything "
            "on those devices"
        )
    kinds = {type(term) for term in delegation.terms}
    if terms.Windows not in kinds:
        yield "at any time: no window is set"
    if not kinds & {terms.Lease, terms.Until}:
        yield (
            "without an end: a device that is offline goes by it until it learns that you revoked "
            "it; --lease or --until ends it there too"
        )


def full_control(delegation: Delegation, root: frozenset[str]) -> tuple[str, ...]:
    """Packages named exactly that are, or run as, master of the device."""
    return tuple(
        package
        for package in delegation.packages
        if not is_pattern(package) and (package == AGENT or package in root)
    )


def delegation_data(delegation: Delegation, root: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A delegation for `--json`."""
    import msgspec

    follow = delegation.follow
    return {
        "delegation": delegation.id,
        "about": delegation.about,
        "follow": None if follow is None else str(follow),
        "source": None if follow is None else follow.source,
        "scopes": sorted(map(str, delegation.scopes)),
        "packages": list(delegation.packages),
        "verbs": [verb for verb in _ORDER if verb in delegation.verbs],
        "terms": [
            {**msgspec.to_builtins(term_to_wire(term)), "says": term.says}
            for term in delegation.terms
        ],
        "fullControl": list(full_control(delegation, root)),
        "ends": end_of(delegation),
    }


def end_of(delegation: Delegation) -> str | None:
    """When it ends by itself, if it does."""
    ends = [term.at for term in delegation.terms if isinstance(term, terms.Until)]
    return instant(ends[0]) if ends else None
