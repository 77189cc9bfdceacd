"""Beginnings that go wrong: nothing is made before everything that was given fits together."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Owner


def begin(owner: Owner, tmp_path: Path, *more: str | Path) -> str:
    """The code with which a production fleet is refused."""
    return owner.refused(
        "init", "works", "--profile", "production", "--server", tmp_path / "server", *more
    )


@pytest.fixture
def keys(owner: Owner, tmp_path: Path) -> list[Path]:
    """Public halves of the root keys of two machines."""
    made = [tmp_path / f"{name}.pub" for name in ("one", "two")]
    for path in made:
        owner.elsewhere(path.stem).do("ceremony", "key", path)
    return made


def test_a_wrong_beginning_makes_nothing(owner: Owner, keys: list[Path], tmp_path: Path) -> None:
    """A mistyped key, a key given twice, a threshold out of reach: no server, no keys are left."""
    one, two = (("--root-key", key) for key in keys)
    file = ("--proposal", tmp_path / "p.json")
    assert begin(owner, tmp_path) == "bad-arguments"
    assert begin(owner, tmp_path, *one, *two) == "bad-arguments"
    assert begin(owner, tmp_path, *one, "--root-key", tmp_path / "nope", *file) == "bad-key"
    assert begin(owner, tmp_path, *one, *one, *file) == "bad-threshold"
    assert begin(owner, tmp_path, *one, *two, *file, "--threshold", "3") == "bad-threshold"
    file[1].write_text("kept")
    assert begin(owner, tmp_path, *one, *two, *file) == "exists"
    assert begin(owner, tmp_path, *one, *two, *file, "--url", "ftp://x") != ""
    assert not (tmp_path / "server" / "offer.json").exists()
    assert not (owner.home / "fleets").exists()
    assert file[1].read_text() == "kept"


def test_a_server_for_another_address_is_not_taken_silently(owner: Owner, tmp_path: Path) -> None:
    """The address that devices are told is the one that was asked for, or it is refused."""
    server, paper = tmp_path / "server", tmp_path / "paper"
    words = ("init", "home", "--server", server, "--recovery-file", paper)
    owner.served.down = True
    there = "https://allod.example:8443"
    assert owner.refused("init", "home", "--server", server, "--url", there) == "no-terminal"
    assert owner.refused(*words, "--url", "https://localhost:9") == "other-address"
    assert not paper.exists()
    assert owner.do(*words)["server"] == there


@pytest.mark.parametrize(
    "url",
    ["http://a.example", "https://", "https://x:abc", "https://x:0", "https://[", "ftp://x", "x"],
)
def test_an_address_that_is_none(owner: Owner, tmp_path: Path, url: str) -> None:
    """What is no https address is refused in one line, and no server is made for it."""
    assert owner.refused("init", "home", "--server", tmp_path / "server", "--url", url) == "bad-url"
    assert not (tmp_path / "server" / "offer.json").exists()
