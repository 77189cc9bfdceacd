"""Kind `tree`: releases as read-only directories of an own store, several side by side.

    store/<package>/<hex>/tree/…      the files, read-only
    store/<package>/<hex>/manifest    names, modes, digests and link targets, as staged
    store/<package>/<hex>.staging     half-done, never looked at
    store/<package>/<hex>.removing    going away

Everything is written through descriptors below a fresh directory that only the agent can
enter, links last, so that no name of a payload and no local user can lead a write elsewhere
(attack 43, T5). A release counts as staged once its directory has its final name: by then
all of it is on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

from allod.agent.files import (
    names_in,
    need_space,
    no_space,
    open_directory,
    remove_tree,
    replace_tree,
    settle_tree,
)
from allod.agent.installers import manifest
from allod.agent.installers.archive import Entry, Form, LayerReader, refuse
from allod.agent.installers.layout import Layout
from allod.agent.ports import Measurement
from allod.domain.ids import Digest, Purl, file_name
from allod.domain.release import Layer, Release
from allod.durable import make_directory, sync_directory
from allod.errors import InvalidInput

LAYER: Final = "application/vnd.allod.release.tree.v1.tar+gzip"
FILE_MODE: Final = 0o444
PROGRAM_MODE: Final = 0o555
DIRECTORY_MODE: Final = 0o555
OPEN_MODE: Final = 0o755

_MANIFEST: Final = "manifest"
_TREE: Final = "tree"
_STAGING: Final = ".staging"
_REMOVING: Final = ".removing"
_HEX: Final = 64


_MISSING: Final = Measurement(ok=False, digest=manifest.tree_digest(b""), changed=(".",))


class TreeInstaller:
    """The installer of kind `tree` (port `Installer`).

    Args:
        store: its directory, entered by nobody else; made if missing.
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    def _home(self, package: Purl) -> Path:
        return self._store / file_name(package)

    def _place(self, package: Purl, digest: Digest) -> Path:
        return self._home(package) / digest.removeprefix("sha256:")

    def directory(self, package: Purl, digest: Digest) -> Path:
        """Where the release's files stand once it is staged."""
        return self._place(package, digest) / _TREE

    def staged(self, package: Purl) -> frozenset[Digest]:
        """The releases that are staged whole."""
        names = names_in(self._home(package))
        return frozenset(Digest(f"sha256:{name}") for name in names if len(name) == _HEX)

    def stage(
        self, package: Purl, digest: Digest, release: Release, layers: Mapping[Layer, BinaryIO]
    ) -> None:
        """Unpack beside what runs, verify, make durable, then give it its name.

        A release that is there and whole is left alone; one that was damaged is replaced in
        one step, so that this also heals.

        Raises:
            InvalidInput: `bad-payload`, `bad-kind`.
            Unavailable: `no-space`.
        """
        if any(layer.media_type != LAYER for layer in release.layers):
            raise InvalidInput(
                "bad-kind", f"cannot stage {package}: its layers are not all of type {LAYER}"
            )
        place = self._place(package, digest)
        staging = place.with_name(place.name + _STAGING)
        aside = place.with_name(place.name + _REMOVING)
        make_directory(place.parent, mode=OPEN_MODE)
        settle_tree(place, aside)
        remove_tree(staging)
        if place.exists() and self.measure(package, digest).ok:
            return
        need_space(place.parent, release.installed_size)
        try:
            staging.mkdir(mode=0o700)
            _Unpacking(staging, digest, release).run(layers)
            replace_tree(staging, place, aside)
        except BaseException as error:
            with contextlib.suppress(OSError):
                remove_tree(staging)
            failure = no_space(error) if isinstance(error, OSError) else None
            if failure is not None:
                raise failure from error
            raise

    def measure(self, package: Purl, digest: Digest) -> Measurement:
        """Read everything again; what is missing altogether is reported, not raised."""
        try:
            home = open_directory(self._place(package, digest))
        except OSError:
            return _MISSING
        try:
            return self._measure(home, digest)
        finally:
            os.close(home)

    @staticmethod
    def _measure(home: int, digest: Digest) -> Measurement:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(_MANIFEST, flags, dir_fd=home), "rb") as file:
                recorded = file.read()
        except OSError:
            recorded = b""
        try:
            root = os.open(_TREE, flags | os.O_DIRECTORY, dir_fd=home)
        except OSError:
            return _MISSING
        try:
            found = manifest.measure(root, recorded, digest)
            with os.scandir(home) as entries:
                strange = sorted({entry.name for entry in entries} - {_MANIFEST, _TREE})
            if os.fstat(root).st_mode & 0o7777 != DIRECTORY_MODE:
                strange.insert(0, ".")
        finally:
            os.close(root)
        if strange:
            changed = (*strange, *found.changed)[: manifest.MAX_CHANGED]
            return Measurement(ok=False, digest=found.digest, changed=changed)
        return found

    def unstage(self, package: Purl, digest: Digest) -> None:
        """Take its name away first, then remove it; doing it again finishes what was begun."""
        place = self._place(package, digest)
        aside = place.with_name(place.name + _REMOVING)
        remove_tree(place.with_name(place.name + _STAGING))
        if place.exists():
            remove_tree(aside)
            place.rename(aside)
            sync_directory(place.parent)
        remove_tree(aside)


