"""Preview, acceptance, numbering: the parts of publishing that need no server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from allod.cli.acceptance import Named, accepts_of
from allod.cli.preview import json_differences, read_back
from allod.cli.publish import next_number, notes
from allod.domain import edit, ids
from allod.domain.desired import Level, PackageEntry
from allod.domain.release import Constraint, Data, Kind, Release
from allod.errors import InvalidInput, Refused, Untrusted
from allod.testing.repository import RepositorySimulator
from allod.trust.authoring import RepositoryDraft
from allod.wire.desired import encode_state

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TOASTER = ids.Purl("pkg:generic/acme/toaster")
DIGEST = ids.sha256(b"2")
KITCHEN = ids.group_scope(ids.GroupName("kitchen"))


def release(version: str = "2", **fields: object) -> Release:
    """A release of the toaster."""
    made = Release(TOASTER, ids.Version(version), ids.ProviderName("acme"), Kind.TREE)
    return replace(made, **fields)  # type: ignore[arg-type]


def accepted(wanted: Release, *formers: Release, named: Named | None = None, **more: object):
    """What has to be accepted for it."""
    given = {"level": Level.ACTIVE, "entry": PackageEntry(), "own": False, **more}
    level, entry, own = given["level"], given["entry"], given["own"]
    return accepts_of(wanted, DIGEST, level, entry, formers, named or Named(), own=own)


def test_access_is_named_unless_the_owner_signed_the_release() -> None:
    """A stranger's access is accepted by name; one's own is shown and taken along."""
    wanted = release(access=frozenset({"camera", "network.outbound"}))
    with pytest.raises(Refused) as caught:
        accepted(wanted, named=Named(("camera",)))
    assert caught.value.reasons == (
        "it needs access to network.outbound: --accept network.outbound",
    )
    assert accepted(wanted, named=Named(("camera", "network.outbound"))).access == wanted.access
    assert accepted(wanted, own=True).access == wanted.access


def test_access_that_all_of_what_runs_has_needs_no_name() -> None:
    """What every running release had is no news; what only one of them had is."""
    wanted = release(access=frozenset({"camera"}))
    former = release("1", access=frozenset({"camera"}))
    assert accepted(wanted, former).access == {"camera"}
    with pytest.raises(Refused):
        accepted(wanted, former, release("0"))


def test_constraints_are_named_even_for_ones_own() -> None:
    """What binds the owner is never taken on silently."""
    wanted = release(constraints=(Constraint("fuse", "no way back"),))
    with pytest.raises(Refused, match="by name"):
        accepted(wanted, own=True)
    assert accepted(wanted, named=Named(("fuse",))).constraints == {"fuse"}
    assert accepted(wanted, level=Level.TRANSFERRED).constraints == frozenset()


def test_one_way_data_is_accepted_by_the_releases_digest() -> None:
    """Data that could not come back needs its own word."""
    wanted = release(data=Data(schema=2, reads=(1, 2), snapshot=False))
    former = release("1", data=Data(schema=1, reads=(1,)))
    with pytest.raises(Refused) as caught:
        accepted(wanted, former)
    assert "--accept-one-way" in caught.value.reasons[0]
    assert accepted(wanted, former, named=Named(one_way=True)).one_way == {DIGEST}
    assert accepted(wanted, release("1", data=Data(schema=1, reads=(1, 2)))).one_way == frozenset()


def test_a_name_that_is_not_asked_for_is_refused() -> None:
    """A mistyped acceptance is no acceptance."""
    with pytest.raises(InvalidInput, match="it asks for camera"):
        accepted(release(access=frozenset({"camera"})), named=Named(("camara",)))


def draft_of(simulator: RepositorySimulator) -> RepositoryDraft:
    """An edit that wants a group."""
    draft = simulator.draft()
    document = edit.hold(edit.empty(simulator.fleet, KITCHEN), "Easter")
    draft.set_target(KITCHEN.target_path, encode_state(document))
    return draft


def test_the_reading_knows_only_the_bytes() -> None:
    """Documents that are new, files that differ and keys that come are all read from the bytes."""
    simulator = RepositorySimulator(now=NOW)
    draft = draft_of(simulator)
    draft.remove_target("providers/me.json")
    reading = read_back(
        simulator.fleet,
        simulator.roles,
        draft.propose(NOW),
        draft.contents,
        lambda path: next(d for p, d in simulator.files.items() if p.endswith("me.json")),
    )
    said = {(one.subject, one.what) for one in reading.differences}
    assert ("groups/kitchen", "document-new") in said
    assert ("groups/kitchen", "hold") in said
    assert ("providers/me.json", "file-gone") in said
    assert set(reading.after) == {KITCHEN}


def test_a_skipped_version_or_a_foreign_document_stops_the_preview() -> None:
    """Neither version 9 after 1 nor another fleet's or scope's document is shown as a change."""
    simulator = RepositorySimulator(now=NOW)
    other = RepositorySimulator(now=NOW, owner=type(simulator.owner)("other"))
    draft = draft_of(simulator)
    wrong = simulator.draft()
    wrong.set_target(KITCHEN.target_path, encode_state(edit.empty(other.fleet, KITCHEN)))
    hall = simulator.draft()
    document = edit.empty(simulator.fleet, ids.group_scope(ids.GroupName("hall")))
    hall.set_target(KITCHEN.target_path, encode_state(document))
    skipped = dict(draft.propose(NOW))
    skipped["targets"] = skipped["targets"].replace(b'"version": 2', b'"version": 9')
    skipped["targets"] = skipped["targets"].replace(b'"version":2', b'"version":9')
    for unsigned, contents in (
        (skipped, draft.contents),
        (wrong.propose(NOW), wrong.contents),
        (hall.propose(NOW), hall.contents),
    ):
        with pytest.raises(Untrusted):
            read_back(simulator.fleet, simulator.roles, unsigned, contents, lambda _: None)


def test_numbers_go_on_after_files_without_a_note() -> None:
    """A key rotation signs files without a note: the next change still gets a new number."""
    simulator = RepositorySimulator(now=NOW)
    assert next_number(simulator.roles) == 1
    draft = draft_of(simulator)
    draft.note({"number": 7, "id": "x"})
    simulator.publish(draft)
    assert [one["number"] for one in notes(simulator.roles)] == [7]
    assert next_number(simulator.roles) == 8
    plain = simulator.draft()
    plain.remove_target(KITCHEN.target_path)
    simulator.publish(plain)
    assert notes(simulator.roles) == []
    assert next_number(simulator.roles) == 8


def test_json_is_compared_field_by_field() -> None:
    """Every field that differs is one line; equal values are none; true is not one."""
    old = {"a": 1, "b": [1, 2], "c": {"d": "x"}, "same": None}
    new = {"a": 2, "b": [2, 3], "c": {"d": "y", "e": True}, "same": None}
    found = [(one.path, one.before, one.after) for one in json_differences("f", old, new)]
    assert found == [
        ("a", "1", "2"),
        ("b", "1", None),
        ("b", None, "3"),
        ("c.d", "x", "y"),
        ("c.e", None, "true"),
    ]
    assert list(json_differences("f", old, old)) == []
    assert len(list(json_differences("f", {"a": 1}, {"a": True}))) == 1
