"""`.allodignore`: what of a directory does not belong to the release.

The grammar is the part of gitignore's that people use: blank lines and `#` comments; `*`, `?`,
`[…]` and `**`; a pattern with a slash at its start or within is rooted, any other matches at
every depth; a trailing slash matches directories only; `!` takes back, the last match decides;
nothing below an ignored directory can be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from allod.errors import InvalidInput

FILE: Final = ".allodignore"
CAP: Final = 64 * 1024
MAX_RULES: Final = 1000

#: What is never part of a release unless `.allodignore` takes it back with `!`.
ALWAYS: Final = (
    "/.allod/",
    "/allod.toml",
    "/.allodignore",
    ".git/",
    ".hg/",
    ".svn/",
    "__pycache__/",
    "*.pyc",
    ".DS_Store",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line."""

    form: re.Pattern[str]
    keep: bool
    directories_only: bool


@dataclass(frozen=True, slots=True)
class Ignore:
    """All rules, in order."""

    rules: tuple[Rule, ...]

    def leaves_out(self, path: str, *, directory: bool) -> bool:
        """Whether `path` (relative, with `/`) stays out; ask for its parents first."""
        out = False
        for rule in self.rules:
            if (directory or not rule.directories_only) and rule.form.fullmatch(path):
                out = not rule.keep
        return out


def parse_ignore(text: str = "") -> Ignore:
    """The rules of `.allodignore`, after those that always hold.

    Raises:
        InvalidInput: `bad-ignore`, with the line.
    """
    lines = [*ALWAYS, *text.splitlines()]
    if len(lines) > MAX_RULES:
        raise InvalidInput("bad-ignore", f"cannot use {FILE}: more than {MAX_RULES} lines")
    return Ignore(tuple(_rules(lines)))


def _rules(lines: Sequence[str]) -> list[Rule]:
    rules = []
    for number, line in enumerate(lines, 1 - len(ALWAYS)):
        text = line.rstrip()
        if not text or text.startswith("#"):
            continue
        keep = text.startswith("!")
        text = text.removeprefix("!")
        only = text.endswith("/")
        text = text.rstrip("/")
        if not text:
            raise InvalidInput("bad-ignore", f"cannot use {FILE}: line {number} names nothing")
        rooted = "/" in text
        try:
            form = re.compile(("" if rooted else "(?:.*/)?") + _regex(text.removeprefix("/")))
        except re.error as error:
            raise InvalidInput(
                "bad-ignore", f"cannot use {FILE}: line {number} {line[:80]!r}: {error}"
            ) from error
        rules.append(Rule(form, keep, only))
    return rules


_TOKEN: Final = re.compile(
    r"(?P<deep>(?:^|(?<=/))\*\*/)|(?P<tail>(?<=/)\*\*$)|(?P<star>\*+)|(?P<one>\?)"
    r"|(?P<set>\[!?[^\]/]+\])|(?P<plain>.)",
    re.DOTALL,
)


def _regex(pattern: str) -> str:
    parts = []
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        match token.lastgroup:
            case "deep":
                parts.append("(?:.*/)?")
            case "tail":
                parts.append(".*")
            case "star":
                parts.append("[^/]*")
            case "one":
                parts.append("[^/]")
            case "set":
                inner = text[1:-1].replace("\\", "\\\\")
                parts.append("[^/" + inner[1:] + "]" if inner.startswith("!") else f"[{inner}]")
            case _:
                parts.append(re.escape(text))
    return "".join(parts)
