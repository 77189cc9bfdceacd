"""The installer of kind tree: what it takes, what it refuses, what it leaves behind."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest

from allod.agent.installers.tree import TreeInstaller
from allod.errors import InvalidInput, Unavailable
from allod.testing.payloads import PACKAGE, Item, Payload, archive, directory, link, payload

GOOD = (
    directory("bin"),
    Item("bin/toast", b"#!/bin/sh\necho toast\n", 0o755),
    Item("share/deep/er/text", b"hello\n"),
    Item("a" * 120 + "/" + "b" * 120, b"long"),
    link("bin/t", "toast"),
    link("here", "bin/../share/./deep"),
    Item("name with spaces & ü", b"x"),
)


@pytest.fixture
def installer(tmp_path: Path) -> TreeInstaller:
    """An installer over an empty store."""
    return TreeInstaller(tmp_path / "store")


def stage(installer: TreeInstaller, good: Payload) -> Path:
    """Stage it and give its directory."""
    installer.stage(PACKAGE, good.digest, good.release, good.open())
    return installer.directory(PACKAGE, good.digest)


def names(root: Path) -> list[str]:
    """Everything below a directory."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_tree_stands_read_only_with_its_links_and_programs(installer: TreeInstaller) -> None:
    """Contents, run bits, links, long and strange names arrive; nothing stays writable."""
    good = payload(GOOD)
    root = stage(installer, good)
    assert (root / "bin/t").read_text() == "#!/bin/sh\necho toast\n"
    assert (root / "here/er/text").read_text() == "hello\n"
    assert (root / ("a" * 120) / ("b" * 120)).read_text() == "long"
    assert (root / "bin/toast").stat().st_mode & 0o7777 == 0o555
    assert (root / "share/deep/er/text").stat().st_mode & 0o7777 == 0o444
    assert {path.stat().st_mode & 0o222 for path in root.rglob("*")} == {0}
    passed = (root.parent, root.parent.parent)
    assert {place.stat().st_mode & 0o777 for place in passed} == {0o755}, "other users get through"
    assert installer.staged(PACKAGE) == {good.digest}
    assert installer.measure(PACKAGE, good.digest).ok


def test_staging_again_changes_nothing_and_heals_what_was_damaged(installer: TreeInstaller) -> None:
    """A whole release is left alone (same inodes); a damaged one is replaced whole."""
    good = payload(GOOD)
    root = stage(installer, good)
    before = (root / "bin/toast").stat().st_ino
    stage(installer, good)
    assert (root / "bin/toast").stat().st_ino == before
    (root / "bin").chmod(0o755)
    (root / "bin/toast").unlink()
    assert installer.measure(PACKAGE, good.digest).changed == ("bin", "bin/toast")
    stage(installer, good)
    assert installer.measure(PACKAGE, good.digest).ok
    assert os.listdir(root.parent.parent) == [good.digest[7:]]


def test_what_was_half_staged_before_a_cut_is_replaced(installer: TreeInstaller) -> None:
    """Leftovers of staging and of removing, with any content, do no harm and go."""
    good = payload(GOOD)
    home = installer.directory(PACKAGE, good.digest).parent
    for suffix in (".staging", ".removing"):
        left = home.with_name(home.name + suffix)
        (left / "tree").mkdir(parents=True)
        (left / "tree/bin").write_text("half")
    root = stage(installer, good)
    assert installer.measure(PACKAGE, good.digest).ok
    assert os.listdir(root.parent.parent) == [good.digest[7:]]


def test_a_release_on_its_way_out_comes_back_if_the_cut_came_between(
    installer: TreeInstaller,
) -> None:
    """Cut between two renames of a replacement: the old release is still found and used."""
    good = payload(GOOD)
    home = stage(installer, good).parent
    home.rename(home.with_name(home.name + ".removing"))
    stage(installer, good)
    assert installer.measure(PACKAGE, good.digest).ok


def test_unstaging_takes_all_of_it_and_can_be_repeated(installer: TreeInstaller) -> None:
    """Nothing of the release stays; a second time is fine; another release is not touched."""
    good, other = payload(GOOD), payload([Item("x", b"1")])
    home = stage(installer, good).parent.parent
    stage(installer, other)
    installer.unstage(PACKAGE, good.digest)
    installer.unstage(PACKAGE, good.digest)
    assert os.listdir(home) == [other.digest[7:]]
    assert installer.staged(PACKAGE) == {other.digest}
    assert not installer.measure(PACKAGE, good.digest).ok


