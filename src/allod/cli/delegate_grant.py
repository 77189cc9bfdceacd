"""Granting, changing and renewing a delegation: one change, shown in plain words before it is signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from allod.cli.approving import unheld
from allod.cli.cards import DelegateCard, delegation_role, parse_delegate, read_card
from allod.cli.catalog import parse_package_version
from allod.cli.delegate_past import past_words
from allod.cli.delegate_proposed import Proposed, proposed_by
from allod.cli.delegate_words import words
from allod.cli.delegations import find, role_keys, was_used
from allod.cli.documents import FLEET_PATH, provider_path
from allod.cli.options import Options
from allod.cli.options import now as clock
from allod.cli.phrases import choices
from allod.cli.picture import Picture
from allod.cli.publish import Change, Intent, Published, publish_and_say
from allod.cli.scopes import find_group, touched
from allod.cli.term_options import TermOptions, parse_until
from allod.domain.condition import Term, Verb
from allod.domain.delegation import Delegation, Follow
from allod.domain.desired import PackageEntry, Software, StateDocument
from allod.domain.handover import Halves, covered, hand_over, take_back
from allod.domain.ids import (
    Purl,
    Scope,
    group_scope,
    is_pattern,
    parse_name,
    parse_provider,
    parse_purl,
)
from allod.domain.terms import Approvals, Lease, Until
from allod.errors import AllodError, Conflict, InvalidInput
from allod.trust.keys import key_id, to_key
from allod.trust.role_keys import RoleKeys
from allod.wire.codec import encode
from allod.wire.delegation import decode_delegation, delegation_path, encode_delegation
from allod.wire.trust import Person

if TYPE_CHECKING:
    from allod.trust.authoring import RepositoryDraft
    from allod.wire.trust import FleetDocument

_LEVELS: Final = (Verb.TRANSFER, Verb.INSTALL, Verb.ACTIVATE)  #: each includes the ones before
_SOFTWARE: Final = frozenset({*_LEVELS, Verb.DELETE})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asked for."""

    name: str
    follow: str | None = None
    source: str = ""
    cards: tuple[Path, ...] = ()
    threshold: int = 1
    groups: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    verbs: tuple[Verb, ...] = ()
    keep: tuple[str, ...] = ()
    about: str = ""
    replace: bool = False
    proposed: str | None = None
    terms: TermOptions = TermOptions()  # noqa: RUF009 — frozen


def grant_and_say(wanted: Wanted, intent: Intent, options: Options) -> Published | None:
    """Make the change, and say what comes next."""
    intent.owners_alone("grant a delegation")
    name = parse_delegate(wanted.name)
    cards = tuple(read_card(path) for path in wanted.cards)
    if wanted.replace and cards:
        raise InvalidInput(
            "bad-arguments",
            f"cannot give {name} other keys: revoke it, and grant one of another name",
        )
    done = publish_and_say(options, intent, lambda picture: plan_grant(picture, wanted, cards))
    if done is not None and cards:
        options.output.say(f"Let them act here: allod delegate join-file {name} --out FILE")
    return done


def plan_grant(picture: Picture, wanted: Wanted, cards: tuple[DelegateCard, ...] = ()) -> Change:
    """The documents that say so.

    Raises:
        InvalidInput: `bad-arguments`, `unknown-…`, `bad-threshold`, `bad-package`, `bad-time`,
            `no-witnesses`.
        Conflict: `exists`.
        Refused: `managed-elsewhere`.
    """
    base = picture.base
    before = base.delegations.get(wanted.name)
    if wanted.replace:
        before = find(base, wanted.name)
    elif before is not None or was_used(base, wanted.name):
        raise Conflict(
            "exists",
            f"cannot grant {wanted.name}: a delegation of that name is or was there; --replace "
            "changes one that is there, else take another name",
        )
    proposal = None if wanted.proposed is None else proposed_by(picture, wanted.proposed)
    delegation = _delegation(picture, wanted, before, proposal)
    data = encode_delegation(base.fleet_id, delegation)
    files = {delegation_path(delegation.id): data}
    named = None if proposal is None else proposal.provider_document(picture)
    if proposal is not None and named is not None:
        files[provider_path(proposal.follow.provider)] = named
    if cards:
        files[FLEET_PATH] = encode(_with_people(base.fleet_document, wanted.name, cards))
    states, kept = _states(picture, delegation, before, frozenset(_names(picture, wanted.keep)))
    signed = decode_delegation(data)[1]
    keys = (wanted.threshold, len(cards)) if cards else _held_by(picture, wanted.name)
    lines = (
        *words(signed, picture.devices, keys=keys, root=rooted(picture, signed)),
        *past_words(picture, signed),
        *unheld(picture.base.fleet_document, signed.terms),
    )
    kept_words = tuple(
        f"! {package} stays yours: it runs as root, and no pattern covers that; name it to delegate it"
        for package in kept
    )
    wish = () if proposal is None else tuple(proposal.words(picture))
    return Change(states, files, words=(*wish, *lines, *kept_words), also=_role(wanted, cards))


