"""However often a source changed, the store holds what its last edition says."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from allod.advisories.intake import import_source
from allod.advisories.store import AdvisoryStore
from allod.errors import InvalidInput

_MEMORY = Path("/dev/shm")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
BAD = b"no record"
FILES = ["a.json", "b/a.json", "c.json"]


def record(name: str, package: str, edition: int) -> bytes:
    said = {"package": {"ecosystem": "PyPI", "name": package}, "versions": ["1"]}
    return json.dumps({"id": name, "modified": str(edition), "affected": [said]}).encode()


contents = st.one_of(
    st.just(BAD),
    st.builds(record, st.sampled_from(["A", "B"]), st.sampled_from(["x", "y"]), st.integers(0, 2)),
)
editions = st.lists(st.dictionaries(st.sampled_from(FILES), contents), min_size=1, max_size=5)


def believed(history: list[dict[str, bytes]]) -> dict[str, bytes]:
    """What is to be held after some editions: of each file the last that could be read."""
    held: dict[str, bytes] = {}
    for edition in history:
        if all(data == BAD for data in edition.values()):
            continue  # nothing readable: refused as a whole
        held = {
            name: held[name] if data == BAD else data
            for name, data in edition.items()
            if data != BAD or name in held
        }
    return held


def answers(store: AdvisoryStore) -> Any:
    found = store.about([("PyPI", "x"), ("PyPI", "y")])
    return {
        package: sorted((one.advisory.file, one.advisory.id, one.advisory.modified) for one in some)
        for package, some in found.items()
    }


@settings(max_examples=40, deadline=None)
@given(editions)
def test_the_last_edition_counts(history: list[dict[str, bytes]]) -> None:
    """After each edition it is as if only what is believed had been taken in, once, afresh."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        with AdvisoryStore(Path(name) / "store.sqlite3") as store:
            for number, edition in enumerate(history):
                place = write(Path(name) / str(number), edition)
                try:
                    done = import_source(store, place, source="s", now=NOW)
                except InvalidInput as error:
                    assert error.code == "nothing-there"
                    continue
                held = believed(history[: number + 1])
                assert done.added + done.changed + done.unchanged == len(held)
                assert len(done.refused) == sum(data == BAD for data in edition.values())
            end = answers(store)
        with AdvisoryStore(Path(name) / "other.sqlite3") as fresh:
            if held := believed(history):
                import_source(fresh, write(Path(name) / "held", held), source="s", now=NOW)
            else:
                fresh.open(readonly=False)
            assert end == answers(fresh)


def write(place: Path, files: dict[str, bytes]) -> Path:
    place.mkdir()
    for name, data in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(data)
    return place
