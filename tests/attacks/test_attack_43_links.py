"""Attack 43: links and renames that lead the agent's writes elsewhere, in payloads and by users."""

from __future__ import annotations

import os
import tarfile
import threading
from pathlib import Path

import pytest

from allod.agent import files
from allod.agent.installers.tree import TreeInstaller
from allod.agent.inventory import SystemHost
from allod.agent.services.systemd import _own_tree
from allod.agent.snapshots import DataSnapshots
from allod.errors import InvalidInput
from allod.testing.payloads import PACKAGE, Item, directory, link, payload

LEADING_OUT = {
    "absolute": [link("a", "/etc/passwd")],
    "up": [link("a", "../../../../etc/passwd")],
    "up from below": [directory("d"), link("d/a", "../../x")],
    "through another link": [directory("d"), link("d/up", ".."), link("d/a", "up/../x")],
    "through a link to a directory": [
        directory("a/b/c"),
        link("short", "a/b/c"),
        link("out", "short/../../../../x"),
    ],
    "in a circle": [link("a", "b"), link("b", "a")],
    "itself": [link("a", "a")],
    "empty": [link("a", "")],
    "write through a link": [link("d", "elsewhere"), Item("d/x", b"1")],
    "a link in place of a directory": [directory("d"), Item("d/x", b"1"), link("d", "elsewhere")],
    "hard link out": [Item("a", b"", kind=tarfile.LNKTYPE, target="/etc/passwd")],
    "hard link in": [Item("x", b"1"), Item("a", b"", kind=tarfile.LNKTYPE, target="x")],
    "device": [Item("a", kind=tarfile.CHRTYPE)],
    "pipe": [Item("a", kind=tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("case", LEADING_OUT)
def test_attack_43_a_payload_can_not_lead_out_of_its_tree(tmp_path: Path, case: str) -> None:
    """Every link that leads out, or could, is refused; nothing is written, staged or left."""
    (tmp_path / "elsewhere").mkdir()
    bad = payload(LEADING_OUT[case])
    installer = TreeInstaller(tmp_path / "store")
    with pytest.raises(InvalidInput) as caught:
        installer.stage(PACKAGE, bad.digest, bad.release, bad.open())
    assert caught.value.code == "bad-payload"
    assert os.listdir(tmp_path / "elsewhere") == []
    assert installer.staged(PACKAGE) == frozenset()
    assert os.listdir(tmp_path / "store/generic~acme~toaster") == []


def test_attack_43_a_swapped_directory_is_not_written_through(tmp_path: Path) -> None:
    """While it unpacks, a directory is swapped for a link outwards again and again.

    (The staging directory is closed to others; this is somebody who got in all the same.)
    Whatever happens to the staging, nothing is ever written outside.
    """
    outside = tmp_path / "outside"
    outside.mkdir()
    many = payload([Item(f"d{n % 3}/deep/f{n}", b"x" * 10) for n in range(300)])
    installer = TreeInstaller(tmp_path / "store")
    staging = installer.directory(PACKAGE, many.digest).parent
    staging = staging.with_name(staging.name + ".staging") / "tree"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in ("d0", "d1", "d2"):
                try:
                    (staging / name).rename(staging / f"{name}.aside")
                    (staging / name).symlink_to(outside)
                except OSError:
                    continue

    racer = threading.Thread(target=swap)
    racer.start()
    try:
        for _ in range(5):
            try:
                installer.stage(PACKAGE, many.digest, many.release, many.open())
            except (InvalidInput, OSError):
                continue
    finally:
        stop.set()
        racer.join()
    assert os.listdir(outside) == []


def test_attack_43_data_with_links_is_copied_not_followed(tmp_path: Path) -> None:
    """A service that fills its data with links gains nothing by a snapshot and its restoring."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("private")
    snapshots = DataSnapshots(tmp_path / "snapshots", tmp_path / "data")
    data = snapshots.data(PACKAGE)
    (data / "link").symlink_to(secret)
    (data / "file").symlink_to(secret / "key")
    snapshots.take(PACKAGE, 1)
    snapshots.restore(PACKAGE, 1)
    assert os.readlink(data / "link") == str(secret)
    assert os.readlink(data / "file") == str(secret / "key")
    snapshots.prune(PACKAGE, ())
    assert (secret / "key").read_text() == "private"


def test_attack_43_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Neither a copy of data nor the inventory waits for somebody to write into a pipe."""
    site = tmp_path / "usr/local/lib/python3.11/site-packages/bait-1.0.dist-info"
    site.mkdir(parents=True)
    os.mkfifo(site / "METADATA")
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    os.mkfifo(status)
    found = SystemHost(root=tmp_path).software()
    assert (found.dpkg, found.pip) == ((), ())
    place = tmp_path / "data"
    place.mkdir()
    (place / "file").write_text("")
    status_of_a_file = (place / "file").stat()
    (place / "file").unlink()
    os.mkfifo(place / "file")
    fd = os.open(place, os.O_RDONLY)
    try:
        files._copy_one(fd, "file", tmp_path / "copy", status_of_a_file)
    finally:
        os.close(fd)
    assert not (tmp_path / "copy").exists()


def test_attack_43_a_second_name_of_a_strangers_file_is_not_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that are handed to a service's user hold hard links to other people's files."""
    owned: list[str] = []
    monkeypatch.setattr(os, "chown", lambda name, *_, **__: owned.append(Path(name).name))
    (tmp_path / "shadow").write_text("private")
    data = tmp_path / "data"
    (data / "d").mkdir(parents=True)
    os.link(tmp_path / "shadow", data / "d" / "bait")
    (data / "d" / "own").write_text("")
    _own_tree(data, 1234, 1234)
    assert sorted(owned) == ["d", "data", "own"]
