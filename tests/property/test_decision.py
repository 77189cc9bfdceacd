"""Decisions, held against an oracle that shares no code with them.

Nothing outside the terms is ever allowed, one term more never allows more, the order of terms
changes nothing, and when a word is lost what runs stays as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.domain.plan_world import (
    ALL_VERBS,
    Accepts,
    Armed,
    ConfigurationOrder,
    Grounds,
    Level,
    When,
    World,
    delegation,
    digest,
    document,
    document_of,
    following,
    managed,
    note,
    order,
    ordering,
)
from tests.unit.domain.term_facts import HOUSE, KITCHEN, NOW, TOASTER, release

from allod.domain.actions import Activate, Cancel, Delete, Describe, Install, Transfer
from allod.domain.condition import AGENT, Change, ChangeFacts, Term, Verb
from allod.domain.decision import decide
from allod.domain.desired import PackageEntry, Software, Window
from allod.domain.ids import Purl
from allod.domain.release import Release
from allod.domain.terms import (
    PROVIDER,
    Approvals,
    Consent,
    Lease,
    NewAccess,
    Packages,
    Rate,
    Scopes,
    Soak,
    Until,
    Verbs,
    VersionRule,
    Versions,
    Windows,
)

# -- what may be

ACCESS = ("camera", "root", "network.outbound", "network.outbound:acme.example")
PEOPLE, KINDS = ("ann", "ben", "cem"), ("qa", "operations")
VERSIONS = ("2.0.0", "2.0.1", "2.0.2", "2.1.0", "edge")

moments = st.integers(-72, 72).map(lambda hours: NOW + timedelta(hours=hours))
seconds = st.integers(0, 48).map(lambda hours: hours * 3600)
access = st.frozensets(st.sampled_from(ACCESS), max_size=3)
people = st.frozensets(st.sampled_from(PEOPLE))
windows = st.builds(
    Window,
    st.frozensets(st.integers(0, 6), max_size=7),
    st.integers(0, 23).map(lambda hour: hour * 60),
    st.sampled_from([60, 600, 1440, 4000, 10_080]),
)
releases = st.builds(
    lambda version, needs: release(version, *needs), st.sampled_from(VERSIONS), access
)
terms: st.SearchStrategy[Term] = st.one_of(
    st.builds(Scopes, st.frozensets(st.sampled_from([KITCHEN, HOUSE]))),
    st.builds(
        Packages,
        st.lists(
            st.sampled_from([TOASTER, AGENT, "pkg:generic/acme/*", "pkg:generic/*", "pkg:x/y/*"]),
            max_size=2,
        ).map(tuple),
    ),
    st.builds(Verbs, st.frozensets(st.sampled_from(list(Verb)))),
    st.builds(
        Versions,
        st.sampled_from(list(VersionRule)),
        st.frozensets(st.sampled_from([PROVIDER, "others"])),
    ),
    st.builds(NewAccess, access, st.booleans()),
    st.builds(Soak, seconds),
    st.builds(Windows, st.lists(windows, max_size=2).map(tuple)),
    st.builds(Rate, st.integers(0, 2), seconds),
    st.builds(
        Approvals,
        st.dictionaries(st.sampled_from(KINDS), st.integers(0, 2)).map(
            lambda one: tuple(sorted(one.items()))
        ),
    ),
    st.just(Consent()),
    st.builds(Lease, seconds),
    st.builds(Until, moments),
)
changes = st.builds(
    Change,
    st.sampled_from(list(Verb)),
    st.sampled_from([KITCHEN, HOUSE]),
    st.sampled_from([TOASTER, AGENT]),
    st.none() | releases,
    access,
    st.frozensets(
        st.sampled_from(
            ["version", "access", "soak", "window", "rate", "approvals", "consent"]
            + ["scopes", "packages", "verbs", "lease", "until"]
        ),
        max_size=2,
    ),
)
facts = st.builds(
    ChangeFacts,
    st.none() | releases,
    st.none() | moments,
    st.none() | moments,
    st.lists(moments, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(KINDS), people),
    st.none() | st.booleans(),
    st.frozensets(st.tuples(st.sampled_from([PROVIDER, "others"]), st.just("CVE-1"))),
)


# -- the oracle: what each term lets through, in other words


def lets(  # noqa: PLR0911 — one case a kind
    term: Any, change: Change, fact: ChangeFacts, now: datetime
) -> bool:
    """Whether one term lets a change through, the owner's setting aside apart."""
    kind = type(term).__name__
    moves = change.verb.value not in ("transfer", "install")
    new, old = change.release, fact.running
    if kind == "Scopes":
        return any(change.scope == one for one in term.scopes)
    if kind == "Packages":
        return change.verb.value == "restart" or covered(term.packages, change.package, new, old)
    if kind == "Verbs":
        return any(change.verb == one for one in term.verbs)
    if kind == "Versions":
        return new is None or newer(term, new, old, fact)
    if kind == "NewAccess":
        return new is None or not lacking(term, new, old, change)
    if kind == "Soak":
        known = fact.seen_since
        return (
            not moves
            or new is None
            or (
                known is not None
                and (now - known).days * 86_400 + (now - known).seconds >= term.seconds
            )
        )
    if kind == "Windows":
        return not moves or any(inside(one, now) for one in term.windows)
    if kind == "Rate":
        since = now - timedelta(seconds=term.seconds)
        return not moves or len([at for at in fact.activated if at > since]) <= term.changes - 1
    if kind == "Approvals":
        return seats(term.needed, fact.approved)
    if kind == "Consent":
        return not moves or fact.consent is True
    if kind == "Lease":
        seen = fact.witnessed
        return seen is not None and seen + timedelta(seconds=term.seconds) >= now
    assert kind == "Until"
    return bool(term.at > now)