class _Unpacking:
    """One release on its way into its staging directory."""

    def __init__(self, staging: Path, digest: Digest, release: Release) -> None:
        self._staging = staging
        self._digest = digest
        self._release = release
        self._layout = Layout(release.installed_size)
        self._lines: dict[str, manifest.Line] = {}
        self._root = -1

    def run(self, layers: Mapping[Layer, BinaryIO]) -> None:
        """Unpack all layers, then links, then modes and manifest; all of it synced."""
        tree = self._staging / _TREE
        tree.mkdir(mode=0o700)
        self._root = open_directory(tree)
        try:
            for layer in self._release.layers:
                source = layers.get(layer)
                if source is None:
                    raise RuntimeError(f"layer {layer.digest} was not handed in")
                self._unpack(layer, source)
            self._layout.check_links()
            self._link()
            self._close_directories()
        except FileExistsError as error:
            refuse(f"the disk takes two of its names for one ({error.filename})")
        finally:
            os.close(self._root)
        self._write_manifest()
        self._staging.chmod(OPEN_MODE)  # closed until now; services read it from here on
        sync_directory(self._staging)

    def _unpack(self, layer: Layer, source: BinaryIO) -> None:
        reader = LayerReader(layer, source)
        known: tuple[str, ...] = ()
        parent = os.dup(self._root)
        try:
            for entry in reader:
                path = self._layout.add(entry)
                if path is None or not path or entry.form is Form.LINK:
                    continue
                if path[:-1] != known:
                    os.close(parent)
                    parent = -1
                    parent = self._enter(path[:-1])
                    known = path[:-1]
                if entry.form is Form.DIRECTORY:
                    os.mkdir(path[-1], 0o700, dir_fd=parent)
                else:
                    self._write(parent, path, entry, reader)
        finally:
            if parent >= 0:
                os.close(parent)

    def _enter(self, path: tuple[str, ...]) -> int:
        """A descriptor of the directory `path`, made if missing, reached without any link."""
        fd = os.dup(self._root)
        try:
            for part in path:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=fd)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                inner = os.open(part, flags, dir_fd=fd)
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _write(self, parent: int, path: tuple[str, ...], entry: Entry, reader: LayerReader) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path[-1], flags, 0o600, dir_fd=parent)
        hashing = hashlib.sha256()
        try:
            for piece in reader.content():
                hashing.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
            mode = PROGRAM_MODE if entry.mode & 0o111 else FILE_MODE
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
        self._lines["/".join(path)] = manifest.Line(mode, hashing.hexdigest())

    def _link(self) -> None:
        """Links come last: until here no name in the tree leads anywhere."""
        for path, target in self._layout.links.items():
            parent = self._enter(path[:-1])
            try:
                os.symlink(target, path[-1], dir_fd=parent)
            finally:
                os.close(parent)
            self._lines["/".join(path)] = manifest.Line(0o777, manifest.link_line(target))

    def _close_directories(self) -> None:
        """Give directories their mode and sync them, the deepest first."""
        directories = [path for path, form in self._layout.forms.items() if form is Form.DIRECTORY]
        for path in sorted(directories, key=len, reverse=True):
            fd = self._enter(path)
            try:
                os.fchmod(fd, DIRECTORY_MODE)
                os.fsync(fd)
            finally:
                os.close(fd)
            if path:
                self._lines["/".join(path)] = manifest.Line(DIRECTORY_MODE, "dir")

    def _write_manifest(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._staging / _MANIFEST, flags, 0o400)
        try:
            data = memoryview(manifest.encode(self._digest, self._lines))
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)
