"""Every branch of what decides is taken by its own tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mutation.hunt import ROOT

DECIDING = ("condition", "terms", "decision", "permission", "standing", "version_order")
BY = ("test_terms", "test_decision", "test_plan_terms")


@pytest.mark.slow
def test_every_branch_of_what_decides_is_taken(tmp_path: Path) -> None:
    """Lines and branches, all of them: a term that nobody ever asked could say anything."""
    tests = [str(ROOT / "tests/unit/domain" / f"{name}.py") for name in BY]
    coverage = [sys.executable, "-m", "coverage"]
    kept = f"--data-file={tmp_path / 'data'}"
    include = ",".join(str(ROOT / "src/allod/domain" / f"{name}.py") for name in DECIDING)
    plain = ["--rcfile=/dev/null", kept]
    options = ["-q", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider"]
    subprocess.run(
        [*coverage, "run", *plain, "--branch", f"--include={include}", "-m", "pytest"]
        + [*options, *tests],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [*coverage, "json", *plain, "-o", str(tmp_path / "found")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    files = json.loads((tmp_path / "found").read_text(encoding="utf-8"))["files"]
    assert len(files) == len(DECIDING)
    missing = {
        Path(path).stem: (one["missing_lines"], one["missing_branches"])
        for path, one in files.items()
        if one["missing_lines"] or one["missing_branches"]
    }
    assert missing == {}
