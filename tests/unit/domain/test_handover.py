"""Handing packages to a delegation and taking them back: exactly those, and nothing goes along."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from allod.domain.condition import AGENT
from allod.domain.desired import (
    OWNER,
    Accepts,
    ChangeNote,
    ConfigurationOrder,
    Level,
    PackageEntry,
    ReleaseOrder,
    Software,
    StateDocument,
)
from allod.domain.difference import differences
from allod.domain.handover import Halves, hand_over, managed_by, take_back
from allod.domain.ids import (
    FleetId,
    ProviderName,
    Purl,
    Version,
    group_scope,
    parse_group,
    sha256,
)
from allod.domain.release import HealthCheck, ProbeKind
from allod.errors import Refused

PATTERN = "pkg:generic/acme/*"
TOASTER, LAMP = Purl("pkg:generic/acme/toaster"), Purl("pkg:generic/acme/lamp")
OTHER = Purl("pkg:generic/me/radio")
ORDER = ReleaseOrder(ProviderName("acme"), Version("1"), sha256(b"1"), Level.ACTIVE)
OWNED = PackageEntry(
    software=Software(OWNER, (ORDER,)),
    configuration=ConfigurationOrder(digest=sha256(b"c")),
    together=(LAMP,),
    health=(HealthCheck(ProbeKind.RUNNING),),
    accepts=Accepts(frozenset({"camera"}), frozenset({"fuse"}), frozenset({sha256(b"1")})),
    overrides=frozenset({"window"}),
)
BOTH = Halves(software=True, configuration=True)


def document(**packages: PackageEntry) -> StateDocument:
    named = {"toaster": TOASTER, "lamp": LAMP, "radio": OTHER, "agent": AGENT}
    return StateDocument(
        FleetId("f" * 64),
        group_scope(parse_group("kitchen")),
        {named[name]: entry for name, entry in packages.items()},
    )


def test_what_the_owner_took_on_for_their_own_releases_does_not_go_along() -> None:
    """No accepted access, no one-way data, no override: a delegate begins with the terms alone."""
    (entry,) = hand_over(document(toaster=OWNED), "ops", [TOASTER], Halves()).packages.values()
    assert entry.software == Software("ops")
    assert entry.accepts == Accepts(constraints=frozenset({"fuse"}))
    assert entry.overrides == frozenset()
    assert entry.together == ()
    assert (entry.health, entry.configuration) == (OWNED.health, OWNED.configuration)


def test_once_handed_over_what_the_owner_accepts_stays() -> None:
    """Changing the terms of a delegation takes nothing back that the owner accepted for it."""
    given = hand_over(document(toaster=OWNED), "ops", [TOASTER], Halves())
    accepted = replace(given.packages[TOASTER], accepts=Accepts(frozenset({"microphone"})))
    given = replace(given, packages={TOASTER: accepted})
    assert hand_over(given, "ops", [TOASTER], Halves()) == given


def test_packages_under_a_pattern_go_along_but_for_the_agent_and_what_is_kept() -> None:
    """The exact name beats the pattern, so the owner's own lists would; other names are not touched."""
    before = document(toaster=OWNED, lamp=OWNED, radio=OWNED, agent=OWNED)
    after = hand_over(
        before, "acme", [PATTERN, "pkg:generic/allod/*"], Halves(), keep=frozenset({str(LAMP)})
    )
    assert managed_by(after, "acme") == (PATTERN, TOASTER, "pkg:generic/allod/*")
    assert [after.packages[one] for one in (LAMP, OTHER, AGENT)] == [OWNED] * 3


def test_software_and_configuration_are_handed_over_apart() -> None:
    """Whoever may only configure decides on no release, and the other way round."""
    only = Halves(software=False, configuration=True)
    (entry,) = hand_over(document(toaster=OWNED), "ops", [TOASTER], only).packages.values()
    assert entry.software == OWNED.software
    assert entry.configuration == ConfigurationOrder("ops")
    assert (entry.accepts, entry.overrides) == (OWNED.accepts, frozenset())


def test_nothing_is_taken_from_another_delegation() -> None:
    """One manager for each package."""
    given = hand_over(document(toaster=OWNED), "ops", [TOASTER], BOTH)
    with pytest.raises(Refused, match="ops decides on it"):
        hand_over(given, "acme", [TOASTER], BOTH)
    with pytest.raises(Refused, match="newer program"):
        hand_over(replace(document(), unreadable={TOASTER: "?"}), "ops", [TOASTER], BOTH)


def test_taking_back_leaves_what_the_owner_says_besides() -> None:
    """An entry that says nothing any more goes; health checks and the owner's half stay."""
    given = hand_over(document(toaster=OWNED), "ops", [TOASTER, PATTERN, LAMP], Halves())
    back = take_back(given, "ops")
    assert set(back.packages) == {TOASTER}
    assert back.packages[TOASTER] == PackageEntry(
        configuration=OWNED.configuration, health=OWNED.health
    )
    assert take_back(given, "somebody") == given


def test_what_stays_with_a_delegation_is_not_taken_back() -> None:
    """Where it goes on with fewer packages: those, and what their patterns cover."""
    given = hand_over(document(toaster=OWNED, radio=OWNED), "ops", [PATTERN, OTHER], Halves())
    back = take_back(given, "ops", but=[PATTERN])
    assert managed_by(back, "ops") == (PATTERN, TOASTER)


def test_a_preview_of_handing_over_says_that_nothing_is_deleted() -> None:
    """The owner's list ends; that is not the end of what devices have."""
    before = document(toaster=OWNED)
    after = hand_over(before, "ops", [TOASTER], Halves())
    scope = before.scope
    said = [one.says for one in differences({scope: before}, {scope: after})]
    assert not any("deleted" in one for one in said)
    assert any("devices keep it until ops decides" in one for one in said)
    given_up = replace(OWNED, software=Software(OWNER, ()))
    said = [one.says for one in differences({scope: before}, {scope: document(toaster=given_up)})]
    assert any("is deleted" in one for one in said)


def test_a_preview_of_the_end_names_no_note_of_what_is_gone() -> None:
    """An entry that goes takes its note along; that is one line, not two."""
    note = ChangeNote(1, "1" * 16, datetime(2026, 5, 1, tzinfo=UTC), "owner", "", "")
    scope = document().scope
    before = document(toaster=PackageEntry(software=Software("ops"), change=note))
    said = [one.says for one in differences({scope: before}, {scope: document()})]
    assert any("is not decided here any more" in one for one in said)
    assert not any(one.startswith("note") for one in said)
