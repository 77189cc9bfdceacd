"""An import of advisories that is killed at any moment leaves the state before it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from allod.advisories import store as store_module
from allod.advisories.intake import import_source
from allod.advisories.store import AdvisoryStore

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FILES = 120


def write_source(place: Path, *, edition: int) -> Path:
    """Records of which half change with each edition, and some are there only in one."""
    place.mkdir(exist_ok=True)
    for path in place.iterdir():
        path.unlink()
    for number in range(edition * 10, edition * 10 + FILES):
        said = {
            "id": f"A-{number}",
            "modified": f"{edition if number % 2 else 0}",
            "aliases": [f"CVE-1-{number}"],
            "affected": [
                {"package": {"ecosystem": "Debian:12", "name": f"p{one}"}, "versions": ["1"]}
                for one in range(number % 7, 12)
            ],
        }
        (place / f"{number}.json").write_text(json.dumps(said))
    return place


def everything(file: Path) -> list[Any]:
    """All that the store holds, and that it is sound."""
    with AdvisoryStore(file) as store:
        ask = store.connection.execute
        assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = [row[0] for row in ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [(one, ask(f"SELECT * FROM {one} ORDER BY 1, 2").fetchall()) for one in tables]


def in_child(act: Callable[[], None]) -> int:
    """The signal that ended a child which did this; 0 if it came to the end."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def killed_after(file: Path, source: Path, steps: int) -> bool:
    """Import in a child that is killed after so many steps of the database's machine."""

    def act() -> None:
        passed = 0

        def step() -> int:
            nonlocal passed
            passed += 1
            if passed == steps:
                os.kill(os.getpid(), signal.SIGKILL)
            return 0

        begin = store_module.transaction

        def counted(connection: Any) -> Any:
            connection.set_progress_handler(step, 50)
            connection.execute("PRAGMA cache_size = 10")  # so that pages reach the disk early
            return begin(connection)

        from allod.advisories import intake

        intake.transaction = counted  # type: ignore[assignment]
        import_source(AdvisoryStore(file), source, source="s", now=NOW)

    return in_child(act) == signal.SIGKILL


def test_a_kill_leaves_the_state_before(tmp_path: Path) -> None:
    """Killed ever later, until it comes through: before, all is as it was; then all is new."""
    file = tmp_path / "store.sqlite3"
    old, new = (write_source(tmp_path / str(edition), edition=edition) for edition in (0, 1))
    import_source(AdvisoryStore(file), old, source="s", now=NOW)
    before = everything(file)
    import_source(AdvisoryStore(other := tmp_path / "other.sqlite3"), old, source="s", now=NOW)
    import_source(AdvisoryStore(other), new, source="s", now=NOW)
    wanted = [rows for rows in everything(other) if rows[0] not in {"store", "sources"}]
    steps, kills = 1, 0
    while killed_after(file, new, steps):
        assert everything(file) == before, steps
        kills += 1
        steps += 1 + steps // 4
    assert kills > 10
    assert [rows for rows in everything(file) if rows[0] not in {"store", "sources"}] == wanted


def test_a_kill_before_the_first_import_ended(tmp_path: Path) -> None:
    """The store was not there before: what is left answers nothing, and takes the source in."""
    file = tmp_path / "store.sqlite3"
    source = write_source(tmp_path / "in", edition=0)
    assert killed_after(file, source, 40)
    with AdvisoryStore(file) as store:
        assert store.sources() == []
        assert import_source(store, source, source="s", now=NOW).added == FILES


@pytest.mark.parametrize("fails_at", [0, 7, FILES - 1])
def test_an_interrupt_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Ctrl-C on the way: as it was, and the very next import goes through."""
    from allod.advisories import intake

    file = tmp_path / "store.sqlite3"
    with AdvisoryStore(file) as store:
        import_source(store, write_source(tmp_path / "in", edition=0), source="s", now=NOW)
        before = everything(file)
        new = write_source(tmp_path / "in", edition=1)
        files = intake.files_of

        def interrupted(*given: Any) -> Any:
            for at, one in enumerate(files(*given)):
                if at == fails_at:
                    raise KeyboardInterrupt
                yield one

        with monkeypatch.context() as patch:
            patch.setattr(intake, "files_of", interrupted)
            with pytest.raises(KeyboardInterrupt):
                import_source(store, new, source="s", now=NOW)
        assert everything(file) == before
        assert import_source(store, new, source="s", now=NOW).added == 10
