"""The fuzz frame: it tells a refusal from a crash, and it changes inputs the same way twice."""

from __future__ import annotations

import ast
import json
from itertools import islice

import pytest
from fuzz.frame import HERE, inputs, judge, names, seeds_of, target_of
from fuzz.run import run

from allod.errors import InvalidInput

CORPUS_CAP = 100_000


def refuses(data: bytes) -> None:
    raise InvalidInput("bad-json", "cannot read this")


def mumbles(data: bytes) -> None:
    raise InvalidInput("bad-json", "this is wrong")


def quotes(data: bytes) -> None:
    raise InvalidInput("bad-json", "cannot read \ud800")


def falls(data: bytes) -> None:
    raise KeyError("x")


def sinks(data: bytes) -> None:
    sinks(data)


@pytest.mark.parametrize("broken", [mumbles, quotes, falls, sinks])
def test_whatever_is_no_named_refusal_is_a_crash(broken: object) -> None:
    """Foreign exceptions, endless recursion, refusals without words: all are found."""
    assert judge(refuses, b"x") is None
    assert judge(broken, b"x") is not None


def test_same_seed_same_inputs() -> None:
    """A crash that was found once is found again; another seed gives other inputs."""
    seeds = [b'{"a": [1, {"b": "x"}]}', b""]
    first = list(islice(inputs(seeds, 7), 300))
    assert first == list(islice(inputs(seeds, 7), 300))
    assert first[:2] == seeds
    assert len(set(first)) > 150
    assert first != list(islice(inputs(seeds, 8), 300))
    assert any(isinstance(said(data), dict) for data in first[2:]), "structure is kept, at times"


def said(data: bytes) -> object:
    """What an input says, if it is JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def deep_type(data: bytes) -> None:
    document = said(data)
    if isinstance(document, dict) and isinstance(document.get("a"), dict):
        document["a"]["b"].upper()


def lone_surrogate(data: bytes) -> None:
    document = said(data)
    json.dumps(document, ensure_ascii=False).encode()


def recursion(data: bytes) -> None:
    json.loads(data.decode("latin-1")[: data.find(b"\0")]) if b"[[[[" in data else None


def twice(data: bytes) -> None:
    document = said(data)
    if isinstance(document, dict) and isinstance(document.get("c"), list):
        assert len(document["c"]) < 50


def no_utf8(data: bytes) -> None:
    if data.startswith(b"{"):
        data.decode()


@pytest.mark.parametrize("planted", [deep_type, lone_surrogate, recursion, twice, no_utf8])
def test_planted_bugs_are_found(planted: object) -> None:
    """Mistakes that parsers make: a type that is trusted, half a character, a nesting that is
    followed, a list that is believed short, bytes that are taken for text.
    """
    seeds = [b'{"a": {"b": "x"}, "c": [1, 2], "d": "text"}', b""]
    assert any(judge(planted, data) for data in islice(inputs(seeds, 3), 3000))


@pytest.mark.parametrize("name", names())
def test_targets_are_complete(name: str) -> None:
    """Each module has its function, and seeds that stay small."""
    tree = ast.parse((HERE / "targets" / f"{name}.py").read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert "target" in functions
    seeds = seeds_of(name)
    assert len(seeds) > 1, f"fuzz/corpus/{name}/ is empty"
    assert sum(map(len, seeds)) <= CORPUS_CAP


@pytest.mark.parametrize("name", names())
@pytest.mark.slow
def test_parsers_answer_or_refuse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Thousands of mutations of good inputs: each is read, or refused with a reason."""
    target_of(name)
    crashes = run(name, times=4000, seconds=8, seed=20_260_123)
    assert not crashes, crashes[0].why + repr(crashes[0].data[:2000])
    assert " 0 crashes" in capsys.readouterr().out
