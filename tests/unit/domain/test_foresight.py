"""Foresight: what devices would say, by their own planner, from what they reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.domain.plan_world import (
    FLEET,
    ConfigurationOrder,
    Level,
    PackageEntry,
    When,
    World,
    delegation,
    digest,
    document,
    document_of,
    entry,
    following,
    managed,
    note,
    order,
    ordering,
)
from tests.unit.domain.term_facts import ACME, HOUSE, KITCHEN, NOW, TOASTER, release

from allod.domain.condition import Term
from allod.domain.desired import Software, StateDocument
from allod.domain.foresight import Foreseen, Known, Words, foresee
from allod.domain.ids import DeviceId, Digest, GroupName, ProviderName, Purl, Scope, Version
from allod.domain.judgement import ProviderLimits
from allod.domain.release import Release
from allod.domain.reported import Actual, ActualPackage, ActualRelease, Member
from allod.domain.rollout import Rollout, Stage
from allod.domain.terms import (
    Approvals,
    Lease,
    NewAccess,
    Soak,
    Until,
    VersionRule,
    Versions,
    Windows,
)

DEVICES = tuple(DeviceId(letter * 64) for letter in "abcd")
VERSIONS = {v: release(v) for v in ("1.9.0", "2.0.1", "2.0.2")}


def find(package: Purl, wanted: Digest, provider: ProviderName | None) -> Release | None:
    """A description."""
    assert provider in {None, ACME}
    return next((one for v, one in VERSIONS.items() if digest(v) == wanted), None)


def member(at: int, version: str | None = "2.0.1", **fields: Any) -> Member:
    """A device of the kitchen that runs this version."""
    releases = (
        () if version is None else (ActualRelease(Version(version), digest(version), Level.ACTIVE),)
    )
    package = ActualPackage(TOASTER, "active", releases)
    actual = Actual(NOW, 1, {}, {TOASTER: package} if version else {})
    return Member(DEVICES[at], 1, (GroupName("kitchen"),), **{"actual": actual, **fields})


def said(
    before: Words, after: Words, *members: Member, **known: Any
) -> list[tuple[tuple[str, ...], bool, int]]:
    """Codes, whether it waits, and on how many devices."""
    found = foresee(before, after, members, Known(find, NOW, **known))
    return [(one.codes, one.waits, len(one.devices)) for one in found]


def owners(*terms: Term, version: str = "2.0.2", **fields: Any) -> Words:
    """The owner wants a version in the kitchen."""
    return Words({KITCHEN: document({TOASTER: entry(order(version), **fields)}, terms=terms)})


NONE = Words({})


def test_only_some_devices_refuse() -> None:
    """Those on which it would be a step of another kind, by name."""
    rule = Versions(VersionRule.SAME_MINOR)
    members = (member(0), member(1, "1.9.0"), member(2, "1.9.0"), member(3, "2.0.2"))
    found = foresee(NONE, owners(rule), members, Known(find, NOW))
    assert found == (
        Foreseen(
            TOASTER,
            ("version-rule",),
            "only patches of the same minor version: 2.0.2 is no patch of 1.9.0",
            False,
            (DEVICES[1], DEVICES[2]),
        ),
    )


def test_what_waits_is_foreseen_where_nothing_is_refused() -> None:
    """As if all were installed already."""
    assert said(NONE, owners(Windows(()), Soak(60)), member(0)) == [(("window", "soak"), True, 1)]
    assert said(NONE, owners(Windows(()), Until(NOW)), member(0)) == [(("ended",), False, 1)]
    assert said(NONE, owners(), member(0)) == []


def test_nothing_is_said_of_what_stays_as_it_was() -> None:
    """Only what the change brings; the same words again bring nothing."""
    words = owners(Until(NOW))
    assert said(words, words, member(0)) == []
    assert said(words, owners(Until(NOW), version="2.0.1"), member(0)) == []


def test_devices_that_nothing_is_known_of_are_left_out() -> None:
    """Retired, never reported, or running what nobody can describe."""
    rule = owners(Until(NOW))
    assert said(NONE, rule, member(0, retired=True), member(1, actual=None)) == []
    assert said(NONE, rule, member(0, "4.4.4"), member(1, None)) == [(("ended",), False, 1)]


def test_evidence_is_what_devices_will_have() -> None:
    """A lease is good where witnesses vouch for the change."""
    leased = owners(Lease(60))
    assert said(NONE, leased, member(0)) == [(("lease-unproved",), False, 1)]
    assert said(NONE, leased, member(0), witnessed=NOW) == []


def test_the_owners_other_words_count() -> None:
    """Withdrawn releases and distrusted providers; a hold hides nothing."""
    held = Words({KITCHEN: replace(owners().documents[KITCHEN], hold="Christmas")})
    assert said(NONE, held, member(0), withdrawn={digest("2.0.2"): "why"}) == [
        (("withdrawn",), False, 1)
    ]
    limits = {ACME: ProviderLimits("sold")}
    assert said(NONE, owners(), member(0), providers=limits) == [
        (("provider-distrusted",), False, 1)
    ]


def test_what_only_the_device_knows_is_not_guessed() -> None:
    """Its hardware is in no report."""
    VERSIONS["2.0.9"] = release("2.0.9", hardware=("acme,oven",), architecture="riscv64")
    try:
        assert said(NONE, owners(version="2.0.9"), member(0)) == []
    finally:
        del VERSIONS["2.0.9"]


def test_a_rollout_is_foreseen_to_its_end() -> None:
    """What it will bring, not what stands before it."""
    plan = Rollout("r", (Stage(NOW + timedelta(days=1), 1.0),), before=Software())
    words = owners(Windows(()), rollout=plan)
    assert said(NONE, words, member(0)) == [(("window",), True, 1)]


def test_a_delegates_document_is_held_to_its_delegation() -> None:
    """It replaces the one that there was, and nobody else's."""
    given = delegation("ops", NewAccess(), Approvals((("qa", 1),)))
    empty = {TOASTER: entry(change="none")}
    words = Words({KITCHEN: document({TOASTER: managed("ops")})}, {"ops": ordering(given, empty)})
    theirs = document({TOASTER: entry(order("2.0.2"), change="theirs")}, author="ops")
    changed = words.with_documents({KITCHEN: theirs})
    assert changed.documents == words.documents
    assert changed.delegates["ops"].documents == {KITCHEN: theirs}
    assert said(words, changed, member(0)) == [(("approvals-missing",), False, 1)]
    stranger = words.with_documents({KITCHEN: replace(theirs, author="nobody")})
    assert stranger == words


