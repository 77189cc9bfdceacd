"""The overview: every state has its cause, and silence is never taken for success."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from allod.domain import edit, ids
from allod.domain.desired import Level, PackageEntry, ReleaseOrder, Restart, Software, When
from allod.domain.overview import DeviceOverview, RowState, overview
from allod.domain.reported import Actual, ActualPackage, ActualRelease, Member, PendingWork, Remark

FLEET = ids.FleetId("f" * 64)
KITCHEN = ids.GroupName("kitchen")
SCOPE = ids.group_scope(KITCHEN)
DEVICE = ids.DeviceId("d" * 64)
TOASTER = ids.Purl("pkg:generic/acme/toaster")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SILENCE = timedelta(hours=1)


def digest(version: str) -> ids.Digest:
    """The digest of a release that follows from its version."""
    return ids.sha256(version.encode())


def wanted(version: str = "2", when: When = When.NOW) -> edit.StateDocument:
    """The kitchen wants this version active."""
    order = ReleaseOrder(
        ids.ProviderName("acme"), ids.Version(version), digest(version), Level.ACTIVE, when
    )
    return edit.deploy(edit.empty(FLEET, SCOPE), TOASTER, order)


def package(*versions: tuple[str, Level], **more: object) -> ActualPackage:
    """What the device says of the toaster."""
    releases = tuple(ActualRelease(ids.Version(v), digest(v), level) for v, level in versions)
    return replace(ActualPackage(TOASTER, "active", releases), **more)  # type: ignore[arg-type]


def report(*packages: ActualPackage, **more: object) -> Actual:
    """A report, heard just now, that knows the newest documents."""
    known = {one.package: one for one in packages}
    return replace(Actual(NOW, 1, {"targets": 5}, known), **more)  # type: ignore[arg-type]


def look(actual: Actual | None, document: edit.StateDocument | None = None) -> DeviceOverview:
    """The overview of the only device."""
    member = Member(DEVICE, 1, (KITCHEN,), "Pi", actual=actual)
    documents = {SCOPE: wanted() if document is None else document}
    found = overview([member], documents, now=NOW, silence=SILENCE, newest={"targets": 5})
    assert len(found) == 1
    return found[0]


RUNS_1 = ("1", Level.ACTIVE)
RUNS_2 = ("2", Level.ACTIVE)
STATES = [
    ("what is wanted runs", report(package(RUNS_2)), RowState.AS_WANTED, ""),
    ("never reported", None, RowState.UNKNOWN, "not reported"),
    (
        "silent, though all was well",
        report(package(RUNS_2), heard=NOW - timedelta(hours=2)),
        RowState.UNKNOWN,
        "silent since 2026-05-01 10:00",
    ),
    ("older documents", report(package(RUNS_1), roles={"targets": 4}), RowState.BEHIND, "2 is not"),
    (
        "another runs and it says nothing",
        report(package(RUNS_1)),
        RowState.DIFFERS,
        "2 is not active",
    ),
    (
        "only installed",
        report(package(("2", Level.INSTALLED), RUNS_1)),
        RowState.DIFFERS,
        "2 is not active",
    ),
    (
        "waits for the restart",
        report(package(RUNS_1, pending=(PendingWork("activate", "2", "restart"),))),
        RowState.WAITING,
        "activate waits for restart",
    ),
    (
        "transfers",
        report(package(RUNS_1, pending=(PendingWork("transfer", "2", progress=0.5),))),
        RowState.IN_PROGRESS,
        "transfer 2",
    ),
    (
        "refused",
        report(
            package(RUNS_1), refusals=(Remark("access-not-accepted", "it needs root", TOASTER),)
        ),
        RowState.REFUSED,
        "it needs root (access-not-accepted)",
    ),
    (
        "failed and went back",
        report(package(RUNS_1, failed=frozenset({digest("2")}))),
        RowState.FAILED,
        "2 failed",
    ),
    (
        "a byte changed",
        report(
            replace(
                package(RUNS_2),
                releases=(
                    ActualRelease(
                        ids.Version("2"),
                        digest("2"),
                        Level.ACTIVE,
                        intact=False,
                        changed=("app.py",),
                    ),
                ),
            )
        ),
        RowState.DRIFTED,
        "app.py",
    ),
    (
        "its configuration was changed",
        report(package(RUNS_2, configuration_intact=False)),
        RowState.DRIFTED,
        "configuration",
    ),
    (
        "a user changed what users may",
        report(package(RUNS_2, local=("/colour",))),
        RowState.AS_WANTED,
        "/colour",
    ),
]


@pytest.mark.parametrize(("name", "actual", "state", "why"), STATES, ids=[row[0] for row in STATES])
def test_states(name: str, actual: Actual | None, state: RowState, why: str) -> None:
    """Each cause has its own state and says itself."""
    (row,) = look(actual).rows
    assert row.state is state
    assert why in " ".join(row.why)


def test_held() -> None:
    """A hold explains what is lacking."""
    found = look(report(package(RUNS_1)), edit.hold(wanted(), "Easter"))
    assert found.rows[0].state is RowState.HELD
    assert "Easter" in found.rows[0].why[0]


def test_deleted_packages_are_rows_until_they_are_gone() -> None:
    """Wanted gone and still there differs; gone is no row."""
    gone = edit.delete(wanted(), TOASTER)
    (row,) = look(report(package(("2", Level.INSTALLED))), gone).rows
    assert (row.state, row.wanted, row.why) == (
        RowState.DIFFERS,
        ("deleted",),
        ("it is not deleted yet",),
    )
    assert look(report(package(RUNS_2)), gone).rows[0].why == ("2 still runs",)
    assert look(report(package()), gone).rows == ()


def test_a_package_that_nobody_names_is_shown() -> None:
    """It stays as it is, and the owner sees it."""
    (row,) = look(report(package(RUNS_1)), edit.empty(FLEET, SCOPE)).rows
    assert (row.state, row.wanted) == (RowState.UNMANAGED, ("as it is",))
    assert look(report(package(RUNS_1)), edit.empty(FLEET, SCOPE)).settled


def test_a_delegated_package_says_who_decides() -> None:
    """A delegation without a document leaves the package as it is."""
    document = replace(wanted(), packages={TOASTER: PackageEntry(Software("acme-ops"))})
    (row,) = look(report(package(RUNS_1)), document).rows
    assert row.state is RowState.UNMANAGED
    assert "acme-ops" in row.why[0]


def test_configuration_counts() -> None:
    """Another configuration than the wanted one differs."""
    document = edit.configure(wanted(), TOASTER, digest("c"), size=1)
    assert look(report(package(RUNS_2)), document).rows[0].why == (
        "its configuration is another one",
    )
    found = look(report(package(RUNS_2, configuration=digest("c"))), document)
    assert found.rows[0].state is RowState.AS_WANTED


def test_what_concerns_the_device_as_a_whole() -> None:
    """Restarts with their outcome, constraints, alarms and refusals stand with the device."""
    wanted_restart = Restart("r1", NOW, NOW + timedelta(hours=1))
    found = look(
        report(
            package(RUNS_2, constraints=("fuse",)),
            restarts={"r1": "done"},
            constraints=("bootloader-locked",),
            alarms=(Remark("rollback", "an older file was shown"),),
            refusals=(Remark("auth", "not signed", "state/groups/hall.json"),),
        ),
        edit.restart(wanted(), wanted_restart, NOW),
    )
    assert found.restarts == ((wanted_restart, "done"),)
    assert found.constraints == ("bootloader-locked", "fuse")
    assert [one.code for one in found.alarms] == ["rollback"]
    assert [one.code for one in found.refusals] == ["auth"]
    assert found.settled


def test_members_are_in_a_stable_order() -> None:
    """Named devices first, by name, then the others by id."""
    members = [
        Member(ids.DeviceId(char * 64), 1, (), label)
        for char, label in (("b", ""), ("a", ""), ("c", "Z"), ("d", "A"))
    ]
    found = overview(members, {}, now=NOW, silence=SILENCE)
    assert [one.member.shown for one in found] == ["A", "Z", "a" * 12, "b" * 12]
