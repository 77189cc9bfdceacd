"""Attack 27: a delegate hands on what it was given."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.domain.plan_world import (
    ConfigurationOrder,
    Level,
    PackageEntry,
    World,
    delegation,
    did,
    document,
    entry,
    handed,
    managed,
    note,
    order,
    ordering,
    refused,
)
from tests.unit.domain.term_facts import TOASTER


def test_attack_27_a_delegate_names_no_other_manager() -> None:
    """Nothing happens: neither what the friend orders, nor the removal that an empty list means."""
    friend = ordering(delegation("friend"), {TOASTER: entry(order("3.0.0"), change="friendly")})
    world = handed().delegates_to(ordering(delegation("ops"), {TOASTER: managed("friend")}), friend)
    found = world.plan(held={"2.0.1": Level.INSTALLED, "3.0.0": Level.INSTALLED})
    assert (did(found), refused(found)) == ([], ["sub-delegation"])


def test_attack_27_nor_of_a_configuration() -> None:
    """The other half, likewise."""
    owners = replace(entry(order("2.0.1")), configuration=ConfigurationOrder("ops"))
    theirs = PackageEntry(configuration=ConfigurationOrder("friend"), change=note("theirs"))
    world = World().owns(document({TOASTER: owners}))
    world.delegates_to(ordering(delegation("ops"), {TOASTER: theirs}))
    found = world.plan(configuration="a")
    assert (did(found), refused(found)) == ([], ["sub-delegation"])
