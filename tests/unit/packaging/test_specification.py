"""The specification's own example builds, so that nobody copies what does not work."""

from __future__ import annotations

import re
from pathlib import Path

from allod.packaging.build import build_directory
from allod.packaging.ignore import ALWAYS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "spec" / "release.md"


def test_the_example_of_the_specification_builds(tmp_path: Path) -> None:
    """The `allod.toml` of docs/spec/release.md, copied beside a program and a schema."""
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "allod.toml").write_text(example)
    (tmp_path / "toaster.py").write_text("")
    (tmp_path / "config.schema.json").write_text('{"type": "object"}')
    release = build_directory(tmp_path).release
    assert (release.package, release.version) == ("pkg:generic/me/toaster", "2.1.2")


def test_the_specification_names_what_is_never_shipped() -> None:
    """The list of the page is the list of the program."""
    text = PAGE.read_text(encoding="utf-8")
    assert [rule for rule in ALWAYS if f"`{rule}`" not in text] == []
