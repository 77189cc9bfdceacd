"""Strict JSON: what is ambiguous or too large never reaches a rule."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import sleep
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allod.errors import InvalidInput
from allod.wire.codec import (
    Document,
    convert,
    decode,
    encode,
    instant,
    parse_instant,
    parse_strict,
    shaped,
)

CAP = 100_000


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("duplicate key", b'{"a":1,"a":2}'),
        ("duplicate key below", b'{"x":[{"a":1,"a":1}]}'),
        ("depth", b"[" * 10_000 + b"]" * 10_000),
        ("depth hidden by strings", b'["]]]",' * 30 + b"1" + b"]" * 30),
        ("digits", b"1" * 1000),
        ("NaN", b"NaN"),
        ("infinity", b"-Infinity"),
        ("rest", b"{} {}"),
        ("not UTF-8", b'"\xff"'),
        ("empty", b""),
        ("long fraction", b"0." + b"1" * 100),
    ],
)
def test_attack_51_hostile_json_is_refused(name: str, data: bytes) -> None:
    """Bombs and ambiguities are refused with a code, never a crash (attack 51)."""
    with pytest.raises(InvalidInput) as refused:
        parse_strict(data, cap=CAP)
    assert refused.value.code == "bad-json", name


def test_attack_51_size_and_count_are_capped_before_parsing() -> None:
    """The cap is on bytes, and a million commas are not parsed."""
    with pytest.raises(InvalidInput) as refused:
        parse_strict(b"[" + b"1," * CAP + b"1]", cap=CAP)
    assert refused.value.code == "too-large"
    with pytest.raises(InvalidInput) as refused:
        parse_strict(b"[" + b"1," * 1_000_001 + b"1]", cap=10_000_000)
    assert refused.value.code == "bad-json"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=4),
    max_leaves=20,
)


@given(values)
def test_ordinary_json_is_read_as_it_is(value: object) -> None:
    """What the standard library writes is read back the same."""
    data = json.dumps(value).encode()
    assert parse_strict(data, cap=CAP) == value


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_a_coded_error(data: bytes) -> None:
    """No input makes the parser fail in another way."""
    try:
        parse_strict(data, cap=CAP)
    except InvalidInput as error:
        assert error.code in {"bad-json", "too-large"}


class Sample(Document, kw_only=True):
    """A document of the tests."""

    type: Literal["sample"] = "sample"
    format: Literal[1] = 1
    some_name: int = 0


def test_documents_are_closed_and_say_what_they_are() -> None:
    """Unknown fields, missing or wrong type and format are refused; names are camelCase."""
    assert decode(b'{"type":"sample","format":1,"someName":3}', Sample, cap=CAP).some_name == 3
    for bad in (
        {"type": "sample", "format": 1, "other": 1},
        {"type": "sample", "someName": 1},
        {"format": 1},
        {"type": "other", "format": 1},
        {"type": "sample", "format": 2},
    ):
        with pytest.raises(InvalidInput) as refused:
            convert(bad, Sample)
        assert refused.value.code == "bad-document"


def test_encoding_is_one_to_one() -> None:
    """The same value is always the same bytes."""
    assert encode({"b": 1, "a": [2]}) == encode({"a": [2], "b": 1}) == b'{"a":[2],"b":1}'


@given(st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)))
def test_instants_go_round(moment) -> None:
    """A time is written in UTC with whole seconds and read back."""
    moment = moment.replace(microsecond=0)
    assert parse_instant(instant(moment)) == moment


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00+00:00", "now", ""])
def test_other_forms_of_time_are_refused(text: str) -> None:
    """There is one form of time."""
    with pytest.raises(InvalidInput) as refused:
        parse_instant(text)
    assert refused.value.code == "bad-time"


def test_a_type_is_prepared_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that meet a new type at once prepare it in turn; a known type keeps nobody waiting."""
    inside = threading.Semaphore(1)
    together = threading.Barrier(8)
    overlapped: list[type] = []
    real = msgspec.convert

    def watched(value: Any, type_: type) -> Any:
        if not inside.acquire(blocking=False):
            overlapped.append(type_)
            return real(value, type_)
        try:
            sleep(0.01)
            return real(value, type_)
        finally:
            inside.release()

    class Fresh(Document):
        number: int

    def ask(_: int) -> int:
        together.wait()
        return shaped({"number": 7}, Fresh).number

    monkeypatch.setattr(msgspec, "convert", watched)
    with ThreadPoolExecutor(8) as threads:
        first = list(threads.map(ask, range(8)))
    prepared_together = list(overlapped)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(8)))

    assert first == [7] * 8
    assert prepared_together == []
    assert overlapped != []
