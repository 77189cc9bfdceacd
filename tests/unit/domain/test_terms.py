"""Terms: what each says of a change, and by which fact (docs/spec/delegation.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.unit.domain.term_facts import (
    DAY,
    HOUR,
    HOUSE,
    KITCHEN,
    NOW,
    TOASTER,
    asked,
    change,
    release,
    told,
)

from allod.domain.approval import seated
from allod.domain.condition import AGENT, DISTURBING, Verb, moment, span, window_text
from allod.domain.desired import Window
from allod.domain.ids import Purl
from allod.domain.terms import (
    OVERRIDABLE,
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
    needs_name,
)

FLAW = "CVE-2026-1001"
QUIET = sorted(set(Verb) - DISTURBING)
MENDS = frozenset({(PROVIDER, FLAW), (PROVIDER, "CVE-2026-1000"), ("others", "CVE-2026-1002")})


def test_the_first_step_that_disturbs_is_activation() -> None:
    """Transfer and installation disturb nobody; whatever changes what runs does."""
    assert QUIET == [Verb.INSTALL, Verb.TRANSFER]


def test_scopes_are_exactly_those_that_are_named() -> None:
    """A delegate has no word outside the groups and devices of the delegation."""
    term = Scopes(frozenset({KITCHEN}))
    assert told(term, change()) == ("scopes", "holds", "")
    assert told(term, change(scope=HOUSE)) == ("outside-scope", "refuses", "it is for groups/house")
    assert Scopes(frozenset({HOUSE, KITCHEN})).says == "only in groups/house, groups/kitchen"


@pytest.mark.parametrize(
    ("packages", "package", "code"),
    [
        ((TOASTER,), TOASTER, "packages"),
        (("pkg:generic/acme/*",), TOASTER, "packages"),
        (("pkg:generic/initech/*", "pkg:generic/acme/*"), TOASTER, "packages"),
        (("pkg:generic/acme/toast",), TOASTER, "outside-packages"),
        (("pkg:generic/acme/toast*",), TOASTER, "outside-packages"),
        (("pkg:generic/acme/toaste*",), TOASTER, "outside-packages"),
        (("pkg:generic/ac/*",), TOASTER, "outside-packages"),
        (("pkg:generic/*",), TOASTER, "packages"),
        ((), TOASTER, "outside-packages"),
        (("pkg:generic/allod/*",), AGENT, "full-control"),
        ((AGENT,), AGENT, "packages"),
    ],
)
def test_packages_are_names_or_patterns(packages: tuple[str, ...], package: str, code: str) -> None:
    """The agent's own package is under no pattern; half a segment is no pattern."""
    reason = asked(Packages(packages), change(package=Purl(package)))
    assert reason.code == code


def test_a_pattern_covers_nothing_that_runs_as_root() -> None:
    """Neither what comes as root nor what runs so: not to bring, to configure or to remove."""
    pattern, name = Packages(("pkg:generic/acme/*",)), Packages((TOASTER,))
    root = release("2.0.1", "root")
    fact = f"{TOASTER} has full control of the device, and no pattern covers that"
    comes = change(release=root)
    assert told(pattern, comes) == ("full-control", "refuses", fact)
    runs = change(Verb.CONFIGURE, release=None)
    assert told(pattern, runs, running=root) == ("full-control", "refuses", fact)
    assert told(pattern, runs, running=release()) == ("packages", "holds", "")
    assert told(name, comes, running=root) == ("packages", "holds", "")
    assert (
        told(pattern, change(package=Purl("pkg:generic/x/y")))[2] == "it is about pkg:generic/x/y"
    )
    assert pattern.says == "only pkg:generic/acme/*"
    assert Packages(("a", "b")).says == "only a, b"


def test_full_control_is_the_agent_and_root() -> None:
    """What is delegated only by name."""
    assert needs_name(AGENT, None)
    assert needs_name(AGENT, release())
    assert needs_name(TOASTER, release("1", "root", "camera"))
    assert not needs_name(TOASTER, release("1", "camera"))
    assert not needs_name(TOASTER, None)


def test_a_restart_is_about_no_package() -> None:
    """Who may restart is said by verbs and scopes."""
    assert told(Packages(()), change(Verb.RESTART, package=AGENT)) == ("packages", "holds", "")


