"""Edits of desired state: each does what it names and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from allod.domain import edit, ids
from allod.domain.desired import (
    Accepts,
    ChangeNote,
    Level,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Settings,
    Software,
    When,
)
from allod.errors import Conflict, InvalidInput, Refused

FLEET = ids.FleetId("f" * 64)
KITCHEN = ids.group_scope(ids.GroupName("kitchen"))
DEVICE = ids.device_scope(ids.DeviceId("d" * 64))
TOASTER = ids.Purl("pkg:generic/acme/toaster")
KETTLE = ids.Purl("pkg:generic/acme/kettle")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def order(version: str, level: Level = Level.ACTIVE, when: When = When.NOW) -> ReleaseOrder:
    """An order for a release whose digest follows from its version."""
    digest = ids.sha256(version.encode())
    return ReleaseOrder(ids.ProviderName("acme"), ids.Version(version), digest, level, when)


def levels(document: edit.StateDocument, package: ids.Purl = TOASTER) -> list[tuple[str, str]]:
    """What a package's list says, as (version, level)."""
    software = document.packages[package].software
    assert software is not None
    return [(known.version, known.level) for known in software.releases]


def deployed(*versions: str, retention: int = 1) -> edit.StateDocument:
    """The kitchen after these deployments."""
    document = edit.empty(FLEET, KITCHEN)
    for version in versions:
        document = edit.deploy(document, TOASTER, order(version), retention=retention)
    return document


def test_deploy_keeps_the_previous_release_installed() -> None:
    """The release that ran stays wanted as installed, so that going back needs no download."""
    assert levels(deployed("1", "2")) == [("2", "active"), ("1", "installed")]


def test_deploy_keeps_as_many_predecessors_as_the_retention_says() -> None:
    """Older ones leave the list; the newest stay."""
    assert [v for v, _ in levels(deployed("1", "2", "3", "4", retention=2))] == ["4", "3", "2"]
    assert [v for v, _ in levels(deployed("1", "2", "3", retention=0))] == ["3"]


def test_deploy_keeps_what_was_prepared_ahead() -> None:
    """A release that was only transferred or installed is no predecessor: it stays."""
    document = edit.deploy(deployed("1"), TOASTER, order("3", Level.TRANSFERRED))
    document = edit.deploy(document, TOASTER, order("2"))
    assert levels(document) == [("3", "transferred"), ("2", "active"), ("1", "installed")]


def test_deploy_activates_what_was_prepared_in_its_place() -> None:
    """Activating a prepared release lists it once, and the former one steps back."""
    document = edit.deploy(deployed("1"), TOASTER, order("2", Level.INSTALLED))
    document = edit.deploy(document, TOASTER, order("2"))
    assert levels(document) == [("2", "active"), ("1", "installed")]


def test_deploy_back_to_the_predecessor_swaps_the_two() -> None:
    """Going back is a deployment like any other."""
    document = edit.deploy(deployed("1", "2"), TOASTER, order("1"))
    assert levels(document) == [("1", "active"), ("2", "installed")]


def test_deploy_again_changes_only_when() -> None:
    """The same release at another time: nothing is displaced."""
    document = edit.deploy(deployed("1", "2"), TOASTER, order("2", when=When.RESTART))
    assert levels(document) == [("2", "active"), ("1", "installed")]
    assert document.packages[TOASTER].software.releases[0].when is When.RESTART  # type: ignore[union-attr]
    assert edit.deploy(deployed("1", "2"), TOASTER, order("2")) == deployed("1", "2")


def test_deploy_does_not_take_the_running_release_down() -> None:
    """`--install-only` of what runs would stop it: refused, with a way out."""
    with pytest.raises(Conflict, match="release that is to run") as caught:
        edit.deploy(deployed("1"), TOASTER, order("1", Level.INSTALLED))
    assert caught.value.code == "already-active"


def test_deploy_adds_to_what_is_accepted_and_drops_stale_one_way_names() -> None:
    """Acceptance by name grows; that of a release which left the list goes with it."""
    first, second, third = (order(v).digest for v in ("1", "2", "3"))
    document = edit.empty(FLEET, KITCHEN)
    document = edit.deploy(
        document,
        TOASTER,
        order("1"),
        accepts=Accepts(frozenset({"root"}), one_way=frozenset({first})),
    )
    document = edit.deploy(
        document,
        TOASTER,
        order("2"),
        accepts=Accepts(frozenset({"camera"}), one_way=frozenset({second})),
    )
    document = edit.deploy(document, TOASTER, order("3"))
    accepts = document.packages[TOASTER].accepts
    assert accepts.access == {"root", "camera"}
    assert accepts.one_way == {second}
    assert third not in accepts.one_way


def test_a_delegated_package_is_not_edited() -> None:
    """Where a delegation decides, the owner's list would be a lie: refused, naming it."""
    document = replace(
        edit.empty(FLEET, KITCHEN), packages={TOASTER: PackageEntry(Software("acme-ops"))}
    )
    for action in (
        lambda: edit.deploy(document, TOASTER, order("1")),
        lambda: edit.delete(document, TOASTER),
    ):
        with pytest.raises(Refused, match="acme-ops") as caught:
            action()
        assert caught.value.code == "managed-elsewhere"


