"""demo/check_fork.py, which knows nothing of Allod, judges evidence as Allod does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from allod.testing.logs import NaiveLog, note_signer
from allod.tlog.fork import Fork, fork_between, unproven
from allod.tlog.proofs import consistency_proof

PROGRAM = Path(__file__).parents[3] / "demo" / "check_fork.py"
LOG = NaiveLog([f"{number}".encode() for number in range(70)])
OTHER = NaiveLog([*LOG.entries[:3], b"other", *LOG.entries[4:]])
KEY = str(LOG.signer.key)
PROVEN, NO_EVIDENCE, UNPROVEN = 0, 1, 3


def run(file: Path, key: str = KEY) -> subprocess.CompletedProcess[str]:
    """The program by itself: isolated from this process's paths and environment."""
    command = [sys.executable, "-I", str(PROGRAM), str(file), key]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def judged(tmp_path: Path, data: bytes, key: str = KEY) -> int:
    file = tmp_path / "fork.evidence"
    file.write_bytes(data)
    return run(file, key).returncode


def test_it_imports_nothing_of_allod() -> None:
    """Only the standard library and `cryptography`."""
    tree = ast.parse(PROGRAM.read_text())
    names = {
        name.split(".")[0]
        for found in ast.walk(tree)
        for name in (
            [one.name for one in found.names]
            if isinstance(found, ast.Import)
            else [found.module or ""]
            if isinstance(found, ast.ImportFrom)
            else []
        )
    }
    assert names - set(sys.stdlib_module_names) == {"cryptography"}


def test_a_fork_is_proven_in_words(tmp_path: Path) -> None:
    """It names the log and both sizes, and ends with 0."""
    fork = fork_between(LOG.checkpoint(9), OTHER.checkpoint(40), OTHER)
    assert fork is not None
    file = tmp_path / "fork.evidence"
    file.write_bytes(fork.encode())
    done = run(file)
    assert done.returncode == PROVEN, done.stderr
    assert LOG.signer.key.name in done.stdout
    assert "9 entries and one of 40" in done.stdout
    assert judged(tmp_path, b"harmless\n") == NO_EVIDENCE
    assert run(tmp_path / "missing").returncode == NO_EVIDENCE


def _main() -> dict[str, object]:
    space: dict[str, object] = {"__name__": "check_fork"}
    exec(compile(PROGRAM.read_text(), str(PROGRAM), "exec"), space)  # noqa: S102 - our own file
    return space


SPACE = _main()


def verdict(data: bytes, key: str = KEY) -> int:
    """The same without a process each: for many files."""
    try:
        return SPACE["check"](data, key)[0]  # type: ignore[operator, no-any-return]
    except SPACE["NoEvidenceError"]:  # type: ignore[misc]
        return NO_EVIDENCE


@pytest.mark.parametrize("old", [1, 2, 4, 5, 8, 9, 31, 32, 33, 64, 65])
@pytest.mark.parametrize("new", [4, 5, 8, 33, 40, 64, 65, 70])
def test_it_agrees_on_forks_and_on_growth(old: int, new: int) -> None:
    """For trees of many shapes: a fork is one, a log that grew is none, a lie is none."""
    if old > new:
        return
    one, grown, other = LOG.checkpoint(old), LOG.checkpoint(new), OTHER.checkpoint(new)
    fork = fork_between(one, other, NaiveLog(OTHER.entries[:new]))
    assert (fork is None) == (old < 4)
    if fork is not None:
        assert verdict(fork.encode()) == PROVEN
    proof = consistency_proof(old, new, LOG)
    assert verdict(Fork(one.note, grown.note, LOG.root(old), proof).encode()) == NO_EVIDENCE
    lie = Fork(one.note, grown.note, LOG.root(3), proof)
    assert verdict(lie.encode()) == NO_EVIDENCE


def test_unproven_evidence_is_not_called_proven() -> None:
    """Two signed notes accuse; the program says so, and that it is no proof."""
    assert verdict(unproven(LOG.checkpoint(9), OTHER.checkpoint(40)).encode()) == UNPROVEN


def test_tampered_evidence_is_none(tmp_path: Path) -> None:
    """Each byte changed, each line left out or doubled, another log's key: refused."""
    fork = fork_between(LOG.checkpoint(9), OTHER.checkpoint(40), OTHER)
    assert fork is not None
    good = fork.encode()
    assert judged(tmp_path, good, str(note_signer(LOG.signer.key.name, seed=1).key)) == NO_EVIDENCE
    assert verdict(good, str(note_signer("log.example/two").key)) == NO_EVIDENCE
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1
        assert verdict(bytes(changed)) == NO_EVIDENCE
    lines = good.splitlines(keepends=True)
    for at in range(len(lines)):
        assert verdict(b"".join([*lines[:at], *lines[at + 1 :]])) == NO_EVIDENCE
        assert verdict(b"".join([*lines[:at], lines[at], *lines[at:]])) == NO_EVIDENCE
