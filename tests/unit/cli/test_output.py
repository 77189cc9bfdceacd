"""What people see: whole rows in a pipe, documents as outlines, nothing that steers a terminal."""

from __future__ import annotations

import io

import pytest

from allod.cli.output import Output, outline
from allod.errors import InvalidInput


def test_rows_in_a_pipe_are_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no terminal is, a row is one line whatever its length, so that grep finds it whole."""
    monkeypatch.delenv("COLUMNS", raising=False)
    Output().table({}, ("a", "b"), [("x" * 90, "y" * 90)])
    assert any(
        "x" * 90 in line and "y" * 90 in line for line in capsys.readouterr().out.split("\n")
    )
    monkeypatch.setenv("COLUMNS", "40")
    Output().table({}, ("a", "b"), [("x" * 90, "y" * 90)])
    assert max(len(line) for line in capsys.readouterr().out.split("\n")) <= 40


def test_outline() -> None:
    """A document as people read it: nested, lists of things as items; false is not nothing."""
    value = {
        "name": "toaster",
        "empty": [],
        "none": None,
        "command": ["run", "--fast"],
        "schema": {"additionalProperties": False, "minimum": 0},
        "layers": [{"digest": "d1", "size": 1}, {"digest": "d2", "size": 2}],
    }
    assert "\n".join(outline(value)) == (
        "name: toaster\n"
        "command: run, --fast\n"
        "schema:\n"
        "  additionalProperties: false\n"
        "  minimum: 0\n"
        "layers:\n"
        "  - digest: d1\n"
        "    size: 1\n"
        "  - digest: d2\n"
        "    size: 2"
    )


class Terminal(io.StringIO):
    """Somebody at a terminal who types this."""

    def isatty(self) -> bool:
        """They are there."""
        return True


@pytest.mark.parametrize("typed", ["", "\n", "n\n", "no\n", "yess\n"])
def test_only_yes_is_yes(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the input and all but a yes are a no."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    with pytest.raises(InvalidInput) as caught:
        Output().confirm("Sign?", yes=False)
    assert caught.value.code == "not-confirmed"


@pytest.mark.parametrize("typed", ["y\n", " YES \n"])
def test_yes(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A yes goes on."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    Output().confirm("Sign?", yes=False)
