"""The planner asks the terms: what is refused is not fetched, what waits is prepared."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.domain.plan_world import (
    Accepts,
    Armed,
    ConfigurationOrder,
    Grounds,
    Level,
    PackageEntry,
    ProviderLimits,
    Software,
    When,
    World,
    delegation,
    did,
    digest,
    document,
    document_of,
    entry,
    followed,
    handed,
    managed,
    note,
    only,
    order,
    ordering,
    refused,
)
from tests.unit.domain.term_facts import ACME, DAY, HOUR, NOW, TOASTER, release

from allod.domain.actions import Activate, Cancel, Delete, Install, Transfer
from allod.domain.condition import Verb
from allod.domain.delegation import Delegate
from allod.domain.desired import OWNER, Window
from allod.domain.terms import (
    PROVIDER,
    Approvals,
    Consent,
    Lease,
    NewAccess,
    Rate,
    Soak,
    Until,
    VersionRule,
    Versions,
    Windows,
)

NEVER = Windows(())
SHUT = Windows((Window(frozenset({6}), 14 * 60, 60),))  # opens two hours after NOW
OPENS = NOW + timedelta(hours=2)
STAGED = {"2.0.1": Level.INSTALLED, "2.0.2": Level.INSTALLED}
MOST = frozenset({Verb.TRANSFER, Verb.INSTALL, Verb.ACTIVATE})


def attempt_of(world: World) -> str:
    """By which the device knows what it would activate."""
    found = world.plan()
    asked = next((one.attempt for one in found.waiting if one.attempt), None)
    return asked or next(
        member.attempt
        for action in found.actions
        if isinstance(action, Activate)
        for member in action.members
    )


# -- orders


def test_a_delegates_order_rises_step_by_step() -> None:
    """Each step says what the terms said of it."""
    world = handed()
    first = only(world.plan())
    assert isinstance(first, Transfer)
    assert "verbs: only to activate, configure, delete, install, restart, transfer" in first.reasons
    second = only(world.plan(held={"2.0.1": Level.INSTALLED, "2.0.2": Level.TRANSFERRED}))
    assert isinstance(second, Install)
    assert second.reasons == first.reasons
    third = only(world.plan(held=STAGED))
    assert isinstance(third, Activate)
    assert third.members[0].digest == digest("2.0.2")
    assert third.members[0].reasons[0] == "scopes: only in groups/kitchen"


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        (Verb.TRANSFER, "outside-verbs"),
        (Verb.INSTALL, "outside-verbs"),
        (Verb.ACTIVATE, "outside-verbs"),
    ],
)
def test_every_step_that_is_left_must_be_allowed(missing: Verb, code: str) -> None:
    """What could not be activated in the end is not even fetched; what is there already may be."""
    found = handed(verbs=MOST - {missing}).plan()
    assert found.actions == ()
    assert refused(found) == [code]
    staged = handed(verbs=frozenset({Verb.ACTIVATE})).plan(held=STAGED)
    assert did(staged) == ["Activate"]


def test_an_order_to_install_needs_no_word_on_activation() -> None:
    """Only the steps up to the order's own level are asked."""
    given = delegation("ops", NEVER, verbs=frozenset({Verb.TRANSFER, Verb.INSTALL}))
    orders = entry(order("2.0.2", Level.INSTALLED), order("2.0.1"), change="theirs")
    world = World().owns(document({TOASTER: managed("ops")}))
    world.delegates_to(ordering(given, {TOASTER: orders}))
    assert did(world.plan()) == ["Transfer"]
    assert did(world.plan(held=STAGED)) == []


def test_what_needs_no_description_is_refused_without_fetching_one() -> None:
    """An ended delegation makes a device fetch nothing at all."""
    found = handed(Until(NOW)).plan(unknown=frozenset({"2.0.2"}))
    assert found.actions == ()
    assert refused(found) == ["ended"]
    assert did(handed().plan(unknown=frozenset({"2.0.2"}))) == ["Describe"]
    gone = handed().plan(
        unknown=frozenset({"2.0.2"}), withdrawn={digest("2.0.2"): "it burns bread"}
    )
    assert (did(gone), refused(gone)) == ([], ["withdrawn"])


def test_each_reason_is_told_once() -> None:
    """Three steps are asked, and say the same."""
    found = handed(Lease(60), Approvals((("qa", 1),))).plan()
    assert refused(found) == ["lease-unproved", "approvals-missing"]
    assert found.refusals[0].reason == (
        "only while the log was witnessed in the last 1 minute: no witness vouched for it"
    )


