"""A scope is found by what people call it, and never guessed."""

from __future__ import annotations

import pytest

from allod.cli.scopes import all_groups, find_device, find_group, find_scope, show_scope, touched
from allod.domain import ids
from allod.domain.reported import Member
from allod.errors import InvalidInput

KITCHEN, HALL = ids.GroupName("kitchen"), ids.GroupName("hall")
ONE = Member(ids.DeviceId("abcd" + "1" * 60), 1, (KITCHEN,), "Pi")
TWO = Member(ids.DeviceId("abce" + "2" * 60), 1, (HALL, KITCHEN), "hall")
THREE = Member(ids.DeviceId("ffff" + "3" * 60), 1, (KITCHEN,), retired=True)
MEMBERS = (ONE, TWO, THREE)
GROUPS = (KITCHEN, HALL)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("kitchen", ids.group_scope(KITCHEN)),
        ("Pi", ids.device_scope(ONE.device)),
        ("abcd", ids.device_scope(ONE.device)),
        (TWO.device, ids.device_scope(TWO.device)),
        ("groups/hall", ids.group_scope(HALL)),
        ("devices/hall", ids.device_scope(TWO.device)),
        ("devices/ffff33", ids.device_scope(THREE.device)),
    ],
)
def test_found(text: str, scope: ids.Scope) -> None:
    """By group, label, beginning of the id, or said in full."""
    assert find_scope(text, GROUPS, MEMBERS) == scope


@pytest.mark.parametrize("text", ["abc", "", "Kitchen", "../x", "groups/none", "devices/none"])
def test_unknown(text: str) -> None:
    """What there is is said; three digits of an id are too few."""
    with pytest.raises(InvalidInput, match=r"hall|kitchen|Pi"):
        find_scope(text, GROUPS, MEMBERS)


def test_ambiguous() -> None:
    """A word that is both a group and a label is not decided; nor are two ids."""
    with pytest.raises(InvalidInput, match="groups/hall, devices/abce") as caught:
        find_scope("hall", GROUPS, MEMBERS)
    assert caught.value.code == "ambiguous-scope"
    twins = (ONE, Member(ids.DeviceId("abcd" + "9" * 60), 1, ()))
    with pytest.raises(InvalidInput) as caught:
        find_device("abcd", twins)
    assert caught.value.code == "ambiguous-device"


def test_groups() -> None:
    """An unknown group is answered with those that exist."""
    assert find_group("hall", GROUPS) == HALL
    with pytest.raises(InvalidInput, match="hall, kitchen"):
        find_group("hal", GROUPS)
    assert all_groups((ids.GroupName("attic"),), MEMBERS) == ("attic", "hall", "kitchen")


def test_touched() -> None:
    """A group's document speaks to the devices in it that are not retired."""
    assert touched(ids.group_scope(KITCHEN), MEMBERS) == (ONE, TWO)
    assert touched(ids.device_scope(TWO.device), MEMBERS) == (TWO,)
    assert show_scope(ids.device_scope(ONE.device), MEMBERS) == "device Pi"
    assert show_scope(ids.group_scope(HALL)) == "group hall"
