"""Every call to the filesystem of store, blobs, snapshots and configurations fails once.

As EIO and as ENOSPC before it takes effect, and as a kill before and after it: from then on no
call works, so that no clean-up helps. Then the work is done again. Always: what is there is the
old or the new, whole; the next attempt succeeds; nothing is left over.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from allod.agent.engine_ports import Sheet
from allod.agent.installers.tree import TreeInstaller
from allod.agent.rendering import FileRenderer
from allod.agent.secrets import SecretStore
from allod.agent.snapshots import DataSnapshots
from allod.agent.transfer import Blobs
from allod.domain.ids import sha256
from allod.domain.release import ConfigurationSpec
from allod.errors import AllodError
from allod.testing.payloads import PACKAGE, Item, MemoryTransport, directory, link, payload

CALLS = (
    "open", "write", "fsync", "mkdir", "symlink", "rename", "replace", "fchmod", "chmod",
    "unlink", "rmdir", "utime", "chown", "sendfile",
)  # fmt: skip
FAULTS = ("eio", "enospc", "kill before", "kill after")


class Killed(BaseException):
    """The power is gone."""


@contextmanager
def faulty(patch: pytest.MonkeyPatch, number: int, fault: str) -> Iterator[list[int]]:
    """Let the n-th call fail; gives a counter of the calls that were made."""
    made, dead = [0], [False]

    def wrap(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*words: Any, **options: Any) -> Any:
            if dead[0]:
                raise Killed
            made[0] += 1
            if made[0] != number:
                return real(*words, **options)
            if fault == "eio":
                raise OSError(errno.EIO, "input/output error")
            if fault == "enospc":
                raise OSError(errno.ENOSPC, "no space")
            if fault == "kill after":
                found = real(*words, **options)
                if name == "open":
                    os.close(found)
            dead[0] = True
            raise Killed

        return call

    with patch.context() as inner:
        for name in CALLS:
            inner.setattr(os, name, wrap(name))
        yield made


class Work(Protocol):
    """Something that is done, may be cut, and is done again."""

    fault: str

    def do(self) -> None:
        """The work."""

    def check(self, *, done: bool) -> None:
        """What must hold after a cut, and when it is done."""


class Staging:
    """A damaged release is replaced beside another that is whole."""

    def __init__(self, room: Path) -> None:
        self.installer = TreeInstaller(room)
        self.home = room / "generic~acme~toaster"
        self.old = payload([Item("x", b"old")])
        self.new = payload(
            [directory("d"), Item("d/a", b"1"), Item("b/c", b"2", 0o755), link("l", "d/a")]
        )
        for one in (self.old, self.new):
            self.installer.stage(PACKAGE, one.digest, one.release, one.open())
        (self.installer.directory(PACKAGE, self.new.digest) / "d").chmod(0o700)

    def do(self) -> None:
        """Stage it again: this heals it."""
        self.installer.stage(PACKAGE, self.new.digest, self.new.release, self.new.open())

    def check(self, *, done: bool) -> None:
        """The other is whole; this one is whole, or still as damaged as it was."""
        assert self.installer.measure(PACKAGE, self.old.digest).ok
        found = self.installer.measure(PACKAGE, self.new.digest)
        assert found.ok or found.changed in {("d",), (".",)}
        if done:
            assert found.ok
            assert sorted(os.listdir(self.home)) == sorted(
                [self.old.digest[7:], self.new.digest[7:]]
            )


class Unstaging(Staging):
    """A release is removed."""

    def do(self) -> None:
        """Remove it."""
        self.installer.unstage(PACKAGE, self.new.digest)

    def check(self, *, done: bool) -> None:
        """The other is whole; what is listed is not half gone."""
        assert self.installer.measure(PACKAGE, self.old.digest).ok
        if self.new.digest in self.installer.staged(PACKAGE):
            assert self.installer.measure(PACKAGE, self.new.digest).changed == ("d",)
        if done:
            assert os.listdir(self.home) == [self.old.digest[7:]]


class Fetching:
    """A blob is transferred."""

    data = os.urandom(700_000)

    def __init__(self, room: Path) -> None:
        self.room = room
        self.blobs = Blobs(room, reserve=0)

    def do(self) -> None:
        """Fetch it."""
        transport = MemoryTransport({"b": self.data})
        self.blobs.fetch(transport, "b", sha256(self.data), len(self.data))

    def check(self, *, done: bool) -> None:
        """It has its name only when it is whole."""
        if done or self.blobs.has(sha256(self.data), len(self.data)):
            assert self.blobs.read(sha256(self.data), cap=len(self.data)) == self.data
        assert self.blobs.names() <= {sha256(self.data)}
        if done:
            assert os.listdir(self.room / "partial") == []


class Restoring:
    """Data are taken back."""

    def __init__(self, room: Path) -> None:
        self.snapshots = DataSnapshots(room / "snapshots", room / "data")
        data = self.snapshots.data(PACKAGE)
        (data / "d").mkdir()
        (data / "d/db").write_bytes(b"old")
        self.snapshots.take(PACKAGE, 1)
        (data / "d/db").write_bytes(b"new")

    def do(self) -> None:
        """Restore."""
        self.snapshots.restore(PACKAGE, 1)

    def check(self, *, done: bool) -> None:
        """The data are the old or the new."""
        data = self.snapshots.data(PACKAGE)
        assert (data / "d/db").read_bytes() in ({b"old"} if done else {b"old", b"new"})
        assert self.snapshots.numbers(PACKAGE) == {1}
        if done:
            assert os.listdir(data.parent) == [data.name]


class Taking(Restoring):
    """A snapshot is taken."""

    def do(self) -> None:
        """Take it."""
        self.snapshots.take(PACKAGE, 2)

    def check(self, *, done: bool) -> None:
        """A snapshot that is listed is whole; the data are as they were."""
        data = self.snapshots.data(PACKAGE)
        assert (data / "d/db").read_bytes() == b"new"
        if done or 2 in self.snapshots.numbers(PACKAGE):
            assert self.snapshots.numbers(PACKAGE) == {1, 2}
            place = data.parents[1] / "snapshots" / data.name
            assert (place / "2/d/db").read_bytes() == b"new"
            if done:
                assert sorted(os.listdir(place)) == ["1", "2"]


class Rendering:
    """A configuration is healed in its place."""

    fault = ""
    spec = ConfigurationSpec({"type": "object"}, file="c.json", local=("/volume",))

    def __init__(self, room: Path) -> None:
        self.place = room / "config"
        self.place.mkdir()
        self.renderer = FileRenderer(dict, SecretStore(room / "secrets"))
        release = payload(configuration=self.spec).release
        self.sheet = Sheet(PACKAGE, release, b'{"a": 1, "volume": 2}', frozenset())
        self.renderer.render(self.sheet, self.place, None)
        (self.place / "c.json").write_text('{"a": 9, "volume": 5}')
        (self.place / "c.json").chmod(0o600)

    def do(self) -> None:
        """Render it again."""
        self.renderer.render(self.sheet, self.place, self.place)

    def check(self, *, done: bool) -> None:
        """The file is always a whole document; what users changed is kept while it can be read."""
        document = json.loads((self.place / "c.json").read_bytes())
        assert document in ({"a": 1, "volume": 5}, {"a": 9, "volume": 5}) or (
            self.fault == "eio" and document == {"a": 1, "volume": 2}
        )
        if done:
            assert document["a"] == 1
            assert self.renderer.measure(self.sheet, self.place).ok
            assert sorted(os.listdir(self.place)) == [".record", "c.json"]


WORKS = [Staging, Unstaging, Fetching, Restoring, Taking, Rendering]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("work", WORKS)
def test_every_filesystem_call_may_fail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: type[Any], fault: str
) -> None:
    """Whichever call it is: old or new, whole, and the next attempt succeeds."""
    number = 0
    while True:
        number += 1
        room = tmp_path / str(number)
        room.mkdir()
        cut: Work = work(room)
        cut.fault = fault
        failed = False
        with faulty(monkeypatch, number, fault) as made:
            try:
                cut.do()
            except (AllodError, OSError, Killed):
                failed = True
        cut.check(done=False)
        cut.do()
        cut.check(done=True)
        if made[0] < number:
            assert not failed
            break
    assert number > 5, "nothing was ever cut"
