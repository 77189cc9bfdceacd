"""The reference pages name every verb, option and setting, and no option that does not exist."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from cyclopts import App

from allod import program
from allod.agent.main import parser
from allod.agent.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference"
ALLOD = (REFERENCE / "allod.md").read_text(encoding="utf-8")
AGENT = (REFERENCE / "allod-agent.md").read_text(encoding="utf-8")
SETTINGS = (REFERENCE / "agent-settings.md").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
ALWAYS = {"--help", "--version", "-h", "--json"}


def walk(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every verb that can be called, with its words."""
    names = [name for name in app if not name.startswith("-")]
    for name in names:
        yield from walk(app[name], (*path, name))
    if not names and path:
        yield path, app


def verbs() -> dict[tuple[str, ...], set[str]]:
    """Words of a verb of `allod` -> its options."""
    return {
        path: {
            name
            for argument in app.assemble_argument_collection()
            for name in argument.names
            if name.startswith("-") and not name.startswith(("--empty-", "--no-install"))
        }
        for path, app in walk(program.build())
    }


def by_place() -> dict[tuple[str, ...], set[str]]:
    """Words of a verb -> what people give by place; cyclopts takes it by name too."""
    return {
        path: {
            name
            for argument in app.assemble_argument_collection()
            if argument.field_info.is_positional
            for name in argument.names
        }
        for path, app in walk(program.build())
    }


VERBS = verbs()
BY_PLACE = by_place()


@pytest.mark.parametrize("verb", sorted(VERBS), ids=" ".join)
def test_every_verb_and_option_of_allod_is_in_its_reference(verb: tuple[str, ...]) -> None:
    """What `--help` knows, the page explains; a word alone that is also positional may lack its form."""
    assert re.search(rf"`[^`\n]*\b{re.escape(verb[-1])}\b", ALLOD), verb
    missing = {name for name in VERBS[verb] - BY_PLACE[verb] if name not in ALLOD}
    assert missing == set()


def test_the_reference_names_no_option_that_does_not_exist() -> None:
    """Nobody types what the page made up."""
    known = set().union(*VERBS.values()) | ALWAYS
    assert set(OPTION.findall(ALLOD)) - known == set()


def agent_options() -> tuple[set[str], set[str]]:
    """The verbs and the options of `allod-agent`."""
    verbs: set[str] = set()
    options: set[str] = set()
    waiting = [parser()]
    while waiting:
        for action in waiting.pop()._actions:
            options |= {name for name in action.option_strings if name.startswith("--")}
            if isinstance(action, argparse._SubParsersAction):
                verbs |= set(action.choices)
                waiting += action.choices.values()
    return verbs, options


def test_the_agents_reference_is_whole() -> None:
    """Verbs and options of `allod-agent`, there and no others."""
    verbs, options = agent_options()
    assert [verb for verb in verbs if not re.search(rf"`[^`\n]*\b{verb}\b", AGENT)] == []
    assert set(OPTION.findall(AGENT)) == options


def test_every_setting_is_explained_with_its_default() -> None:
    """A row for each field of agent.json, and the default that the program has."""
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", SETTINGS, re.MULTILINE))
    assert rows.keys() == {one.name for one in fields(Settings)}
    for one in fields(Settings):
        said = rows[one.name].strip().replace(",", "")
        if one.default is not MISSING and isinstance(one.default, int | float):
            shown = (
                str(one.default).lower() if isinstance(one.default, bool) else f"{one.default:g}"
            )
            if isinstance(one.default, int) and not isinstance(one.default, bool):
                shown = str(one.default)
            assert said == shown, one.name


def commands() -> Iterator[tuple[str, str]]:
    """Page and command of every `allod` call that the documentation shows."""
    for path in sorted(DOCS.rglob("*.md")):
        if "_build" in path.parts:
            continue
        for block in CONSOLE.findall(path.read_text(encoding="utf-8")):
            joined = block.replace("\\\n", " ")
            for call in re.findall(
                r"^\w*[$#] (?:sudo )?(allod(?:-agent)? .*)$", joined, re.MULTILINE
            ):
                yield path.relative_to(DOCS).as_posix(), call


COMMANDS = list(commands())


@pytest.mark.parametrize(("page", "call"), COMMANDS, ids=[call[:60] for _, call in COMMANDS])
def test_every_command_of_the_documentation_has_words_that_exist(page: str, call: str) -> None:
    """How-tos go stale first: each verb and option that they show is one of the program's."""
    command = re.sub(r'"[^"]*"', "TEXT", re.split(r" (?:\|\||[>&|]|-- |#)", call)[0])
    words = command.split()
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    if words[0] == "allod-agent":
        known_verbs, known = agent_options()
        assert words[1] in known_verbs, page
        assert options <= known, page
        return
    verb = next(
        (path for path in VERBS if tuple(words[1 : 1 + len(path)]) == path),
        None,
    )
    assert verb is not None, f"{page}: {call}"
    assert options <= VERBS[verb] | ALWAYS, page


def test_every_attack_that_the_guarantees_name_is_tested() -> None:
    """A promise names the attack numbers that back it, and each of them has a test."""
    page = (DOCS / "explanation" / "guarantees.md").read_text(encoding="utf-8")
    named = {
        int(number)
        for cell in re.findall(r"\| ([0-9, ]+) \|$", page, re.MULTILINE)
        for number in cell.split(",")
    }
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (DOCS.parent / "tests").rglob("test_*.py")
    )
    known = {int(number) for number in re.findall(r"def test_attack_(\d+)_", tests)}
    assert named
    assert named <= known
