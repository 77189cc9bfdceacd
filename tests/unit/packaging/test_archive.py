"""Trees as archives: what is shipped, what is refused, and that it is always the same."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from allod.domain.ids import sha256
from allod.errors import AllodError, Conflict, InvalidInput
from allod.packaging import archive
from allod.packaging.archive import entries, unpack, write_archive
from allod.packaging.ignore import parse_ignore


def packed(root: Path, **options: object) -> bytes:
    """The archive of `root`."""
    out = io.BytesIO()
    write_archive(root, out, **options)
    return out.getvalue()


def tree(root: Path) -> Path:
    """A small tree with one of everything that may be shipped."""
    (root / "bin").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "bin" / "run").write_text("#!/bin/sh\n")
    (root / "bin" / "run").chmod(0o4750)
    (root / "data.bin").write_bytes(bytes(range(256)) * 5000)
    (root / "data.bin").chmod(0o600)
    (root / "bin" / "link").symlink_to("../data.bin")
    (root / ("long" * 40)).mkdir()
    (root / ("long" * 40) / ("näme" * 20)).write_text("x")
    return root


def test_what_comes_out_is_what_went_in(tmp_path: Path) -> None:
    """Names, contents, links and the executable bit survive; owner, time and setuid do not."""
    root = tree(tmp_path / "a")
    out = tmp_path / "b"
    out.mkdir()
    unpack(io.BytesIO(packed(root)), out)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == names
    assert (out / "data.bin").read_bytes() == (root / "data.bin").read_bytes()
    assert os.readlink(out / "bin" / "link") == "../data.bin"
    assert (out / "bin" / "run").stat().st_mode & 0o7777 == 0o755
    assert (out / "data.bin").stat().st_mode & 0o7777 == 0o644


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    """Times, owners' bits, hard links and the order of creation leave no trace (pain: 'it built differently')."""
    first, second = tree(tmp_path / "a"), tmp_path / "b"
    second.mkdir()
    for path in sorted(first.rglob("*"), reverse=True):
        target = second / path.relative_to(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(os.readlink(path))
        elif path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(path.read_bytes())
            target.chmod(
                0o700 if os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o640
            )
            os.utime(target, (1, 1))
    assert packed(first) == packed(second)


def test_digests_and_sizes_are_those_of_the_bytes(tmp_path: Path) -> None:
    """What is reported is measured, for the stream and for what is in it."""
    out = io.BytesIO()
    made = write_archive(tree(tmp_path / "a"), out)
    data = out.getvalue()
    assert (made.digest, made.size) == (sha256(data), len(data))
    assert made.content == sha256(gzip.decompress(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert made.installed_size == sum(one.size for one in tar if one.isreg())
    assert data[4:8] == b"\0\0\0\0"


def test_ignored_files_stay_out(tmp_path: Path) -> None:
    """What is never shipped, and what .allodignore adds."""
    root = tmp_path / "a"
    for name in (
        "keep.txt",
        "allod.toml",
        ".git/config",
        "x/__pycache__/a.pyc",
        "logs/a.log",
        "b.log",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    found = [entry.path for entry in entries(root, parse_ignore("*.log\n!b.log\n"))]
    assert found == ["b.log", "keep.txt", "logs", "x"]


def special_link(root: Path) -> None:
    """A link out of the tree."""
    (root / "link").symlink_to("../../etc/passwd")


def special_absolute(root: Path) -> None:
    """A link to an absolute path."""
    (root / "link").symlink_to("/etc/passwd")


def special_deep(root: Path) -> None:
    """A link that leaves the tree half-way."""
    (root / "d").mkdir()
    (root / "d" / "link").symlink_to("../../d/x")


def special_pipe(root: Path) -> None:
    """A pipe, on which a reader would hang."""
    os.mkfifo(root / "pipe")


def special_socket(root: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(root)
        try:
            one.bind("socket")
        finally:
            os.chdir(here)


def special_name(root: Path) -> None:
    """A name with a control character."""
    (root / "a\nb").write_text("x")


def special_bytes(root: Path) -> None:
    """A name that is not UTF-8."""
    with open(os.fsencode(root) + b"/\xff", "wb"):
        pass


def special_backslash(root: Path) -> None:
    """A name that means a path elsewhere."""
    (root / "a\\b").write_text("x")


def special_case(root: Path) -> None:
    """Two names that one disk in three takes for one."""
    (root / "Readme").write_text("x")
    (root / "README").write_text("x")


def special_hidden(root: Path) -> None:
    """A name that reads differently from how it is written."""
    (root / "a\u202egpj.exe").write_text("x")


def special_circle(root: Path) -> None:
    """Links that lead to each other."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")


def special_detour(root: Path) -> None:
    """A link that leaves the tree by way of another."""
    (root / "d" / "e").mkdir(parents=True)
    (root / "top").symlink_to("d/e")
    (root / "link").symlink_to("top/../../../etc")


@pytest.mark.parametrize(
    "make",
    [
        special_case,
        special_hidden,
        special_circle,
        special_detour,
        special_link,
        special_absolute,
        special_deep,
        special_pipe,
        special_socket,
        special_name,
        special_bytes,
        special_backslash,
    ],
)
def test_what_must_not_be_shipped_is_refused(tmp_path: Path, make: object) -> None:
    """Each is refused by path, before a byte of it is read."""
    (tmp_path / "a").mkdir()
    make(tmp_path / "a")
    with pytest.raises(InvalidInput) as caught:
        packed(tmp_path / "a")
    assert caught.value.code == "bad-tree"


def test_caps_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More entries or bytes than allowed are refused before anything is packed."""
    root = tree(tmp_path / "a")
    for name, value in (("MAX_ENTRIES", 3), ("MAX_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(archive, name, value)
            with pytest.raises(InvalidInput) as caught:
                packed(root)
            assert caught.value.code == "too-large"
    monkeypatch.setattr(archive, "MAX_DEPTH", 1)
    with pytest.raises(InvalidInput) as caught:
        packed(root)
    assert caught.value.code == "bad-tree"


def test_a_tree_that_changes_meanwhile_makes_no_release(tmp_path: Path) -> None:
    """A file that grows, shrinks or is rewritten while it is read is noticed."""
    root = tmp_path / "a"
    root.mkdir()
    path = root / "f"
    for content in (b"y" * 2_000_000, b"y" * 10, b"z" * 1_000_000):
        path.write_bytes(b"x" * 1_000_000)
        with pytest.raises(Conflict) as caught:
            packed(root, progress=lambda _, content=content: path.write_bytes(content))
        assert caught.value.code == "changed-while-reading"


def hostile(*members: tarfile.TarInfo) -> io.BytesIO:
    """A tar with these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    out.seek(0)
    return out


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    """One member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize(
    "evil",
    [
        hostile(member("../escaped", size=1)),
        hostile(member("d", tarfile.SYMTYPE, ".."), member("d/escaped", size=1)),
        hostile(member("link", tarfile.SYMTYPE, "/etc/passwd")),
        hostile(member("hard", tarfile.LNKTYPE, "../../etc/passwd")),
        hostile(member("a", size=1), member("b", tarfile.LNKTYPE, "d")),
        hostile(member("x/../../escaped", size=1)),
        hostile(member("a", tarfile.SYMTYPE, "b"), member("b", tarfile.SYMTYPE, "a/../../..")),
        hostile(member("null", tarfile.CHRTYPE)),
        hostile(member("pipe", tarfile.FIFOTYPE)),
        io.BytesIO(b"\x1f\x8b\x08\x00garbage"),
        io.BytesIO(gzip.compress(hostile(member("f", size=5000)).getvalue())[:-30]),
    ],
    ids=[
        "dots",
        "through a link",
        "absolute link",
        "hard link",
        "hard link to nothing",
        "dots within",
        "links in a ring",
        "device",
        "pipe",
        "damage",
        "cut off",
    ],
)
def test_a_hostile_tarball_does_not_get_out(tmp_path: Path, evil: io.BytesIO) -> None:
    """Whatever a foreign tarball tries, nothing is written outside of its directory."""
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    with pytest.raises(AllodError):
        unpack(evil, inside)
    assert not list(tmp_path.glob("escaped"))
    assert not list((tmp_path / "in").glob("escaped"))


def test_a_bomb_is_stopped_at_its_cap(tmp_path: Path) -> None:
    """What unpacks to more than allowed is stopped by the sizes that it declares."""
    with pytest.raises(InvalidInput) as caught:
        unpack(hostile(member("a", size=600), member("b", size=600)), tmp_path, cap=1000)
    assert caught.value.code == "too-large"
