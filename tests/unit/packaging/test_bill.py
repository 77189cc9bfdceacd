"""A list made of a payload names what says its own name and version, and nothing else."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from allod.domain.ids import Purl, Version, parse_provider
from allod.domain.release import Kind, Release
from allod.domain.sbom import Sbom, SbomComponent
from allod.errors import InvalidInput
from allod.packaging.archive import unpack
from allod.packaging.bill import bill_of
from allod.packaging.purl import purl

RELEASE = Release(
    Purl("pkg:generic/me/x"), Version("1"), parse_provider("me"), Kind.TREE, installed_size=1 << 30
)
DEBIAN = b'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n'
CONTROL = b"Package: libssl3\nSource: openssl (3.0.9-1)\nVersion: 3.0.9-1+b1\nArchitecture: amd64\n"


def tar(files: Mapping[str, bytes]) -> bytes:
    """A plain tar with these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def made(files: Mapping[str, bytes], beside: Mapping[str, bytes] | None = None) -> Sbom | None:
    return bill_of([io.BytesIO(gzip.compress(tar(files)))], [RELEASE], beside)


def listed(files: Mapping[str, bytes], beside: Mapping[str, bytes] | None = None) -> list[str]:
    """The purls, or the names of those without."""
    found = made(files, beside)
    return [] if found is None else [one.purl or one.name for one in found.components]


def metadata(name: str, version: str) -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 9\n".encode()