def covered(keys: Sequence[str], package: Purl, new: Release | None, old: Release | None) -> bool:
    """By name; or by a pattern, unless it has full control of the device."""
    if package in list(keys):
        return True
    under = [key for key in keys if key[-2:] == "/*" and package[: len(key) - 1] == key[:-1]]
    rooted = any(one is not None and "root" in one.access for one in (new, old))
    return len(under) > 0 and not rooted and package != "pkg:generic/allod/agent"


def newer(term: Versions, new: Release, old: Release | None, fact: ChangeFacts) -> bool:
    """A patch, or a fix that somebody vouches for and that opens nothing; never older."""
    if old is None:
        return False
    opens = any(
        name not in old.access and name.split(":", maxsplit=1)[0] not in old.access
        for name in new.access
    )
    mends = not opens and any(source in term.evidence for source, _ in fact.mends)
    if new.version == old.version:
        return term.rule.value == "same-minor" or mends
    if "edge" in (new.version, old.version):
        return False
    numbers = [[int(part) for part in one.version.split(".")] for one in (old, new)]
    if sorted(numbers) != numbers:
        return False
    if term.rule.value == "same-minor":
        return numbers[0][:2] == numbers[1][:2]
    return mends


def lacking(term: NewAccess, new: Release, old: Release | None, change: Change) -> set[str]:
    """What it needs and nobody granted."""
    granted = set(term.allowed) | (set(old.access) if old is not None else set())
    if not term.strict:
        granted |= set(change.accepted)
    return {
        name
        for name in new.access
        if name not in granted and name.split(":", maxsplit=1)[0] not in granted
    }


def inside(window: Window, now: datetime) -> bool:
    """Minute by minute, back from now."""
    at = now.replace(second=0, microsecond=0)
    for back in range(window.minutes):
        one = at - timedelta(minutes=back)
        if one.hour * 60 + one.minute == window.start and one.weekday() in window.days:
            return True
    return False


def seats(needed: Sequence[tuple[str, int]], approved: Mapping[str, frozenset[str]]) -> bool:
    """Whether some way to give out the people fills all places."""
    places = [kind for kind, count in needed for _ in range(count)]
    if len(places) > len(PEOPLE):
        return False
    return any(
        all(person in approved.get(kind, ()) for person, kind in zip(way, places, strict=False))
        for way in itertools.permutations(PEOPLE)
    )


ASIDE = ("version", "access", "soak", "window", "rate", "approvals", "consent")


def allowed(change: Change, among: Sequence[Term], fact: ChangeFacts, now: datetime) -> bool:
    """Whether all let it through, or were set aside by name where that may be."""
    return all(
        lets(term, change, fact, now) or (term.name in ASIDE and term.name in change.overrides)
        for term in among
    )


# -- decide


