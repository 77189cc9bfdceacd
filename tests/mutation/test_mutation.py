"""The tests of decisions notice nearly every small mistake that could be made in them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.mutation.hunt import ROOT, TARGETS
from tests.mutation.mutants import mutants

SOURCE = '''
"""A module."""

def f(a: int = 1, *, b: bool) -> str:
    """What it does."""
    if not a and b:
        return "x"
    return "" if a < 2 else min(a + 1, 3)
'''


def test_every_kind_of_mistake_is_made() -> None:
    """In behaviour, and never in documentation."""
    found = sorted((one.line, one.what) for one in mutants(SOURCE))
    assert found == [
        (6, "And made Or"),
        (6, "not dropped"),
        (6, "one part alone"),
        (6, "one part alone"),
        (7, "'x' changed"),
        (8, "1 + 1"),
        (8, "2 + 1"),
        (8, "3 + 1"),
        (8, "Add made Sub"),
        (8, "Lt made Gt"),
        (8, "Lt made LtE"),
        (8, "always the first arm"),
        (8, "always the other arm"),
        (8, "min made max"),
    ]
    for one in mutants(SOURCE):
        assert "What it does." in one.source
        compile(one.source, "mutant", "exec")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1])
def test_nine_in_ten_mutants_are_killed(seed: int) -> None:
    """A sample of all; `make test-mutation` hunts every one."""
    command = [sys.executable, "-m", "tests.mutation.hunt", "--sample", "60", "--seed", str(seed)]
    done = subprocess.run([*command, *TARGETS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
