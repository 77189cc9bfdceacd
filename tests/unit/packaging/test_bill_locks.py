"""Lock files say what a build takes: all of it, and not what only development needs."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from allod.domain.sbom import SbomComponent
from allod.packaging import bill_locks as locks


def said(found: Iterable[SbomComponent]) -> list[str]:
    return [one.purl or one.name for one in found]


def test_requirements() -> None:
    """Pins count with their version, everything else without one; files that it includes too."""
    files = {
        "requirements.txt": rb"""# comment
waitress==2.1.1 \
    --hash=sha256:c549 \
    --hash=sha256:aa
flask[async] == 3.0 ; python_version > "3"
requests>=2
django==4.*
-r ./more.txt
-c constraints.txt
--index-url https://example.org
-e .
git+https://user:secret@example.org/x.git@main#egg=x
-e https://example.org/y.zip
six @ https://example.org/six-1.16.0-py2.py3-none-any.whl#sha256=aa
https://example.org/py-1.11-py3-none-any.whl
""",
        "more.txt": b"-r requirements.txt\nattrs===24.1\n",
        "constraints.txt": b"no==1\n",
    }
    assert said(locks.read_requirements(files, "requirements.txt")) == [
        "pkg:pypi/waitress@2.1.1",
        "pkg:pypi/flask@3.0",
        "pkg:pypi/requests",
        "pkg:pypi/django",
        "x",
        "y.zip",
        "pkg:pypi/six@1.16.0",
        "pkg:pypi/py@1.11",
        "pkg:pypi/attrs@24.1",
    ]


def test_uv_leaves_out_what_only_development_needs() -> None:
    """From the project's own needs and extras on; its groups are not followed."""
    lock = b"""
[[package]]
name = "app"
version = "1"
source = { editable = "." }
dependencies = [{ name = "a" }]
[package.optional-dependencies]
more = [{ name = "b" }]
[package.dev-dependencies]
dev = [{ name = "pytest" }]

[[package]]
name = "a"
version = "1"
source = { registry = "x" }
dependencies = [{ name = "c", marker = "x" }]

[[package]]
name = "b"
version = "2"
source = { registry = "x" }

[[package]]
name = "c"
version = "3"
source = { registry = "x" }

[[package]]
name = "c"
version = "4"
source = { registry = "x" }

[[package]]
name = "pytest"
version = "8"
source = { registry = "x" }
"""
    assert said(locks.read_uv(lock)) == [
        "pkg:pypi/a@1",
        "pkg:pypi/b@2",
        "pkg:pypi/c@3",
        "pkg:pypi/c@4",
    ]


def test_poetry_and_pipenv() -> None:
    """Groups and categories, where the file tells them; the default group of Pipenv."""
    lock = b"""
[[package]]
name = "a"
version = "1"
[[package]]
name = "b"
version = "1"
groups = ["main", "dev"]
[[package]]
name = "c"
version = "1"
groups = ["dev"]
[[package]]
name = "d"
version = "1"
category = "dev"
"""
    assert said(locks.read_poetry(lock)) == ["pkg:pypi/a@1", "pkg:pypi/b@1"]
    pipenv = {"default": {"A_b": {"version": "==1"}, "c": {"git": "x"}}, "develop": {"d": {}}}
    assert said(locks.read_pipfile(json.dumps(pipenv).encode())) == [
        "pkg:pypi/a-b@1",
        "pkg:pypi/c",
    ]


def test_cargo_leaves_out_own_crates() -> None:
    """A crate without a source is the project's own."""
    lock = b'version = 3\n[[package]]\nname = "own"\nversion = "1"\n[[package]]\nname = "serde"\nversion = "1.0"\nsource = "registry+x"\n'
    assert said(locks.read_cargo(lock)) == ["pkg:cargo/serde@1.0"]


def test_npm_in_all_its_versions() -> None:
    """Nested packages and scopes, without development's and links."""
    new = {
        "packages": {
            "": {"name": "app", "version": "1"},
            "node_modules/@s/a": {"version": "1"},
            "node_modules/b": {"version": "2", "dev": True},
            "node_modules/c": {"link": True, "resolved": "c"},
            "node_modules/d/node_modules/e": {"version": "3"},
            "node_modules/alias": {"name": "real", "version": "4"},
            "lib/own": {"version": "1"},
        }
    }
    assert said(locks.read_npm(json.dumps(new).encode())) == [
        "pkg:npm/%40s/a@1",
        "pkg:npm/e@3",
        "pkg:npm/real@4",
    ]
    old = {
        "dependencies": {
            "a": {"version": "1", "dependencies": {"b": {"version": "2"}}},
            "c": {"version": "3", "dev": True},
        }
    }
    assert said(locks.read_npm(json.dumps(old).encode())) == ["pkg:npm/a@1", "pkg:npm/b@2"]


def test_go() -> None:
    """go.mod since 1.17, with what replaces a module; before that, what go.sum has content of."""
    module = b"""module example.org/x
go 1.21
require github.com/a/b v1.2.3
require (
    golang.org/x/net v0.1.0 // indirect
    example.org/own v0.0.0
    example.org/old v1.0.0
)
replace example.org/own => ../own
replace example.org/old v1.0.0 => example.org/new v2.0.0
"""
    sums = b"github.com/z/z v1.0.0 h1:aa=\ngithub.com/z/z v1.0.0/go.mod h1:bb=\n"
    assert said(locks.read_go({"go.mod": module, "go.sum": sums})) == [
        "pkg:golang/github.com/a/b@v1.2.3",
        "pkg:golang/golang.org/x/net@v0.1.0",
        "pkg:golang/example.org/new@v2.0.0",
    ]
    old = module.replace(b"go 1.21", b"go 1.16")
    for files in ({"go.mod": old, "go.sum": sums}, {"go.sum": sums}):
        assert said(locks.read_go(files)) == ["pkg:golang/github.com/z/z@v1.0.0"]


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (locks.read_uv, b"package = 1"),
        (locks.read_uv, b'[[package]]\nname = 1\nversion = "1"\nsource = {registry = "x"}'),
        (locks.read_poetry, b"\xff"),
        (locks.read_cargo, b"a" + b"[" * 5000),
        (locks.read_npm, b"[]"),
        (locks.read_npm, b'{"dependencies": {"a": {"version": 1}}}'),
        (locks.read_pipfile, b'{"default": {"a": {"version": []}}}'),
        (locks.read_pipfile, b"{" * 100),
    ],
)
def test_a_bad_lock_is_an_error_in_words(read, data) -> None:  # type: ignore[no-untyped-def]
    """Whoever asked gets a reason, nothing else."""
    with pytest.raises((ValueError, TypeError)):
        list(read(data))