def test_verbs_are_exactly_those_that_are_named() -> None:
    """Nobody activates who may only transfer."""
    term = Verbs(frozenset({Verb.TRANSFER, Verb.INSTALL}))
    assert told(term, change(Verb.TRANSFER)) == ("verbs", "holds", "")
    assert told(term, change(Verb.ACTIVATE)) == ("outside-verbs", "refuses", "it is to activate")
    assert term.says == "only to install, transfer"


@pytest.mark.parametrize(
    ("rule", "running", "wanted", "fact"),
    [
        ("same-minor", "2.0.1", "2.0.2", None),
        ("same-minor", "2.0.1", "2.0.10", None),
        ("same-minor", "v2.0.1", "2.0.2", None),
        ("same-minor", "2.0", "2.0.2", None),
        ("same-minor", "2", "2.0.2", None),
        ("same-minor", "2.1", "2.1.0", None),
        ("same-minor", "2.0.1", "2.0.1-4", None),
        ("same-minor", "2.0.1", "2.1.0", "2.1.0 is no patch of 2.0.1"),
        ("same-minor", "2.0.1", "3.0.1", "3.0.1 is no patch of 2.0.1"),
        ("same-minor", "2.0.2", "2.0.1", "2.0.1 is older than 2.0.2"),
        ("same-minor", "2.1.2", "2.0.9", "2.0.9 is older than 2.1.2"),
        ("same-minor", "2.0.1", "edge", "edge and 2.0.1 have no common order"),
        ("same-minor", "edge", "2.0.1", "2.0.1 and edge have no common order"),
        ("same-minor", "edge", "edge", None),
        ("same-minor", "2.0.1-4", "2.0.1-10", None),
        ("same-minor", "2.0.1-rc1", "2.0.1", None),
        ("same-minor", "2.0.1-rc1", "2.0.1-RC2", None),
        ("same-minor", "2.0.0.0.0", "2.0", None),
        ("same-minor", "2.0.1.5", "2.0.1.4", "2.0.1.4 is older than 2.0.1.5"),
        ("same-minor", "2.0.1", "2.0.1-rc1", "2.0.1-rc1 is older than 2.0.1"),
        ("same-minor", "2.0.1-4", "2.0.1-rc9", "2.0.1-rc9 is older than 2.0.1-4"),
        ("same-minor", "2.0.1-4", "2.0.1", "2.0.1 is older than 2.0.1-4"),
        ("same-minor", "2.0.1-4", "2.0.1-3", "2.0.1-3 is older than 2.0.1-4"),
        (
            "same-minor",
            "2.0.20260102030405",
            "2.0.20250102030405",
            "2.0.20250102030405 is older than 2.0.20260102030405",
        ),
        ("security", "2.0.1.5", "2.0.1.4", "2.0.1.4 is older than 2.0.1.5"),
        ("security", "2.0.1", "2.0.1", None),
        ("same-minor", None, "2.0.1", "nothing of it runs yet"),
        ("security", "2.0.1", "2.0.2", None),
        ("security", "2.0.1", "3.0.0", None),
        ("security", "2.0.1", "1.9.9", "1.9.9 is older than 2.0.1"),
        ("security", None, "2.0.1", "nothing of it runs yet"),
    ],
)
def test_a_version_rule_compares_with_what_runs(
    rule: str, running: str | None, wanted: str, fact: str | None
) -> None:
    """Neither rule lets an older version in, nor the first, nor one without an order."""
    term = Versions(VersionRule(rule), frozenset({PROVIDER}))
    runs = None if running is None else release(running)
    found = asked(term, change(release=release(wanted)), running=runs, mends=MENDS)
    if fact is None:
        assert (found.code, found.verdict) == ("version", "holds")
    else:
        assert (found.code, found.verdict, found.fact) == ("version-rule", "refuses", fact)


def test_security_is_what_a_named_source_says() -> None:
    """Only the flaws of named sources count."""
    step = change(release=release("2.0.2"))
    heard = Versions(VersionRule.SECURITY, frozenset({PROVIDER}))
    found = told(heard, step, running=release(), mends=MENDS)
    assert found == ("version", "holds", "it mends CVE-2026-1000, CVE-2026-1001")
    refused = ("version-rule", "refuses", "nobody of them says that 2.0.2 mends one")
    assert told(heard, step, running=release()) == refused
    unheard = Versions(VersionRule.SECURITY)
    assert told(unheard, step, running=release(), mends=MENDS) == refused
    assert heard.says == "only security fixes, by the word of provider"
    assert unheard.says == "only security fixes, by the word of nobody"
    both = Versions(VersionRule.SECURITY, frozenset({"b", "a"}))
    assert both.says == "only security fixes, by the word of a, b"
    assert Versions(VersionRule.SAME_MINOR).says == "only patches of the same minor version"


