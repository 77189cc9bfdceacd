"""`allod delegate revoke`: a delegation ends, and its packages are the owner's again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from allod.cli.cards import delegation_role
from allod.cli.delegations import find, people_of, role_keys
from allod.cli.documents import FLEET_PATH
from allod.cli.options import OPTIONS, Options
from allod.cli.picture import Picture
from allod.cli.publish import INTENT, Change, Intent, publish_and_say
from allod.cli.scopes import show_scope, touched
from allod.domain.condition import moment, span
from allod.domain.handover import managed_by, take_back
from allod.domain.ids import Purl, Scope, is_pattern, pattern_covers
from allod.domain.terms import Lease, Until
from allod.wire.codec import encode
from allod.wire.delegation import delegation_path

if TYPE_CHECKING:
    from allod.domain.delegation import Delegation
    from allod.domain.desired import StateDocument
    from allod.trust.authoring import RepositoryDraft


def revoke(name: str, *, intent: Intent = INTENT, options: Options = OPTIONS) -> None:
    """End a delegation. Its packages are yours again, and devices keep running what they have.

    Args:
        name: Which.
        intent: Options of every verb that changes something.
        options: Options of every verb.
    """
    intent.owners_alone("revoke a delegation")
    done = publish_and_say(options, intent, lambda picture: plan_revoke(picture, name))
    if done is not None:
        options.output.say(f"Which devices know it: allod delegate show {name}")


def plan_revoke(picture: Picture, name: str) -> Change:
    """The documents without it. Raises InvalidInput `unknown-delegation`."""
    base = picture.base
    delegation = find(base, name)
    states = {
        scope: take_back(picture.owners(scope), name)
        for scope, document in base.states.items()
        if managed_by(document, name)
    }
    files = {}
    gone = people_of(base, name)
    if gone:
        document = base.fleet_document
        left = [person for person in document.people if person not in gone]
        files[FLEET_PATH] = encode(msgspec.structs.replace(document, people=left))
    role = delegation_role(name) if role_keys(base, name) is not None else None

    def also(draft: RepositoryDraft) -> None:
        draft.remove_target(delegation_path(name))
        if role is not None:
            draft.revoke_delegation(role)

    return Change(states, files, words=tuple(_words(picture, delegation, states)), also=also)


def _words(
    picture: Picture, delegation: Delegation, states: dict[Scope, StateDocument]
) -> Iterator[str]:
    yield (
        f"{delegation.id} ends: its packages are yours to decide on, and devices keep running what "
        "they have."
    )
    yield f"A device that is offline goes by it until it learns of this; {window_words(delegation)}."
    for scope in sorted(states):
        for key in managed_by(picture.owners(scope), delegation.id):
            yield from _elsewhere(picture, scope, key)


def window_words(delegation: Delegation) -> str:
    """For how long its word still counts on a device that does not learn of its end."""
    says = []
    for term in delegation.terms:
        if isinstance(term, Lease):
            says.append(
                f"at most {span(term.seconds)} after the newest witnessed state that it has"
            )
        elif isinstance(term, Until):
            says.append(f"not after {moment(term.at)}")
    if not says:
        return "nothing else ends it there, since it has neither a lease nor an end"
    return " and ".join(says)


def _elsewhere(picture: Picture, scope: Scope, key: str) -> Iterator[str]:
    """Other scopes of the same devices that name the package as well, and so decide from now on."""
    counts: dict[Scope, int] = {}
    for member in touched(scope, picture.devices):
        for other in member.scopes:
            document = picture.base.states.get(other)
            if other != scope and document is not None and _names(document, key):
                counts[other] = counts.get(other, 0) + 1
    for other, count in sorted(counts.items()):
        yield (
            f"! {key}: {show_scope(other, picture.devices)} names it too, and decides on it from "
            f"now on ({count} device{'' if count == 1 else 's'})"
        )


def _names(document: StateDocument, key: str) -> bool:
    if key in document.packages:
        return True
    if is_pattern(key):
        return any(
            pattern_covers(key, Purl(one)) for one in document.packages if not is_pattern(one)
        )
    return any(is_pattern(one) and pattern_covers(one, Purl(key)) for one in document.packages)
