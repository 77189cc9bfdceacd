"""Delegates who give orders: the same verbs, their own documents, and nothing that is the owner's."""

from __future__ import annotations

import pytest
from tests.unit.cli.conftest import Owner
from tests.unit.cli.people_at_work import KETTLE, KITCHEN, TOASTER, Works, deploy

from allod.cli.documents import newest
from allod.domain.ids import Purl


@pytest.fixture
def ops(works: Works) -> Owner:
    """Somebody who decides on the toaster in the kitchen, at a machine of their own."""
    return works.delegate("ops")


def test_a_delegate_deploys_under_their_own_role(works: Works, ops: Owner) -> None:
    """Their document, their role, their entry in the log; the owner's stays as it was; history
    says who decided, and every other machine reads the same.
    """
    before = newest(works.owner.fleet()).view.versions
    done = deploy(ops, "toaster@1.0", "--as", "ops", "-m", "breakfast", "--ticket", "OPS-1")
    assert done["changed"]
    assert done["force"]["state"] == "in-force"
    base = newest(works.owner.fleet())
    assert base.view.versions["delegation-ops"] == 1
    assert base.view.versions["targets"] == before["targets"]
    assert works.runs(author="ops") == "1.0"
    assert works.runs() is None
    (change,) = [one for one in works.owner.do("history")["changes"] if one["decided"] == "ops"]
    assert (change["by"], change["message"], change["ticket"]) == ("ops", "breakfast", "OPS-1")
    assert change["number"] == done["number"]
    deploy(ops, "toaster@1.1", "--as", "ops")
    document = newest(works.owner.fleet()).by("ops", KITCHEN)
    assert document is not None
    software = document.packages[TOASTER].software
    assert software is not None
    assert [order.version for order in software.releases] == ["1.1", "1.0"]
    shown = works.owner.do("show", str(change["number"] + 1))
    assert {one["subject"] for one in shown["differences"]} == {"by/ops/groups/kitchen"}


def test_a_delegate_configures_deletes_and_takes_back(works: Works, ops: Owner) -> None:
    """What they may decide they also undo; what the owner decided they do not."""
    first = deploy(ops, "toaster@1.0", "--as", "ops")
    second = deploy(ops, "toaster@2.0", "--as", "ops")
    ops.do("undo", str(second["number"]), "--as", "ops", "--yes")
    assert works.runs(author="ops") == "1.0"
    assert works.owner.refused("undo", str(first["number"]), "--yes") == "nothing-to-undo"
    owners = deploy(works.owner, "kettle@1.0")
    assert ops.refused("undo", str(owners["number"]), "--as", "ops", "--yes") == "nothing-to-undo"


def test_only_the_owner_says_what_only_the_owner_says(works: Works, ops: Owner) -> None:
    """Settings, holds, terms, acceptances, overrides and other files are refused, here and now."""
    deploy(ops, "toaster@1.0", "--as", "ops")
    for words in (
        ("hold", "kitchen", "--why", "Easter"),
        ("group", "set", "kitchen", "--retention", "2"),
        ("group", "terms", "kitchen", "--consent"),
        ("group", "add", "hall"),
        ("deploy", "kitchen", "toaster@1.1", "--override", "window"),
        ("deploy", "kitchen", "toaster@1.1", "--accept", "camera"),
        ("provider", "distrust", "acme", "--why", "no"),
    ):
        assert ops.refused(*words, "--as", "ops", "--yes") == "owners-word", words
    assert works.runs(author="ops") == "1.0"


def test_a_delegate_decides_on_nothing_else(works: Works, ops: Owner) -> None:
    """Other packages, other verbs, other scopes, other names: refused before anything is signed."""
    assert ops.refused("deploy", "kitchen", "kettle@1.0", "--as", "ops", "--yes") == "not-delegated"
    works.owner.do("group", "add", "hall", "--yes")
    assert ops.refused("deploy", "hall", "toaster@1.0", "--as", "ops", "--yes") == "not-delegated"
    now = ("restart", "kitchen", "--at", "+2h", "--as", "ops", "--yes")
    assert ops.refused(*now) == "outside-terms"
    assert ops.refused("deploy", "kitchen", "toaster@1.0", "--as", "joe", "--yes") == (
        "unknown-delegation"
    )
    assert ops.refused("deploy", "kitchen", "toaster@1.0", "--yes") == "managed-elsewhere"
    assert works.owner.refused("deploy", "kitchen", "toaster@1.0", "--as", "ops", "--yes") == (
        "key-elsewhere"
    )
    assert works.runs(author="ops") is None


