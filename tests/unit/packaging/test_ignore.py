"""`.allodignore` says what gitignore's authors would expect."""

from __future__ import annotations

import pytest

from allod.errors import InvalidInput
from allod.packaging.ignore import MAX_RULES, parse_ignore


@pytest.mark.parametrize(
    ("rules", "path", "directory", "out"),
    [
        ("*.log", "a.log", False, True),
        ("*.log", "x/y/a.log", False, True),
        ("*.log", "a.logs", False, False),
        ("/a.log", "x/a.log", False, False),
        ("/a.log", "a.log", False, True),
        ("build/", "build", True, True),
        ("build/", "build", False, False),
        ("build/", "x/build", True, True),
        ("doc/*.txt", "doc/a.txt", False, True),
        ("doc/*.txt", "x/doc/a.txt", False, False),
        ("doc/*.txt", "doc/x/a.txt", False, False),
        ("**/foo", "a/b/foo", False, True),
        ("**/foo", "foo", False, True),
        ("a/**/b", "a/b", False, True),
        ("a/**/b", "a/x/y/b", False, True),
        ("a/**", "a/x/y", False, True),
        ("a/**", "a", True, False),
        ("file?", "file1", False, True),
        ("file?", "file/", False, False),
        ("file[0-9]", "file7", False, True),
        ("file[!0-9]", "filex", False, True),
        ("file[!0-9]", "file7", False, False),
        ("*.log\n!keep.log", "keep.log", False, False),
        ("!keep.log\n*.log", "keep.log", False, True),
        ("# a comment\n\n", "x", False, False),
        ("a.c+", "a.c+", False, True),
        ("a.c+", "abc", False, False),
        ("", ".git", True, True),
        ("", "sub/__pycache__", True, True),
        ("", "x.pyc", False, True),
        ("!*.pyc", "x.pyc", False, False),
        ("", "allod.toml", False, True),
        ("", "sub/allod.toml", False, False),
    ],
)
def test_patterns(rules: str, path: str, directory: bool, out: bool) -> None:
    """Each row is one rule of the grammar."""
    assert parse_ignore(rules).leaves_out(path, directory=directory) is out


@pytest.mark.parametrize("rules", ["/", "!", "a[z-a]", "x\n" * (MAX_RULES + 1)])
def test_rules_that_say_nothing_are_refused(rules: str) -> None:
    """A pattern that names nothing, or is broken, is an error and no silence."""
    with pytest.raises(InvalidInput) as caught:
        parse_ignore(rules)
    assert caught.value.code == "bad-ignore"
