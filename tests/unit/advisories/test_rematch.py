"""What is in use is matched again by package, and finds what assessing finds."""

from __future__ import annotations

from allod.advisories.assessing import assess
from allod.advisories.finding import VexStatement, VexStatus, Wares
from allod.advisories.rematch import Inventory, rematch
from allod.testing.advisories import MemoryAdvisories, about, part, record, versions

OLD = part("PyPI", "waitress", "2.1.1", "pkg:pypi/waitress@2.1.1")
NEW = part("PyPI", "waitress", "2.1.2", "pkg:pypi/waitress@2.1.2")
OTHER = part("PyPI", "other", "1.0", "pkg:pypi/other@1.0")
FLAW = record(
    "CVE-2022-31015", about("PyPI", "waitress", versions("introduced 2.1.0", "fixed 2.1.2"))
)
ELSE = record("CVE-2026-0001", about("PyPI", "other", versions("introduced 0")))
PACKAGE = ("PyPI", "waitress")


def stock(**wares):
    """An inventory."""
    inventory = Inventory()
    for holder, components in wares.items():
        inventory.put(holder, Wares(tuple(components)))
    return inventory


def struck(inventory, packages, *records, **besides):
    """Flaws, and who has them."""
    found = rematch(inventory, packages, MemoryAdvisories(records, **besides))
    return [(one.finding.id, one.holders) for one in found.struck]


def test_only_named_packages_are_looked_at() -> None:
    """Records of other packages are not asked for; without names all are."""
    inventory = stock(toaster=[OLD, OTHER], kettle=[NEW], fridge=[OLD])
    assert struck(inventory, [PACKAGE], FLAW, ELSE) == [("CVE-2022-31015", ("fridge", "toaster"))]
    assert struck(inventory, None, FLAW, ELSE) == [
        ("CVE-2022-31015", ("fridge", "toaster")),
        ("CVE-2026-0001", ("toaster",)),
    ]
    assert struck(inventory, [], FLAW) == []


def test_who_is_updated_or_gone_has_it_no_more() -> None:
    """`put` says all that somebody has; `drop` that they are gone."""
    inventory = stock(toaster=[OLD], kettle=[OLD], fridge=[OLD])
    inventory.put("toaster", Wares((NEW,)))
    inventory.drop("kettle")
    inventory.drop("nobody")
    assert struck(inventory, [PACKAGE], FLAW) == [("CVE-2022-31015", ("fridge",))]
    inventory.put("toaster", Wares((OLD,)))
    assert struck(inventory, [PACKAGE], FLAW) == [("CVE-2022-31015", ("fridge", "toaster"))]


def test_a_record_without_release_means_all_releases() -> None:
    """What changed is named as records name it; components are found under their release."""
    inventory = stock(server=[part("Debian:12", "openssl", "3.0.11-1")])
    flaw = record("DSA-1", about("Debian", "openssl", versions("introduced 0")))
    assert struck(inventory, [("Debian", "openssl")], flaw) == [("DSA-1", ("server",))]


def test_open_questions_are_told_too() -> None:
    """Nobody can tell whether a record without versions means them."""
    inventory = stock(toaster=[OLD])
    found = rematch(inventory, None, MemoryAdvisories([record("X-1", about(*PACKAGE))]))
    assert [(one.code, who) for one, who in found.undecided] == [("no-range", ("toaster",))]


def test_holders_of_whom_vex_says_different_things_stand_apart() -> None:
    """A statement about one product takes the flaw from its holders only."""
    inventory = Inventory()
    for name, product in (("a", "pkg:generic/x"), ("b", "pkg:generic/y"), ("c", "pkg:generic/x")):
        inventory.put(name, Wares((OLD,), products=frozenset({product})))
    said = VexStatement(
        ("CVE-2022-31015",), ("pkg:generic/x",), VexStatus.NOT_AFFECTED, "us", "2026"
    )
    found = rematch(inventory, None, MemoryAdvisories([FLAW], statements=[said])).struck
    assert {one.holders: one.finding.counts for one in found} == {("a", "c"): False, ("b",): True}


def test_it_finds_what_assessing_finds() -> None:
    """Each holder's findings are those of an assessment of what it has."""
    known = MemoryAdvisories([FLAW, ELSE])
    everything = {"toaster": [OLD, OTHER], "kettle": [NEW, OTHER], "fridge": [NEW]}
    again = rematch(stock(**everything), None, known).struck
    for holder, components in everything.items():
        alone = assess(Wares(tuple(components)), known).findings
        assert [one.finding for one in again if holder in one.holders] == list(alone)