def test_what_runs_is_no_change() -> None:
    """An order or a channel that names what runs asks nobody."""
    assert handed(Until(NOW), version="2.0.1").plan().refusals == ()
    assert followed(Until(NOW), version="2.0.1").plan().refusals == ()
    assert followed(Until(NOW), version="2.0.1").plan().actions == ()


# -- waits


def test_what_waits_is_prepared() -> None:
    """A soak holds up activation alone, and says until when."""
    world = followed(Soak(86_400))
    world.grounds = Grounds(seen={digest("2.0.2"): NOW - HOUR})
    assert did(world.plan()) == ["Transfer"]
    found = world.plan(held=STAGED)
    assert found.actions == ()
    wait = found.waiting[0]
    assert (wait.what, wait.codes, wait.until) == ("activate", ("soak",), NOW - HOUR + DAY)
    assert wait.version == "2.0.2"
    assert wait.waits_for.startswith("soak: not before it is known for 1 day: known since ")
    assert did(world.plan(now=NOW + DAY)) == ["Activate"]


def test_a_soak_counts_from_the_earlier_of_two_proofs() -> None:
    """What the device saw itself, or what a witnessed checkpoint proves."""
    world = followed(Soak(86_400)).delegates_to()
    acme = world.delegates["acme"]
    assert acme.channel is not None
    seen = replace(acme, channel=replace(acme.channel, seen_since=NOW - DAY))
    world.held = STAGED
    assert world.plan().waiting[0].until is None
    assert did(world.delegates_to(seen).plan()) == ["Activate"]
    assert did(world.plan(grounds=Grounds(seen={digest("2.0.2"): NOW}))) == ["Activate"]


def test_all_that_is_waited_for_is_told() -> None:
    """Until the last of them; with one that time does not bring, until nobody knows."""
    world = handed(SHUT, Rate(1, 86_400)).delegates_to()
    world.grounds = Grounds(activated=(NOW - HOUR,))
    wait = world.plan(held=STAGED).waiting[0]
    assert wait.codes == ("window", "rate")
    assert wait.until == NOW - HOUR + DAY
    asks = handed(SHUT, Consent()).plan(held=STAGED).waiting[0]
    assert (asks.codes, asks.until) == (("window", "consent"), None)


def test_consent_is_bound_to_what_was_asked() -> None:
    """An answer about one attempt is none about another; a no is told, and nothing more is done."""
    world = handed(Consent())
    world.held = STAGED
    asked = attempt_of(world)
    yes, no = Grounds(consent={asked: True}), Grounds(consent={asked: False})
    assert did(world.plan(grounds=yes)) == ["Activate"]
    declined = world.plan(grounds=no)
    assert (did(declined), refused(declined)) == ([], ["consent-declined"])
    newer = ordering(
        delegation("ops", Consent()), {TOASTER: entry(order("2.0.2"), change="another")}
    )
    assert did(world.delegates_to(newer).plan(grounds=yes)) == []


def test_the_owners_windows_still_count() -> None:
    """What an order itself waits for comes after the terms."""
    world = World().owns(document({TOASTER: entry(order("2.0.2", when=When.WINDOW))}))
    wait = world.plan(held=STAGED).waiting[0]
    assert wait.waits_for == "window: no scope sets one"


def test_a_hold_comes_before_every_term() -> None:
    """It is the owner's, and says so."""
    world = handed(SHUT)
    world.owns(replace(world.owner[next(iter(world.owner))], hold="Christmas"))
    assert world.plan(held=STAGED).waiting[0].waits_for == "groups/kitchen holds: Christmas"


# -- the owner


def test_terms_of_a_scope_bind_the_owner_too() -> None:
    """But for what the owner sets aside by name."""
    wanted = entry(order("2.0.2"))
    bound = World().owns(document({TOASTER: wanted}, terms=(SHUT, Approvals((("qa", 1),)))))
    assert refused(bound.plan(held=STAGED)) == ["approvals-missing"]
    aside = replace(wanted, overrides=frozenset({"approvals"}))
    bound.owns(document({TOASTER: aside}, terms=(SHUT, Approvals((("qa", 1),)))))
    assert bound.plan().waiting[0].until == OPENS
    both = replace(wanted, overrides=frozenset({"approvals", "window"}))
    bound.owns(document({TOASTER: both}, terms=(SHUT, Approvals((("qa", 1),)))))
    done = only(bound.plan())
    assert isinstance(done, Activate)
    assert done.members[0].reasons[0].endswith("(the owner set it aside)")


