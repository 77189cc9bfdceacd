"""The installer and the archives that it is given: what we pack it takes, what is broken it refuses."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from allod.agent.installers.archive import LayerReader
from allod.agent.installers.tree import TreeInstaller
from allod.domain.ids import sha256
from allod.domain.release import Layer
from allod.errors import InvalidInput
from allod.packaging.archive import write_archive
from allod.testing.payloads import PACKAGE, Item, archive, directory, link, payload
from allod.wire.oci import TREE_LAYER

GOOD = archive([directory("d"), Item("d/a", b"x" * 700), link("l", "d/a"), Item("n" * 150, b"1")])


def read(data: bytes) -> list[str]:
    """The names of a layer whose digest is right, all content read."""
    reader = LayerReader(Layer(sha256(data), len(data), TREE_LAYER), io.BytesIO(data))
    names = []
    for entry in reader:
        names.append(entry.name)
        for _ in reader.content():
            pass
    return names


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_a_changed_archive_is_read_or_refused_and_nothing_else(
    changes: list[tuple[int, int]],
) -> None:
    """Any bytes changed anywhere inside: entries, or bad-payload; never another failure."""
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    try:
        read(gzip.compress(bytes(data), 1))
    except InvalidInput as error:
        assert error.code == "bad-payload"  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000), st.booleans())
def test_garbage_is_refused(data: bytes, packed: bool) -> None:
    """Random bytes, packed or not, are no archive."""
    try:
        assert read(gzip.compress(data) if packed else data) == []
    except InvalidInput as error:
        assert error.code == "bad-payload"  # noqa: PT017


NAMES = st.text("abcXYZ09-_. ü", min_size=1, max_size=40).filter(
    lambda name: name.strip(" .") == name and name not in {"", ".", ".."}
)
TREES = st.recursive(
    st.tuples(st.binary(max_size=2000), st.booleans()),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


def write(place: Path, tree: object) -> None:
    """The tree on the disk."""
    if isinstance(tree, dict):
        place.mkdir(exist_ok=True)
        for name, part in tree.items():
            write(place / name, part)
    else:
        content, runs = tree  # type: ignore[misc]
        place.write_bytes(content)
        place.chmod(0o755 if runs else 0o644)


def content(root: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file below a directory: its bytes, and whether it may run."""
    return {
        str(path.relative_to(root)): (
            path.read_bytes(),
            os.access(path, os.X_OK, follow_symlinks=True) and bool(path.stat().st_mode & 0o111),
        )
        for path in root.rglob("*")
        if path.is_file()
    }


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=4))
def test_what_is_packed_is_what_stands_on_the_device(tree: dict[str, object]) -> None:
    """Any directory that `allod` packs is staged with the same files, or refused for its names."""
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        write(room / "source", tree)
        out = io.BytesIO()
        made = write_archive(room / "source", out)
        packed = payload([], data=out.getvalue(), installed_size=made.installed_size)
        installer = TreeInstaller(room / "store")
        try:
            installer.stage(PACKAGE, packed.digest, packed.release, packed.open())
        except InvalidInput as error:
            assert "differ only by case" in error.message  # noqa: PT017
            return
        staged = installer.directory(PACKAGE, packed.digest)
        assert content(staged) == content(room / "source")
        assert installer.measure(PACKAGE, packed.digest).ok
        installer.unstage(PACKAGE, packed.digest)
