"""Configuration documents: schema, secrets, facts, and the paths that users may change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allod.domain import configuration
from allod.errors import InvalidInput

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["port"],
    "properties": {
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "greeting": {"$ref": "#/$defs/text"},
        "password": {"type": "string", "writeOnly": True},
        "users": {"type": "array", "items": {"type": "object"}},
    },
    "$defs": {"text": {"type": "string", "maxLength": 20}},
}


def refusal(document: Any, schema: Any = SCHEMA) -> InvalidInput:
    """Why a document is refused."""
    with pytest.raises(InvalidInput) as caught:
        configuration.validate(document, schema)
    assert caught.value.message.startswith("cannot ")
    return caught.value


def test_a_document_that_fits_is_taken() -> None:
    """Local references work; a secret stands where the schema says writeOnly."""
    configuration.validate({"port": 80, "greeting": "hi", "password": "secret:door"}, SCHEMA)


@pytest.mark.parametrize(
    ("document", "place", "rule"),
    [
        ({"port": 0}, "/port", "minimum"),
        ({"port": 80, "greeting": "x" * 21}, "/greeting", "maxLength"),
        ({}, "/", "required"),
        ({"port": 80, "more": 1}, "/", "additionalProperties"),
        ({"port": 80, "users": [{}, 7]}, "/users/1", "type"),
        ([], "/", "type"),
    ],
)
def test_a_fault_is_named_by_place_and_rule(document: Any, place: str, rule: str) -> None:
    """The message says where and which rule, so that it can be mended."""
    error = refusal(document)
    assert error.code == "bad-configuration"
    assert error.details == {"pointer": place, "rule": rule}


def test_a_message_never_shows_a_value() -> None:
    """What is wrong may be a secret; only its place is told."""
    assert "hunter2" not in refusal({"port": "hunter2"}).message
    assert "hunter2" not in refusal({"port": 1, "password": "hunter2"}).message


@pytest.mark.parametrize(
    "schema",
    [
        SCHEMA,
        {"properties": {"password": {"anyOf": [{"writeOnly": True}, {}]}}},
        {"properties": {"password": {"$ref": "#/$defs/s"}}, "$defs": {"s": {"writeOnly": True}}},
        {"properties": {"password": {"if": {"writeOnly": True}, "then": True}}},
    ],
)
def test_a_value_that_must_be_secret_is_refused_wherever_the_schema_says_so(schema: Any) -> None:
    """The mark writeOnly counts below references and in branches that another branch would forgive."""
    assert refusal({"port": 1, "password": "plain"}, schema).code == "write-only-value"
    configuration.validate({"port": 1, "password": "secret:door"}, schema)


@pytest.mark.parametrize("value", ["{device.name}", "the {device.name} one", "secret:door"])
@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"maxLength": 4}, "oven"),
        ({"minLength": 40}, "x" * 40),
        ({"pattern": "^[a-z]{4}$"}, "oven"),
        ({"enum": ["oven"]}, "oven"),
        ({"const": "oven"}, "oven"),
    ],
)
def test_what_a_string_holds_is_judged_when_it_is_known(value: str, rule: Any, fits: str) -> None:
    """Facts and secrets wait for the device, which judges what it filled in; types do not wait."""
    schema = {"properties": {"a": {"type": "string", "writeOnly": True, **rule}}}
    open_schema = {"properties": {"a": {"type": "string", **rule}}}
    configuration.validate({"a": value}, open_schema)
    configuration.validate({"a": fits}, schema, filled=True)
    with pytest.raises(InvalidInput) as caught:
        configuration.validate({"a": value}, schema, filled=True)
    assert caught.value.code == "bad-configuration"
    assert refusal({"a": "{{device.name}} is no fact"}, open_schema).code == "bad-configuration"
    assert refusal({"a": value}, {"properties": {"a": {"type": "integer"}}})


def test_only_secrets_may_stand_in_a_secret_object() -> None:
    """A writeOnly object may hold references alone."""
    schema = {"properties": {"login": {"writeOnly": True}}}
    configuration.validate({"login": {"user": "secret:u", "words": ["secret:w"]}}, schema)
    assert refusal({"login": {"user": "plain"}}, schema).code == "write-only-value"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.org/schema"},
        {"properties": {"a": {"$dynamicRef": "file:///etc/passwd"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"type": "nothing"},
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"pattern": "(a+)+$"},
        {"pattern": "((a|b*)c)*"},
        {"pattern": "x" * 600},
        {"patternProperties": {"(x*)*": {}}},
        {"pattern": "("},
    ],
)
def test_a_schema_that_reaches_out_or_never_ends_is_refused(schema: Any) -> None:
    """No fetching, no other dialect, no endless reference, no costly pattern."""
    assert refusal({"a": "b"}, schema).code == "bad-schema"


@pytest.mark.parametrize("pattern", ["^[a-z]+$", "(ab)+c", r"^\(+[*+]{2}$", "a{2,3}(b|c)*d+"])
def test_plain_patterns_are_fine(pattern: str) -> None:
    """Repetitions that do not stand inside one another are allowed."""
    configuration.check_schema({"pattern": pattern})


def test_deep_or_endless_documents_are_refused() -> None:
    """Depth and number of values are capped before anything else."""
    deep: Any = 0
    for _ in range(40):
        deep = [deep]
    assert refusal({"port": deep}).code == "bad-configuration"
    assert refusal({"port": [0] * 60_000}).code == "bad-configuration"


def test_facts_and_secrets_are_found_and_filled_in() -> None:
    """Facts within strings, secrets as whole strings, escapes and other braces as they are."""
    document = {
        "a": "I am {device.name} at {site.floor}",
        "b": ["secret:door", "not secret:door", 7, None, True],
        "c": "{{device.name}} and {plain} and {}",
        "{device.name}": "key",
    }
    named = configuration.references(document)
    assert named.facts == {"device.name", "site.floor"}
    assert named.secrets == {"door"}
    facts = {"device.name": "toaster {site.floor}", "site.floor": "3"}
    filled = configuration.substitute(document, facts, {"door": "open"}, frozenset({"door"}))
    assert filled == {
        "a": "I am toaster {site.floor} at 3",
        "b": ["open", "not secret:door", 7, None, True],
        "c": "{device.name} and {plain} and {}",
        "{device.name}": "key",
    }


@pytest.mark.parametrize(
    ("document", "granted", "code"),
    [
        ({"a": "{device.nothing}"}, {"door"}, "unknown-fact"),
        ({"a": "secret:other"}, {"door", "other"}, "missing-secret"),
        ({"a": "secret:door"}, set(), "secret-not-granted"),
    ],
)
def test_what_can_not_be_filled_in_is_said(document: Any, granted: set[str], code: str) -> None:
    """An unknown fact, a secret that is not there, a secret that is not granted."""
    with pytest.raises(InvalidInput) as caught:
        configuration.substitute(document, {"device.name": "t"}, {"door": "x"}, frozenset(granted))
    assert caught.value.code == code


def test_local_paths_are_compared_taken_out_and_carried_over() -> None:
    """A user's change is seen at its path alone, and survives a new document."""
    local = ("/volume", "/zones/0/name", "/new")
    first = {"volume": 3, "zones": [{"name": "hall"}], "port": 1}
    marks = {path: configuration.value_mark(first, path, "salt") for path in local}
    assert configuration.local_changes(marks, first, local, "salt") == ()
    users = {"volume": 9, "zones": [{"name": "hall"}], "port": 1, "new": [1]}
    changed = configuration.local_changes(marks, users, local, "salt")
    assert changed == ("/volume", "/new")
    assert configuration.fixed_part(users, local) == configuration.fixed_part(first, local)
    second = {"volume": 4, "zones": [{"name": "door"}], "port": 2}
    assert configuration.merge_local(second, users, changed) == {
        "volume": 9,
        "zones": [{"name": "door"}],
        "port": 2,
        "new": [1],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)
POINTERS = st.lists(
    st.text(max_size=4).map(lambda part: "/" + part.replace("~", "~0").replace("/", "~1")),
    min_size=1,
    max_size=3,
).map("".join)


@given(JSON, POINTERS, JSON)
def test_setting_a_value_changes_no_other_place(document: Any, pointer: str, value: Any) -> None:
    """Whatever is set, what lies outside the pointer stays; setting what is there changes nothing."""
    changed = configuration.with_value(document, pointer, value)
    assert configuration.fixed_part(changed, [pointer]) == configuration.fixed_part(
        configuration.with_value(document, pointer, 0), [pointer]
    )
    present = configuration.at(document, pointer)
    assert configuration.with_value(document, pointer, present) == document


@given(JSON)
def test_documents_without_references_come_through_unchanged(document: Any) -> None:
    """Substitution touches nothing but references."""
    named = configuration.references(document)
    if not named.facts and not named.secrets and "{{" not in str(document):
        assert configuration.substitute(document, {}, {}, frozenset()) == document
