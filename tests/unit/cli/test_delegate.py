"""Delegations as the owner makes, changes and ends them, on a real server in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_in_force import vouch, witnessed

from allod.cli.documents import newest
from allod.domain.ids import parse_scope

__all__ = ["witnessed"]  # a fixture

KITCHEN = parse_scope("groups/kitchen")
PATTERN = "pkg:generic/acme/*"
EXAMPLE = (
    "delegate", "grant", "acme-security", "--follow", "acme/stable", "--group", "kitchen",
    "--package", PATTERN, "--only", "security", "--access", "same", "--soak", "24h",
    "--window", "sun:02:00+2h",
)  # fmt: skip


@pytest.fixture
def with_acme(begun: Owner) -> Owner:
    """A fleet with a group and a provider."""
    begun.do("group", "add", "kitchen", "--yes")
    begun.do("release", "key", begun.home / "acme.pub", "--provider", "acme")
    begun.do(
        "provider", "add", "acme", "--key", begun.home / "acme.pub",
        "--namespace", "pkg:generic/acme/", "--any-access", "--yes",
    )  # fmt: skip
    return begun


def document(owner: Owner) -> dict[str, Any]:
    """Key -> manager of the software, in the kitchen's document."""
    state = newest(owner.fleet()).state(KITCHEN)
    assert state is not None
    return {
        key: None if entry.software is None else entry.software.manager
        for key, entry in state.packages.items()
    }


def card(owner: Owner, name: str = "ops") -> Path:
    """A card of somebody at another machine."""
    path = owner.home.parent / f"{name}.pub"
    owner.elsewhere(f"{name}-machine").do("delegate", "key", name, "--out", path)
    return path


def granted_ops(owner: Owner, *more: str | Path) -> dict[str, Any]:
    """Grant orders to somebody at another machine."""
    return dict(
        owner.do(
            "delegate", "grant", "ops", "--key", card(owner), "--group", "kitchen",
            "--package", "pkg:generic/me/toaster", *more, "--yes",
        )
    )  # fmt: skip


def test_following_a_channel_hands_the_packages_over(with_acme: Owner) -> None:
    """The example of the documentation: terms, the manager's entry, and the words for it."""
    done = with_acme.do(*EXAMPLE, "--yes")
    said = "\n".join(done["remarks"])
    assert "channel acme/stable" in said
    assert "only security fixes" in said
    assert "no new microphone" in said
    assert "known for 1 day" in said
    assert "sun:02:00+2h (UTC)" in said
    assert "! without an end" in said
    assert "at any time" not in said
    assert document(with_acme) == {PATTERN: "acme-security"}
    shown = with_acme.do("delegate", "show", "acme-security")
    assert shown["follow"] == "acme/stable"
    assert shown["verbs"] == ["transfer", "install", "activate"]
    assert shown["manages"] == {"groups/kitchen": [PATTERN]}
    assert shown["force"]["state"] == "in-force"
    (listed,) = with_acme.do("delegate", "list")["delegations"]
    assert [term["term"] for term in listed["terms"]] == ["version", "soak", "window"]


def test_orders_get_a_role_a_person_and_a_machine(with_acme: Owner) -> None:
    """The delegate's keys are made on their machine; the owner's change names role and person."""
    granted_ops(with_acme)
    view = newest(with_acme.fleet()).view
    people = {person.name: person.role for person in view.fleet_document.people}
    assert people["ops"] == "publish"
    file = with_acme.home.parent / "ops.join"
    with_acme.do("delegate", "join-file", "ops", "--out", file)
    machine = with_acme.elsewhere("ops-machine")
    joined = machine.do("join", file)
    assert joined["delegation"] == "ops"
    assert joined["person"] == "ops"
    fleet = machine.fleet()
    assert [key.role for key in fleet.keys.records()] == ["delegation-ops", "api"]
    assert fleet.id == with_acme.fleet().id
    assert fleet.floors.roles["targets"] == view.versions["targets"]
    assert set(newest(fleet).delegations) == {"ops"}
    assert machine.refused("join", file) == "exists"
    assert with_acme.elsewhere("nobody").refused("join", file) == "key-elsewhere"


