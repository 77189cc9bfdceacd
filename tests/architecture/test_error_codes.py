"""docs/reference/errors.md explains every stable code that the program can show, and no other."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from allod import errors
from allod.audit.findings import KINDS

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "allod"
PAGE = ROOT / "docs" / "reference" / "errors.md"
BRANCHES = {
    name: value.branch.exit
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.AllodError)
}
ROW = re.compile(
    r'^\| <span id="([^"]+)"></span>`([^`]+)` \| ([^|]*) \| (.+) \| (.+) \|$', re.MULTILINE
)

#: Where a code comes in from elsewhere, so that no literal stands there: file -> why.
COMPUTED = {
    "server/http/admin.py": "the web framework's own refusals, by status: `_CODES`",
    "agent/transport.py": "an answer's status, or the code of the server's problem document",
    "agent/acquire.py": "the statement's own fault, never retried",
    "cli/client.py": "the code of the server's problem document",
    "cli/configure.py": "the fault of the configuration, told with what to do",
    "trust/statements.py": "the fault of what was read",
    "trust/authority_log.py": "the fault of what was read",
    "trust/metadata.py": "the fault of what was read",
    "tlog/lines.py": "the caller names the format that is read",
    "domain/ids.py": "the caller names the kind of identity",
    "trust/policy.py": "what of the owner's policy is not met, or the fault of what came nearest",
    "server/services/vetting.py": "what of the owner's policy is not met, told with the document",
    "attestation/collected.py": "the fault of the attestation that came furthest",
}
#: Codes that reach `AllodError` through a table or a parameter.
THROUGH_TABLES = {
    "bad-request": (2,), "not-admitted": (6,), "bad-device": (2,), "bad-provider": (2,),
    "bad-version": (2,), "no-provenance": (5,), "no-attestation": (5,),
    "no-summary": (5,), "summary-failed": (5,),
}  # fmt: skip


@cache
def trees() -> dict[str, ast.Module]:
    """Every shipped module."""
    return {
        str(path.relative_to(SOURCE)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
        if "testing" not in path.parts
    }


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File, name and node of every call."""
    for where, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield where, ast.unparse(node.func).rpartition(".")[2], node


def literals(value: ast.expr | None) -> set[str]:
    """The codes that an expression can be, if it says so: a literal, or a choice of two."""
    if isinstance(value, ast.IfExp):
        return literals(value.body) | literals(value.orelse)
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return {value.value}
    return set()


def raised() -> tuple[dict[str, set[int]], set[str]]:
    """Code -> exit statuses under which it is raised; and files with a code that is no literal."""
    own = {
        node.name: BRANCHES[ast.unparse(base).rpartition(".")[2]]
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).rpartition(".")[2] in BRANCHES
    }
    found: dict[str, set[int]] = defaultdict(set)
    computed: set[str] = set()
    for where, name, node in calls():
        if name not in own | BRANCHES or not node.args:
            continue
        said = literals(node.args[0])
        for code in said:
            found[code].add((own | BRANCHES)[name])
        if not said:
            computed.add(where)
    return found, computed


def reported() -> set[str]:
    """Codes of refusals and alarms that stand in reports, or in the server's list of alarms."""
    found: set[str] = set()
    for where, name, node in calls():
        named = next((word.value for word in node.keywords if word.arg == "code"), None)
        if name in {"Alarm", "Refusal"}:
            found |= literals(named)
        elif name in {"alarm", "_alarm", "Finding", "Unresolved"} and node.args:
            found |= literals(node.args[0])
        elif name == "Remark" and where in {"cli/members.py", "cli/seen.py", "cli/status.py"}:
            found |= literals(node.args[0])  # what the owner's command finds itself
        elif name in {"AlarmRaised", "_raise"} and len(node.args) > 1:
            found |= literals(node.args[1])
        elif name == "said" and where.startswith("attestation/"):
            found |= literals(named)  # of a step, without raising it
        elif name == "_stopped" and where == "attestation/sigstore.py":
            found |= literals(node.args[3])
        elif name == "_refuses" and where == "domain/terms.py":
            found |= literals(node.args[1])  # what devices say of a change that terms forbid
        elif name == "add" and where == "agent/engine_report.py":
            found |= literals(node.args[0])  # constraints on the owner
    for where in ("domain/judgement.py", "agent/engine_report.py"):
        for node in ast.walk(trees()[where]):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2:
                found |= literals(node.elts[0])
    found |= KINDS.keys()  # what an audit finds, whatever function says it
    return {code for code in found if re.fullmatch(r"[a-z]+(-[a-z]+)*", code)}


def documented() -> dict[str, str]:
    """Code -> what the page says of its exit status."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({code for code, *_ in rows}) == len(rows), "a code stands twice"
    assert all(anchor == code for anchor, code, *_ in rows)
    return {code: statuses for _, code, statuses, *_ in rows}


def test_every_code_is_explained_and_every_explained_code_exists() -> None:
    """A user who looks a code up finds it; nobody reads of what can't happen."""
    known = set(raised()[0]) | set(THROUGH_TABLES) | reported()
    assert sorted(known - documented().keys()) == []
    assert sorted(documented().keys() - known) == []


def test_the_page_names_the_exit_statuses_of_each_code() -> None:
    """A script can rely on the page: a code's statuses are those of the branches that raise it."""
    found = raised()[0] | {code: set(statuses) for code, statuses in THROUGH_TABLES.items()}
    said = documented()
    wrong = {
        code: sorted(statuses)
        for code, statuses in found.items()
        if said.get(code) != ", ".join(map(str, sorted(statuses)))
    }
    assert wrong == {}


def test_codes_have_one_form() -> None:
    """Lower-case words and hyphens: good in a URL's fragment, a log and a script."""
    assert [c for c in raised()[0] if not re.fullmatch(r"[a-z]+(-[a-z]+)*", c)] == []


def test_codes_that_are_no_literals_are_listed() -> None:
    """Whoever adds a computed code has to say here where it comes from."""
    assert raised()[1] == set(COMPUTED)


def test_the_page_of_an_error_is_its_anchor() -> None:
    """`AllodError.page` leads to the very row."""
    error = errors.Conflict("out-of-date", "cannot publish")
    page, _, anchor = error.page.partition("#")
    assert page == "reference/errors.html"
    assert anchor in documented()
