"""Records of the OSV schema: what is read of them, and what is refused, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allod.advisories.advisory import Bound, Event, RangeKind, Severity
from allod.advisories.osv import RECORD_CAP, decode_advisory
from allod.errors import InvalidInput

VECTORS = Path(__file__).parents[2] / "vectors" / "advisories" / "osv"
LEAST = {"id": "X-1", "modified": "2026-01-01T00:00:00Z"}


def read(value: Any) -> Any:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return decode_advisory(data, source="s", file="d/x.json")


def vector(name: str) -> Any:
    path = VECTORS / name
    return decode_advisory(path.read_bytes(), source="s", file=name)


@pytest.mark.parametrize("path", sorted(VECTORS.iterdir()), ids=lambda path: path.stem)
def test_published_records_are_read(path: Path) -> None:
    """Whatever databases publish is read, each package and each version of it."""
    said = json.loads(path.read_bytes())
    record = vector(path.name)
    assert (record.id, record.modified) == (said["id"], said["modified"])
    assert len(record.affected) == len(said.get("affected") or [])
    for ours, theirs in zip(record.affected, said.get("affected") or [], strict=True):
        assert ours.versions == frozenset(theirs.get("versions") or [])
        events = [[dict([event]) for event in one.events] for one in ours.ranges]
        assert events == [
            [{key: value} for event in one["events"] for key, value in event.items()]
            for one in theirs.get("ranges") or []
        ]


def test_a_record_says_what_it_says() -> None:
    """The flaw of waitress: its names, its ranges in both orders, its versions."""
    record = vector("PYSEC-2022-205.json")
    assert record.aliases == ("CVE-2022-31015", "GHSA-f5x9-8jwc-25rw")
    assert record.summary.startswith("Waitress is a Web Server Gateway Interface server")
    (one,) = record.affected
    assert (one.ecosystem, one.name) == ("PyPI", "waitress")
    assert [span.kind for span in one.ranges] == [RangeKind.GIT, RangeKind.ECOSYSTEM]
    assert one.ranges[1].events == (
        Event(Bound.INTRODUCED, "2.1.0"),
        Event(Bound.FIXED, "2.1.2"),
    )
    assert one.versions == {"2.1.0", "2.1.1"}


def test_severity_is_kept_as_given() -> None:
    """Kinds that are no CVSS, and words of databases where nobody scored, are told as such."""
    ubuntu = vector("UBUNTU-CVE-2025-38094.json")
    assert [one.kind for one in ubuntu.severity] == ["Ubuntu"]
    rust = vector("RUSTSEC-2024-0381.json")
    assert [one.kind for one in rust.affected[0].severity] == ["informational"]
    assert rust.licence == "CC0-1.0"
    said = {**LEAST, "database_specific": {"severity": "MODERATE"}}
    assert read(said).severity == (Severity("word", "MODERATE"),)
    said["severity"] = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}]
    assert read(said).severity == (Severity("CVSS_V3", "CVSS:3.1/AV:N"),)


def test_the_least_record_and_unknown_members() -> None:
    """An id and a time are enough; what a newer schema adds is left alone; null is nothing."""
    assert read(LEAST).affected == ()
    more = {**LEAST, "aliases": None, "affected": None, "new": {"a": [1]}, "schema_version": "9.0"}
    assert read(more) == read(LEAST)
    assert read(b"\xef\xbb\xbf" + json.dumps(LEAST).encode()) == read(LEAST)


@pytest.mark.parametrize(
    "ranges",
    [
        [{"type": "LUNAR", "events": [{"introduced": "0"}]}],
        [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"vanished": "2"}]}],
        [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {}]}],
    ],
)
def test_a_range_that_nobody_knows_stays_visible(ranges: list[Any]) -> None:
    """Neither a kind of range nor an event that is unknown makes a record say less: it is open."""
    record = read({**LEAST, "affected": [{"ranges": ranges}]})
    assert [one.kind for one in record.affected[0].ranges] == [RangeKind.OTHER]


def test_two_ends_in_one_event() -> None:
    """Older records have both ends in one event; both are read."""
    events = [{"introduced": "1", "fixed": "2"}]
    record = read({**LEAST, "affected": [{"ranges": [{"type": "SEMVER", "events": events}]}]})
    assert record.affected[0].ranges[0].events == (
        Event(Bound.INTRODUCED, "1"),
        Event(Bound.FIXED, "2"),
    )


def affected(**members: Any) -> dict[str, Any]:
    return {**LEAST, "affected": [{}, members]}


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (b"", "bad-json", "Expecting value"),
        (b"\xff{}", "bad-json", "utf-8"),
        (b'{"id": "a", "id": "b", "modified": "x"}', "bad-json", "'id' stands twice"),
        (b'{"x": ' + b"[" * 500 + b"]" * 500 + b"}", "bad-json", "nested deeper than 24"),
        (b'{"id": "\\ud800", "modified": "x"}', "bad-json", "surrogates"),
        (b" " * (RECORD_CAP + 1), "too-large", "8388609 bytes"),
        ([], "bad-document", "Expected `object`"),
        ({"modified": "x"}, "bad-document", "missing required field `id`"),
        ({"id": "x"}, "bad-document", "missing required field `modified`"),
        ({**LEAST, "id": "a b"}, "bad-document", "its id 'a b' is no name"),
        ({**LEAST, "id": "\x1b[2J"}, "bad-document", "its id"),
        ({**LEAST, "aliases": ["a", ""]}, "bad-document", "$.aliases[1] '' is no name"),
        ({**LEAST, "affects": {}}, "bad-document", "schema before 1.0"),
        (affected(versions=["1", 2]), "bad-document", "`$.affected[1].versions[1]`"),
        (affected(package={"name": 7}), "bad-document", "`$.affected[1].package.name`"),
        (affected(package={"name": "a\nb"}), "bad-document", "`$.affected[1].package.name`"),
        (
            affected(ranges=[{"type": "SEMVER", "events": [{"fixed": 2}]}]),
            "bad-document",
            "`$.affected[1].ranges[0].events[0].fixed`",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(value: Any, code: str, says: str) -> None:
    """The refusal names the file, the reason and the place."""
    with pytest.raises(InvalidInput) as caught:
        read(value)
    assert caught.value.code == code
    assert says in caught.value.message
    assert "d/x.json" in caught.value.message