def test_an_approver_joins_by_their_own_key(with_acme: Owner) -> None:
    """Somebody who only looks or approves gets a join file too, by their name."""
    jane = with_acme.elsewhere("jane")
    jane.do("people", "key", with_acme.home.parent / "jane.pub")
    with_acme.do("people", "add", "jane", with_acme.home.parent / "jane.pub", "--yes")
    file = with_acme.home.parent / "jane.join"
    with_acme.do("delegate", "join-file", "jane", "--out", file)
    assert jane.do("join", file)["delegation"] is None
    assert jane.do("delegate", "list")["delegations"] == []
    assert with_acme.refused("delegate", "join-file", "joe", "--out", file.with_name("x")) == (
        "not-found"
    )


def test_a_threshold_of_keys(with_acme: Owner) -> None:
    """Several cards, and how many of them; one key twice is none."""
    cards = [card(with_acme, "one"), card(with_acme, "two")]
    keys = [part for path in cards for part in ("--key", path)]
    grant = (
        "delegate", "grant", "qa", *keys, "--group", "kitchen", "--package", PATTERN,
    )  # fmt: skip
    assert with_acme.refused(*grant, "--threshold", "3", "--yes") == "bad-threshold"
    done = with_acme.do(*grant, "--threshold", "2", "--yes")
    assert "any 2 of the holders of its 2 keys" in "\n".join(done["remarks"])
    assert with_acme.do("delegate", "show", "qa")["people"] == ["qa", "qa"]


def test_what_has_full_control_is_shown_and_no_pattern_covers_it(with_acme: Owner) -> None:
    """The agent's own package by its name: said so, and in the data."""
    done = with_acme.do(
        "delegate", "grant", "vendor", "--key", card(with_acme, "vendor"), "--group", "kitchen",
        "--package", "pkg:generic/allod/agent", "--yes",
    )  # fmt: skip
    assert any(one.startswith("! full control") for one in done["remarks"])
    shown = with_acme.do("delegate", "show", "vendor")
    assert shown["fullControl"] == ["pkg:generic/allod/agent"]


def test_revoking_hands_the_packages_back(with_acme: Owner) -> None:
    """Document, role, person and manager's entries go in one change; the name is never used again."""
    granted_ops(with_acme)
    assert document(with_acme) == {"pkg:generic/me/toaster": "ops"}
    done = with_acme.do("delegate", "revoke", "ops", "--yes")
    assert "devices keep running what they have" in done["remarks"][0]
    assert "neither a lease nor an end" in done["remarks"][1]
    assert document(with_acme) == {}
    base = newest(with_acme.fleet())
    assert base.delegations == {}
    assert [person.name for person in base.fleet_document.people] == ["owner"]
    shown = with_acme.do("delegate", "show", "ops")
    assert shown["revoked"]
    assert shown["force"]["state"] == "in-force"
    assert shown["change"] == done["number"]
    assert with_acme.run("delegate", "show", "ops") == 0
    assert "ops is revoked" in with_acme.out
    assert "in force (entry" in with_acme.out
    assert with_acme.refused("delegate", "revoke", "ops", "--yes") == "unknown-delegation"
    assert with_acme.refused("delegate", "show", "nobody") == "unknown-delegation"


def test_a_package_has_one_manager(with_acme: Owner) -> None:
    """What one delegation decides on is not handed to another, nor deployed by the owner."""
    with_acme.do(*EXAMPLE, "--yes")
    other = (
        "delegate", "grant", "ops", "--key", card(with_acme), "--group", "kitchen",
        "--package", PATTERN, "--yes",
    )  # fmt: skip
    assert with_acme.refused(*other) == "managed-elsewhere"
    assert with_acme.refused(*EXAMPLE, "--yes") == "exists"


