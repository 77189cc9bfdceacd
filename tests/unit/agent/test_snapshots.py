"""Copies of a package's data, and trees of files: taken, brought back, whole through cuts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from allod.agent import files
from allod.agent.snapshots import DataSnapshots
from allod.errors import InvalidInput, Unavailable
from allod.testing.payloads import PACKAGE


@pytest.fixture
def snapshots(tmp_path: Path) -> DataSnapshots:
    """A package with data."""
    found = DataSnapshots(tmp_path / "snapshots", tmp_path / "data")
    data = found.data(PACKAGE)
    (data / "db").write_bytes(b"one" * 100_000)
    (data / "db").chmod(0o640)
    (data / "deep/er").mkdir(parents=True)
    (data / "deep/er/link").symlink_to("/etc/passwd")
    os.mkfifo(data / "pipe")
    os.link(data / "db", data / "db2")
    return found


def test_a_snapshot_brings_everything_back(snapshots: DataSnapshots) -> None:
    """Contents, modes and links return; what came later goes; the snapshot stays for another time."""
    data = snapshots.data(PACKAGE)
    snapshots.take(PACKAGE, 7)
    for _ in range(2):
        (data / "db").write_bytes(b"two")
        (data / "new").write_bytes(b"new")
        (data / "deep/er/link").unlink()
        snapshots.restore(PACKAGE, 7)
        assert (data / "db").read_bytes() == b"one" * 100_000
        assert (data / "db").stat().st_mode & 0o777 == 0o640
        assert os.readlink(data / "deep/er/link") == "/etc/passwd"
        assert not (data / "new").exists()
    assert (data / "db").stat().st_ino != (data / "db2").stat().st_ino, "copies, no hard links"


def test_taking_again_keeps_the_older_one(snapshots: DataSnapshots) -> None:
    """After a cut the step is repeated: the data from before the activation are what counts."""
    snapshots.take(PACKAGE, 7)
    (snapshots.data(PACKAGE) / "db").write_bytes(b"written by the new release")
    snapshots.take(PACKAGE, 7)
    snapshots.restore(PACKAGE, 7)
    assert (snapshots.data(PACKAGE) / "db").read_bytes() == b"one" * 100_000


def test_half_a_snapshot_is_none(snapshots: DataSnapshots, tmp_path: Path) -> None:
    """What a cut left is not listed, does not stand in the way, and is pruned."""
    home = tmp_path / "snapshots/generic~acme~toaster"
    (home / ".7.partial").mkdir(parents=True)
    (home / ".7.partial/db").write_bytes(b"half")
    assert snapshots.numbers(PACKAGE) == frozenset()
    snapshots.take(PACKAGE, 7)
    snapshots.take(PACKAGE, 8)
    (home / ".9.partial").mkdir()
    snapshots.prune(PACKAGE, {8})
    assert os.listdir(home) == ["8"]
    with pytest.raises(InvalidInput) as caught:
        snapshots.restore(PACKAGE, 7)
    assert caught.value.code == "no-snapshot"


@pytest.mark.parametrize("exchangeable", [True, False])
@pytest.mark.parametrize("cut", ["before", "between", "after"])
def test_a_cut_while_restoring_leaves_old_or_new(
    snapshots: DataSnapshots, monkeypatch: pytest.MonkeyPatch, cut: str, exchangeable: bool
) -> None:
    """Wherever it is cut, the data are whole afterwards, and restoring again succeeds."""
    snapshots.take(PACKAGE, 7)
    data = snapshots.data(PACKAGE)
    (data / "db").write_bytes(b"two")
    real, real_remove = files.exchange, files.remove_tree

    def exchange(first: Path, second: Path) -> None:
        if exchangeable:
            real(first, second)
            if cut == "between":
                raise KeyboardInterrupt
        else:
            raise OSError(errno.EINVAL, "not here")

    def remove(path: Path) -> None:
        if cut == "after" and path.name.endswith(".old"):
            raise KeyboardInterrupt
        real_remove(path)

    rename = Path.rename

    def renaming(self: Path, target: Path) -> Path:
        if cut == "between" and target == data:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(files, "exchange", exchange)
        patch.setattr(files, "remove_tree", remove)
        patch.setattr(Path, "rename", renaming)
        if cut == "before":
            patch.setattr(files, "copy_file", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            snapshots.restore(PACKAGE, 7)
    assert (snapshots.data(PACKAGE) / "db").read_bytes() in {b"two", b"one" * 100_000}
    snapshots.restore(PACKAGE, 7)
    assert (data / "db").read_bytes() == b"one" * 100_000
    assert sorted(os.listdir(data.parent)) == [data.name]


def test_a_full_disk_is_said_and_leaves_nothing(
    snapshots: DataSnapshots, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No room: told as no-space, and no half of a copy stays."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files, "copy_file", full)
    with pytest.raises(Unavailable) as caught:
        snapshots.take(PACKAGE, 7)
    assert caught.value.code == "no-space"
    assert os.listdir(tmp_path / "snapshots/generic~acme~toaster") == []


def test_removing_a_tree_follows_no_link(tmp_path: Path) -> None:
    """Read-only trees go; what their links point at stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d/link").symlink_to(outside)
    (tree / "d").chmod(0o555)
    tree.chmod(0o555)
    files.remove_tree(tree)
    files.remove_tree(tree)
    assert not tree.exists()
    assert (outside / "file").read_text() == "mine"
    assert outside.stat().st_mode & 0o777 == 0o755
