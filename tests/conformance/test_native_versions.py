"""The orders against the native tools on this machine, on versions by the seed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from allod.advisories.orders import APK, DPKG, RPM, Order, order_of
from allod.errors import InvalidInput
from allod.testing.versions import pair

pytestmark = pytest.mark.slow
VECTORS = Path(__file__).parents[1] / "vectors" / "versions"
SEED = 20221018


def answer(order: Order, first: str, second: str) -> int | None:
    """Ours; None: refused."""
    try:
        return order.compare(first, second)
    except InvalidInput as error:
        assert error.code == "bad-version"
        return None


def pairs(order: Order, count: int) -> list[tuple[str, str]]:
    random = Random(SEED)
    return [pair(order.name, random) for _ in range(count)]


def dpkg_says(first: str, second: str) -> int | None:
    """None: dpkg refuses one of them."""
    for relation, meaning in (("lt", -1), ("gt", 1), ("eq", 0)):
        command = ["dpkg", "--compare-versions", "--", first, relation, second]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode not in (0, 1) or "error" in done.stderr:
            return None
        if done.returncode == 0:
            return meaning
    raise AssertionError("one of three relations holds")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg on this machine")
def test_dpkg() -> None:
    """`dpkg --compare-versions` gives the same answers and the same refusals."""
    asked = pairs(DPKG, 400)
    said = {one: dpkg_says(*one) for one in asked}
    assert {one: answer(DPKG, *one) for one in asked} == said
    assert len({*said.values()}) == 4


def rpm_says(asked: list[tuple[str, str]], directory: Path) -> list[int]:
    """One process answers all: rpm has Lua, and Lua has rpm.vercmp."""
    file = directory / "pairs"
    file.write_text("".join(f"{first} {second}\n" for first, second in asked))
    script = (
        f"for line in io.lines('{file}') do local a, b = line:match('(%S+) (%S+)')"
        " print(rpm.vercmp(a, b) .. ' ') end"
    )
    command = ["rpm", "--eval", "%{lua: " + script + "}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(one) for one in done.stdout.split()]


@pytest.mark.skipif(shutil.which("rpm") is None, reason="no rpm on this machine")
def test_rpm(tmp_path: Path) -> None:
    """As rpm: it gives the same answers; versions without a version are the only ones refused here."""
    asked = pairs(RPM, 20_000)
    theirs = dict(zip(asked, rpm_says(asked, tmp_path), strict=True))
    ours = {one: answer(RPM, *one) for one in asked}
    taken = {one: said for one, said in ours.items() if said is not None}
    assert len(taken) > 15_000
    assert taken == {one: theirs[one] for one in taken}


@pytest.mark.skipif(shutil.which("apk") is None, reason="no apk on this machine (Debian has none)")
def test_apk() -> None:
    """`apk version -t` gives the same answers, whatever both take."""
    signs = {"<": -1, "=": 0, ">": 1}
    count = 0
    for first, second in pairs(APK, 1_500):
        ours = answer(APK, first, second)
        if ours is None:
            continue
        command = ["apk", "version", "--test", first, second]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert signs[done.stdout.strip()] == ours, (first, second)
        count += 1
    assert count > 300


def every_version() -> Iterator[tuple[str, str]]:
    """All versions of the large set with the ecosystem that they stand in."""
    zstandard = pytest.importorskip("zstandard")
    import tarfile

    directory = os.environ.get("ALLOD_DATA")
    if directory is None:
        pytest.skip("the large data is not here (ALLOD_DATA)")
    with (Path(directory) / "osv.tar.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".json") else None
                if content is not None:
                    yield from versions_in(json.load(content))


def versions_in(record: dict) -> Iterator[tuple[str, str]]:
    for affected in record.get("affected") or ():
        ecosystem = (affected.get("package") or {}).get("ecosystem", "")
        for one in affected.get("ranges") or ():
            if one["type"] == "GIT":
                continue
            order = "npm" if one["type"] == "SEMVER" else ecosystem
            for event in one["events"]:
                yield from ((order, version) for version in event.values())
        yield from ((ecosystem, version) for version in affected.get("versions") or ())


def test_every_version_of_the_large_set(tmp_path: Path) -> None:
    """Of 35,581 records' versions all but those that PEP 440 or semver refuse are placed; sorted by
    key, Debian's, Ubuntu's and the RPM distributions' neighbours stand as dpkg and rpm say.
    """
    seen = {(order_of(ecosystem), version) for ecosystem, version in every_version()}
    placed: dict[str, list[str]] = {}
    refused: dict[str, set[str]] = {}
    for order, version in seen:
        if order is None:
            continue
        try:
            order.key(version)
        except InvalidInput:
            refused.setdefault(order.name, set()).add(version)
        else:
            placed.setdefault(order.name, []).append(version)
    assert {name: len(found) for name, found in refused.items()} == {"pep440": 77, "semver": 1}
    assert {"dpkg", "rpm", "apk", "semver", "pep440", "maven"} == placed.keys()
    if shutil.which("rpm"):
        queue = sorted(placed["rpm"], key=RPM.key)  # type: ignore[arg-type]
        assert len(queue) > 5_000
        neighbours = list(zip(queue, queue[1:], strict=False))
        says = [RPM.compare(first, second) for first, second in neighbours]
        assert rpm_says(neighbours, tmp_path) == says
    if shutil.which("dpkg"):
        queue = sorted(placed["dpkg"], key=DPKG.key)  # type: ignore[arg-type]
        neighbours = list(zip(queue, queue[1:], strict=False))[:300]
        assert all(dpkg_says(*one) == DPKG.compare(*one) for one in neighbours)
