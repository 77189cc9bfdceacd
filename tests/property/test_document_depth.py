"""The depth of a JSON text, measured before it is parsed, is that of its value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allod.errors import InvalidInput
from allod.wire.codec import MAX_DEPTH, parse_strict

text = st.text(alphabet='a"\\[]{}/\n\u00e9\x7f', max_size=6)
values = st.recursive(
    st.one_of(text, st.integers(0, 9), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=12,
)


def depth(value) -> int:
    """How deep a value nests."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values, st.integers(0, MAX_DEPTH + 2), st.booleans())
def test_what_is_too_deep_is_refused_and_nothing_else(value, more, ascii_only) -> None:
    """Brackets, quotes and backslashes in strings and keys count for nothing."""
    for _ in range(more):
        value = [value]
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    if depth(value) <= MAX_DEPTH:
        assert parse_strict(data, cap=1 << 20) == value
    else:
        with pytest.raises(InvalidInput) as error:
            parse_strict(data, cap=1 << 20)
        assert "deeper" in error.value.message


@given(st.text(alphabet='"\\[]{}a', max_size=12), st.text(alphabet='"\\[]{}a,:', max_size=12))
def test_no_text_hides_its_depth_from_the_parser(before, after) -> None:
    """Whatever stands around many brackets, the parser does not come to them."""
    for hidden in ("[" * 3000, '{"a":' * 3000):
        try:
            value = parse_strict((before + hidden + after).encode(), cap=1 << 20)
        except InvalidInput:
            continue
        assert depth(value) <= MAX_DEPTH, "they stand in a string"