@settings(max_examples=300)
@given(change=changes, among=st.lists(terms, max_size=6), fact=facts, later=seconds)
def test_exactly_what_the_terms_say_is_allowed(
    change: Change, among: list[Term], fact: ChangeFacts, later: int
) -> None:
    """As the oracle says, at any time."""
    now = NOW + timedelta(seconds=later)
    assert decide(change, among, fact, now).allowed == allowed(change, among, fact, now)


@settings(max_examples=100)
@given(change=changes, among=st.lists(terms, max_size=5), more=terms, fact=facts)
def test_a_term_more_never_allows_more(
    change: Change, among: list[Term], more: Term, fact: ChangeFacts
) -> None:
    """Wherever it stands among the others."""
    fewer = decide(change, among, fact, NOW)
    for at in range(len(among) + 1):
        with_it = decide(change, [*among[:at], more, *among[at:]], fact, NOW)
        assert fewer.allowed or not with_it.allowed
        assert set(fewer.reasons) <= set(with_it.reasons)


@settings(max_examples=100)
@given(
    change=changes,
    among=st.lists(terms, max_size=6),
    fact=facts,
    draw=st.randoms(use_true_random=False),
)
def test_the_order_of_terms_changes_nothing(
    change: Change, among: list[Term], fact: ChangeFacts, draw: Any
) -> None:
    """But the order of the reasons."""
    other = list(among)
    draw.shuffle(other)
    first, second = (decide(change, some, fact, NOW) for some in (among, other))
    assert first.allowed == second.allowed
    assert first.until == second.until
    assert sorted(map(str, first.reasons)) == sorted(map(str, second.reasons))


@settings(max_examples=100)
@given(change=changes, among=st.lists(terms, max_size=4), fact=facts)
def test_until_is_when_it_is_let_through(
    change: Change, among: list[Term], fact: ChangeFacts
) -> None:
    """And not a second before, as long as nothing else happens."""
    found = decide(change, among, fact, NOW)
    if found.until is None or found.refusals:
        return
    assert found.until > NOW
    before = decide(change, among, fact, found.until - timedelta(seconds=1))
    assert not before.allowed
    # Another term may have closed meanwhile, a window for one; those that waited longest are over.
    then = decide(change, among, fact, found.until)
    last = {one.term for one in found.waits if one.until == found.until}
    assert not last & {one.term for one in then.waits}


