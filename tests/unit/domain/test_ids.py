"""Identities: a grammar so narrow that nothing needs quoting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allod.domain import ids
from allod.errors import InvalidInput

PURLS = st.from_regex(ids._PURL, fullmatch=True).filter(lambda text: ".." not in text)


@given(PURLS)
def test_package_file_names_are_safe_and_reversible(text: str) -> None:
    """A package's file name is one path component and leads back to the package."""
    package = ids.parse_purl(text)
    name = ids.file_name(package)
    assert "/" not in name
    assert name not in {".", ".."}
    assert ids.purl_of_file(name) == package


@pytest.mark.parametrize(
    "text",
    [
        "toaster", "pkg:generic", "pkg:generic/Toaster", "pkg:generic/../x", "pkg:generic/a..b",
        "pkg:generic/x@1", "pkg:generic/x?y", "pkg:generic/x/", "pkg:generic//x", "pkg:generic/*",
        "pkg:generic/a~b", "pkg:generic/x\n", "",
    ],
)  # fmt: skip
def test_other_packages_are_refused(text: str) -> None:
    """Whatever could be a path, a pattern or a version is no package."""
    with pytest.raises(InvalidInput) as refused:
        ids.parse_purl(text)
    assert refused.value.code == "bad-package"


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "A", "a*", "-a", "a-", "a" * 64, "a\n", "é"]
)
def test_other_group_names_are_refused(text: str) -> None:
    """Group names can stand in TUF patterns, paths and terminals."""
    with pytest.raises(InvalidInput):
        ids.parse_group(text)


def test_scopes_go_round() -> None:
    """A scope is written and read as the same text; other kinds are refused."""
    for text in ("groups/kitchen", "devices/" + "0" * 64):
        assert str(ids.parse_scope(text)) == text
    for text in ("kitchen", "groups/", "devices/kitchen", "teams/a", "groups/a/b"):
        with pytest.raises(InvalidInput):
            ids.parse_scope(text)


def test_patterns_cover_what_lies_below() -> None:
    """A pattern covers packages below its prefix and nothing beside it."""
    assert ids.is_pattern("pkg:generic/acme/*")
    assert not ids.is_pattern("pkg:generic/acme")
    assert not ids.is_pattern("pkg:generic/ac*")
    assert ids.pattern_covers("pkg:generic/acme/*", ids.parse_purl("pkg:generic/acme/toaster"))
    assert not ids.pattern_covers("pkg:generic/acme/*", ids.parse_purl("pkg:generic/acmex/toaster"))