def test_renewing_and_replacing_change_only_what_they_name(with_acme: Owner) -> None:
    """Another end; other terms, packages and scopes; the keys and the manager's entries follow."""
    granted_ops(with_acme, "--until", "+30d", "--rate", "2/1d")
    with_acme.do("delegate", "renew", "ops", "--until", "+90d", "--yes")
    shown = with_acme.do("delegate", "show", "ops")
    assert shown["ends"] == "2026-07-30T12:00:00Z"
    assert [term["term"] for term in shown["terms"]] == ["rate", "until"]
    with_acme.do("group", "add", "hall", "--yes")
    with_acme.do(
        "delegate", "grant", "ops", "--replace", "--group", "hall",
        "--package", "pkg:generic/me/lamp", "--approvals", "qa=1,operations=1", "--consent", "--yes",
    )  # fmt: skip
    shown = with_acme.do("delegate", "show", "ops")
    assert shown["manages"] == {"groups/hall": ["pkg:generic/me/lamp"]}
    assert [term["term"] for term in shown["terms"]] == ["approvals", "consent"]
    assert shown["keys"]["threshold"] == 1
    assert document(with_acme) == {}


def test_a_lease_needs_witnesses(with_acme: Owner) -> None:
    """Without anybody who vouches for the time there is no lease, and the way out is said."""
    assert with_acme.refused(*EXAMPLE, "--lease", "7d", "--yes") == "no-witnesses"
    assert "--until" in with_acme.said
    assert with_acme.refused("delegate", "grant", "x", "--yes") == "bad-arguments"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--follow", "acme/stable", "--verb", "delete"), "bad-arguments"),
        (("--follow", "other/stable"), "unknown-provider"),
        (("--follow", "acme"), "bad-arguments"),
        (("--follow", "acme/stable", "--rate", "often"), "bad-arguments"),
        (("--follow", "acme/stable", "--approvals", "qa"), "bad-arguments"),
        (("--follow", "acme/stable", "--until", "2020-01-01"), "bad-time"),
        (("--follow", "acme/stable", "--evidence", "osv"), "bad-arguments"),
        (("--follow", "acme/stable", "--access", "everything"), "bad-access"),
        (("--follow", "acme/stable", "--package", "pkg:generic/me/*"), "bad-arguments"),
    ],
)
def test_what_cannot_be_granted(with_acme: Owner, more: tuple[str, ...], code: str) -> None:
    """Each wrong word is refused before anything is signed."""
    start = ("delegate", "grant", "x", "--group", "kitchen", "--package", PATTERN)
    assert with_acme.refused(*start, *more, "--yes") == code


def test_with_witnesses_there_is_a_lease(witnessed: Owner) -> None:
    """How long its word counts without news is said beforehand, and again when it is revoked."""
    witnessed.do("group", "add", "kitchen", "--yes")
    vouch(witnessed)
    done = granted_ops(witnessed, "--lease", "7d")
    assert any("witnessed in the last 1 week" in one for one in done["remarks"])
    assert not any("without an end" in one for one in done["remarks"])
    vouch(witnessed)
    done = witnessed.do("delegate", "revoke", "ops", "--yes")
    assert "at most 1 week after the newest witnessed state" in done["remarks"][1]


