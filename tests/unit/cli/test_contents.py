"""A preview shows what a configuration says, and not its digest alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from allod.cli.contents import read_document, with_contents
from allod.cli.preview import Reading
from allod.cli.summary import Summary
from allod.domain import edit, ids
from allod.domain.desired import ChangeNote, StateDocument, When
from allod.domain.difference import differences
from allod.errors import Untrusted

FLEET = ids.FleetId("0" * 64)
KITCHEN = ids.group_scope(ids.GroupName("kitchen"))
TOASTER = ids.Purl("pkg:generic/me/toaster")
NOTE = ChangeNote(1, "0" * 16, datetime(2026, 5, 1, tzinfo=UTC))


class Documents(dict[ids.Digest, bytes]):
    """Configurations by digest."""

    def want(self, state: StateDocument, value: Mapping[str, Any] | None) -> StateDocument:
        """The state that wants this configuration."""
        if value is None:
            return edit.configure(state, TOASTER, None, size=0, when=When.NOW, secrets=frozenset())
        data = json.dumps(value).encode()
        digest = ids.sha256(data)
        self[digest] = data
        return edit.configure(
            state, TOASTER, digest, size=len(data), when=When.NOW, secrets=frozenset()
        )

    def load(self, digest: ids.Digest) -> Mapping[str, Any]:
        """As a server that may have lost one."""
        return read_document(self.get(digest, b""), digest)


def said(documents: Documents, before: StateDocument | None, after: StateDocument) -> list[str]:
    """The lines about members of the configuration."""
    old = {} if before is None else {KITCHEN: before}
    reading = Reading(differences(old, {KITCHEN: after}), old, {KITCHEN: after})
    shown = with_contents(reading, documents.load)
    return [
        one.says.removeprefix(f"{TOASTER} configuration ")
        for one in shown.differences
        if one.what.startswith("configuration-")
    ]


def test_members_are_shown() -> None:
    """New, other and gone members are told apart; a first configuration is shown whole."""
    documents = Documents()
    first = documents.want(edit.empty(FLEET, KITCHEN), {"colour": "red", "slots": {"left": 1}})
    assert said(documents, None, first) == ["colour: red", "slots.left: 1"]
    second = documents.want(first, {"colour": "blue", "slots": {"right": True}})
    assert said(documents, first, second) == [
        "colour: red → blue", "slots.left: no longer 1", "slots.right: true",
    ]  # fmt: skip
    assert said(documents, second, documents.want(second, None)) == []


def test_a_lost_document_is_said() -> None:
    """What cannot be shown does not stop the owner, who reads that it cannot."""
    documents = Documents()
    first = documents.want(edit.empty(FLEET, KITCHEN), {"colour": "red"})
    second = documents.want(first, {"colour": "blue"})
    del documents[ids.sha256(b'{"colour": "red"}')]
    (line,) = said(documents, first, second)
    assert "cannot be shown" in line


def test_other_bytes_are_not_shown() -> None:
    """The server cannot put other words under a digest."""
    with pytest.raises(Untrusted) as caught:
        read_document(b"{}", ids.sha256(b"[]"))
    assert caught.value.code == "wrong-digest"


def test_long_ones_are_cut_for_people_only() -> None:
    """People see the first forty members and how many there are; data has them all."""
    documents = Documents()
    state = documents.want(edit.empty(FLEET, KITCHEN), {f"k{n:03}": n for n in range(100)})
    reading = Reading(differences({}, {KITCHEN: state}), {}, {KITCHEN: state})
    shown = with_contents(reading, documents.load).differences
    summary = Summary(NOTE, shown, (), ())
    lines = [line for line in summary.lines() if " configuration " in line]
    assert sum("k0" in line for line in lines) == 40
    assert "60 more" in "\n".join(summary.lines())
    assert len(summary.data()["differences"]) == len(shown) > 100
