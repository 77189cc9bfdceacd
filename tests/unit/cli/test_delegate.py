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
    assert machine.refused(*EXAMPLE, "--as", "ops", "--yes")
    assert machine.refused(*EXAMPLE, "--yes") == "key-elsewhere"
    assert machine.refused("delegate", "revoke", "ops", "--yes") == "key-elsewhere"
    assert with_acme.refused(*EXAMPLE, "--propose", "--yes")
    assert set(newest(with_acme.fleet()).delegations) == {"ops"}