def test_only_the_owner_delegates(with_acme: Owner) -> None:
    """No sub-delegation: a delegate's own machine neither grants nor revokes; nor is it proposed."""
    granted_ops(with_acme)
    file = with_acme.home.parent / "ops.join"
    with_acme.do("delegate", "join-file", "ops", "--out", file)
    machine = with_acme.elsewhere("ops-machine")
    machine.do("join", file)
    assert machine.refused(*EXAMPLE, "--as", "ops", "--yes") == "owners-word"
    assert machine.refused("delegate", "revoke", "ops", "--as", "ops", "--yes") == "owners-word"
    provider = ("provider", "distrust", "acme", "--why", "x", "--as", "ops", "--yes")
    assert machine.refused(*provider) == "owners-word"
    assert machine.refused(*EXAMPLE, "--yes") == "key-elsewhere"
    assert machine.refused("delegate", "revoke", "ops", "--yes") == "key-elsewhere"
    assert with_acme.refused(*EXAMPLE, "--propose", "--yes") == "not-proposable"
    renewed = ("delegate", "renew", "ops", "--until", "+1d", "--propose", "--yes")
    assert with_acme.refused(*renewed) == "not-proposable"
    assert "group kitchen" not in with_acme.said  # before any preview
    assert set(newest(with_acme.fleet()).delegations) == {"ops"}


def test_the_plain_words_come_first(with_acme: Owner) -> None:
    """What it means, then what is signed: the terms, and not what every delegation has to say."""
    assert with_acme.run(*EXAMPLE, "--dry-run") == 0
    lines = with_acme.said.splitlines()
    assert lines[1].startswith("acme-security: what the provider acme publishes")
    signed = lines.index("delegations/acme-security.json:")
    assert any(line.startswith("  + terms: ") for line in lines[signed:])
    for named in ("about", "type", "format", "fleet", "delegation"):
        assert not any(line.startswith(f"  + {named}: ") for line in lines[signed:])
    asked = with_acme.do(*EXAMPLE, "--dry-run")["differences"]
    assert any(one["says"].startswith("type: allod.delegation") for one in asked)


def test_nobody_is_called_as_the_owner(with_acme: Owner) -> None:
    """A delegation of that name would look like the owner's own word."""
    named = (*EXAMPLE[:2], "owner", *EXAMPLE[3:])
    assert with_acme.refused(*named, "--dry-run") == "bad-name"
    out = with_acme.home.parent / "owner.pub"
    assert with_acme.refused("delegate", "key", "owner", "--out", out) == "bad-name"
    assert not out.exists()


def test_what_is_revoked_does_not_come_back_by_undo(with_acme: Owner) -> None:
    """Undo would give packages to nobody; it is neither offered nor done."""
    granted_ops(with_acme)
    assert with_acme.run("delegate", "revoke", "ops", "--yes") == 0
    assert "is in force" in with_acme.out
    assert "allod undo" not in with_acme.out
    number = with_acme.do("delegate", "show", "ops")["change"]
    assert with_acme.refused("undo", str(number), "--yes") == "unknown-delegation"
    assert document(with_acme) == {}


def test_each_card_has_its_own_verb(with_acme: Owner) -> None:
    """A delegate's card lets nobody approve, an approver's lets nobody give orders, none joins."""
    ops, ann = card(with_acme), with_acme.home.parent / "ann.card"
    machine = with_acme.elsewhere("ann")
    machine.do("people", "key", ann)
    assert with_acme.refused("people", "add", "ops", ops, "--kind", "qa", "--yes") == "bad-key"
    assert "allod delegate grant" in with_acme.said
    grant = ("delegate", "grant", "x", "--key", ann, "--group", "kitchen", "--package", PATTERN)
    assert with_acme.refused(*grant, "--yes") == "bad-key"
    assert "allod people add" in with_acme.said
    for wrong in (ops, ann):
        assert machine.refused("join", wrong) == "bad-document"
        assert "allod delegate join-file" in machine.said


def test_approvals_that_nobody_can_give_are_named(with_acme: Owner) -> None:
    """A misspelt kind would stop everything, and is told before it is signed."""
    terms = ("group", "terms", "kitchen", "--approvals", "qaa=1", "--dry-run")
    for words in (terms, ("delegate", "grant", "x", "--key", card(with_acme), "--group", "kitchen",
                          "--package", PATTERN, "--approvals", "qaa=1", "--dry-run")):  # fmt: skip
        said = with_acme.do(*words)["remarks"]
        assert any("0 of the 1 that it needs approve as qaa" in one for one in said)
