"""The house keeps its shape: rooms, forbidden imports, and mistakes of our own kind."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "allod"
SERVER_SIDE = {
    "litestar", "granian", "sqlalchemy", "alembic", "structlog",
    "cyclopts", "rich", "httpx2", "segno",
}  # fmt: skip
OWNER_SIDE = {"sigstore", "packaging", "packageurl", "zstandard", "cvss", "sqlite3", "pydantic"}
EVIDENCE = ("allod.advisories", "allod.attestation", "allod.packaging.bill", "allod.wire.sbom")
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}


def all_loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def loaded_by(statement: str) -> set[str]:
    """The same, of each only the first part of its name."""
    return {module.partition(".")[0] for module in all_loaded_by(statement)}


@pytest.mark.parametrize("module", ["allod.agent.main", "allod.agent.worker"])
def test_agent_loads_nothing_of_the_server(module: str) -> None:
    """A device never needs, nor loads, what only a server or an owner's command needs: it holds no
    advisories, reads no SBOM, and takes Sigstore's word from a summary that its owner's side signed.
    """
    loaded = all_loaded_by(f"import {module}")
    assert not {name.partition(".")[0] for name in loaded} & (SERVER_SIDE | OWNER_SIDE)
    assert not [name for name in loaded if name.startswith(EVIDENCE)]


def test_a_command_loads_no_heavy_library_before_it_needs_it() -> None:
    """`allod --help` stays quick: evidence is loaded by the verbs that look at it."""
    program = (
        "import sys; sys.argv = ['allod', '--help']\n"
        "import contextlib, io, allod.program\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    allod.program.main(['--help'])"
    )
    loaded = all_loaded_by(program)
    assert "allod.program" in loaded
    heavy = {"sigstore", "packageurl", "zstandard", "cvss", "pydantic", "litestar", "granian"}
    assert not {name.partition(".")[0] for name in loaded} & heavy
    assert not [name for name in loaded if name.startswith(EVIDENCE)]


SHELL_OF_ADVISORIES = ("store", "intake")  #: rooms of a database and of files
IMPURE = {
    "os", "pathlib", "sqlite3", "subprocess", "tempfile", "shutil", "time", "random", "secrets",
    "socket", "zipfile", "tarfile", "logging",
}  # fmt: skip


def imported(tree: ast.AST) -> set[str]:
    """First parts of the names of what a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def test_matching_is_pure() -> None:
    """What advisories mean is found from values: only the store and the intake touch files."""
    for path in sorted((SOURCE / "advisories").rglob("*.py")):
        if not path.stem.startswith(SHELL_OF_ADVISORIES):
            tree = ast.parse(path.read_text())
            found = imported(tree) & IMPURE
            assert not found, f"{path.relative_to(SOURCE)} imports {found}"
            assert not calls(tree) & {"open", "datetime.now", "date.today"}, path


def test_supervisor_loads_only_the_standard_library() -> None:
    """The process that is always there stays small: no third-party module at all."""
    third_party = {"tuf", "securesystemslib", "cryptography", "msgspec", "urllib3", "jsonschema"}
    assert not loaded_by("import allod.agent.supervisor") & third_party


def test_import_contracts_hold() -> None:
    """import-linter's contracts in pyproject.toml: layers, pure rooms, agent's dependencies."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], capture_output=True, text=True, cwd=SOURCE.parents[1])
    assert done.returncode == 0, done.stdout


def modules() -> list[Path]:
    """Every module that is shipped."""
    return sorted(SOURCE.rglob("*.py"))


def calls(tree: ast.AST) -> set[str]:
    """Dotted names of what a module calls."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("room", ["domain", "trust", "tlog", "wire", "audit", "attestation"])
def test_pure_rooms_have_no_clock_and_no_chance(room: str) -> None:
    """The rules take `now` as a value; they never ask a clock or throw dice."""
    forbidden = ("datetime.now", "datetime.utcnow", "time.time", "random.", "secrets.", "open")
    for path in sorted((SOURCE / room).rglob("*.py")):
        found = {
            name
            for name in calls(ast.parse(path.read_text()))
            if name == "open" or any(name.startswith(bad) for bad in forbidden if bad != "open")
        }
        assert not found, f"{path.relative_to(SOURCE)} calls {found}"


def test_module_names_say_something() -> None:
    """No module is called after nothing in particular."""
    assert not [path for path in modules() if path.stem in VAGUE]


def test_nothing_happens_at_import() -> None:
    """No module reads the environment or a file while it is imported."""
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
                text = ast.unparse(node)
                assert "os.environ" not in text, f"{path.relative_to(SOURCE)}: {text[:80]}"
                assert ".read_text(" not in text, f"{path.relative_to(SOURCE)}: {text[:80]}"


def test_no_shell_is_ever_given_a_string() -> None:
    """Programs are started with lists of arguments only."""
    for path in modules():
        assert "shell=True" not in path.read_text(), path