def wheel(name: str, version: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(f"{name}-{version}.dist-info/METADATA", metadata(name, version))
        archive.writestr(f"{name}/_vendor/y-1.dist-info/METADATA", metadata("y", "1"))
    return out.getvalue()


def deb(control: bytes, name: str = "control.tar", pack: Callable[[bytes], bytes] = bytes) -> bytes:
    data = pack(tar({"./control": control}))
    out = b"!<arch>\n"
    for member, content in (("debian-binary", b"2.0\n"), (name, data)):
        out += f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def test_installed_distributions_and_wheels_are_named() -> None:
    """Wherever they lie in the tree; names are as they say, purls as PyPI compares names."""
    found = made(
        {
            "site/waitress-2.1.1.dist-info/METADATA": metadata("waitress", "2.1.1"),
            "lib/Zope_Event.egg-info/PKG-INFO": metadata("Zope.Event", "5.0"),
            "wheels/six-1.16.0-py2.py3-none-any.whl": wheel("six", "1.16.0"),
            "site/waitress/METADATA": metadata("no", "1"),
        }
    )
    assert found is not None
    assert found.components == (
        SbomComponent("Zope.Event", "5.0", "pkg:pypi/zope-event@5.0"),
        SbomComponent("six", "1.16.0", "pkg:pypi/six@1.16.0"),
        SbomComponent("waitress", "2.1.1", "pkg:pypi/waitress@2.1.1"),
    )
    assert found.by_allod
    assert found.subject == SbomComponent("x", "1", "pkg:generic/me/x@1", "application")


def test_of_what_says_nothing_no_list_is_made() -> None:
    """A tree with programs only has no list: an empty one would look clean."""
    assert made({"main.py": b"print()", "README.txt": b"waitress==1"}) is None


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("control.tar", bytes),
        ("control.tar.gz", gzip.compress),
        ("control.tar.xz", lzma.compress),
        ("control.tar.zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_debian_packages_name_their_source(name: str, pack: Callable[[bytes], bytes]) -> None:
    """By their control file, however it is packed; with the release, if the payload has one."""
    files = {"debs/libssl3.deb": deb(CONTROL, name, pack)}
    bare = "pkg:deb/debian/libssl3@3.0.9-1%2Bb1?arch=amd64"
    source = "&upstream=openssl%403.0.9-1"
    assert listed(files) == [bare + source]
    assert listed({"etc/os-release": DEBIAN} | files) == [
        "debian",
        f"{bare}&distro=debian-12{source}",
    ]


def test_databases_of_distributions_are_read() -> None:
    """What dpkg and apk have installed, each with the system of its own root."""
    status = b"Package: a\nStatus: install ok installed\nVersion: 1:2\n x\n\nPackage: b\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    apk = b"C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n\nP:ssl_client\nV:1.36-r1\no:busybox\n"
    files = {
        "root/etc/os-release": DEBIAN,
        "root/var/lib/dpkg/status": status,
        "root/var/lib/dpkg/status.d/base": CONTROL,
        "root/var/lib/dpkg/status.d/base.md5sums": b"Package: no\nVersion: 1\n",
        "alp/etc/os-release": b"ID=alpine\nVERSION_ID=3.20.1\n",
        "alp/lib/apk/db/installed": apk,
    }
    assert listed(files) == [
        "pkg:deb/debian/a@1:2?distro=debian-12",
        "alpine",
        "debian",
        "pkg:deb/debian/libssl3@3.0.9-1%2Bb1?arch=amd64&distro=debian-12&upstream=openssl%403.0.9-1",
        "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1&upstream=musl",
        "pkg:apk/alpine/ssl_client@1.36-r1?distro=alpine-3.20.1&upstream=busybox",
    ]


def test_what_is_installed_outranks_a_lock() -> None:
    """Of a distribution that is there, its own version counts; of others, the lock's."""
    files = {
        "site/waitress-2.1.2.dist-info/METADATA": metadata("waitress", "2.1.2"),
        "requirements.txt": b"Waitress==2.1.1\nflask==3.0\n",
    }
    assert listed(files) == ["pkg:pypi/flask@3.0", "pkg:pypi/waitress@2.1.2"]


def test_locks_count_at_the_top_and_beside_the_tree() -> None:
    """One deeper inside is of something else; the most exact of Python's counts alone."""
    cargo = b'[[package]]\nname = "a"\nversion = "1"\nsource = "registry+x"\n'
    assert listed({"vendor/Cargo.lock": cargo}) == []
    assert listed({"bin/x": b""}, {"Cargo.lock": cargo}) == ["pkg:cargo/a@1"]
    uv = b'[[package]]\nname = "a"\nversion = "2"\nsource = {registry = "x"}\n'
    assert listed({"uv.lock": uv, "requirements.txt": b"b==1"}) == ["pkg:pypi/a@2"]


def test_what_npm_installed_outranks_its_lock() -> None:
    """The list that npm keeps of what it installed is the better one."""
    lock = b'{"packages": {"node_modules/a": {"version": "1"}}}'
    there = b'{"packages": {"node_modules/a": {"version": "2"}}}'
    files = {"package-lock.json": lock, "node_modules/.package-lock.json": there}
    assert listed(files) == ["pkg:npm/a@2"]


def test_what_cannot_be_read_is_told() -> None:
    """A list with a hole says so; it is none that looks whole."""
    found = made(
        {
            "a.whl": b"PK\x03\x04no",
            "b.deb": b"!<arch>\nno",
            "c-1.dist-info/METADATA": b"Version: 1\n\n",
            "uv.lock": b"[[package",
            "package-lock.json": b'{"packages": []}',
        }
    )
    assert found is not None
    assert found.components == ()
    assert [fault.partition(":")[0] for fault in found.faults] == [
        "a.whl",
        "b.deb",
        "c-1.dist-info/METADATA",
        "package-lock.json",
        "uv.lock",
    ]


def test_a_damaged_layer_is_refused() -> None:
    """A payload that is no archive gives no list, and no crash."""
    for data in (b"no tar", gzip.compress(tar({"a": b"x" * 10_000}))[:80]):
        with pytest.raises(InvalidInput, match="cannot list") as refused:
            bill_of([io.BytesIO(data)], [RELEASE])
        assert refused.value.code == "bad-archive"


def test_more_than_a_release_says_that_it_installs_is_refused() -> None:
    """A layer that unpacks without end is given up where a device would give it up."""
    small = replace(RELEASE, installed_size=10)
    with pytest.raises(InvalidInput, match="bomb") as refused:
        bill_of([io.BytesIO(tar({"a": b"x" * 11}))], [small])
    assert refused.value.code == "too-large"


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    """A name that says it is a gigabyte long is not read, here and when an archive is unpacked."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    data = info.tobuf(tarfile.USTAR_FORMAT) + b"1 path=x\n" * 100_000
    for act in (
        lambda: bill_of([io.BytesIO(data)], [RELEASE]),
        lambda: unpack(io.BytesIO(data), tmp_path),
    ):
        with pytest.raises(InvalidInput, match="header has 1073741824") as refused:
            act()
        assert refused.value.code == "bad-archive"


def test_a_wheel_with_endless_names_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its list of files is not read when it is too long, or in the form for very large ones."""
    monkeypatch.setattr("allod.packaging.bill_python.DIRECTORY_CAP", 100)
    found = made({"a.whl": wheel("six", "1")})
    assert found is not None
    assert found.faults == ("a.whl: it lists too many files",)


def test_a_control_archive_that_is_a_bomb_is_told() -> None:
    """Nothing unpacks without end."""
    bomb = deb(b"Package: a\nVersion: 1\n" + b"\0" * (20 << 20), "control.tar.gz", gzip.compress)
    found = made({"a.deb": bomb})
    assert found is not None
    assert "too large" in found.faults[0]


def test_purls_are_written_as_the_specification_says() -> None:
    """Percent signs where they belong, qualifiers sorted, what is empty left out."""
    assert purl("npm", "@angular", "core", "1.0") == "pkg:npm/%40angular/core@1.0"
    assert purl("golang", "github.com/a/b", "c", "v1+x") == "pkg:golang/github.com/a/b/c@v1%2Bx"
    assert purl("deb", "debian", "a", "", {"b": "2", "a": "", "distro": "x y"}) == (
        "pkg:deb/debian/a?b=2&distro=x%20y"
    )
