"""Services as systemd units, whose sandbox enforces the declared access (port `ServiceManager`)."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
from pathlib import Path
from typing import Any, Final

from allod.agent.ports import RunState, ServiceUnit
from allod.agent.services.observe import observed_access, remember, undeclared
from allod.agent.services.process_files import encode_unit
from allod.agent.services.seccomp_log import privileges_tried
from allod.agent.services.systemd_unit import (
    HIDDEN,
    Places,
    unenforced,
    unit_name,
    unit_text,
    user_name,
)
from allod.domain.ids import Purl, file_name
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import Unavailable

UNITS: Final = Path("/etc/systemd/system")
SYSUSERS: Final = Path("/etc/sysusers.d")
CGROUPS: Final = Path("/sys/fs/cgroup")
TIMEOUT: Final = 120.0  #: seconds for one call of systemctl; stopping takes its own time
_LOG_LINES: Final = "20000"


class SystemdServiceManager:
    """Runs services as units.

    Args:
        state: the agent's state directory.
        units: where unit files of the administrator stand.
        sysusers: where descriptions of system users stand.
        programs: directory of systemctl, systemd-sysusers and journalctl; '' searches PATH.
    """

    name = "systemd"
    enforces_access = True

    def __init__(
        self,
        state: Path,
        *,
        units: Path = UNITS,
        sysusers: Path = SYSUSERS,
        programs: str = "",
    ) -> None:
        self._state = state
        self._units = units
        self._sysusers = sysusers
        self._programs = programs

    def start(self, unit: ServiceUnit) -> None:
        """Make exactly this unit run, now and after every boot; a different one is stopped first.

        Raises:
            InvalidInput: `bad-service`.
            Unavailable: `service-not-started`.
        """
        own = file_name(unit.package)
        seen = (self._state / "packages" / own, self._state / "store" / own)
        hidden = tuple(place for place in HIDDEN if Path(place).is_dir())
        text = unit_text(unit, Places(self._state, seen, hidden)).encode()
        name = unit_name(unit.package)
        if "root" not in unit.access:
            self._make_user(unit.package)
        self._hand_over(unit)
        file = self._units / name
        same = _read(file) == text and _read(self._note(unit.package)) == encode_unit(unit)
        if same and self.state(unit.package).running:
            return
        make_directory(self._units, mode=0o755)
        make_directory(self._note(unit.package).parent)
        write_atomic(self._note(unit.package), encode_unit(unit))
        write_atomic(file, text, mode=0o644)
        self._systemctl("daemon-reload")
        self._systemctl("enable", name)
        self._systemctl("restart", name)

    def stop(self, package: Purl) -> None:
        """Make it not run, nor after a boot."""
        name = unit_name(package)
        if not (self._units / name).exists():
            return
        self._systemctl("disable", "--now", name)
        remove_file(self._units / name)
        remove_file(self._note(package))
        remove_file(self._seen(package))
        self._systemctl("daemon-reload")

    def reload(self, package: Purl) -> None:
        """Let it read its new configuration, and tell it to (SIGHUP)."""
        note = _noted(self._note(package))
        if note and "root" not in note["access"]:
            self._hand_over_configuration(Path(note["configuration"]), user_name(package))
        if self.state(package).running:
            self._systemctl("reload", unit_name(package))

    def state(self, package: Purl) -> RunState:
        """What systemd says of it."""
        shown = self._show(package, "ActiveState", "SubState", "NRestarts", "Result")
        running = shown.get("ActiveState") in {"active", "reloading"}
        restarts = shown.get("NRestarts", "0")
        words = [shown.get(name, "") for name in ("ActiveState", "SubState", "Result")]
        return RunState(
            running=running,
            restarts=int(restarts) if restarts.isdecimal() else 0,
            detail=" ".join(word for word in words if word and word != "success"),
        )

    def missing_access(self, package: Purl) -> frozenset[str]:
        """In complain mode: access ever seen in use, or privileges tried, that is not declared.

        Sockets, devices and files are sampled when this is called (`observe`); privileges come
        from the kernel's log (`seccomp_log`) and stay denied in complain mode too.
        """
        note = _noted(self._note(package))
        if not note or not note["complain"]:
            return frozenset()
        own = [note["directory"], note["configuration"], str(self._state)]
        own += [note["data"]] if note["data"] else []
        used = observed_access(self._processes(package), own=own)
        used |= privileges_tried(self._kernel_log(), _uid(user_name(package)))
        unit = _read(self._note(package)) or b""
        return remember(self._seen(package), unit, undeclared(used, note["access"]))

    def user(self, unit: ServiceUnit) -> str:
        """As whom its service, and its health command, run; empty: as root."""
        return "" if "root" in unit.access else user_name(unit.package)

    def unenforced(self, unit: ServiceUnit) -> tuple[str, ...]:
        """What its sandbox leaves open although it is not declared, in words."""
        return unenforced(unit)

    # --- what it takes -------------------------------------------------------------------------

    def _note(self, package: Purl) -> Path:
        return self._state / "services" / file_name(package) / "unit.json"

    def _seen(self, package: Purl) -> Path:
        return self._note(package).with_name("missing.json")

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(self._programs) / program) if self._programs else program, *words]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(
                "service-not-started", f"cannot reach systemd: {program} did not answer ({error})"
            ) from error

    def _systemctl(self, *words: str) -> None:
        done = self._run("systemctl", *words)
        if done.returncode != 0:
            says = " ".join(done.stderr.split())[-200:]
            raise Unavailable(
                "service-not-started",
                f"cannot do 'systemctl {' '.join(words)}': {says or done.returncode}",
            )

    def _show(self, package: Purl, *names: str) -> dict[str, str]:
        wanted = [f"--property={name}" for name in names]
        lines = self._run("systemctl", "show", unit_name(package), *wanted).stdout.splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def _processes(self, package: Purl) -> list[int]:
        group = self._show(package, "ControlGroup").get("ControlGroup", "").lstrip("/")
        found: list[int] = []
        if group:
            for root in (CGROUPS, CGROUPS / "systemd", CGROUPS / "unified"):
                for file in (root / group).glob("**/cgroup.procs"):
                    found += [int(line) for line in (_read(file) or b"").split()]
        return sorted(set(found))

    def _kernel_log(self) -> list[str]:
        done = self._run(
            "journalctl", "--boot", "--quiet", "--output=cat", f"--lines={_LOG_LINES}",
            "_TRANSPORT=kernel", "+", "_TRANSPORT=audit",
        )  # fmt: skip
        return [line for line in done.stdout.splitlines() if "type=1326" in line]

    def _make_user(self, package: Purl) -> None:
        """A system user without a home or a shell, by systemd's own means."""
        user = user_name(package)
        if _uid(user) >= 0:
            return
        make_directory(self._sysusers, mode=0o755)
        file = self._sysusers / f"{user}.conf"
        write_atomic(file, f'u {user} - "{package}" - -\n'.encode(), mode=0o644)
        done = self._run("systemd-sysusers", str(file))
        if done.returncode != 0:
            says = " ".join(done.stderr.split())[-200:]
            raise Unavailable(
                "service-not-started", f"cannot make the user {user} of {package}: {says}"
            )

    def _hand_over(self, unit: ServiceUnit) -> None:
        """Its user owns the data and may read the configuration."""
        if "root" in unit.access:
            return
        user = user_name(unit.package)
        self._hand_over_configuration(unit.configuration, user)
        uid, gid = _ids(user)
        if unit.data is not None and uid >= 0 and unit.data.lstat().st_uid != uid:
            _own_tree(unit.data, uid, gid)

    @staticmethod
    def _hand_over_configuration(directory: Path, user: str) -> None:
        _, gid = _ids(user)
        if gid < 0 or not directory.is_dir():
            return
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
        for name in names:
            fd = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    os.fchown(fd, -1, gid)
                    os.fchmod(fd, 0o640)
                    os.fsync(fd)
            finally:
                os.close(fd)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _noted(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _ids(user: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return -1, -1
    return entry.pw_uid, entry.pw_gid


def _uid(user: str) -> int:
    return _ids(user)[0]


def _own_tree(root: Path, uid: int, gid: int) -> None:
    """Give a tree to a user, the root last: so that a cut in between is seen and gone on with."""
    for _, directories, files, fd in os.fwalk(root, topdown=False, follow_symlinks=False):
        for name in (*directories, *files):
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode) and found.st_nlink > 1:
                continue  # its other name may be somebody else's file (attack 43)
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
    os.chown(root, uid, gid, follow_symlinks=False)
