"""The kinds of findings: each has its words, and the page on audits says them."""

from __future__ import annotations

import ast
from pathlib import Path

from allod.audit.findings import KEPT, KINDS, SHOWN, Finding, Findings

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "how-to" / "audit.md").read_text(encoding="utf-8")
WRITTEN = {"Finding", "_found", "found", "Trouble"}


def test_the_page_explains_every_kind() -> None:
    """Code, meaning and advice stand in the table, and no other."""
    rows = [f"| `{code}` | {kind.means} | {kind.do} |" for code, kind in KINDS.items()]
    table = PAGE.partition("## Findings")[2].partition("\n## ")[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == rows


def test_every_code_that_is_found_has_a_kind() -> None:
    """No literal code is made up where something is found."""
    codes = set()
    for room in ("audit", "cli/audit"):
        for path in (ROOT / "src" / "allod" / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = ast.unparse(node.func).rpartition(".")[2]
                first = node.args[0]
                if name in WRITTEN and isinstance(first, ast.Constant):
                    codes.add(first.value)
    assert len(codes) > 20
    assert codes <= KINDS.keys()


def test_a_finding_says_what_to_do() -> None:
    """Means and advice come with the code."""
    finding = Finding("withheld", "tuf/2.targets.json", "it is not there")
    assert finding.means == KINDS["withheld"].means
    assert finding.do == KINDS["withheld"].do


def test_who_fills_the_log_fills_no_memory() -> None:
    """Of one code so many are kept, and the rest is a number; other codes have their own room."""
    findings = Findings()
    for index in range(3 * KEPT):
        findings.found("log-entry-ignored", "authority", "junk", index)
    findings.found("withheld", "x", "y" * 5000)
    assert len(findings.all) == KEPT + 2
    assert findings.all[KEPT].says == f"and {2 * KEPT} more of this kind"
    assert len(findings.all[-1].says) == SHOWN
