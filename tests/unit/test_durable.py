"""Durable writes: whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from allod import durable


def test_write_replaces_whole_and_sets_the_mode(tmp_path: Path) -> None:
    """The new content stands under the name, with the mode that was asked for, and nothing else."""
    target = tmp_path / "file"
    durable.write_atomic(target, b"old", mode=0o644)
    durable.write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "fchmod"])
def test_a_failing_call_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whichever call fails, the old content stays and no temporary file is left."""
    target = tmp_path / "file"
    durable.write_atomic(target, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        durable.write_atomic(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_write_does_not_follow_a_link_at_the_target(tmp_path: Path) -> None:
    """A link planted under the name is replaced; what it pointed to is untouched (attack 43)."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    target = tmp_path / "file"
    target.symlink_to(victim)
    durable.write_atomic(target, b"new")
    assert victim.read_bytes() == b"precious"
    assert not target.is_symlink()


def test_switch_link_replaces_atomically(tmp_path: Path) -> None:
    """A link is switched without a moment in which it is missing, and leaves nothing behind."""
    link = tmp_path / "current"
    durable.switch_link(link, "a")
    durable.switch_link(link, "b")
    assert os.readlink(link) == "b"
    assert os.listdir(tmp_path) == ["current"]


def test_make_directory_makes_parents_and_accepts_what_is_there(tmp_path: Path) -> None:
    """Parents are made too; asking again changes nothing."""
    durable.make_directory(tmp_path / "a" / "b")
    durable.make_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_remove_file_accepts_what_is_not_there(tmp_path: Path) -> None:
    """Removing twice is the same as removing once."""
    (tmp_path / "x").write_text("")
    durable.remove_file(tmp_path / "x")
    durable.remove_file(tmp_path / "x")
    assert os.listdir(tmp_path) == []