def test_what_opens_something_new_is_no_mere_fix() -> None:
    """Whatever it mends: the owner let fixes in, not a microphone."""
    term = Versions(VersionRule.SECURITY, frozenset({PROVIDER}))
    step = change(release=release("2.0.2", "audio:in", "net:out"))
    found = told(term, step, running=release("2.0.1", "net:out"), mends=MENDS)
    assert found == ("version-rule", "refuses", "it needs audio:in, so it is no mere fix")
    same = change(release=release("2.0.2", "net:out"))
    assert told(term, same, running=release("2.0.1", "net:out"), mends=MENDS)[1] == "holds"


def test_verifiers_are_asked_where_another_than_the_provider_counts() -> None:
    """The provider's own word needs no verifier's, nor does a rule that is about numbers."""
    sources = frozenset({"osv"})
    assert Versions(VersionRule.SECURITY, sources).asks_verifiers
    assert Versions(VersionRule.SECURITY, sources | {PROVIDER}).asks_verifiers
    assert not Versions(VersionRule.SECURITY, frozenset({PROVIDER})).asks_verifiers
    assert not Versions(VersionRule.SECURITY).asks_verifiers
    assert not Versions(VersionRule.SAME_MINOR, sources).asks_verifiers


def test_a_version_rule_says_nothing_where_no_other_version_comes() -> None:
    """A configuration or a removal; another build of the same version is a patch, and no fix."""
    term = Versions(VersionRule.SECURITY)
    again = change(release=release("2.0.1"))
    assert told(term, change(Verb.CONFIGURE, release=None)) == ("version", "holds", "")
    assert told(term, again, running=release("2.0.1"))[1] == "refuses"
    patches = Versions(VersionRule.SAME_MINOR)
    assert told(patches, again, running=release("2.0.1"))[1] == "holds"


def test_new_access_is_what_runs_did_not_have() -> None:
    """What runs, what is listed and what the owner accepted by name; a bare grant is all of it."""
    comes = change(release=release("2", "microphone", "network.outbound:acme.example"))
    term = NewAccess()
    fact = "it needs microphone, network.outbound:acme.example"
    assert told(term, comes) == ("new-access", "refuses", fact)
    had = release("1", "microphone")
    assert told(term, comes, running=had)[2] == "it needs network.outbound:acme.example"
    assert told(NewAccess(frozenset({"network.outbound"})), comes, running=had)[1] == "holds"
    took = replace(comes, accepted=frozenset({"network.outbound", "microphone"}))
    assert told(term, took) == ("access", "holds", "")
    assert told(NewAccess(frozenset({"microphone"})), took)[1] == "holds"
    less = replace(comes, release=release("2"))
    assert told(term, less, running=had)[1] == "holds"
    assert told(term, change(Verb.CONFIGURE, release=None))[1] == "holds"


def test_the_owners_own_access_term_is_not_softened_by_acceptance() -> None:
    """It is set aside by name, or not at all; what it lists itself holds."""
    comes = change(release=release("2", "camera"), accepted=frozenset({"camera"}))
    assert told(NewAccess(strict=True), comes) == ("new-access", "refuses", "it needs camera")
    assert told(NewAccess(frozenset({"camera"}), strict=True), comes)[1] == "holds"
    assert told(NewAccess(strict=True), comes, running=release("1", "camera"))[1] == "holds"
    assert NewAccess().says == "no new access"
    assert NewAccess(frozenset({"b", "a"})).says == "no new access but a, b"


def test_a_soak_counts_from_when_the_release_is_known() -> None:
    """To the second, and it holds up only what disturbs."""
    term, since = Soak(86_400), NOW - DAY
    text = "known since 2026-05-02T12:00:00Z"
    assert told(term, change(), seen_since=since) == ("soak", "holds", text)
    early = asked(term, change(), NOW - timedelta(seconds=1), seen_since=since)
    assert (early.code, early.verdict, early.fact, early.until) == ("soak", "waits", text, NOW)
    unknown = asked(term, change())
    assert (unknown.verdict, unknown.fact, unknown.until) == ("waits", "it is not known yet", None)
    assert told(term, change(Verb.CONFIGURE, release=None)) == ("soak", "holds", "")
    for verb in QUIET:
        assert told(term, change(verb)) == ("soak", "holds", "")
    assert term.says == "not before it is known for 1 day"


