"""A production fleet: root 2 of 3 on separate machines, from the first root to the last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_own import Device, accepted

from allod.cli.proposing import LIVES
from allod.cli.refresh import refresh


@pytest.fixture
def signers(owner: Owner, tmp_path: Path) -> list[Owner]:
    """Three people with a root key, each on a machine of their own."""
    people = [owner.elsewhere(name) for name in ("ann", "ben", "cleo")]
    for person in people:
        person.do("ceremony", "key", tmp_path / f"{person.home.name}.pub")
    return people


@pytest.fixture
def few_bins(owner: Owner) -> None:
    """Four bins for devices instead of 256: nothing here depends on how many there are."""
    owner.monkeypatch.setitem(LIVES, "production", replace(LIVES["production"], bin_bits=2))


@pytest.fixture
def works(owner: Owner, signers: list[Owner], tmp_path: Path, few_bins: None) -> Owner:
    """The machine with the daily key of a production fleet that has begun."""
    proposal = tmp_path / "genesis"
    owner.served.down = True
    keys = [part for p in signers for part in ("--root-key", tmp_path / f"{p.home.name}.pub")]
    owner.do(
        "init", "works", "--profile", "production", "--server", tmp_path / "server", *keys,
        "--threshold", "2", "--proposal", proposal,
    )  # fmt: skip
    assert owner.refused("ceremony", "publish", proposal, "--yes") == "threshold-not-met"
    for person in signers[:2]:
        person.do("ceremony", "sign", proposal, "--yes")
    owner.do("ceremony", "publish", proposal, "--yes")
    owner.served.down = False
    owner.served.restart()
    return owner


def test_a_fleet_under_two_of_three_begins(works: Owner) -> None:
    """Nothing is published before two have signed; then devices accept it."""
    root = Device(works, "works").accept().root
    assert root.roles["root"].threshold == 2
    assert len(root.roles["root"].keyids) == 3
    held = [r for r in works.fleet("works").keys.records("root") if r.file]
    assert held == [], "no root key lies on the machine with the daily key"


def test_a_holder_is_replaced(works: Owner, signers: list[Owner], tmp_path: Path) -> None:
    """Old and new threshold sign, on copies that are put together; the daily key renews along."""
    device = Device(works, "works")
    device.accept()
    ann, ben, _ = signers
    dan = works.elsewhere("dan")
    dan.do("ceremony", "key", tmp_path / "dan.pub")
    keys = [part for n in ("ann", "ben", "dan") for part in ("--root-key", tmp_path / f"{n}.pub")]
    works.do("ceremony", "propose", tmp_path / "p", *keys, "--new-targets-key", "-m", "cleo left")
    shown = ann.do("ceremony", "show", tmp_path / "p")
    assert any("LOSES the role root" in sentence for sentence in shown["changes"])
    assert shown["message"] == "cleo left"
    copies = []
    for person in (ann, ben, dan):
        copy = tmp_path / f"p-{person.home.name}"
        copy.write_bytes((tmp_path / "p").read_bytes())
        person.do("ceremony", "sign", copy, "--yes")
        copies.append(copy)
    assert (
        works.refused("ceremony", "publish", copies[0], copies[2], "--yes") == "threshold-not-met"
    )
    works.do("ceremony", "publish", *copies[:2], "--yes")
    root = accepted(works, device).root
    assert root.version == 2
    works.do("people", "list")
    assert {r.state for r in works.fleet("works").keys.records("targets")} == {"current", "retired"}


def test_trust_statements_go_through_a_ceremony(
    works: Owner, signers: list[Owner], tmp_path: Path
) -> None:
    """The daily machine alone can't say where the fleet is served; two root keys can."""
    add = ("trust", "anchor", "add", "https://mirror.example:1", "--yes")
    assert works.refused(*add) == "key-elsewhere"
    works.do(*add, "--proposal", tmp_path / "t")
    for person in signers[1:]:
        person.do("ceremony", "sign", tmp_path / "t", "--yes")
    works.do("ceremony", "publish", tmp_path / "t", "--yes")
    statement = accepted(works, Device(works, "works")).statement
    assert statement is not None
    assert [anchor.url for anchor in statement.anchors][1] == "https://mirror.example:1"


def test_a_stranger_and_an_old_proposal_are_refused(
    works: Owner, signers: list[Owner], tmp_path: Path
) -> None:
    """Who holds no root key can't sign; what was proposed on an older root can't be published."""
    works.do("ceremony", "propose", tmp_path / "one")
    works.do("ceremony", "propose", tmp_path / "two", "--new-targets-key")
    eve = works.elsewhere("eve")
    eve.do("ceremony", "key", tmp_path / "eve.pub")
    assert eve.refused("ceremony", "sign", tmp_path / "one", "--yes") == "not-a-signer"
    for person in signers[:2]:
        for file in ("one", "two"):
            person.do("ceremony", "sign", tmp_path / file, "--yes")
    works.do("ceremony", "publish", tmp_path / "one", "--yes")
    assert works.refused("ceremony", "publish", tmp_path / "two", "--yes") == "out-of-date"
    assert works.refused("keys", "rotate", "root", "--yes") == "ceremony-needed"


def test_a_signer_refuses_a_base_that_others_made_up(
    works: Owner, signers: list[Owner], tmp_path: Path
) -> None:
    """A machine that signed for root 2 signs nothing on another root 2, or on root 1 again."""
    for file in ("one", "two"):
        works.do("ceremony", "propose", tmp_path / file)
        for person in signers[:2]:
            person.do("ceremony", "sign", tmp_path / file, "--yes")
        if file == "one":
            works.do("ceremony", "propose", tmp_path / "stale")
            works.do("ceremony", "publish", tmp_path / file, "--yes")
    assert signers[0].refused("ceremony", "sign", tmp_path / "stale", "--yes") == "other-base"


def test_the_root_is_not_renewed_in_passing(works: Owner, later, tmp_path: Path) -> None:
    """In production a signing command renews what the daily key signs, and leaves the root."""
    key = tmp_path / "ci"
    works.do("people", "key", key)
    for _ in range(9):
        later(60)
        works.do("keys", "renew", "targets", "--yes")
    works.do("people", "add", "ci", key, "--yes")
    view = refresh(works.fleet("works"))
    assert view.repository.root.version == 1
    rows = works.do("keys", "list")
    assert any("half over" in row["note"] for row in rows if row["role"] == "root")
