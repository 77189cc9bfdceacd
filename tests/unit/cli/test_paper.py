"""The recovery key on paper survives copying by hand, and says where it did not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from allod.cli import paper
from allod.errors import InvalidInput, Refused

SEEDS = st.binary(min_size=32, max_size=32)


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_paper_goes_round(seed: bytes) -> None:
    """Every key comes back from its five lines, in either case, with look-alikes and dashes."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    lines = paper.paper_lines(key)
    assert len(lines) == paper.LINES
    sloppy = [line.lower().replace(" ", "-").replace("0", "o").replace("1", "l") for line in lines]
    assert paper.read_paper(sloppy).private_bytes_raw() == seed
    numbered = [f"{n}  {line}" for n, line in enumerate(lines, start=1)]
    assert paper.read_paper(numbered).private_bytes_raw() == seed


@given(SEEDS, st.integers(0, 4), st.integers(0, 15), st.sampled_from("23456789ABCDEFGH"))
@settings(max_examples=80, deadline=None)
def test_a_wrong_character_is_found_in_its_line(seed: bytes, line: int, at: int, char: str) -> None:
    """One wrong character: the line is named, and no key comes out."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    lines = [text.replace(" ", "") for text in paper.paper_lines(key)]
    if lines[line][at] == char:
        return
    lines[line] = lines[line][:at] + char + lines[line][at + 1 :]
    with pytest.raises(InvalidInput, match=f"line {line + 1}"):
        paper.read_paper(lines)


def test_lines_in_another_order_or_of_another_sheet() -> None:
    """Swapped lines, and a line of another sheet, are refused."""
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    lines = list(paper.paper_lines(key))
    with pytest.raises(InvalidInput):
        paper.read_paper([lines[1], lines[0], *lines[2:]])
    with pytest.raises(InvalidInput, match="do not fit together"):
        paper.read_paper([paper.paper_lines(other)[0], *lines[1:]])
    with pytest.raises(InvalidInput):
        paper.read_paper(lines[:4])


def test_sheet_in_a_file_is_read_back(tmp_path: Path) -> None:
    """The unattended way writes the sheet, private, and reads the key back from it."""
    key = Ed25519PrivateKey.generate()
    path = tmp_path / "deep" / "recovery.txt"
    read = paper.write_sheet(path, paper.sheet(key, fleet="ab" * 32, name="home"))
    paper.check_read_back(key, read)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Refused):
        paper.check_read_back(Ed25519PrivateKey.generate(), read)


def test_typing_asks_again_for_a_wrong_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the pen costs one line, not the whole sheet; five slips end it."""
    key = Ed25519PrivateKey.generate()
    lines = list(paper.paper_lines(key))
    answers = iter([lines[0], "nonsense", *lines[1:]])
    assert paper.type_paper(lambda _: next(answers)).private_bytes_raw() == key.private_bytes_raw()
    assert "line 2" in capsys.readouterr().err
    with pytest.raises(InvalidInput):
        paper.type_paper(lambda _: "nonsense")