NOON = Window(frozenset({6}), 11 * 60, 120)


def test_a_window_is_open_or_says_when_it_opens() -> None:
    """It holds up whatever disturbs, and only that."""
    term = Windows((NOON,))
    assert told(term, change()) == ("window", "holds", "it is open")
    later = asked(term, change(), NOW + HOUR)
    opens = datetime(2026, 5, 10, 11, 0, tzinfo=NOW.tzinfo)
    assert (later.code, later.verdict, later.until) == ("window", "waits", opens)
    assert later.fact == "it opens 2026-05-10T11:00:00Z"
    never = asked(Windows(()), change())
    assert (never.verdict, never.fact, never.until) == ("waits", "it never opens", None)
    for verb in QUIET:
        assert told(Windows(()), change(verb)) == ("window", "holds", "")
    assert term.says == "only in the window sun:11:00+2h"
    assert Windows(()).says == "only in a window, and there is none"
    assert Windows((NOON, Window(frozenset({0, 2}), 65, 90))).says == (
        "only in the window sun:11:00+2h, mon,wed:01:05+90m"
    )


def test_a_rate_counts_what_changed_in_the_span() -> None:
    """What is older than the span does not count; it says when the oldest leaves it."""
    term = Rate(2, 86_400)
    assert told(term, change()) == ("rate", "holds", "0 so far")
    old = (NOW - DAY, NOW - HOUR)
    assert told(term, change(), activated=old) == ("rate", "holds", "1 so far")
    new = (NOW - HOUR, NOW - 3 * HOUR, NOW - 2 * HOUR)
    full = asked(term, change(), activated=new)
    assert (full.code, full.verdict, full.fact) == ("rate", "waits", "3 so far")
    assert full.until == NOW - 2 * HOUR + DAY
    assert told(term, change(), activated=(NOW - DAY + timedelta(seconds=1),) * 2)[1] == "waits"
    for verb in QUIET:
        assert told(term, change(verb), activated=new) == ("rate", "holds", "")
    assert term.says == "at most 2 in 1 day"


def test_a_rate_of_none_waits_for_ever() -> None:
    """No time alone lets it through."""
    none = asked(Rate(0, 60), change())
    assert (none.verdict, none.until) == ("waits", None)
    assert asked(Rate(0, 60), change(), activated=(NOW,)).until is None


BOTH = (("operations", 1), ("qa", 1))


@pytest.mark.parametrize(
    ("needed", "approved", "filled"),
    [
        (BOTH, {"qa": {"q"}, "operations": {"o"}}, 2),
        (BOTH, {"qa": {"q", "r"}, "operations": {"o"}}, 2),
        (BOTH, {"qa": {"q", "r"}}, 1),
        (BOTH, {"qa": {"q"}, "operations": {"q"}}, 1),
        (BOTH, {"qa": {"q"}, "operations": {"q", "o"}}, 2),
        (BOTH, {"qa": {"q", "o"}, "operations": {"q"}}, 2),
        (BOTH, {}, 0),
        ((("qa", 2),), {"qa": {"q"}}, 1),
        ((("qa", 2),), {"qa": {"q", "r", "s"}}, 2),
        ((("qa", 2),), {"operations": {"q", "r"}}, 0),
        ((("a", 1), ("b", 1), ("c", 1)), {"a": {"x", "y"}, "b": {"x"}, "c": {"y", "z"}}, 3),
        ((("a", 1), ("b", 1), ("c", 1)), {"a": {"x", "y"}, "b": {"x"}, "c": {"y"}}, 2),
        ((("a", 2), ("b", 1)), {"a": {"x", "y"}, "b": {"x"}}, 2),
        ((), {}, 0),
    ],
)
def test_one_person_counts_for_one_kind(
    needed: tuple[tuple[str, int], ...], approved: dict[str, set[str]], filled: int
) -> None:
    """As many places as can be filled by different people, whoever is asked first."""
    people = {kind: frozenset(names) for kind, names in approved.items()}
    assert seated(needed, people) == filled
    assert seated(tuple(reversed(needed)), people) == filled
    count = sum(one for _, one in needed)
    found = asked(Approvals(needed), change(), approved=people)
    if filled == count:
        assert (found.code, found.verdict) == ("approvals", "holds")
    else:
        assert (found.code, found.verdict) == ("approvals-missing", "refuses")
        assert found.fact == f"{filled} of {count} are there"


