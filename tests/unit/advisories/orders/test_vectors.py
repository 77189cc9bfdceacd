"""The orders against what native tools said (tests/vectors/versions)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from allod.advisories.orders import Order, order_of
from allod.errors import InvalidInput

VECTORS = Path(__file__).parents[3] / "vectors" / "versions"
AS_APK_TOOLS_2 = {"9.0a012"}
SIGNS = {"<": -1, "=": 0, ">": 1}

#: What is in a file but not in the grammar of its ecosystem: refused, and so undecided.
REFUSED = {
    "alpine-versions.txt": {
        "1-r", "1-r-0", "1-r-1", "1.2.0A", "1.2.0D", "1-ruff", "1-r0-1", "1-r-2", "1-r0-2",
        "1-ruff1", "1-ruff2", "1--ruff1", "1-r0-ruff1", "1-r0-ruff2", "1.2_blah", "1.2_csv2", ".1",
        ".2", "a", "b", "c", "23_foo", "1.0bc",
    },
    "pypi-versions.txt": {
        "0.1-bulbasaur", "0.1-charmander", "0.9-doduo", "0.9-eevee", "0.9-fearow", "0.9-gyarados",
        "0.9-horsea", "0.9-ivysaur", "-class.-jw.util.version.version-pre",
        "-class.-jw.util.version.version-preview", "-class.-jw.util.version.version-dev",
    },
}  # fmt: skip


def lines(file: str) -> Iterator[str]:
    for line in (VECTORS / file).read_text().splitlines():
        if line.strip() and not line.startswith(("#", "//")):
            yield line.strip()


def refuses(order: Order, version: str) -> bool:
    try:
        order.key(version)
    except InvalidInput as error:
        assert error.code == "bad-version"
        return True
    return False


@pytest.mark.parametrize(
    ("file", "ecosystem", "compared"),
    [
        ("alpine-versions.txt", "Alpine:v3.20", 745),
        ("debian-versions.txt", "Debian:12", 30),
        ("maven-versions.txt", "Maven", 102),
        ("pypi-versions.txt", "PyPI", 26),
        ("redhat-versions.txt", "Red Hat", 153),
        ("semver-versions.txt", "npm", 86),
    ],
)
def test_native_vectors(file: str, ecosystem: str, compared: int) -> None:
    """Every line holds, both ways round, but those with a version that the grammar refuses; these
    are exactly the ones listed, and as many are left as there were.
    """
    order = order_of(ecosystem)
    assert order is not None
    refused: set[str] = set()
    held = 0
    for line in lines(file):
        first, sign, second = line.split(" ")
        outside = {one for one in (first, second) if refuses(order, one)}
        refused |= outside
        if not outside:
            assert order.compare(first, second) == SIGNS[sign], line
            assert order.compare(second, first) == -SIGNS[sign], line
            held += 1
    assert refused == REFUSED.get(file, set())
    assert held == compared


def test_apk_tools_3() -> None:
    """What apk-tools 3 orders is ordered so; what it refuses is refused, but for digits after a
    letter, which apk-tools 2 knew.
    """
    order = order_of("Wolfi")
    assert order is not None
    count = 0
    for line in lines("apk-tools-3.txt"):
        if line.startswith("!"):
            assert refuses(order, line[1:]) or line[1:] in AS_APK_TOOLS_2, line
            continue
        first, sign, second = line.split(" ")
        assert order.compare(first, second) == SIGNS[sign], line
        count += 1
    assert count > 400