def _role(
    wanted: Wanted, cards: tuple[DelegateCard, ...]
) -> Callable[[RepositoryDraft], None] | None:
    if not cards:
        return None
    keys = RoleKeys(tuple(to_key(card.role) for card in cards), wanted.threshold)
    role, paths = delegation_role(wanted.name), [f"by/{wanted.name}/*/*"]
    return lambda draft: draft.delegate(role, keys, paths)


def _held_by(picture: Picture, name: str) -> tuple[int, int] | None:
    known = role_keys(picture.base, name)
    return None if known is None else (known[0], len(known[1]))


# -- what it says ------------------------------------------------------------------------------


def _delegation(
    picture: Picture, wanted: Wanted, before: Delegation | None, proposal: Proposed | None
) -> Delegation:
    """What is asked for; where nothing is said, as it was, or as it was proposed."""
    like = before if proposal is None else proposal.delegation(wanted.name)
    scopes = _scopes(picture, wanted) or (like.scopes if like else frozenset())
    packages = _names(picture, wanted.packages) or (like.packages if like else ())
    if not scopes or not packages:
        raise InvalidInput(
            "bad-arguments", "cannot tell on what: give --group or --device, and --package"
        )
    follow = like.follow if like and wanted.follow is None else _follow(picture, wanted)
    if follow is not None:
        known = picture.base.providers.get(follow.provider)
        namespaces = proposal.wire.provider.namespaces if proposal and known is None else None
        _check_namespaces(picture, follow, packages, namespaces)
    verbs = _verbs(wanted, follow) if wanted.verbs or like is None else like.verbs
    terms = wanted.terms.terms(clock()) or (proposal.terms if proposal else ())
    _check_lease(picture, terms)
    if follow is not None and any(isinstance(term, Approvals) for term in terms):
        raise InvalidInput(
            "bad-arguments",
            "cannot ask for --approvals of a channel: people approve one change as it stands, and no "
            "channel asks them; let the provider give orders with a --key, or decide yourself",
        )
    return Delegation(
        id=wanted.name,
        scopes=scopes,
        packages=tuple(sorted(packages)),
        verbs=verbs,
        terms=terms,
        follow=follow,
        about=wanted.about or (like.about if like else ""),
    )


def _scopes(picture: Picture, wanted: Wanted) -> frozenset[Scope]:
    groups = {group_scope(find_group(name, picture.groups)) for name in wanted.groups}
    devices = {picture.scope(f"devices/{name}") for name in wanted.devices}
    return frozenset(groups | devices)