def test_without_terms_the_owner_is_asked_nothing() -> None:
    """As before there were any."""
    world = World().owns(document({TOASTER: entry(order("2.0.2"))}))
    done = only(world.plan(held=STAGED))
    assert isinstance(done, Activate)
    assert done.members[0].reasons == ()


# -- access


def test_access_that_a_delegation_lists_is_accepted_with_it() -> None:
    """Or by name in the owner's entry; else the release is stopped, before it is fetched."""
    camera = {"2.0.1": release("2.0.1"), "2.0.2": release("2.0.2", "camera")}
    stopped = handed().plan(releases=camera)
    assert stopped.actions == ()
    assert sorted(refused(stopped)) == ["access-not-accepted", "new-access"]
    listed = handed(NewAccess(frozenset({"camera"})))
    assert did(listed.plan(releases=camera)) == ["Transfer"]
    named = handed().owns(
        document({TOASTER: managed("ops", accepts=Accepts(frozenset({"camera"})))})
    )
    assert did(named.plan(releases=camera)) == ["Transfer"]


def test_a_delegate_accepts_nothing() -> None:
    """What stands in a delegate's own entry is nobody's acceptance, and sets nothing aside."""
    theirs = entry(
        order("2.0.2"),
        change="theirs",
        accepts=Accepts(frozenset({"camera"})),
        overrides=frozenset({"access", "window"}),
    )
    world = handed().delegates_to(ordering(delegation("ops", NEVER), {TOASTER: theirs}))
    camera = {"2.0.1": release("2.0.1"), "2.0.2": release("2.0.2", "camera")}
    assert sorted(refused(world.plan(releases=camera))) == ["access-not-accepted", "new-access"]
    plain = world.plan(releases={v: release(v) for v in camera}, held=STAGED)
    assert (did(plain), plain.waiting[0].codes) == ([], ("window",))


def test_what_a_scope_lists_is_not_accepted_by_it() -> None:
    """A term of the owner's own only narrows."""
    wanted = document(
        {TOASTER: entry(order("2.0.2"))}, terms=(NewAccess(frozenset({"camera"}), strict=True),)
    )
    camera = {"2.0.1": release("2.0.1"), "2.0.2": release("2.0.2", "camera")}
    assert refused(World().owns(wanted).plan(releases=camera)) == ["access-not-accepted"]


def test_no_release_gets_more_than_its_provider_may_ask_for() -> None:
    """Whoever accepted it."""
    most = {ACME: ProviderLimits(access=frozenset({"network.outbound"}))}
    camera = {"2.0.1": release("2.0.1"), "2.0.2": release("2.0.2", "camera")}
    found = handed(NewAccess(frozenset({"camera"}))).plan(releases=camera, providers=most)
    assert refused(found) == ["access-beyond-provider"]


# -- providers and withdrawal


def test_the_word_of_a_distrusted_provider_counts_up_to_where_it_was_trusted() -> None:
    """A release that a channel named before may come; any other is refused."""
    whole = {ACME: ProviderLimits("it was sold")}
    after = {ACME: ProviderLimits("it was sold", after=12)}
    vouched = {ACME: ProviderLimits("it was sold", after=12, vouched=frozenset({digest("2.0.2")}))}
    other = {ACME: ProviderLimits("it was sold", after=12, vouched=frozenset({digest("3.0.0")}))}
    listed = {ACME: ProviderLimits("it was sold", vouched=frozenset({digest("2.0.2")}))}
    assert refused(handed().plan(providers=whole)) == ["provider-distrusted"]
    assert refused(handed().plan(providers=after)) == ["provider-distrusted"]
    assert refused(handed().plan(providers=other)) == ["provider-distrusted"]
    assert refused(handed().plan(providers=listed)) == ["provider-distrusted"]
    assert did(handed().plan(providers=vouched)) == ["Transfer"]
    assert did(followed().plan(providers=after)) == ["Transfer"]
    assert refused(followed().plan(providers=whole)) == ["provider-distrusted"]


def test_another_providers_channel_vouches_for_nothing() -> None:
    """Only its own word, while it counted."""
    world = followed()
    acme = world.delegates["acme"]
    assert acme.channel is not None
    world.delegates_to(replace(acme, channel=replace(acme.channel, provider="initech")))
    limits = {"initech": ProviderLimits("why", after=3)}
    assert "provider-distrusted" not in refused(world.plan(providers=limits))
    assert "provider-distrusted" not in refused(
        world.plan(providers={ACME: ProviderLimits("why", after=3)})
    )


