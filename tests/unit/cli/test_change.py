"""Proposals and approvals, by several people on machines of their own, on a real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.cli.people_at_work import KETTLE, Works, deploy

from allod.cli.documents import newest

BOTH = ("group", "terms", "kitchen", "--approvals", "qa=1,operations=1", "--yes")


@pytest.fixture
def bound(works: Works) -> Works:
    """The owner wants one of QA and one of operations for every change in the kitchen."""
    works.owner.do(*BOTH)
    return works


def proposed(works: Works, *words: str) -> str:
    """The id of a proposal to deploy."""
    answer = deploy(works.owner, *(words or ("toaster@1.0",)), "--propose")
    assert answer["changed"] is False
    return str(answer["proposal"])


def test_a_change_waits_for_one_of_each_kind(bound: Works, later: Callable[[int], None]) -> None:
    """Nobody publishes alone; two people approve on machines of their own, days apart, while
    other changes are published in between; then it is published, and says who approved.
    """
    ann, bob = bound.person("ann", "qa"), bound.person("bob", "operations")
    assert bound.owner.refused("deploy", "kitchen", "toaster@1.0", "--yes") == "approvals-missing"
    change = proposed(bound)
    assert bound.runs() is None
    assert len(bound.owner.do("change", "show", change)["lacking"]) == 2
    assert ann.do("change", "list")["proposals"][0]["id"] == change
    said = ann.do("change", "approve", change, "--ticket", "QA-7", "--yes")
    assert (said["person"], said["kind"]) == ("ann", "qa")
    ann.do("change", "approve", change, "--yes")  # once more is nothing more
    (listed,) = ann.do("change", "list")["proposals"]
    assert listed["approvals"] == 1
    assert bound.owner.refused("change", "publish", change, "--yes") == "approvals-missing"
    (missing,) = bound.owner.do("change", "show", change)["lacking"]
    assert "1 more of operations" in missing
    bound.owner.do("group", "add", "hall", "--yes")
    bound.owner.do("group", "set", "kitchen", "--retention", "2", "--yes")
    later(3)
    bob.do("change", "approve", change, "-m", "looks fine", "--yes")
    done = bound.owner.do("change", "publish", change, "--yes")
    assert done["id"] == change
    assert bound.runs() == "1.0"
    remarks = "\n".join(done["remarks"])
    assert "approved by ann as qa" in remarks
    assert "[QA-7]" in remarks
    assert "approved by bob as operations" in remarks
    assert bound.owner.do("change", "list")["proposals"] == []
    published = bound.owner.do("change", "show", change)
    assert (published["state"], published["stale"]) == ("published", [])
    shown = bound.owner.do("show", str(done["number"]))
    assert len(shown["approved"]) == 2


def test_a_changed_entry_makes_a_proposal_stale(works: Works) -> None:
    """What was approved is a step from the entry as it stood: another step makes it void, for
    approvers and for whoever publishes; another package in the same document does not.
    """
    ann = works.person("ann", "qa")
    change = proposed(works)
    deploy(works.owner, "kettle@1.0")
    ann.do("change", "approve", change, "--yes")
    deploy(works.owner, "toaster@1.1")
    assert works.owner.refused("change", "publish", change, "--yes") == "proposal-stale"
    assert ann.refused("change", "approve", change, "--yes") == "proposal-stale"
    assert works.owner.do("change", "show", change)["stale"]
    assert works.runs() == "1.1"


def test_a_rejection_ends_it(bound: Works) -> None:
    """Whoever may approve may reject, and says why; nobody publishes it then."""
    ann = bound.person("ann", "qa", "operations")
    change = proposed(bound)
    assert ann.refused("change", "approve", change, "--yes") == "wrong-kind"
    assert ann.refused("change", "reject", change, "--kind", "qa", "--yes") == "bad-arguments"
    ann.do("change", "reject", change, "--kind", "qa", "-m", "burns the toast", "--yes")
    shown = bound.owner.do("change", "show", change)
    assert shown["state"] == "rejected"
    (no,) = shown["rejections"]
    assert (no["person"], no["message"]) == ("ann", "burns the toast")
    assert bound.owner.refused("change", "publish", change, "--yes") == "proposal-closed"


def test_one_person_counts_for_one_kind(bound: Works) -> None:
    """Somebody who may speak as both kinds is still one of two."""
    ann = bound.person("ann", "qa", "operations")
    change = proposed(bound)
    ann.do("change", "approve", change, "--kind", "qa", "--yes")
    ann.do("change", "approve", change, "--kind", "operations", "--yes")
    assert bound.owner.refused("change", "publish", change, "--yes") == "approvals-missing"
    (missing,) = bound.owner.do("change", "show", change)["lacking"]
    assert "one person counts for one kind" in missing


def test_an_owner_sets_their_own_terms_aside_by_name(bound: Works) -> None:
    """Shown before signing; it holds for that change and not for the next."""
    shown = bound.owner.do(
        "deploy", "kitchen", "toaster@1.0", "--override", "approvals", "--dry-run"
    )
    assert any("sets aside the term: approvals" in one["says"] for one in shown["differences"])
    deploy(bound.owner, "toaster@1.0", "--override", "approvals")
    entry = bound.entry()
    assert entry is not None
    assert entry.overrides == {"approvals"}
    assert bound.owner.refused("deploy", "kitchen", "toaster@1.1", "--yes") == "approvals-missing"
    assert bound.owner.refused(
        "deploy", "kitchen", "toaster@1.1", "--override", "scopes", "--yes"
    ) == ("unknown-name")


def test_terms_are_shown_and_replaced(works: Works) -> None:
    """What binds a scope is data and words; new terms take the place of the old."""
    works.owner.do(
        "group", "terms", "kitchen", "--window", "sun:02:00+2h", "--no-new-access", "--soak", "24h",
        "--consent", "--yes",
    )  # fmt: skip
    found = works.owner.do("group", "terms", "kitchen")["terms"]
    assert {one["term"] for one in found} == {"window", "access", "soak", "consent"}
    done = works.owner.do("group", "terms", "kitchen", "--approvals", "qa=2", "--yes")
    said = [one["says"] for one in done["differences"] if one["what"] == "term"]
    assert "whoever decides here: approved by 2 of qa" in said
    assert len(said) == 5
    works.owner.do("group", "terms", "kitchen", "--none", "--yes")
    assert works.owner.do("group", "terms", "kitchen")["terms"] == []
    assert works.owner.refused("group", "terms", "kitchen", "--until", "+9d", "--yes") == (
        "bad-arguments"
    )


def test_a_proposal_is_made_in_either_order(works: Works) -> None:
    """`change propose deploy …` is `deploy … --propose`; what is no matter of packages is not
    proposed, and whoever proposes takes it back.
    """
    answer = works.owner.do("change", "propose", "deploy", "kitchen", "kettle@1.0", "--yes")
    assert works.runs(KETTLE) is None
    works.owner.do("change", "withdraw", answer["proposal"], "--yes")
    assert (
        works.owner.refused("change", "publish", answer["proposal"], "--yes") == "proposal-closed"
    )
    assert works.owner.refused("group", "add", "attic", "--propose", "--yes") == "not-proposable"
    hold = ("hold", "kitchen", "--why", "Easter", "--propose", "--yes")
    assert works.owner.refused(*hold) == "not-proposable"
    assert works.owner.refused("change", "propose", "hold", "kitchen") == "bad-arguments"


def test_an_approver_needs_the_key_of_approvals(works: Works) -> None:
    """The key that speaks to the server approves nothing, and an old key file makes no approver."""
    change = proposed(works)
    assert works.owner.refused("change", "approve", change, "--yes") == "key-elsewhere"
    eve = works.person("eve", right="publish")
    assert eve.refused("change", "approve", change, "--yes") == "key-elsewhere"
    people = {one.name: one for one in newest(works.owner.fleet()).fleet_document.people}
    assert people["eve"].approval is None
    works.person("ann", "qa")
    again = ("people", "add", "bob", works.owner.home.parent / "ann.card", "--kind", "operations")
    assert works.owner.refused(*again, "--yes") == "exists", "one key is one person"


def test_nobody_approves_what_a_channel_will_say(works: Works) -> None:
    """An approval is of one entry as it stands: a channel cannot be granted with approvals."""
    code = works.owner.refused(
        "delegate", "grant", "security", "--follow", "acme/stable", "--group", "kitchen",
        "--package", "pkg:generic/acme/*", "--approvals", "qa=1", "--until", "+90d", "--yes",
    )  # fmt: skip
    assert code == "bad-arguments"
    works.owner.do(
        "delegate", "grant", "security", "--follow", "acme/stable", "--group", "kitchen",
        "--package", "pkg:generic/acme/*", "--until", "+90d", "--yes",
    )  # fmt: skip
