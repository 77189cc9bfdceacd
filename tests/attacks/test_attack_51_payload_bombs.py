"""Attack 51: payloads made to exhaust the device: zip bombs, entries without end, deep paths."""

from __future__ import annotations

import gzip
import io
import os
import resource
import tarfile
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from allod.agent.installers import layout
from allod.agent.installers.tree import TreeInstaller
from allod.agent.transfer import Blobs
from allod.errors import InvalidInput
from allod.testing.payloads import PACKAGE, Item, archive, directory, payload


def refuse(tmp_path: Path, data: bytes, size: int) -> str:
    """Stage this layer; it must be refused, and leave nothing. Gives the message."""
    bad = payload([], data=data, installed_size=size)
    installer = TreeInstaller(tmp_path / "store")
    with pytest.raises(InvalidInput) as caught:
        installer.stage(PACKAGE, bad.digest, bad.release, bad.open())
    assert caught.value.code == "bad-payload"
    assert os.listdir(tmp_path / "store/generic~acme~toaster") == []
    return caught.value.message


def deflated(head: bytes, zeros: int) -> bytes:
    """A gzip stream of `head` and very many zeros, made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(head)]
    block = bytes(1 << 20)
    parts += [packer.compress(block) for _ in range(zeros >> 20)]
    return b"".join([*parts, packer.flush()])


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A lone header that promises `size` bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def test_attack_51_a_zip_bomb_ends_at_the_declared_size(tmp_path: Path) -> None:
    """A few kilobytes that unpack to a gigabyte: refused at its header, in little memory and time."""
    bomb = deflated(header("bomb", 1 << 30), 1 << 30)
    assert len(bomb) < 2 << 20
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert "declares" in refuse(tmp_path, bomb, 10_000)
    assert time.monotonic() - begin < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_attack_51_a_header_without_end_is_not_read(tmp_path: Path, kind: bytes) -> None:
    """Extended headers that promise a gigabyte (tarfile would read them whole) are refused."""
    assert "larger" in refuse(tmp_path, deflated(header("x", 1 << 30, kind), 1 << 24), 1 << 30)


def test_attack_51_entries_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More entries than allowed end the unpacking; empty files cost no declared size."""
    monkeypatch.setattr(layout, "MAX_ENTRIES", 500)
    data = gzip.compress(archive(Item(f"f{n}") for n in range(600)))
    assert "entries" in refuse(tmp_path, data, 0)


def test_attack_51_a_million_entries_are_refused_in_the_layout() -> None:
    """The cap itself: the 200,001st name is refused, before the disk could run out of inodes."""
    names = layout.Layout(0)
    count = 0
    with pytest.raises(InvalidInput, match="entries"):  # noqa: PT012
        for count in range(1_000_000):
            names.add(_file(f"{count}"))
    assert count == layout.MAX_ENTRIES - 1


def _file(name: str) -> layout.Entry:
    return layout.Entry(layout.Form.FILE, name, 0o644, 0)


def test_attack_51_deep_and_long_paths_are_refused(tmp_path: Path) -> None:
    """A path of ten thousand levels, or of names beyond what filesystems hold."""
    deep = "/".join(["d"] * 10_000)
    for name in (deep, "d/" * 65 + "x", "n" * 256, "/".join(["p" * 200] * 6)):
        refuse(tmp_path, gzip.compress(archive([Item(name)])), 0)


def test_attack_51_gzip_within_gzip_stays_packed(tmp_path: Path) -> None:
    """A bomb inside a file is just a file."""
    inner = deflated(b"", 1 << 28)
    good = payload([Item("inner.gz", inner)])
    installer = TreeInstaller(tmp_path / "store")
    installer.stage(
        PACKAGE, good.digest, good.release, {good.release.layers[0]: io.BytesIO(good.data)}
    )
    assert (installer.directory(PACKAGE, good.digest) / "inner.gz").stat().st_size == len(inner)


def test_attack_16_special_bits_are_refused(tmp_path: Path) -> None:
    """Set-user-id, set-group-id and sticky bits do not come with a payload."""
    for mode in (0o4755, 0o2755, 0o1755):
        refuse(tmp_path, gzip.compress(archive([Item("su", b"", mode)])), 0)
        refuse(tmp_path, gzip.compress(archive([directory("d", mode)])), 0)


def test_attack_51_a_payload_that_is_called_a_description_is_not_read_whole(tmp_path: Path) -> None:
    """A manifest may name any blob that the device holds as its description, however large."""
    blobs = Blobs(tmp_path / "blobs", reserve=0)
    digest = blobs.put(bytes(64 << 20))
    tracemalloc.start()
    try:
        assert blobs.read(digest, cap=1 << 16) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
