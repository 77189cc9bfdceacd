"""What devices would say to a change that is not signed yet: by the planner that they use.

Each device is taken as it last reported itself, and planned for twice: as it is, for what it would
refuse, and with all that is wanted installed, for what it would then wait for. What no report says
(consent, pace, hardware) is not guessed at: a term that asks for it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from allod.domain.delegation import Delegate
from allod.domain.desired import OWNER, Level, ReleaseOrder, StateDocument
from allod.domain.ids import DeviceId, Digest, ProviderName, Purl, Scope
from allod.domain.judgement import ProviderLimits
from allod.domain.observed import Grounds, Observed, Running
from allod.domain.plan import make_plan
from allod.domain.release import Release
from allod.domain.reported import ActualPackage, Member
from allod.domain.resolution import (
    Resolved,
    ResolvedConfiguration,
    ResolvedPackage,
    ResolvedSoftware,
    resolve,
)
from allod.domain.rollout import Progress, Rollout
from allod.domain.surroundings import Surroundings
from allod.domain.terms import Versions

#: What only the device itself knows.
_UNKNOWN: Final = frozenset({"wrong-hardware", "wrong-architecture"})

#: What verifiers say that an ordered release mends: older release -> (source, flaw).
Evidence = Callable[[Purl, ReleaseOrder], Mapping[Digest, frozenset[tuple[str, str]]]]
#: A release's description by package, digest and, as far as orders name one, provider.
Describe = Callable[[Purl, Digest, ProviderName | None], Release | None]


@dataclass(frozen=True, slots=True)
class Words:
    """All that is ordered, by the owner and by delegates."""

    documents: Mapping[Scope, StateDocument]
    delegates: Mapping[str, Delegate] = field(default_factory=lambda: MappingProxyType({}))

    def with_documents(self, changed: Mapping[Scope, StateDocument]) -> Words:
        """With these in place of the ones that were there, each for whoever wrote it."""
        documents, delegates = dict(self.documents), dict(self.delegates)
        for scope, document in changed.items():
            if document.author == OWNER:
                documents[scope] = document
            elif document.author in delegates:
                own = delegates[document.author]
                theirs = {**own.documents, scope: document}
                delegates[document.author] = replace(own, documents=theirs)
        return Words(documents, delegates)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known where it is foreseen."""

    describe: Describe
    now: datetime
    witnessed: datetime | None = None  #: that devices will have with the change
    withdrawn: Mapping[Digest, str] = field(default_factory=lambda: MappingProxyType({}))
    providers: Mapping[ProviderName, ProviderLimits] = field(
        default_factory=lambda: MappingProxyType({})
    )
    evidence: Evidence = lambda *_: {}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What some devices would say."""

    package: Purl
    codes: tuple[str, ...]
    says: str
    waits: bool  #: else it is refused
    devices: tuple[DeviceId, ...]


#: One answer of a device: package, codes, words, and whether it only waits.
_Answer = tuple[Purl, tuple[str, ...], str, bool]


def foresee(
    before: Words, after: Words, members: Iterable[Member], known: Known
) -> tuple[Foreseen, ...]:
    """What would be refused, and what would wait, of all that is new with `after`.

    Devices that were retired or never reported are left out. Devices to which the same documents
    speak, and that have the same, are asked once.
    """
    foresight = _Foresight(before, after, known)
    found: dict[_Answer, list[DeviceId]] = {}
    for member in members:
        if member.retired or member.actual is None:
            continue
        for one in foresight.answers(member.scopes, member.actual.packages):
            found.setdefault(one, []).append(member.device)
    return tuple(Foreseen(*one, tuple(devices)) for one, devices in sorted(found.items()))


class _Arrived(Progress):
    """Every rollout has come to the device: what it will bring in the end."""

    def reached(self, rollout: Rollout, change: str = "", manager: str = OWNER) -> bool:  # noqa: ARG002 — whichever
        return True


class _Foresight:
    def __init__(self, before: Words, after: Words, known: Known) -> None:
        self._before, self._after, self._known = before, after, known
        self._scopes = {*before.documents, *after.documents}
        self._news: dict[tuple[Scope, ...], Resolved] = {}
        self._answers: dict[object, tuple[_Answer, ...]] = {}

    def answers(
        self, scopes: Iterable[Scope], packages: Mapping[Purl, ActualPackage]
    ) -> tuple[_Answer, ...]:
        """What a device would say to all that is new for it."""
        heard = tuple(scope for scope in scopes if scope in self._scopes)
        news = self._new(heard)
        found: list[_Answer] = []
        for package, wanted in news.packages.items():
            has = packages.get(package, ActualPackage(package, ""))
            key = (heard, package, has.releases, has.configuration)
            if key not in self._answers:
                alone = replace(news, packages={package: wanted}, holds=())
                answers = _of_package(alone, wanted, has, self._known)
                self._answers[key] = tuple(dict.fromkeys(answers))
            found += self._answers[key]
        return tuple(found)

    def _new(self, heard: tuple[Scope, ...]) -> Resolved:
        """What the documents mean after, as far as they meant something else before."""
        if heard not in self._news:
            progress = _Arrived({}, DeviceId(""), self._known.now)
            was, becomes = (
                resolve(heard, words.documents, delegates=words.delegates, progress=progress)
                for words in (self._before, self._after)
            )
            other = {
                package: wanted
                for package, wanted in becomes.packages.items()
                if wanted != was.packages.get(package)
            }
            self._news[heard] = replace(becomes, packages=other)
        return self._news[heard]


def _of_package(
    alone: Resolved, wanted: ResolvedPackage, has: ActualPackage, known: Known
) -> Iterator[_Answer]:
    package, observed = wanted.package, _observed(wanted, has, known)
    if observed.running is not None and observed.running_release is None:
        return  # what runs there is not known here, so nothing can be compared with it
    around = Surroundings(
        known.now,
        "",
        withdrawn=known.withdrawn,
        providers=known.providers,
        documents=frozenset(_documents(wanted)),
        grounds={package: Grounds(mends=_mends(wanted, observed, known))},
        witnessed=known.witnessed,
    )
    refusals = make_plan(alone, {package: observed}, around).refusals
    for one in refusals:
        if one.code not in _UNKNOWN:
            yield package, (one.code,), one.reason, False
    ready = replace(observed, held={**observed.held, **_installed(wanted)})
    for wait in () if refusals else make_plan(alone, {package: ready}, around).waiting:
        if wait.codes:
            yield package, wait.codes, wait.waits_for, True


def _mends(
    wanted: ResolvedPackage, observed: Observed, known: Known
) -> dict[Digest, frozenset[tuple[str, str]]]:
    """What verifiers say of what is ordered over what runs, where a term asks them."""
    software, running = wanted.software, observed.running
    if not isinstance(software, ResolvedSoftware) or running is None:
        return {}
    if not any(isinstance(term, Versions) and term.asks_verifiers for term in software.terms):
        return {}
    return {
        order.digest: known.evidence(wanted.package, order).get(running.digest, frozenset())
        for order in software.releases
        if order.digest != running.digest
    }


def _observed(wanted: ResolvedPackage, has: ActualPackage, known: Known) -> Observed:
    """The package as the device reports it."""
    software = wanted.software
    orders = software.releases if isinstance(software, ResolvedSoftware) else ()
    providers = {order.digest: order.provider for order in orders}
    some = next(iter(providers.values()), None)
    described = {}
    for digest in dict.fromkeys([*providers, *(one.digest for one in has.releases)]):
        release = known.describe(wanted.package, digest, providers.get(digest, some))
        if release is not None:
            described[digest] = release
    return Observed(
        wanted.package,
        held={
            one.digest: Level.TRANSFERRED if one.level is Level.TRANSFERRED else Level.INSTALLED
            for one in has.releases
        },
        described=described,
        running=None if has.active is None else Running(0, has.active.digest, has.configuration),
    )


def _installed(wanted: ResolvedPackage) -> dict[Digest, Level]:
    software = wanted.software
    orders = software.releases if isinstance(software, ResolvedSoftware) else ()
    return {order.digest: Level.INSTALLED for order in orders}


def _documents(wanted: ResolvedPackage) -> Iterator[Digest]:
    configuration = wanted.configuration
    if isinstance(configuration, ResolvedConfiguration) and configuration.order.digest is not None:
        yield configuration.order.digest