def test_an_entry_of_a_newer_program_is_not_edited() -> None:
    """What this program cannot read it does not overwrite."""
    document = replace(edit.empty(FLEET, KITCHEN), unreadable={TOASTER: "cannot read it"})
    with pytest.raises(Refused) as caught:
        edit.configure(document, TOASTER, None)
    assert caught.value.code == "unreadable-entries"


def test_delete_names_the_package_with_an_empty_list() -> None:
    """Deletion is said, never left out."""
    assert levels(edit.delete(deployed("1", "2"), TOASTER)) == []


def test_delete_of_one_version_leaves_the_others() -> None:
    """Only the named version leaves; an unknown one is refused with what there is."""
    assert levels(edit.delete(deployed("1", "2"), TOASTER, ids.Version("1"))) == [("2", "active")]
    with pytest.raises(InvalidInput, match="it lists 2, 1") as caught:
        edit.delete(deployed("1", "2"), TOASTER, ids.Version("9"))
    assert caught.value.code == "not-listed"


def test_configure_leaves_software_alone() -> None:
    """Software and configuration resolve separately, so a document may name one alone."""
    document = edit.configure(
        edit.empty(FLEET, DEVICE), TOASTER, ids.sha256(b"{}"), size=2, secrets=frozenset({"pin"})
    )
    entry = document.packages[TOASTER]
    assert entry.software is None
    assert entry.configuration is not None
    assert entry.configuration.size == 2
    assert entry.secrets == {"pin"}
    default = edit.configure(document, TOASTER, None).packages[TOASTER]
    assert default.configuration is not None
    assert default.configuration.digest is None
    assert default.secrets == {"pin"}


def test_hand_back_unnames_the_package() -> None:
    """The next scope decides again; what was never named cannot be handed back."""
    assert TOASTER not in edit.hand_back(deployed("1"), TOASTER).packages
    with pytest.raises(InvalidInput) as caught:
        edit.hand_back(deployed("1"), KETTLE)
    assert caught.value.code == "not-named"


def test_restarts_are_added_forgotten_late_and_called_off() -> None:
    """A restart over for a month is dropped; one that is over cannot be scheduled."""
    old = Restart("r1", NOW - timedelta(days=40), NOW - timedelta(days=39))
    new = Restart("r2", NOW, NOW + timedelta(hours=1))
    document = replace(edit.empty(FLEET, KITCHEN), restarts=(old,))
    document = edit.restart(document, new, NOW)
    assert document.restarts == (new,)
    with pytest.raises(Conflict):
        edit.restart(document, new, NOW)
    with pytest.raises(InvalidInput, match="that is over"):
        edit.restart(document, Restart("r3", NOW, NOW), NOW)
    assert edit.cancel_restart(document, "r2").restarts == ()
    with pytest.raises(InvalidInput, match="it has r2"):
        edit.cancel_restart(document, "r9")


def test_hold_and_resume() -> None:
    """A hold says why, and only what is held resumes."""
    held = edit.hold(edit.empty(FLEET, KITCHEN), " Easter ")
    assert held.hold == "Easter"
    assert edit.resume(held).hold is None
    with pytest.raises(InvalidInput):
        edit.hold(held, " ")
    with pytest.raises(Conflict):
        edit.resume(edit.resume(held))


def test_devices_are_moved_renamed_retired_and_replaced() -> None:
    """Only a device's own document can say these; a group's is refused."""
    groups = (ids.GroupName("hall"), ids.GroupName("kitchen"))
    document = edit.rename(edit.move(edit.empty(FLEET, DEVICE, epoch=3), groups), "Pi 4")
    assert document.device is not None
    assert (document.device.groups, document.device.label, document.device.epoch) == (
        groups,
        "Pi 4",
        3,
    )
    retired = edit.retire(document)
    assert retired.device is not None
    assert retired.device.status == "retired"
    with pytest.raises(Conflict):
        edit.retire(retired)
    other = ids.DeviceId("e" * 64)
    successor = edit.replacement(edit.deploy(document, TOASTER, order("1")), other, groups)
    assert successor.scope == ids.device_scope(other)
    assert successor.device is not None
    assert (successor.device.replaces, successor.device.label) == ("d" * 64, "Pi 4")
    assert levels(successor) == [("1", "active")]
    for action in (
        lambda: edit.move(edit.empty(FLEET, KITCHEN), groups),
        lambda: edit.rename(document, "a\x1b[2Jb"),
        lambda: edit.move(document, (groups[0], groups[0])),
        lambda: edit.replacement(document, ids.DeviceId("d" * 64), groups),
    ):
        with pytest.raises(InvalidInput):
            action()


def test_settings_are_checked() -> None:
    """A negative retention or bandwidth is refused."""
    with pytest.raises(InvalidInput, match="0 or more"):
        edit.settings(edit.empty(FLEET, KITCHEN), Settings(bandwidth=-1))


def test_stamp_marks_only_what_differs() -> None:
    """The note stands on the document and on the changed entry, not on the others."""
    first = ChangeNote(1, "c1", NOW)
    second = ChangeNote(2, "c2", NOW, message="why")
    one = edit.stamp(None, deployed("1"), first)
    two = edit.stamp(one, edit.deploy(one, KETTLE, order("7")), second)
    assert two.change == second
    assert two.packages[TOASTER].change == first
    assert two.packages[KETTLE].change == second
