"""Pain 19: consent that does not rest on the server (uptane/uptane-standard#206)."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.domain.plan_world import (
    Grounds,
    Level,
    delegation,
    did,
    entry,
    handed,
    order,
    ordering,
    refused,
)
from tests.unit.domain.term_facts import NOW, TOASTER

from allod.domain.approval import Approval
from allod.domain.terms import Approvals, Consent

BOTH = Approvals((("operations", 1), ("qa", 1)))
STAGED = {"2.0.1": Level.INSTALLED, "2.0.2": Level.INSTALLED}


def test_pain_19_people_elsewhere_consent_by_signing_the_change() -> None:
    """The device counts verified statements, one person for one kind, and nobody's summary."""
    world = handed(BOTH)
    assert (did(world.plan()), refused(world.plan())) == ([], ["approvals-missing"])
    alone = (Approval("qa", "quinn", NOW), Approval("operations", "quinn", NOW))
    two = (Approval("qa", "quinn", NOW), Approval("operations", "olu", NOW, "OPS-7"))
    for approved, actions in ((alone, []), (two, ["Transfer"])):
        theirs = replace(entry(order("2.0.2"), change="theirs"), approved=approved)
        world.delegates_to(ordering(delegation("ops", BOTH), {TOASTER: theirs}))
        assert did(world.plan()) == actions


def test_pain_19_somebody_at_the_device_has_the_last_word() -> None:
    """Where the term asks for it: what nobody agreed to there does not run."""
    world = handed(Consent())
    wait = world.plan(held=STAGED).waiting[0]
    assert wait.codes == ("consent",)
    assert did(world.plan(grounds=Grounds(consent={wait.attempt: True}))) == ["Activate"]
    declined = world.plan(grounds=Grounds(consent={wait.attempt: False}))
    assert (did(declined), refused(declined)) == ([], ["consent-declined"])