# -- the planner


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A device and a delegate or channel with any terms and orders."""
    given_ = delegation(
        "ops",
        *draw(st.lists(terms, max_size=3)),
        scopes=draw(st.sampled_from([frozenset({KITCHEN})] * 3 + [frozenset({HOUSE})])),
        packages=draw(st.sampled_from([(TOASTER,), ("pkg:generic/acme/*",), ("pkg:x/*",)])),
        verbs=draw(st.sampled_from([ALL_VERBS] * 3) | st.frozensets(st.sampled_from(list(Verb)))),
    )
    levels = [Level.TRANSFERRED, Level.INSTALLED]
    world = World(
        releases={v: release(v, *draw(access)) for v in VERSIONS},
        held=draw(st.dictionaries(st.sampled_from(VERSIONS), st.sampled_from(levels))),
        running=draw(st.none() | st.sampled_from(VERSIONS)),
        configuration=draw(st.none() | st.sampled_from(["a", "b"])),
        history=draw(st.lists(st.sampled_from(VERSIONS), unique=True, max_size=2).map(tuple)),
        unknown=draw(st.frozensets(st.sampled_from(VERSIONS), max_size=2)),
        witnessed=draw(st.none() | moments),
        grounds=Grounds(
            {digest(v): draw(moments) for v in VERSIONS if draw(st.booleans())},
            draw(st.lists(moments, max_size=2).map(tuple)),
        ),
    )
    if world.running is not None:
        world.held[world.running] = Level.INSTALLED
        world.unknown -= {world.running}
    owners = managed(
        "ops",
        accepts=Accepts(draw(access)),
        overrides=draw(st.frozensets(st.sampled_from(["soak", "window", "access", "scopes"]))),
        configuration=ConfigurationOrder("ops") if draw(st.booleans()) else None,
    )
    scopes_terms = draw(st.lists(terms, max_size=1))
    world.owns(document({TOASTER: owners}, terms=tuple(scopes_terms)))
    if draw(st.booleans()):
        return world.delegates_to(following(given_, draw(st.sampled_from(VERSIONS))))
    active = draw(st.none() | st.sampled_from(VERSIONS))
    kept = draw(st.lists(st.sampled_from(VERSIONS), unique=True, max_size=2))
    when = draw(st.sampled_from(list(When)))
    orders = [order(v, draw(st.sampled_from(levels))) for v in kept if v != active]
    if active is not None:
        orders.append(order(active, when=when))
    configuration = draw(st.none() | st.sampled_from(["a", "b"]))
    theirs = PackageEntry(
        software=Software(releases=tuple(orders)),
        configuration=None
        if configuration is None
        else ConfigurationOrder(digest=document_of(configuration)),
        change=note("theirs"),
    )
    return world.delegates_to(ordering(given_, {TOASTER: theirs}))


def check(world: World, verb: Verb, wanted: str | None, *, kept: bool = False) -> None:
    """That a step was allowed by every term in force, as the oracle reads them."""
    resolved = world.resolved.packages[TOASTER].software
    delegate = world.delegates["ops"]
    among: list[Any] = [
        *delegate.delegation.all_terms,
        *world.owner[KITCHEN].terms,
        *([delegate.channel.term] if delegate.channel is not None else []),
    ]
    owners = world.owner[KITCHEN].packages[TOASTER]
    running = None if world.running is None else world.releases[world.running]
    described = None if wanted is None or wanted in world.unknown else world.releases[wanted]
    if verb is Verb.CONFIGURE:
        running, described = (world.releases[wanted] if wanted else running), None
    channel = delegate.channel
    fact = ChangeFacts(
        running,
        None if wanted is None else world.grounds.seen.get(digest(wanted)),
        world.witnessed,
        world.grounds.activated,
        {},
        None,
        frozenset(),
    )
    assert channel is None or channel.seen_since is None
    assert resolved.manager == "ops"
    change = Change(verb, KITCHEN, TOASTER, described, owners.accepts.access, owners.overrides)
    assert kept or allowed(change, among, fact, world.now), (verb, wanted, among)


def version_of(wanted: object) -> str | None:
    """The version of a digest."""
    return next((v for v in VERSIONS if digest(v) == wanted), None)


@settings(max_examples=250)
@given(world=worlds(), later=st.integers(0, 48))
def test_no_step_is_planned_that_the_terms_do_not_allow(world: World, later: int) -> None:
    """Whatever a delegate orders, each planned step is allowed for itself."""
    world.now = NOW + timedelta(hours=later)
    for action in world.plan().actions:
        match action:
            case Describe(_, ordered):
                check(world, Verb.TRANSFER, ordered.version, kept=ordered.version in world.held)
            case Transfer(_, ordered):
                check(world, Verb.TRANSFER, ordered.version)
            case Install(_, ordered, _):
                check(world, Verb.INSTALL, ordered.version)
            case Delete(_, gone):
                version = version_of(gone)
                housekeeping = world.running is not None and (
                    version in world.history or world.delegates["ops"].channel is not None
                )
                check(world, Verb.DELETE, None, kept=housekeeping)
            case Activate(members):
                for member in members:
                    version = version_of(member.digest)
                    if version is None:
                        check(world, Verb.DELETE, None)
                    elif version != world.running:
                        check(world, Verb.ACTIVATE, version)
                    had = None if world.configuration is None else document_of(world.configuration)
                    if version is not None and member.configuration != had:
                        check(world, Verb.CONFIGURE, version)


@settings(max_examples=100)
@given(world=worlds(), arm=st.booleans())
def test_revocation_never_changes_what_runs(world: World, arm: bool) -> None:
    """Nothing is fetched, switched or deleted; what was armed is taken back."""
    if arm:
        world.armed = Armed("whatever it was", "boot 1", (TOASTER,))
    world.delegates = {}
    planned = world.plan().actions
    assert planned == ((Cancel(TOASTER),) if arm else ())


@settings(max_examples=100)
@given(world=worlds(), more=terms)
def test_a_term_more_never_fetches_more(world: World, more: Term) -> None:
    """What is fetched or installed under more terms would have been without."""

    def steps() -> set[tuple[str, str]]:
        planned = world.plan().actions
        rises = [one for one in planned if isinstance(one, Describe | Transfer | Install)]
        return {(type(one).__name__, one.order.digest) for one in rises}

    fewer = steps()
    mine = world.owner[KITCHEN]
    world.owner[KITCHEN] = replace(mine, terms=(*mine.terms, more))
    assert steps() <= fewer