# -- security evidence


@pytest.mark.parametrize(
    ("channel", "wanted", "running", "allowed"),
    [
        ((), (), (), False),
        (("CVE-1",), (), (), True),
        ((), ("CVE-1",), (), True),
        (("CVE-1",), ("CVE-1",), ("CVE-1",), False),
        (("CVE-1", "CVE-2"), (), ("CVE-1",), True),
    ],
)
def test_a_security_fix_mends_what_runs_does_not(
    channel: tuple[str, ...], wanted: tuple[str, ...], running: tuple[str, ...], allowed: bool
) -> None:
    """By the provider's word in the channel or in the release's own description."""
    world = followed(Versions(VersionRule.SECURITY, frozenset({PROVIDER})), mends=channel)
    world.releases = {
        "2.0.1": release("2.0.1", mends=running),
        "2.0.2": release("2.0.2", mends=wanted),
    }
    found = world.plan()
    assert (did(found), refused(found)) == (
        (["Transfer"], []) if allowed else ([], ["version-rule"])
    )


# -- configuration


def configuring(*terms: object, **fields: object) -> World:
    """The owner's software, and a delegate's configuration of it."""
    given = delegation("looks", *terms, **fields)  # type: ignore[arg-type]
    theirs = PackageEntry(
        configuration=ConfigurationOrder(digest=document_of("a")), change=note("theirs")
    )
    owners = replace(entry(order("2.0.1")), configuration=ConfigurationOrder("looks"))
    return (
        World().owns(document({TOASTER: owners})).delegates_to(ordering(given, {TOASTER: theirs}))
    )


def test_configuration_is_asked_for_by_itself() -> None:
    """With the terms of whoever decides on it."""
    done = only(configuring().plan())
    assert isinstance(done, Activate)
    assert done.members[0].configuration == document_of("a")
    assert done.members[0].reasons[0] == "scopes: only in groups/kitchen"
    fetched = configuring(verbs=MOST).plan(documents=frozenset())
    assert (did(fetched), refused(fetched)) == ([], ["outside-verbs"])
    wait = configuring(SHUT).plan().waiting[0]
    assert (wait.what, wait.codes, wait.until) == ("configure", ("window",), OPENS)


def test_a_waiting_configuration_is_fetched() -> None:
    """As a release is."""
    assert did(configuring(SHUT).plan(documents=frozenset())) == ["FetchDocument"]


def test_one_half_does_not_wait_for_the_other_that_another_decides_on() -> None:
    """Refused or early configuration leaves the software alone, and the other way round."""
    for terms, codes in (((Until(NOW),), ["ended"]), ((SHUT,), [])):
        world = configuring(*terms)
        software = replace(entry(order("2.0.2")), configuration=ConfigurationOrder("looks"))
        found = world.owns(document({TOASTER: software})).plan(held=STAGED)
        done = only(found)
        assert isinstance(done, Activate)
        assert (done.members[0].digest, done.members[0].configuration) == (digest("2.0.2"), None)
        assert refused(found) == codes
        assert [one.what for one in found.waiting] == [] if codes else ["configure"]
    for term, codes in ((Until(NOW), ["ended"]), (SHUT, [])):
        world = handed(term)
        owners = managed("ops", configuration=ConfigurationOrder(digest=document_of("b")))
        found = world.owns(document({TOASTER: owners})).plan(held=STAGED)
        done = only(found)
        assert isinstance(done, Activate)
        assert done.members[0].digest == digest("2.0.1")
        assert done.members[0].configuration == document_of("b")
        assert refused(found) == codes
        assert [one.what for one in found.waiting] == [] if codes else ["activate"]


def test_the_first_activation_waits_for_its_configuration() -> None:
    """Early is not refused: nothing runs yet that could go on; a refused one does not count."""
    software = replace(entry(order("2.0.2")), configuration=ConfigurationOrder("looks"))
    nothing = {"running": None, "held": {"2.0.2": Level.INSTALLED}}
    early = configuring(SHUT).owns(document({TOASTER: software})).plan(**nothing)
    assert (did(early), early.waiting[0].codes) == ([], ("window",))
    never = configuring(Until(NOW)).owns(document({TOASTER: software})).plan(**nothing)
    assert did(never) == ["Activate"]


