"""YAML as far as it says what JSON can."""

from __future__ import annotations

import pytest

from allod.advisories.reading_yaml import YAML_CAP, read_yaml
from allod.errors import InvalidInput


def test_every_value_is_as_it_is_written() -> None:
    """No version becomes a number, no time a date, no country a truth; null is nothing."""
    text = b"""\
time: 2022-06-14T20:37:51.457649Z
versions: [1.10, "1.2", 010, 0x1F, 1e3, no, 'null']
nothing: null
tilde: ~
empty:
said: |
  # Two
  lines
flow: {a: [{b: c}]}
"""
    assert read_yaml(text, file="f") == {
        "time": "2022-06-14T20:37:51.457649Z",
        "versions": ["1.10", "1.2", "010", "0x1F", "1e3", "no", "null"],
        "nothing": None,
        "tilde": None,
        "empty": None,
        "said": "# Two\nlines\n",
        "flow": {"a": [{"b": "c"}]},
    }
    assert read_yaml(b"", file="f") is None
    assert read_yaml("é: ü".encode(), file="f") == {"é": "ü"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a: &x [1]\nb: *x", "aliases and tags are not read - at line 1"),
        (b"a: 1\nb: *x", "aliases and tags are not read - at line 2"),
        (b"!!python/object/apply:os.system [ls]", "aliases and tags are not read"),
        (b"a: 1\nb:\n  c: 1\n  c: 2", "'c' is no text, or stands twice - at line 3"),
        (b"? [a]\n: 1", "is no text, or stands twice"),
        (b"--- 1\n--- 2", "a second document begins - at line 2"),
        (b"[" * 60_000, "nested deeper than 24"),
        (b'a: "x', "unexpected end of stream"),
        (b"\xff", "utf-8"),
        (b"a: \x00", "control characters"),
    ],
)
def test_what_json_has_not_is_refused(data: bytes, says: str) -> None:
    """Nothing grows, nothing is made of a tag, nothing is ambiguous."""
    with pytest.raises(InvalidInput, match="cannot read 'f'") as caught:
        read_yaml(data, file="f")
    assert caught.value.code == "bad-document"
    assert says in caught.value.message


def test_too_much_is_refused() -> None:
    """Before it is parsed."""
    with pytest.raises(InvalidInput, match="at most 2097152 are allowed"):
        read_yaml(b" " * (YAML_CAP + 1), file="f")