def test_a_delegate_needs_approvals_where_their_terms_say_so(works: Works) -> None:
    """A delegate proposes as their delegation; people approve; the delegate publishes."""
    vendor = works.delegate("vendor", "--approvals", "qa=1", package=KETTLE)
    ann = works.person("ann", "qa")
    words = ("kettle@1.0", "--as", "vendor")
    assert vendor.refused("deploy", "kitchen", *words, "--yes") == "approvals-missing"
    change = deploy(vendor, *words, "--propose")["proposal"]
    assert works.owner.refused("change", "publish", change, "--yes") == "approvals-missing"
    ann.do("change", "approve", change, "--yes")
    assert works.owner.refused("change", "publish", change, "--yes") == "key-elsewhere"
    vendor.do("change", "publish", change, "--yes")
    assert works.runs(KETTLE, "vendor") == "1.0"
    entry = works.entry(KETTLE, "vendor")
    assert entry is not None
    assert len(entry.approvals) == 1


def test_history_keeps_what_a_revoked_delegate_did(works: Works, ops: Owner) -> None:
    """The end of a delegation takes nothing out of the past."""
    done = deploy(ops, "toaster@1.0", "--as", "ops", "-m", "breakfast")
    works.owner.do("delegate", "revoke", "ops", "--yes")
    history = works.owner.do("history")
    (change,) = [one for one in history["changes"] if one["number"] == done["number"]]
    assert change["decided"] == "ops"
    assert history["missing"] == []
    assert ops.refused("deploy", "kitchen", "toaster@1.1", "--as", "ops", "--yes") in {
        "unknown-delegation",
        "unauthenticated",
    }


def test_the_owner_takes_on_what_a_delegate_brings(works: Works, ops: Owner) -> None:
    """Access and overrides stand in the owner's entry, also where a delegate decides."""
    accept = ("group", "accept", "kitchen", TOASTER)
    done = works.owner.do(*accept, "--access", "camera", "--override", "window", "--yes")
    assert {one["what"] for one in done["differences"]} >= {"access-new", "override-new"}
    entry = works.entry()
    assert entry is not None
    assert entry.accepts.access == {"camera"}
    assert entry.overrides == {"window"}
    works.owner.do(*accept, "--override", "none", "--yes")
    entry = works.entry()
    assert entry is not None
    assert entry.overrides == frozenset()
    assert (
        works.owner.refused(
            "group", "accept", "kitchen", Purl("pkg:generic/x/y"), "--access", "camera", "--yes"
        )
        == "unknown-package"
    )


def test_a_delegation_of_two_keys_is_signed_on_two_machines(works: Works) -> None:
    """Half a signature is nothing: the file goes on, each reads the change from its bytes, and the
    one who makes it complete publishes it, with an entry of the log that both signed.
    """
    owner = works.owner
    cards, machines = [], []
    for name in ("one", "two"):
        machines.append(owner.elsewhere(name))
        cards += ["--key", owner.home.parent / f"{name}.card"]
        machines[-1].do("delegate", "key", name, "--out", cards[-1])
    owner.do(
        "delegate", "grant", "both", *cards, "--threshold", "2", "--group", "kitchen",
        "--package", TOASTER, "--yes",
    )  # fmt: skip
    file = owner.home.parent / "both.join"
    owner.do("delegate", "join-file", "both", "--out", file)
    for machine in machines:
        machine.do("join", file)
    one, two = machines
    words = ("deploy", "kitchen", "toaster@1.0", "--as", "both", "--yes")
    assert one.refused(*words) == "role-incomplete"
    assert "--cosign FILE" in one.said
    half = owner.home.parent / "half.json"
    begun = one.do(*words, "--cosign", half)
    assert begun["changed"] is False
    assert one.refused(*words, "--cosign", half) == "exists"
    assert one.do("change", "cosign", half, "--yes")["missing"] == 1, "one key counts once"
    owner.do("group", "add", "hall", "--yes")
    assert two.refused("change", "cosign", half, "--yes") == "out-of-date"
    half.unlink()
    one.do(*words, "--cosign", half)
    damaged = half.read_bytes().replace(b'"author":"both"', b'"author":"owner"')
    other = half.with_name("other.json")
    other.write_bytes(damaged)
    assert owner.refused("change", "cosign", other, "--yes") in {
        "not-what-was-meant",
        "wrong-delegation",
    }
    done = two.do("change", "cosign", half, "--yes")
    assert done["changed"]
    assert done["force"]["state"] == "in-force"
    assert any("toaster" in one["says"] for one in done["differences"])
    assert works.runs(author="both") == "1.0"
    assert two.refused("change", "cosign", half, "--yes") == "out-of-date", "it is done already"