def test_what_one_change_orders_of_both_halves_stays_together() -> None:
    """The same entry's software and configuration are allowed, or wait, as one."""
    both = entry(order("2.0.2"), configuration=ConfigurationOrder(digest=document_of("a")))
    world = World().owns(document({TOASTER: both}, terms=(SHUT,)))
    found = world.plan(held=STAGED)
    assert (did(found), len(found.waiting)) == ([], 1)
    done = only(world.plan(now=OPENS))
    assert isinstance(done, Activate)
    assert (done.members[0].digest, done.members[0].configuration) == (
        digest("2.0.2"),
        document_of("a"),
    )


def test_a_refused_removal_leaves_the_owners_configuration_in_force() -> None:
    """A delegate's empty list cuts the owner off from nothing."""
    given = delegation("ops", verbs=MOST)
    owners = managed("ops", configuration=ConfigurationOrder(digest=document_of("b")))
    world = World().owns(document({TOASTER: owners}))
    found = world.delegates_to(ordering(given, {TOASTER: entry(change="theirs")})).plan()
    done = only(found)
    assert isinstance(done, Activate)
    assert (done.members[0].digest, done.members[0].configuration) == (
        digest("2.0.1"),
        document_of("b"),
    )
    assert refused(found) == ["outside-verbs"]


def test_a_pattern_configures_nothing_that_runs_as_root() -> None:
    """Not what comes with it, either."""
    world = configuring(packages=("pkg:generic/acme/*",))
    root = {"2.0.1": release("2.0.1", "root")}
    assert refused(world.plan(releases=root)) == ["full-control"]


# -- removal


def removing(*terms: object, verbs: frozenset[Verb] = frozenset(Verb)) -> World:
    """A delegate whose list is empty."""
    given = delegation("ops", *terms, verbs=verbs)  # type: ignore[arg-type]
    world = World().owns(document({TOASTER: managed("ops")}))
    return world.delegates_to(ordering(given, {TOASTER: entry(change="theirs")}))


def test_to_stop_what_runs_is_to_delete_it() -> None:
    """That verb, in the window."""
    done = only(removing().plan())
    assert isinstance(done, Activate)
    assert done.members[0].digest is None
    assert "scopes: only in groups/kitchen" in done.members[0].reasons
    assert refused(removing(verbs=MOST).plan()) == ["outside-verbs"]
    assert removing(SHUT).plan().waiting[0].until == OPENS


def test_a_release_is_deleted_by_a_word_that_may() -> None:
    """What the list lacks and never ran; what ran goes by the owner's retention alone."""
    held = {"2.0.0": Level.INSTALLED, "2.0.1": Level.INSTALLED, "3.0.0": Level.INSTALLED}
    may = handed(version="2.0.1").plan(held=held)
    assert [a.digest for a in may.actions if isinstance(a, Delete)] == sorted(
        [digest("2.0.0"), digest("3.0.0")]
    )
    assert all(a.reasons for a in may.actions if isinstance(a, Delete))
    world = handed(version="2.0.1", verbs=MOST)
    may_not = world.plan(held=held)
    assert (did(may_not), refused(may_not)) == ([], ["outside-verbs"])
    kept = world.plan(history=("3.0.0", "2.0.0"))
    assert [a.digest for a in kept.actions if isinstance(a, Delete)] == [digest("2.0.0")]
    assert refused(kept) == []
    early = handed(SHUT, version="2.0.1").plan(held=held)
    assert did(early) == []
    assert {(one.what, one.until) for one in early.waiting} == {("delete", OPENS)}


def test_a_channel_orders_no_deletion() -> None:
    """Its list is only what runs: what it brought and nobody wants any more is tidied up."""
    held = {"2.0.0": Level.INSTALLED, "2.0.1": Level.INSTALLED, "3.0.0": Level.TRANSFERRED}
    world = followed(NEVER, version="2.0.1", verbs=MOST)
    found = world.plan(held=held, history=("2.0.0",))
    assert [a.digest for a in found.actions if isinstance(a, Delete)] == [digest("3.0.0")]
    assert (refused(found), found.waiting) == ([], ())


# -- what is armed


def armed(world: World, boot: str = "boot 1") -> World:
    """The world in which what is wanted waits for the next restart."""
    world.held = STAGED
    done = only(world.plan())
    assert isinstance(done, Activate)
    assert done.at_restart
    world.armed = Armed(done.members[0].attempt, boot, (TOASTER,))
    return world


