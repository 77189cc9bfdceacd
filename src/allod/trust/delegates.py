"""The word of those whom the owner lets decide: read for one device, each by itself.

Only delegations that the device's own documents name as managers are looked at, so that the work
follows what concerns the device and not how many delegations a fleet has. What is refused of one
refuses its word alone (docs/spec/delegation.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import structs

from allod.domain.condition import Verb
from allod.domain.delegation import Delegate, Delegation
from allod.domain.desired import OWNER, StateDocument
from allod.domain.ids import ProviderName, Scope, parse_provider
from allod.errors import AllodError, InvalidInput, Refused, Unavailable, Untrusted
from allod.trust.accepted import Repository
from allod.trust.approvals import approved_state
from allod.trust.authority_log import judged_log
from allod.trust.documents import (
    authority_of,
    check_fleet,
    check_owners,
    provider_document,
    provider_path,
    seen_checkpoint,
)
from allod.trust.effects import Steps
from allod.trust.floors import channel_role
from allod.trust.following import follow_channel
from allod.trust.rereading import judge_delegate
from allod.wire.channel import channel_path
from allod.wire.delegation import DELEGATION_CAP, decode_delegation, delegation_path
from allod.wire.desired import STATE_CAP, decode_state
from allod.wire.report import Alarm, Authority, Refusal
from allod.wire.trust import FleetDocument, ProviderDocument

#: Faults of one file or role, in whose place the source had nothing that holds.
_OF_ONE = frozenset({"withheld", "publishing", "stale"})


@dataclass(slots=True)
class Words:
    """What was proved of the delegates, and what was not.

    Attributes:
        documents: the owner's, of the device's scopes, in their order.
        delegates: id -> its proved word.
        authorities: why a change by a delegate in a scope is lawful.
        providers: the owner's documents about all providers that somebody names.
    """

    repository: Repository
    fleet: FleetDocument
    documents: Mapping[Scope, StateDocument]
    delegates: dict[str, Delegate] = field(default_factory=dict)
    authorities: dict[tuple[str, Scope], Authority] = field(default_factory=dict)
    providers: dict[ProviderName, ProviderDocument] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)


def managers(documents: Mapping[Scope, StateDocument]) -> Mapping[str, frozenset[Scope]]:
    """Delegation -> the scopes in which the owner's documents name it as a manager."""
    found: dict[str, set[Scope]] = {}
    for scope, document in documents.items():
        for entry in document.packages.values():
            for half in (entry.software, entry.configuration):
                if half is not None and half.manager != OWNER:
                    found.setdefault(half.manager, set()).add(scope)
    return {manager: frozenset(found[manager]) for manager in sorted(found)}


def read_delegates(words: Words) -> Steps[None]:
    """Read every delegation that manages something here, its documents, or its channel.

    Raises:
        Unavailable: the source answers no more; what it does not have is refused by itself.
    """
    named = managers(words.documents)
    for manager in named:
        with _refusing(words, delegation_path(manager)):
            delegation = yield from read_delegation(words.repository, manager)
            if delegation is not None:
                words.delegates[manager] = Delegate(delegation)
    for manager, delegate in list(words.delegates.items()):
        if delegate.delegation.follow is None:
            yield from _read_documents(words, delegate.delegation, named[manager])
    yield from _read_providers(words)
    for manager, delegate in list(words.delegates.items()):
        if delegate.delegation.follow is not None:
            yield from _read_channel(words, delegate.delegation, named[manager])


@contextlib.contextmanager
def _refusing(words: Words, subject: str) -> Iterator[None]:
    """What is wrong with one word refuses this word."""
    try:
        yield
    except (InvalidInput, Untrusted, Refused) as error:
        _refuse(words, subject, error)
    except Unavailable as error:
        if error.code not in _OF_ONE:
            raise
        _refuse(words, subject, error)


def _refuse(words: Words, subject: str, error: AllodError) -> None:
    words.refusals.append(Refusal(code=error.code, reasons=[error.message], subject=subject))


def read_delegation(repository: Repository, name: str) -> Steps[Delegation | None]:
    """The owner's document about a delegation; None: there is none, or no more.

    Raises:
        Untrusted: `wrong-fleet`, `wrong-address`, `wrong-role`.
        InvalidInput: it cannot be read; an unknown term refuses it, since it could narrow it.
        Unavailable: `withheld`.
    """
    path = delegation_path(name)
    file = yield from repository.target(path, DELEGATION_CAP)
    if file is None:
        return None
    check_owners(file)
    fleet, delegation = decode_delegation(file.data)
    check_fleet(fleet, repository.anchor.fleet, path)
    if delegation.id != name:
        raise Untrusted(
            "wrong-address",
            f"cannot accept {path}: it is signed as {delegation.id}",
            document=path,
        )
    return delegation