def test_approvals_name_who_approved() -> None:
    """All of the kinds that are asked for, and nobody else; they refuse quiet steps, too."""
    approved = {kind: frozenset({kind[0], "b"}) for kind in ("qa", "operations", "sales")}
    found = told(Approvals(BOTH), change(), approved=approved)
    assert found == ("approvals", "holds", "approved by b, o, q")
    assert told(Approvals(BOTH), change(Verb.TRANSFER))[1] == "refuses"
    assert Approvals(BOTH).says == "approved by 1 of operations and 1 of qa"


def test_consent_is_asked_for_what_disturbs() -> None:
    """No answer waits, no is no, and what disturbs nobody needs none."""
    term = Consent()
    waits = asked(term, change())
    assert (waits.code, waits.verdict, waits.until) == ("consent", "waits", None)
    assert waits.fact == "nobody answered yet"
    assert told(term, change(), consent=True) == (
        "consent",
        "holds",
        "somebody at the device agreed",
    )
    assert told(term, change(), consent=False) == (
        "consent-declined",
        "refuses",
        "somebody at the device declined",
    )
    for verb in QUIET:
        assert told(term, change(verb), consent=False) == ("consent", "holds", "")
    assert term.says == "only once somebody at the device agrees"


def test_a_lease_lasts_as_long_as_its_evidence_is_young() -> None:
    """To the second; without a witness there is none; it refuses every step."""
    term = Lease(86_400)
    fact = "witnessed 2026-05-02T12:00:00Z"
    assert told(term, change(), witnessed=NOW - DAY) == ("lease", "holds", fact)
    late = NOW + timedelta(seconds=1)
    assert told(term, change(Verb.TRANSFER), late, witnessed=NOW - DAY) == (
        "lease-over",
        "refuses",
        fact,
    )
    assert told(term, change()) == ("lease-unproved", "refuses", "no witness vouched for it")
    assert term.says == "only while the log was witnessed in the last 1 day"


def test_an_end_is_the_first_moment_that_is_too_late() -> None:
    """It refuses every step."""
    term = Until(NOW)
    assert told(term, change(), NOW - timedelta(seconds=1)) == ("until", "holds", "")
    assert told(term, change(Verb.TRANSFER)) == ("ended", "refuses", "it is 2026-05-03T12:00:00Z")
    assert term.says == "it is good until 2026-05-03T12:00:00Z"
    assert Until(NOW, "the lease").says == "the lease is good until 2026-05-03T12:00:00Z"


def test_only_conditions_of_the_owners_making_can_be_set_aside() -> None:
    """What a delegation is, its end and its lease hold whatever the owner's entry says."""
    assert {
        "version",
        "access",
        "soak",
        "window",
        "rate",
        "approvals",
        "consent",
    } == OVERRIDABLE
    assert not OVERRIDABLE & {one.name for one in (Scopes, Packages, Verbs, Lease, Until)}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (7_200, "2 hours"),
        (86_400, "1 day"),
        (604_800, "1 week"),
        (1_209_600, "2 weeks"),
        (691_200, "8 days"),
    ],
)
def test_a_span_is_told_in_its_largest_whole_unit(seconds: int, text: str) -> None:
    """Nothing is rounded."""
    assert span(seconds) == text


def test_reasons_are_words() -> None:
    """A condition and the fact that it looked at; without a fact, the condition alone."""
    assert asked(Until(NOW), change()).says == (
        "it is good until 2026-05-03T12:00:00Z: it is 2026-05-03T12:00:00Z"
    )
    assert asked(Verbs(frozenset(Verb)), change()).says.startswith("only to activate, ")
    assert moment(NOW) == "2026-05-03T12:00:00Z"
    assert window_text(Window(frozenset({5, 4}), 1439, 61)) == "fri,sat:23:59+61m"
    every_day = window_text(Window(frozenset(range(7)), 0, 60))
    assert every_day == "mon,tue,wed,thu,fri,sat,sun:00:00+1h"
