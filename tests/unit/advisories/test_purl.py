"""Package URLs are read whole, as purl-spec says, or refused with what is wrong."""

from __future__ import annotations

import pytest

from allod.advisories.purl import MOST, Purl, parse
from allod.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "purl"),
    [
        ("pkg:pypi/waitress@2.1.1", Purl("pypi", "", "waitress", "2.1.1")),
        ("PKG:PyPI/waitress@2.1.1", Purl("pypi", "", "waitress", "2.1.1")),
        ("pkg://pypi/waitress", Purl("pypi", "", "waitress")),
        ("pkg:npm/%40babel/core@7.1.0", Purl("npm", "@babel", "core", "7.1.0")),
        ("pkg:npm/@babel/core@7.1.0", Purl("npm", "@babel", "core", "7.1.0")),
        ("pkg:npm/x", Purl("npm", "", "x")),
        ("pkg:npm/@x", Purl("npm", "", "@x")),
        ("pkg:npm/@babel/core", Purl("npm", "@babel", "core")),
        ("pkg:deb/debian/x@1%3A2-3%2B4", Purl("deb", "debian", "x", "1:2-3+4")),
        (
            "pkg:golang/github.com//a/b/@v1.0#/cmd/x/",
            Purl("golang", "github.com/a", "b", "v1.0", {}, "cmd/x"),
        ),
        (
            "pkg:apk/alpine/musl@1.2?Distro=alpine-3.18&arch=&upstream=a%26b",
            Purl("apk", "alpine", "musl", "1.2", {"distro": "alpine-3.18", "upstream": "a&b"}),
        ),
    ],
)
def test_parse(text: str, purl: Purl) -> None:
    """Each part is found where the specification puts it, decoded once."""
    assert parse(text) == purl


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begin with pkg"),
        ("waitress", "begin with pkg"),
        ("http://pypi/waitress", "begin with pkg"),
        ("pkg:", "of which type"),
        ("pkg:pypi", "of which type"),
        ("pkg:py pi/x", "of which type"),
        ("pkg:pypi/", "of which type"),
        ("pkg:pypi//@1", "no name"),
        ("pkg:pypi/%zz", "two hexadecimal digits"),
        ("pkg:pypi/%ff", "not UTF-8"),
        ("pkg:pypi/a%00b", "cannot be seen"),
        ("pkg:pypi/a@1%0a2", "cannot be seen"),
        ("pkg:pypi/a?=1", "no key"),
        ("pkg:pypi/a?x=1&X=2", "twice"),
        ("pkg:pypi/" + "a" * MOST, "more than"),
    ],
    ids=range(15),
)
def test_refused(text: str, why: str) -> None:
    """What is no purl is refused, with the reason; the message stays short."""
    with pytest.raises(InvalidInput, match=why) as refused:
        parse(text)
    assert refused.value.code == "bad-purl"
    assert len(str(refused.value)) < 500
