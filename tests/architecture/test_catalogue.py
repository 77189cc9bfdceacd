"""Every attack and pain that this version answers for has a test that carries its number."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ATTACKS = set(range(1, 64)) - {21, 22, 39}
PAINS = set(range(1, 26)) - {6, 8, 10, 21, 25}


def numbers(kind: str) -> set[int]:
    """The numbers that test functions name, like `test_attack_12_…`."""
    form = re.compile(rf"def test_{kind}_(\d+)_")
    return {int(n) for path in TESTS.rglob("test_*.py") for n in form.findall(path.read_text())}


def test_every_attack_in_scope_has_a_test() -> None:
    """All but those that need a sandbox of root, a scan at run time or a TPM are tested by number."""
    assert numbers("attack") >= ATTACKS, sorted(ATTACKS - numbers("attack"))


def test_every_pain_in_scope_has_a_test() -> None:
    """What users of other systems suffer from cannot happen here, each shown by a test."""
    assert numbers("pain") >= PAINS, sorted(PAINS - numbers("pain"))


def test_the_page_of_attacks_says_which_are_tested() -> None:
    """The last column of docs/explanation/attacks.md is true."""
    page = (TESTS.parent / "docs/explanation/attacks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\| (yes)? ?\|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 64))
    assert {int(number) for number, yes in rows if yes} == numbers("attack")