def at_restart(*terms: object, **fields: object) -> World:
    """A delegate's order for the next restart."""
    given = delegation("ops", *terms, **fields)  # type: ignore[arg-type]
    wanted = entry(order("2.0.2", when=When.RESTART), change="theirs")
    world = World(**{"witnessed": NOW} if fields else {})
    return world.owns(document({TOASTER: managed("ops")})).delegates_to(
        ordering(given, {TOASTER: wanted})
    )


def test_what_is_armed_stays_so_while_nothing_changed() -> None:
    """And is done after the restart."""
    world = armed(at_restart())
    assert did(world.plan()) == []
    done = only(world.plan(boot="boot 2"))
    assert isinstance(done, Activate)
    assert done.booted


def test_what_a_delegate_armed_is_taken_back_when_the_owner_names_nobody_any_more() -> None:
    """As a revocation leaves it: no entry is there. What the owner armed stays by the same silence."""
    for managers, done in ((frozenset({"ops"}), ["Cancel"]), (frozenset({"owner"}), [])):
        world = armed(at_restart())
        assert world.armed is not None
        world.armed = replace(world.armed, managers=managers)
        world.delegates = {}
        world.owns(document({}))
        assert did(world.plan()) == done


def test_what_a_lost_word_armed_is_taken_back() -> None:
    """Revoked, without a valid document, ended, withdrawn: before or after the restart."""
    for boot in ("boot 1", "boot 2"):
        revoked = armed(at_restart())
        revoked.delegates = {}
        wordless = armed(at_restart())
        wordless.delegates = {"ops": Delegate(delegation("ops"))}
        ended = armed(at_restart(Until(NOW + HOUR)))
        ended.now = NOW + HOUR
        recalled = armed(at_restart())
        recalled.withdrawn = {digest("2.0.2"): "it burns bread"}
        distrusted = armed(at_restart())
        distrusted.providers = {ACME: ProviderLimits("it was sold")}
        for world in (revoked, wordless, ended, recalled, distrusted):
            found = world.plan(boot=boot)
            assert did(found) == ["Cancel"]
            assert refused(found) != []
            assert only(found) == Cancel(TOASTER)


def test_what_a_lost_lease_armed_is_taken_back() -> None:
    """The lease is over between arming and the restart."""
    world = at_restart(Lease(3_600))
    world.witnessed = NOW
    armed(world)
    found = world.plan(now=NOW + 2 * HOUR)
    assert (did(found), refused(found)) == (["Cancel"], ["lease-over"])


def test_omission_by_the_owner_takes_nothing_back() -> None:
    """Silence stops change; it does not undo what was prepared."""
    owners = World().owns(document({TOASTER: entry(order("2.0.2", when=When.RESTART))}))
    world = armed(owners)
    world.owner = {}
    found = world.plan()
    assert (did(found), refused(found)) == ([], [])


def test_a_restart_outside_the_window_is_not_made_use_of() -> None:
    """It is prepared anew when the window opens."""
    world = at_restart(Windows((Window(frozenset({6}), 11 * 60, 120),)))
    armed(world)
    late = world.plan(now=NOW + 2 * HOUR, boot="boot 2")
    assert (did(late), late.waiting[0].codes) == (["Cancel"], ("window",))
    assert did(world.plan(boot="boot 1")) == []
    world.armed = None
    assert did(world.plan()) == []
    again = only(world.plan(now=NOW + timedelta(days=7)))
    assert isinstance(again, Activate)
    assert again.at_restart


def test_what_runs_is_never_changed_by_a_revocation() -> None:
    """Neither is anything fetched, nor deleted."""
    world = handed(version="2.0.2")
    world.delegates = {}
    found = world.plan(held={**STAGED, "3.0.0": Level.TRANSFERRED})
    assert found.actions == ()
    assert refused(found) == ["no-valid-document"]


# -- together


def test_packages_of_different_managers_do_not_go_together() -> None:
    """One scope and one manager decide on all of them."""
    world = handed()
    together = entry(order("2.0.2"), change="theirs", together=(TOASTER,))
    world.delegates_to(ordering(delegation("ops"), {TOASTER: together}))
    assert did(world.plan(held=STAGED)) == ["Activate"]
    butler = "pkg:generic/acme/butler"
    apart = replace(together, together=(butler,))  # type: ignore[arg-type]
    world.delegates_to(ordering(delegation("ops"), {TOASTER: apart}))
    world.owns(document({TOASTER: managed("ops"), butler: PackageEntry(software=Software(OWNER))}))
    found = world.plan(held=STAGED)
    assert (did(found), set(refused(found))) == ([], {"together-apart"})