def test_several_layers_make_one_tree(installer: TreeInstaller) -> None:
    """Layers are unpacked in order into one tree; both are checked."""
    first, second = (
        payload([directory("d"), Item("d/1", b"1")]),
        payload([directory("d"), Item("d/2", b"2")]),
    )
    both = payload([], layers=(*first.release.layers, *second.release.layers), installed_size=2)
    installer.stage(PACKAGE, both.digest, both.release, {**first.open(), **second.open()})
    assert names(installer.directory(PACKAGE, both.digest)) == ["d", "d/1", "d/2"]


CHANGES = {
    "content": lambda root: (root / "share/deep/er/text").write_bytes(b"hellO\n"),
    "mode": lambda root: (root / "bin/toast").chmod(0o755),
    "gone": lambda root: (root / "bin/toast").unlink(),
    "added": lambda root: (root / "bin/extra").write_bytes(b""),
    "link": lambda root: ((root / "bin/t").unlink(), (root / "bin/t").symlink_to("/bin/sh")),
    "file to link": lambda root: (
        (root / "bin/toast").unlink(),
        (root / "bin/toast").symlink_to("/bin/sh"),
    ),
    "beside the tree": lambda root: (root.parent / "extra").write_bytes(b""),
    "manifest": lambda root: (
        (root.parent / "manifest").chmod(0o600),
        flip(root.parent / "manifest"),
    ),
    "root's mode": lambda root: root.chmod(0o777),
}


def flip(path: Path) -> None:
    """One bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_measured(installer: TreeInstaller, change: str) -> None:
    """Whatever is changed, added or taken away shows in the next measurement."""
    good = payload(GOOD)
    root = stage(installer, good)
    for place in (root, root / "bin"):
        place.chmod(0o755)
    (root / "share/deep/er/text").chmod(0o644)
    CHANGES[change](root)
    (root / "share/deep/er/text").chmod(0o444)
    (root / "bin").chmod(0o555)
    if change != "root's mode":
        root.chmod(0o555)
    found = installer.measure(PACKAGE, good.digest)
    assert not found.ok
    assert found.changed


REFUSED = {
    "not gzip": b"plain",
    "cut gzip": gzip.compress(archive(GOOD))[:-9],
    "bytes after gzip": gzip.compress(archive(GOOD)) + b"x",
    "second gzip member": gzip.compress(archive(GOOD)) + gzip.compress(b"x"),
    "cut tar": gzip.compress(archive(GOOD)[:-1024]),
    "bytes after the end": gzip.compress(archive(GOOD) + bytes(512) + b"x" * 512),
    "long zeros after the end": gzip.compress(archive(GOOD) + bytes(1 << 20)),
    "wrong checksum": gzip.compress(b"\x01" + archive(GOOD)[1:]),
    "one end block": gzip.compress(archive(GOOD)[:-512] + b"x" * 512),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_archive_is_refused_and_leaves_nothing(
    installer: TreeInstaller, case: str
) -> None:
    """Cut, padded, appended to: refused as bad-payload, and the store is as before."""
    bad = payload(GOOD, data=REFUSED[case])
    with pytest.raises(InvalidInput) as caught:
        stage(installer, bad)
    assert caught.value.code == "bad-payload"
    assert caught.value.message.startswith("cannot ")
    assert os.listdir(installer.directory(PACKAGE, bad.digest).parent.parent) == []


def test_a_layer_of_another_kind_is_refused(installer: TreeInstaller) -> None:
    """A layer whose type is not that of a tree is not unpacked."""
    good = payload(GOOD)
    layer = good.release.layers[0]
    odd = payload(GOOD, layers=(type(layer)(layer.digest, layer.size, "application/x-tar"),))
    with pytest.raises(InvalidInput, match="type"):
        installer.stage(PACKAGE, odd.digest, odd.release, {})


def test_no_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    """A release that can't fit is refused as no-space."""
    installer = TreeInstaller(tmp_path / "store")
    huge = payload(GOOD, installed_size=1 << 60)
    with pytest.raises(Unavailable) as caught:
        stage(installer, huge)
    assert caught.value.code == "no-space"


def test_gnu_long_names_are_understood(installer: TreeInstaller) -> None:
    """Archives of other tools may carry long names the GNU way."""
    info = tarfile.TarInfo("d/" * 60 + "file")
    info.size = 1
    data = info.tobuf(tarfile.GNU_FORMAT) + b"x" + bytes(511) + bytes(1024)
    good = payload([], data=gzip.compress(data), installed_size=1)
    root = stage(installer, good)
    assert (root / ("d/" * 60) / "file").read_bytes() == b"x"