def _read_documents(words: Words, delegation: Delegation, named: frozenset[Scope]) -> Steps[None]:
    """The delegate's documents of those scopes of the device that are the delegate's too."""
    documents: dict[Scope, StateDocument] = {}
    restarts = Verb.RESTART in delegation.verbs
    try:
        yield from judge_delegate(words.repository, delegation.role)
    except (Untrusted, Unavailable) as error:
        if isinstance(error, Unavailable) and error.code not in _OF_ONE:
            raise
        _refuse(words, delegation.role, error)
        return
    for scope in words.documents:
        if scope in delegation.scopes and (restarts or scope in named):
            with _refusing(words, delegation.document_path(scope)):
                document = yield from _read_document(words, delegation, scope)
                if document is not None:
                    documents[scope] = document
    words.delegates[delegation.id] = Delegate(delegation, documents)


def _read_document(
    words: Words, delegation: Delegation, scope: Scope
) -> Steps[StateDocument | None]:
    repository = words.repository
    path = delegation.document_path(scope)
    # A document outside of the path that the owner gave away is not found (attack 24).
    file = yield from repository.target(path, STATE_CAP)
    if file is None:
        return None
    if file.role != delegation.role:
        raise Untrusted(
            "wrong-role", f"cannot accept {path}: it is signed by {file.role}", document=path
        )
    document = decode_state(file.data)
    check_fleet(document.fleet, repository.anchor.fleet, path)
    if (document.scope, document.author) != (scope, delegation.id):
        raise Untrusted(
            "wrong-scope",
            f"cannot accept {path}: it is signed for {document.scope} by {document.author}",
            document=path,
            scope=str(document.scope),
        )
    authority = authority_of(document, file, judged_log(repository))
    words.authorities[delegation.id, scope] = structs.replace(authority, delegation=delegation.id)
    return approved_state(document, words.fleet)


def _read_providers(words: Words) -> Steps[None]:
    """What the owner says of every provider that is named; one bad document refuses one."""
    theirs = _named(
        document for one in words.delegates.values() for document in one.documents.values()
    )
    follows = [one.delegation.follow for one in words.delegates.values()]
    theirs |= {follow.provider for follow in follows if follow is not None}
    owners = _named(words.documents.values())
    for provider in sorted(owners | theirs):
        path = provider_path(provider)
        with _refusing(words, path) if provider not in owners else _unreadable(words, path):
            found = yield from provider_document(words.repository, parse_provider(provider))
            if found is not None:
                words.providers[provider] = found


def _named(documents: Iterable[StateDocument]) -> set[ProviderName]:
    return {
        order.provider
        for document in documents
        for entry in document.packages.values()
        if entry.software is not None
        for order in entry.software.releases
    }


@contextlib.contextmanager
def _unreadable(words: Words, subject: str) -> Iterator[None]:
    """Of the owner's own word only what cannot be read is refused alone."""
    try:
        yield
    except InvalidInput as error:
        _refuse(words, subject, error)


def _read_channel(words: Words, delegation: Delegation, named: frozenset[Scope]) -> Steps[None]:
    """The newest document of the channel that counts, under what the owner says of its provider."""
    follow, repository = delegation.follow, words.repository
    if follow is None:
        return
    provider = words.providers.get(follow.provider)
    with _refusing(words, f"channels/{follow}"):
        if provider is None:
            raise Untrusted(
                "unknown-provider",
                f"cannot follow the channel {follow}: the owner says nothing of its provider",
            )
        found = yield from follow_channel(repository, follow, provider)
        words.refusals.extend(found.refusals)
        words.alarms.extend(found.alarms)
        if found.channel is None or found.newest is None:
            return
        words.delegates[delegation.id] = Delegate(delegation, channel=found.channel)
        for scope in sorted(named, key=str):
            words.authorities[delegation.id, scope] = Authority(
                document=channel_path(follow.provider, follow.channel, found.newest.version),
                digest=found.newest.digest,
                role=channel_role(str(follow)),
                version=found.newest.version,
                delegation=delegation.id,
                log_index=found.newest.index if found.newest.index >= 0 else None,
                checkpoint=seen_checkpoint(judged_log(repository), found.newest.index),
            )