def _names(picture: Picture, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Packages and patterns as they stand in documents; a short name means a known package."""
    found = []
    for text in texts:
        if is_pattern(text):
            found.append(text)
        elif text.startswith("pkg:"):
            found.append(str(parse_purl(text)))
        else:
            found.append(str(picture.package(parse_package_version(text))))
    return tuple(dict.fromkeys(found))


def _follow(picture: Picture, wanted: Wanted) -> Follow | None:
    if wanted.follow is None:
        if wanted.source:
            raise InvalidInput("bad-arguments", "cannot use --source without --follow")
        return None
    name, slash, channel = wanted.follow.partition("/")
    if not slash:
        raise InvalidInput(
            "bad-arguments", f"cannot follow {wanted.follow[:80]!r}: it is like acme/stable"
        )
    provider = parse_provider(name)
    if provider not in picture.base.providers:
        raise InvalidInput(
            "unknown-provider",
            f"cannot follow {wanted.follow}: you name no provider {provider}; there are: "
            f"{choices(sorted(picture.base.providers))} ('allod provider add' names one)",
        )
    return Follow(provider, parse_name(channel, "a channel"), wanted.source)


def _check_namespaces(
    picture: Picture, follow: Follow, packages: tuple[str, ...], proposed: list[str] | None
) -> None:
    namespaces = proposed or picture.base.providers[follow.provider].namespaces
    for package in packages:
        if not any(package.startswith(prefix) for prefix in namespaces):
            raise InvalidInput(
                "bad-arguments",
                f"cannot let {follow} decide on {package}: {follow.provider} speaks for "
                f"{choices(namespaces)} only",
            )


def _verbs(wanted: Wanted, follow: Follow | None) -> frozenset[Verb]:
    """What may be ordered; running a release includes bringing it there."""
    if not wanted.verbs:
        return frozenset(_LEVELS if follow is not None else (*_LEVELS, Verb.DELETE))
    given = set(wanted.verbs)
    if follow is not None and given - set(_LEVELS):
        raise InvalidInput(
            "bad-arguments",
            "cannot let a channel do that: it names the release that is to run, and nothing else",
        )
    for place, level in enumerate(_LEVELS):
        if level in given:
            given |= set(_LEVELS[:place])
    return frozenset(given)


def _check_lease(picture: Picture, terms: tuple[Term, ...]) -> None:
    statement = picture.base.view.repository.statement
    witnessed = statement is not None and statement.witnesses is not None
    if any(isinstance(term, Lease) for term in terms) and not witnessed:
        raise InvalidInput(
            "no-witnesses",
            "cannot use --lease: no witness vouches for your log, so no device could ever tell how "
            "fresh it is; name witnesses ('allod trust witness add'), or give --until",
        )


def _with_people(
    document: FleetDocument, name: str, cards: tuple[DelegateCard, ...]
) -> FleetDocument:
    for card in cards:
        for known in document.people:
            if known.name == name or key_id(known.key) == key_id(card.api):
                raise Conflict(
                    "exists",
                    f"cannot let {name} speak to the server: {known.name} is there already; "
                    "let them make keys of another name with 'allod delegate key'",
                )
    fresh = [Person(name=parse_name(name), key=card.api, role="publish") for card in cards]
    return msgspec.structs.replace(document, people=[*document.people, *fresh])


# -- whose the packages are --------------------------------------------------------------------


def _states(
    picture: Picture, delegation: Delegation, before: Delegation | None, keep: frozenset[str]
) -> tuple[Mapping[Scope, StateDocument], tuple[Purl, ...]]:
    """The documents of all its scopes, and what stays the owner's because it runs as root."""
    halves = Halves(
        software=bool(delegation.verbs & _SOFTWARE),
        configuration=Verb.CONFIGURE in delegation.verbs,
    )
    states: dict[Scope, StateDocument] = {}
    kept: list[Purl] = []
    for scope in sorted(delegation.scopes):
        document = picture.owners(scope)
        if before is not None:
            document = take_back(document, delegation.id, but=delegation.packages)
        stays = [
            package
            for package in covered(document, delegation.packages, keep)
            if package not in delegation.packages and _as_root(picture, scope, package)
        ]
        kept += stays
        states[scope] = hand_over(
            document, delegation.id, delegation.packages, halves, keep=keep | set(stays)
        )
    for scope in sorted((before.scopes if before else frozenset()) - delegation.scopes):
        states[scope] = take_back(picture.owners(scope), delegation.id)
    return states, tuple(dict.fromkeys(kept))


def _as_root(picture: Picture, scope: Scope, package: Purl) -> bool:
    """Whether what runs of it, or is to, runs as root: by the owner's list and by reports."""
    entry = picture.owners(scope).packages.get(package, PackageEntry())
    digests = {one.digest for one in (entry.software or Software()).releases}
    for member in touched(scope, picture.devices):
        held = None if member.actual is None else member.actual.packages.get(package)
        if held is not None and held.active is not None:
            digests.add(held.active.digest)
    speakers = [
        name
        for name, document in picture.base.providers.items()
        if any(package.startswith(prefix) for prefix in document.namespaces)
    ]
    for digest in sorted(digests):
        for provider in speakers:
            with suppress(AllodError):
                if "root" in picture.catalog.release(provider, package, digest).access:
                    return True
    return False


def rooted(picture: Picture, delegation: Delegation) -> frozenset[str]:
    """Those of its packages that run as root now, as far as documents and reports tell."""
    return frozenset(
        package
        for package in delegation.packages
        if not is_pattern(package)
        and any(_as_root(picture, scope, Purl(package)) for scope in delegation.scopes)
    )


# -- how long ----------------------------------------------------------------------------------


def renew_and_say(
    name: str, until: str | None, lease: str | None, intent: Intent, options: Options
) -> None:
    """Give a delegation another end, or another lease."""
    intent.owners_alone("renew a delegation")
    if until is None and lease is None:
        raise InvalidInput("bad-arguments", "cannot tell how long: give --until or --lease")
    fresh: list[Term] = list(TermOptions(lease=lease).terms(clock()))
    if until is not None:
        fresh.append(parse_until(until, clock()))

    def plan(picture: Picture) -> Change:
        delegation = find(picture.base, name)
        kinds = tuple(type(term) for term in fresh)
        left = tuple(term for term in delegation.terms if not isinstance(term, kinds))
        _check_lease(picture, tuple(fresh))
        data = encode_delegation(picture.base.fleet_id, replace(delegation, terms=(*left, *fresh)))
        renewed = decode_delegation(data)[1]
        ends = [term.says for term in renewed.terms if isinstance(term, Lease | Until)]
        return Change(
            files={delegation_path(name): data}, words=tuple(f"{name}: {one}" for one in ends)
        )

    publish_and_say(options, intent, plan)
