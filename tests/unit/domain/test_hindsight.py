"""What a delegation would have allowed over a channel's past: a preview that decides as devices do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.unit.domain.term_facts import release

from allod.domain.condition import Verb
from allod.domain.delegation import Channel, ChannelRelease, Delegation
from allod.domain.desired import Window
from allod.domain.hindsight import Fate, Would, asked, hindsight
from allod.domain.ids import Digest, ProviderName, Purl, Version, group_scope, parse_group, sha256
from allod.domain.release import Release
from allod.domain.terms import Approvals, NewAccess, Soak, Until, VersionRule, Versions, Windows

TOASTER = Purl("pkg:generic/acme/toaster")
START = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
SUNDAY = Windows((Window(frozenset({6}), 120, 120),))
SECURITY = Versions(VersionRule.SECURITY, frozenset({"provider"}))
ALL = Delegation(
    "acme-security",
    frozenset({group_scope(parse_group("kitchen"))}),
    ("pkg:generic/acme/*",),
    frozenset({Verb.TRANSFER, Verb.INSTALL, Verb.ACTIVATE}),
)


def digest(version: str) -> Digest:
    return sha256(version.encode())


def past(*steps: tuple[int, str, tuple[str, ...]]) -> list[Channel]:
    """Documents of a channel: day, version, what it mends."""
    return [
        Channel(
            ProviderName("acme"),
            "stable",
            number,
            START + timedelta(days=day),
            START + timedelta(days=day + 90),
            {TOASTER: ChannelRelease(Version(version), digest(version), mends)},
        )
        for number, (day, version, mends) in enumerate(steps, 1)
    ]


def told(delegation: Delegation, channels: list[Channel], *releases: Release) -> list[Would]:
    known = {digest(one.version): one for one in releases}
    return list(hindsight(delegation, channels, lambda _, wanted: known.get(wanted)))


def test_a_fix_runs_in_its_window_after_its_soak_and_a_microphone_never_does() -> None:
    """The first release is what ran; the fix comes on Sunday; new access is refused by name."""
    delegation = replace(ALL, terms=(SECURITY, Soak(86_400), SUNDAY))
    channels = past((0, "1.0.0", ()), (1, "1.0.1", ("CVE-1",)), (10, "1.1.0", ("CVE-2",)))
    found = told(
        delegation, channels, release("1.0.0"), release("1.0.1"), release("1.1.0", "microphone")
    )
    assert [one.fate for one in found] == [Fate.BEGAN, Fate.RUN, Fate.REFUSED]
    assert found[1].at == datetime(2026, 3, 8, 2, tzinfo=UTC)
    assert "microphone" in found[2].reasons[0]


def test_what_mends_nothing_is_refused_and_the_next_is_judged_against_what_ran() -> None:
    """A refused release does not become what runs."""
    delegation = replace(ALL, terms=(SECURITY,))
    channels = past((0, "1.0.0", ()), (1, "1.1.0", ()), (2, "1.2.0", ("CVE-1",)))
    found = told(delegation, channels, release("1.0.0"), release("1.1.0"), release("1.2.0"))
    assert [one.fate for one in found] == [Fate.BEGAN, Fate.REFUSED, Fate.RUN]


def test_a_release_can_be_overtaken_before_its_time() -> None:
    """One that is still soaking when the next comes never runs."""
    delegation = replace(ALL, terms=(Soak(7 * 86_400),))
    channels = past((0, "1.0.0", ()), (1, "1.0.1", ()), (3, "1.0.2", ()))
    found = told(delegation, channels, release("1.0.0"), release("1.0.1"), release("1.0.2"))
    assert [one.fate for one in found] == [Fate.BEGAN, Fate.OVERTAKEN, Fate.RUN]
    assert found[2].at == START + timedelta(days=10)


def test_what_nobody_knows_of_the_past_is_left_out_and_named() -> None:
    """Approvals and ends are asked for besides; a release that is gone is said to be unknown."""
    terms = (Approvals((("qa", 1),)), Until(START), NewAccess())
    delegation = replace(ALL, terms=terms)
    channels = past((0, "1.0.0", ()), (1, "1.0.1", ()), (2, "1.0.2", ()))
    found = told(delegation, channels, release("1.0.0"), release("1.0.2"))
    assert [one.fate for one in found] == [Fate.BEGAN, Fate.UNKNOWN, Fate.RUN]
    assert asked(delegation) == terms[:2]


def test_other_packages_are_none_of_its_business() -> None:
    """What the delegation does not cover is not told of."""
    delegation = replace(ALL, packages=("pkg:generic/acme/lamp",))
    assert told(delegation, past((0, "1.0.0", ())), release("1.0.0")) == []
