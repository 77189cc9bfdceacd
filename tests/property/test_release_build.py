"""Building is a function of the content: for any tree, deterministic, and undone by unpacking."""

from __future__ import annotations

import io
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from allod.agent.installers.tree import TreeInstaller
from allod.domain.ids import ProviderName, Purl, Version
from allod.domain.release import Kind, Layer, Release
from allod.errors import InvalidInput
from allod.packaging.archive import Archive, unpack, write_archive
from allod.packaging.description import write_description
from allod.wire.oci import TREE_LAYER

NAME = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf"], exclude_characters="/\\\x7f"),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 60)
#: A file is its content and whether it may be run; a directory is a dict.
NODE: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.binary(max_size=2000), st.booleans()),
    lambda inner: st.dictionaries(NAME, inner, max_size=4),
    max_leaves=12,
)
TREE = st.dictionaries(NAME, NODE, max_size=5)


def write(tree: dict[str, Any], root: Path, order: bool, stamp: int) -> None:
    """Write a tree to disk, in one order of creation or the other."""
    root.mkdir()
    for name in sorted(tree, reverse=order):
        node, path = tree[name], root / name
        if isinstance(node, dict):
            write(node, path, order, stamp)
        else:
            path.write_bytes(node[0])
            path.chmod((0o755 if node[1] else 0o644) if order else (0o711 if node[1] else 0o600))
        os.utime(path, (stamp, stamp))


def read(root: Path) -> dict[str, Any]:
    """What is on disk, as a tree."""
    return {
        path.name: read(path)
        if path.is_dir()
        else (path.read_bytes(), os.access(path, os.X_OK) and bool(path.stat().st_mode & 0o100))
        for path in root.iterdir()
    }


def kept(tree: dict[str, Any], top: bool = True) -> dict[str, Any]:
    """The part of a tree that no built-in rule leaves out."""
    always = {".allod", "allod.toml", ".allodignore"} if top else set()
    out = {}
    for name, node in tree.items():
        directory = isinstance(node, dict)
        left_out = (
            name.endswith(".pyc")
            or name == ".DS_Store"
            or (
                directory
                and name in {".git", ".hg", ".svn", "__pycache__", ".allod"}
                and (top or name != ".allod")
            )
        )
        if not left_out and not (name in always and (name != ".allod" or directory)):
            out[name] = kept(node, top=False) if directory else node
    return out


@given(TREE, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_same_tree_is_the_same_bytes_and_comes_back(tree: dict[str, Any], stamp: int) -> None:
    """For any tree: two copies made differently pack to the same bytes, and unpack to the tree.

    What is packed, a device takes: the agent's own installer stages the same tree from it.
    """
    with tempfile.TemporaryDirectory() as temporary:
        places = [Path(temporary) / name for name in ("a", "b")]
        made = []
        for place, order in zip(places, (False, True), strict=True):
            write(tree, place, order, stamp + order)
            out = io.BytesIO()
            try:
                made.append((write_archive(place, out), out.getvalue()))
            except InvalidInput as error:
                if "only by case" not in error.message:
                    raise
                return
        assert made[0] == made[1]
        archive, data = made[0]
        back = Path(temporary) / "back"
        back.mkdir()
        unpack(io.BytesIO(data), back)
        assert read(back) == kept(tree)
        assert read(staged(archive, data, Path(temporary) / "store")) == kept(tree)


def staged(archive: Archive, data: bytes, store: Path) -> Path:
    """What the installer of a device makes of the archive."""
    layer = Layer(archive.digest, archive.size, TREE_LAYER)
    package, digest = Purl("pkg:generic/me/app"), archive.digest
    release = Release(
        package,
        Version("1"),
        ProviderName("me"),
        Kind.TREE,
        installed_size=archive.installed_size,
        layers=(layer,),
    )
    installer = TreeInstaller(store)
    installer.stage(package, digest, release, {layer: io.BytesIO(data)})
    return installer.directory(package, digest)


VALUE: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=3
        ),
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8), VALUE, max_size=5
    )
)
@settings(max_examples=150, deadline=None)
def test_any_description_that_is_written_is_read_back(table: dict[str, Any]) -> None:
    """The TOML writer loses and invents nothing."""
    assert tomllib.loads(write_description(table)) == table
