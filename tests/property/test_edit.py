"""Whatever an owner does: nothing leaves by omission, differences tell all, undo takes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allod.domain import edit, edit_terms, ids
from allod.domain.desired import (
    Accepts,
    ChangeNote,
    DriftPolicy,
    Level,
    PackageEntry,
    ReleaseOrder,
    Restart,
    Settings,
    Software,
    StateDocument,
    When,
    Window,
)
from allod.domain.difference import differences
from allod.domain.rollout import Rollout, Stage
from allod.domain.takeback import touched_parts, undo
from allod.domain.terms import OVERRIDABLE, Approvals, Consent, NewAccess, Soak, Windows
from allod.errors import AllodError
from allod.wire.codec import encode
from allod.wire.desired import decode_state, encode_state
from allod.wire.envelope import Envelope

FLEET = ids.FleetId("f" * 64)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PACKAGES = [ids.Purl(f"pkg:generic/acme/{name}") for name in ("toaster", "kettle", "lamp")]
SCOPES = [ids.group_scope(ids.GroupName("kitchen")), ids.device_scope(ids.DeviceId("d" * 64))]

packages = st.sampled_from(PACKAGES)
versions = st.sampled_from("123456").map(ids.Version)


@st.composite
def orders(draw: st.DrawFn) -> ReleaseOrder:
    """An order for one of a few releases."""
    version = draw(versions)
    level, when = draw(st.sampled_from(Level)), draw(st.sampled_from(When))
    return ReleaseOrder(
        ids.ProviderName("acme"), version, ids.sha256(version.encode()), level, when
    )


_settings = st.builds(
    Settings,
    windows=st.none()
    | st.lists(
        st.builds(
            Window,
            st.frozensets(st.integers(0, 6)),
            st.integers(0, 1439),
            st.integers(1, 10080),
        ),
        max_size=2,
    ).map(tuple),
    drift=st.none() | st.sampled_from(DriftPolicy),
    retention_releases=st.none() | st.integers(0, 5),
    bandwidth=st.none() | st.integers(0, 10**9),
    override_inhibitors=st.none() | st.frozensets(st.sampled_from(["a", "b"])),
)
_accepts = st.builds(
    Accepts,
    st.frozensets(st.sampled_from(["root", "camera"])),
    st.frozensets(st.sampled_from(["fuse", "lock"])),
)

_NAMES = sorted(OVERRIDABLE)
_PAPERS = [
    encode(Envelope(payload_type="a", payload=name, signatures=[])) for name in ("YQ==", "Yg==")
]
_terms = st.lists(
    st.one_of(
        st.integers(1, 9).map(Soak),
        st.just(Consent()),
        st.frozensets(st.sampled_from(["camera", "root"])).map(lambda a: NewAccess(a, strict=True)),
        st.integers(1, 3).map(lambda count: Approvals((("qa", count),))),
        st.integers(0, 1439).map(lambda start: Windows((Window(frozenset({1}), start, 60),))),
    ),
    max_size=3,
    unique_by=lambda term: term.name,
).map(tuple)
_plans = st.none() | st.builds(
    Rollout,
    st.sampled_from(["r1", "r2"]),
    st.lists(
        st.builds(
            Stage,
            st.just(NOW),
            st.sampled_from([5.0, 100.0]),
            st.frozensets(st.just(ids.DeviceId("c" * 64))),
            bake_seconds=st.integers(0, 2),
        ),
        min_size=1,
        max_size=2,
    ).map(lambda made: tuple(sorted(made, key=lambda one: one.percent))),
    st.builds(Software, st.just("owner"), st.lists(orders(), max_size=1).map(tuple)),
    retries=st.integers(0, 2),
)
Step = tuple[str, tuple[object, ...]]
steps = st.one_of(
    st.tuples(st.just("deploy"), st.tuples(packages, orders(), _accepts, st.integers(0, 3))),
    st.tuples(st.just("delete"), st.tuples(packages, st.none() | versions)),
    st.tuples(
        st.just("configure"),
        st.tuples(packages, st.none() | st.binary(max_size=3).map(ids.sha256)),
    ),
    st.tuples(st.just("restart"), st.tuples(st.integers(0, 9))),
    st.tuples(st.just("hold"), st.tuples(st.sampled_from(["a", "b"]))),
    st.tuples(st.just("resume"), st.just(())),
    st.tuples(st.just("settings"), st.tuples(_settings)),
    st.tuples(st.just("bind"), st.tuples(_terms)),
    st.tuples(st.just("set_aside"), st.tuples(packages, st.frozensets(st.sampled_from(_NAMES)))),
    st.tuples(st.just("accept"), st.tuples(packages, _accepts)),
    st.tuples(st.just("stage"), st.tuples(packages, _plans)),
    st.tuples(
        st.just("approve"), st.tuples(packages, st.lists(st.sampled_from(_PAPERS), max_size=2))
    ),
)


def apply(document: StateDocument, step: Step) -> StateDocument:
    """The document after a step; a step that is refused leaves it as it was."""
    name, values = step
    try:
        match name:
            case "deploy":
                package, order, accepts, keep = values
                return edit.deploy(document, package, order, accepts=accepts, retention=keep)  # type: ignore[arg-type]
            case "restart":
                start = NOW + timedelta(hours=values[0])  # type: ignore[arg-type]
                wanted = Restart(f"r{values[0]}", start, start + timedelta(hours=1))
                return edit.restart(document, wanted, NOW)
            case "bind" | "set_aside" | "accept":
                return getattr(edit_terms, name)(document, *values)  # type: ignore[no-any-return]
            case "stage" | "approve":
                package, value = values
                part = {"rollout": value} if name == "stage" else {"approvals": tuple(value)}  # type: ignore[arg-type]
                entry = replace(document.packages.get(package, PackageEntry()), **part)  # type: ignore[call-overload, arg-type]
                return replace(document, packages={**document.packages, package: entry})  # type: ignore[dict-item]
            case _:
                return getattr(edit, name)(document, *values)  # type: ignore[no-any-return]
    except AllodError:
        return document


documents = st.builds(
    lambda scope, made: _all(edit.empty(FLEET, scope), made),
    st.sampled_from(SCOPES),
    st.lists(steps, max_size=8),
)


def _all(document: StateDocument, made: list[Step]) -> StateDocument:
    for step in made:
        document = apply(document, step)
    return document


@given(documents, steps)
def test_attack_61_no_edit_deletes_by_omission(document: StateDocument, step: Step) -> None:
    """Attack 61: a package once named stays named, other packages are not touched, and a
    release leaves a list only by `delete`, or by `deploy` beyond the retention.
    """
    after = apply(document, step)
    name, values = step
    assert document.packages.keys() <= after.packages.keys()
    for package, entry in document.packages.items():
        now = after.packages[package]
        if name in {"set_aside", "accept", "stage", "approve"}:
            assert now.software == entry.software
            continue
        if name not in {"deploy", "delete", "configure"} or values[0] != package:
            assert now == entry
            continue
        if entry.software is None or name == "delete":
            continue
        assert now.software is not None
        left = {o.digest for o in entry.software.releases} - {
            o.digest for o in now.software.releases
        }
        if name == "configure":
            assert not left
        else:
            keep = values[3]
            assert not left or len(now.software.releases) > keep  # type: ignore[operator]
            active = entry.software.active
            assert active is None or keep == 0 or active.digest not in left


@given(documents, st.data())
def test_difference_is_empty_iff_equal(first: StateDocument, data: st.DataObject) -> None:
    """Whatever differs is told, and nothing is told that does not differ."""
    second = data.draw(documents | st.lists(steps, max_size=2).map(lambda made: _all(first, made)))
    pair = ({first.scope: first}, {second.scope: second})
    assert (differences(*pair) == ()) == (pair[0] == pair[1])
    assert differences(pair[0], pair[0]) == ()


@given(documents, documents)
def test_every_difference_says_something(first: StateDocument, second: StateDocument) -> None:
    """Each line is one line, and names its subject and kind."""
    for found in differences({first.scope: first}, {second.scope: second}):
        assert found.says
        assert "\n" not in found.says
        assert found.subject in {str(first.scope), str(second.scope)}


@given(documents)
def test_documents_survive_the_wire(document: StateDocument) -> None:
    """What edits make can be written and read back as it was."""
    assert decode_state(encode_state(document)) == document


@given(documents, steps)
def test_undo_takes_back(document: StateDocument, step: Step) -> None:
    """undo(apply(x)) == x, where the package was named before; where it was not, it is named
    with an empty list, so that it is gone again.
    """
    after = apply(document, step)
    undone = undo(after, document, after)
    assert undone.overlaps == ()
    new = after.packages.keys() - document.packages.keys()
    known = {key: e for key, e in undone.document.packages.items() if key not in new}
    assert known.keys() == document.packages.keys()
    for key, entry in known.items():
        was = document.packages[key]
        for part in ("software", "configuration"):
            if getattr(was, part) is not None:
                assert getattr(entry, part) == getattr(was, part)
        assert (entry.accepts, entry.secrets) == (was.accepts, was.secrets)
    assert undone.document.settings == document.settings
    assert undone.document.hold == document.hold
    assert set(undone.document.restarts) == set(document.restarts)
    for key in new:
        if after.packages[key].software is None and key not in undone.document.packages:
            continue  # it was named for nothing that devices have
        software = undone.document.packages[key].software
        assert software is None or software.releases == ()


@given(documents, steps, st.lists(steps, max_size=3))
def test_undo_leaves_later_changes_and_names_overlaps(
    document: StateDocument, step: Step, later: list[Step]
) -> None:
    """What only later changes touched stays; what both touched is put back and named."""
    after = apply(document, step)
    current = _all(after, later)
    mine, theirs = set(touched_parts(document, after)), set(touched_parts(after, current))
    undone = undo(current, document, after)
    assert set(undone.overlaps) <= mine & theirs
    for part in theirs - mine:
        key, _, name = part.rpartition(": ")
        if key:
            assert getattr(undone.document.packages[key], name) == getattr(
                current.packages[key], name
            )
        elif name != "restarts":
            assert getattr(undone.document, name) == getattr(current, name)


@given(documents, steps)
def test_undo_of_undo_does_it_again(document: StateDocument, step: Step) -> None:
    """Taking the taking-back back leads to the software and configuration of the change."""
    after = apply(document, step)
    undone = undo(after, document, after).document
    again = undo(undone, after, undone).document
    for key, entry in after.packages.items():
        assert again.packages[key].software == entry.software
        assert again.packages[key].configuration == entry.configuration
    assert again.settings == after.settings


@given(documents, documents)
def test_stamp_changes_nothing_but_notes(first: StateDocument, second: StateDocument) -> None:
    """The note is all that a stamp adds; approvals of the change before are all that it takes."""
    note = ChangeNote(7, "c7", NOW)
    stamped = edit.stamp(first, second, note)
    bare = {key: replace(entry, change=None) for key, entry in stamped.packages.items()}
    for key, entry in second.packages.items():
        was = first.packages.get(key)
        if was is not None and was != entry and was.approvals == entry.approvals:
            assert bare[key].approvals == ()
            bare[key] = replace(bare[key], approvals=entry.approvals)
    assert replace(stamped, packages=bare, change=None) == second


def test_undo_refuses_another_scope() -> None:
    """Versions of two documents are no step."""
    first, second = (edit.empty(FLEET, scope) for scope in SCOPES)
    with pytest.raises(AllodError) as caught:
        undo(first, None, second)
    assert caught.value.code == "bad-scope"
