"""The one directory in which a device keeps everything (docs/reference/agent-state.md).

Formats below it only grow: an older agent must be able to read what a newer one wrote, since the
agent goes back like every other package (docs/explanation/architecture.md).
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from allod import durable
from allod.domain.ids import Digest, Purl, file_name
from allod.errors import Conflict, InvalidInput, Unavailable

DEFAULT: Final = Path("/var/lib/allod")

#: Only the agent itself may look inside.
_PRIVATE: Final = (
    "accepted",
    "agent",
    "binding",
    "blobs",
    "consent",
    "floors",
    "grounds",
    "identity",
    "reports",
    "secrets",
    "snapshots",
    "tuf",
)
#: Services run below these, under their own users.
_PUBLIC: Final = ("data", "inhibitors", "packages", "services", "store")


@dataclass(frozen=True, slots=True)
class StateDir:
    """Paths of a state directory that exists. `open_state` is the way in."""

    root: Path

    @property
    def settings_file(self) -> Path:
        """agent.json, written by whoever runs the machine."""
        return self.root / "agent.json"

    @property
    def identity(self) -> Path:
        """The device's own key."""
        return self.root / "identity"

    @property
    def binding(self) -> Path:
        """Who owns the device, and the journal of becoming so."""
        return self.root / "binding"

    @property
    def floors(self) -> Path:
        """What the device never goes below."""
        return self.root / "floors"

    @property
    def tuf(self) -> Path:
        """The cache of metadata."""
        return self.root / "tuf"

    @property
    def accepted(self) -> Path:
        """The last view that was accepted."""
        return self.root / "accepted"

    @property
    def store(self) -> Path:
        """Trees, immutable, by package and manifest digest."""
        return self.root / "store"

    @property
    def services(self) -> Path:
        """What the process service manager keeps."""
        return self.root / "services"

    @property
    def secrets(self) -> Path:
        """Device secrets, one directory a package."""
        return self.root / "secrets"

    @property
    def reports(self) -> Path:
        """Signed reports that are kept and those that wait to be handed in."""
        return self.root / "reports"

    @property
    def inhibitors(self) -> Path:
        """Who asks not to be disturbed."""
        return self.root / "inhibitors"

    @property
    def grounds(self) -> Path:
        """What terms are judged by and has to be remembered (grounds.py)."""
        return self.root / "grounds"

    @property
    def consent(self) -> Path:
        """What somebody at the device is asked, and the answers (supervisor_consent.py)."""
        return self.root / "consent"

    @property
    def agent(self) -> Path:
        """What supervisor and worker tell one another: `wake`, `verified`, `boot` (supervisor.py)."""
        return self.root / "agent"

    @property
    def token(self) -> Path:
        """The read token that the server gave last."""
        return self.root / "token"

    @property
    def lock_file(self) -> Path:
        """Held by the one process that may change anything here."""
        return self.root / "lock"

    def blob(self, digest: Digest) -> Path:
        """A verified blob."""
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def partial(self, digest: Digest) -> Path:
        """What has come so far of a blob in transfer."""
        return self.root / "blobs" / "partial" / digest.removeprefix("sha256:")

    def staged(self, package: Purl, digest: Digest) -> Path:
        """One release in the store."""
        return self.store / file_name(package) / digest.removeprefix("sha256:")

    def package(self, package: Purl) -> Path:
        """A package's journal and activations."""
        return self.root / "packages" / file_name(package)

    def data(self, package: Purl) -> Path:
        """What a package keeps between its versions."""
        return self.root / "data" / file_name(package)

    def snapshots(self, package: Purl) -> Path:
        """Copies of a package's data from before its activations."""
        return self.root / "snapshots" / file_name(package)

    @contextmanager
    def lock(self, *, patience: float = 0.0) -> Iterator[None]:
        """Hold the directory alone; the kernel gives it back when the process ends.

        Args:
            patience: seconds to wait for somebody else to be done.

        Raises:
            Conflict: `agent-busy`, another worker or command holds it.
        """
        fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            limit = time.monotonic() + patience
            while not _locked(fd):
                if time.monotonic() >= limit:
                    raise Conflict(
                        "agent-busy",
                        f"cannot work in {self.root}: another allod-agent is at it; try again later",
                    )
                time.sleep(0.05)
            yield
        finally:
            os.close(fd)


def open_state(root: Path, *, create: bool = True) -> StateDir:
    """The state directory at `root`, with its rooms and their permissions.

    Raises:
        InvalidInput: `bad-state-directory`, it belongs to somebody else, or others may write to it.
        Unavailable: `no-state`, it is not there (without `create`) or cannot be made.
    """
    if not create and not root.is_dir():
        raise Unavailable(
            "no-state", f"cannot find the state directory {root}; name it with --state DIR"
        )
    try:
        durable.make_directory(root, mode=0o755)
        found = root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise InvalidInput(
                "bad-state-directory",
                f"cannot use {root}: it must be a directory of the agent's own user, "
                "which nobody else may write to (chmod go-w)",
            )
        for names, mode in ((_PRIVATE, 0o700), (_PUBLIC, 0o755)):
            for name in names:
                _room(root / name, mode)
        for name in ("blobs/sha256", "blobs/partial", "consent/answers"):
            _room(root / name, 0o700)
    except OSError as error:
        raise Unavailable(
            "no-state",
            f"cannot use the state directory {root}: {error.strerror}; "
            "run as the agent's user, or name another with --state DIR",
        ) from error
    return StateDir(root)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _room(path: Path, mode: int) -> None:
    durable.make_directory(path, mode=mode)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            os.fchmod(fd, mode)
    finally:
        os.close(fd)
