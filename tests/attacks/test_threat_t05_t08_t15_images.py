"""RFC 9124 threats to images: the wrong place (T5), replaced after the check (T8), extra data (T15)."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path

import pytest

from allod.agent.installers.tree import TreeInstaller
from allod.errors import AllodError, InvalidInput
from allod.testing.payloads import PACKAGE, Item, archive, directory, link, payload

WRONG_PLACES = [
    "/etc/cron.d/x",
    "../x",
    "a/../../x",
    "a/./x",
    "a//x",
    "..",
    "a/..",
    "a\\..\\x",
    "a\nb",
    "a\x7fb",
    "\u202ea",
    "",
]


@pytest.mark.parametrize("name", WRONG_PLACES)
def test_threat_t5_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    """Absolute, upward, empty, disguised: no such name is ever created."""
    bad = payload([directory("a"), Item(name, b"x")])
    with pytest.raises(InvalidInput) as caught:
        TreeInstaller(tmp_path / "store").stage(PACKAGE, bad.digest, bad.release, bad.open())
    assert caught.value.code == "bad-payload"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "items",
    [
        [Item("Readme", b"1"), Item("README", b"2")],
        [Item("A/x", b"1"), Item("a/y", b"2")],
        [Item("stra\u00dfe", b"1"), Item("strasse", b"2")],
        [Item("\u00e9", b"1"), Item("e\u0301", b"2")],
        [Item("same", b"1"), Item("same", b"2")],
        [Item("a", b"1"), link("a", "b")],
        [Item("a", b"1"), Item("a/b", b"2")],
    ],
)
def test_threat_t5_names_that_could_be_one_are_refused(tmp_path: Path, items: list[Item]) -> None:
    """Twice the same name, also for filesystems that fold case or normalise: refused."""
    bad = payload(items)
    with pytest.raises(InvalidInput) as caught:
        TreeInstaller(tmp_path / "store").stage(PACKAGE, bad.digest, bad.release, bad.open())
    assert caught.value.code == "bad-payload"


@pytest.mark.slow
def test_threat_t8_replacing_the_payload_while_it_is_read_never_passes(tmp_path: Path) -> None:
    """1,000 races: a blob is overwritten between check and use, and while it is unpacked.

    Either the true release stands there in the end, or it was refused; never other content.
    """
    good = payload([Item("x", os.urandom(20_000))])
    evil = payload([Item("x", b"e" * 20_000)])
    blob = tmp_path / "blob"
    truth = good.data
    lie = evil.data.ljust(len(truth), b"\0")[: len(truth)]
    stop = threading.Event()
    blob.write_bytes(truth)

    def race() -> None:
        with blob.open("r+b", buffering=0) as file:
            while not stop.is_set():
                for data in (lie, truth):
                    file.seek(0)
                    file.write(data)

    installer = TreeInstaller(tmp_path / "store")
    expected = None
    outcomes = {"taken": 0, "refused": 0}
    racer = threading.Thread(target=race)
    racer.start()
    try:
        for _ in range(1000):
            with blob.open("rb", buffering=0) as file:
                try:
                    installer.stage(
                        PACKAGE,
                        good.digest,
                        good.release,
                        {good.release.layers[0]: file},  # type: ignore[dict-item]
                    )
                except AllodError as error:
                    assert error.code == "bad-payload"  # noqa: PT017
                    assert installer.staged(PACKAGE) == frozenset()
                    outcomes["refused"] += 1
                    continue
            found = installer.measure(PACKAGE, good.digest)
            expected = expected or found.digest
            assert found.ok
            assert found.digest == expected
            assert (installer.directory(PACKAGE, good.digest) / "x").stat().st_size == 20_000
            installer.unstage(PACKAGE, good.digest)
            outcomes["taken"] += 1
    finally:
        stop.set()
        racer.join()
    assert outcomes["refused"] > 0, "the race was never run"


def test_threat_t8_another_whole_payload_of_the_same_size_is_refused(tmp_path: Path) -> None:
    """A perfect archive in the place of the one that was signed: only its digest tells them apart."""
    true, false = (gzip.compress(archive([Item("x", c)]), 0, mtime=0) for c in (b"true", b"lies"))
    assert len(true) == len(false)
    good = payload([], data=true, installed_size=4)
    installer = TreeInstaller(tmp_path / "store")
    with pytest.raises(InvalidInput, match="not those of layer"):
        installer.stage(
            PACKAGE, good.digest, good.release, {good.release.layers[0]: io.BytesIO(false)}
        )
    assert installer.staged(PACKAGE) == frozenset()


def test_threat_t8_what_changes_after_staging_is_found_before_activation(tmp_path: Path) -> None:
    """The measurement right before activation reads everything again."""
    good = payload([Item("x", b"true")])
    installer = TreeInstaller(tmp_path / "store")
    installer.stage(PACKAGE, good.digest, good.release, good.open())
    file = installer.directory(PACKAGE, good.digest) / "x"
    file.chmod(0o644)
    times = file.stat()
    file.write_bytes(b"fals")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    file.chmod(0o444)
    found = installer.measure(PACKAGE, good.digest)
    assert (found.ok, found.changed) == (False, ("x",))


def packed(data: bytes) -> bytes:
    """The same bytes at any time of day."""
    return gzip.compress(data, mtime=0)


TAR = archive([Item("x", b"1")])


@pytest.mark.parametrize(
    "data",
    [
        packed(TAR) + b"extra",
        packed(TAR) + bytes(512),
        packed(TAR) + packed(archive([Item("y", b"2")])),
        packed(TAR + archive([Item("y", b"2")])),
        packed(TAR + bytes(1 << 16)),
        packed(TAR[:-1024] + b"\0" * 511 + b"x" + bytes(1024)),
        packed(TAR[:513] + b"hidden in the padding".ljust(511, b"\0") + TAR[1024:]),
    ],
    ids=("bytes", "zeros", "member", "archive", "long", "tail", "padding"),
)
def test_threat_t15_nothing_rides_along(tmp_path: Path, data: bytes) -> None:
    """Bytes after the image, within padding, a second archive, a sparse tail: refused."""
    bad = payload([], data=data, installed_size=10)
    with pytest.raises(InvalidInput) as caught:
        TreeInstaller(tmp_path / "store").stage(
            PACKAGE, bad.digest, bad.release, {bad.release.layers[0]: io.BytesIO(data)}
        )
    assert caught.value.code == "bad-payload"


def test_threat_t15_extra_files_in_the_store_are_drift(tmp_path: Path) -> None:
    """A file that was added to a staged release is found, wherever it lies."""
    good = payload([directory("d"), Item("d/x", b"1")])
    installer = TreeInstaller(tmp_path / "store")
    installer.stage(PACKAGE, good.digest, good.release, good.open())
    place = installer.directory(PACKAGE, good.digest) / "d"
    place.chmod(0o755)
    (place / "extra").write_bytes(b"")
    place.chmod(0o555)
    assert installer.measure(PACKAGE, good.digest).changed == ("d/extra",)