def test_a_grant_foresees_what_the_channel_orders_today() -> None:
    """Handing a package over is a change, too."""
    own = owners(version="2.0.1")
    handed = Words(
        {KITCHEN: document({TOASTER: managed("acme")})},
        {"acme": following(delegation("acme", Windows(())), "2.0.2")},
    )
    assert said(own, handed, member(0)) == [(("window",), True, 1)]


def test_configuration_is_foreseen_as_well() -> None:
    """With its own manager's terms."""
    given = delegation("looks", Windows(()))
    wanted = PackageEntry(
        configuration=ConfigurationOrder(digest=document_of("a")), change=note("theirs")
    )
    both = replace(entry(order("2.0.1")), configuration=ConfigurationOrder("looks"))
    words = Words({KITCHEN: document({TOASTER: both})}, {"looks": ordering(given, {})})
    changed = words.with_documents({KITCHEN: document({TOASTER: wanted}, author="looks")})
    assert said(words, changed, member(0)) == [(("window",), True, 1)]


def test_documents_of_the_owner_replace_their_scopes() -> None:
    """And leave the others."""
    one, other = StateDocument(FLEET, KITCHEN), StateDocument(FLEET, HOUSE)
    words: dict[Scope, StateDocument] = {KITCHEN: one, HOUSE: other}
    newer = replace(one, hold="x")
    assert Words(words).with_documents({KITCHEN: newer}).documents == {KITCHEN: newer, HOUSE: other}


def test_an_order_for_later_waits_for_no_term() -> None:
    """What is only waited for by the order itself is said elsewhere."""
    world = World().owns(document({TOASTER: entry(order("2.0.2", when=When.WINDOW))}))
    assert said(NONE, Words(world.owner), member(0)) == []


def test_devices_that_are_alike_are_asked_once() -> None:
    """However many there are, a preview costs what the different ones cost."""
    asked: list[Digest] = []

    def counting(package: Purl, wanted: Digest, provider: ProviderName | None) -> Release | None:
        asked.append(wanted)
        return find(package, wanted, provider)

    kitchen = [replace(member(0), device=DeviceId(f"{at:064x}")) for at in range(100)]
    (found,) = foresee(
        NONE, owners(Windows(())), [*kitchen, member(1, "1.9.0")], Known(counting, NOW)
    )
    assert len(found.devices) == 101
    assert sorted(asked) == sorted([digest("2.0.1"), digest("1.9.0"), *[digest("2.0.2")] * 2])
