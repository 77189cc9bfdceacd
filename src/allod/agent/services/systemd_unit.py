"""A service's systemd unit, with its declared access as sandbox settings. Pure text.

What is not declared is denied. What systemd can't tell apart is granted more widely than it was
declared, or not denied at all; `unenforced` says so in words, for the device's report. The user
of a package is its own; the agent's state directory is hidden but for the package's own parts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from allod.agent.ports import ServiceUnit
from allod.domain.ids import Purl
from allod.errors import InvalidInput

#: Directories that hold other people's things; those that exist are hidden.
HIDDEN: Final = ("/home", "/root", "/srv", "/mnt", "/media", "/opt", "/var", "/boot")
#: System calls that need a privilege, logged in complain mode (see `seccomp_log`).
WATCHED: Final = (
    "acct bpf chroot clock_settime delete_module finit_module init_module kexec_load mount "
    "pivot_root ptrace reboot sethostname settimeofday swapoff swapon umount2"
)

_PLAIN: Final = re.compile(r"/[A-Za-z0-9_./@+~=-]*", re.ASCII)
_PRIVILEGED_PORT: Final = 1024
#: Protections that take away a privilege; they are left out where it is declared.
_TAKES: Final = {
    "ProtectClock": {"CAP_SYS_TIME", "CAP_WAKE_ALARM"},
    "ProtectHostname": {"CAP_SYS_ADMIN"},
    "ProtectKernelLogs": {"CAP_SYSLOG"},
    "ProtectKernelModules": {"CAP_SYS_MODULE"},
    "ProtectKernelTunables": {"CAP_SYS_ADMIN", "CAP_NET_ADMIN"},
    "RestrictNamespaces": {"CAP_SYS_ADMIN"},
    "RestrictRealtime": {"CAP_SYS_NICE"},
}
_ALWAYS: Final = """\
NoNewPrivileges=yes
PrivateMounts=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
KeyringMode=private
LockPersonality=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on this device.

    Args:
        state: the agent's state directory.
        seen: the package's own directories in it, read-only to its service.
        hidden: directories that exist and are hidden.
    """

    state: Path
    seen: tuple[Path, ...]
    hidden: tuple[str, ...] = ()


def unit_name(package: Purl) -> str:
    """`allod-….service`: the package's identity, escaped as systemd does it."""
    kept = []
    for sign in package.removeprefix("pkg:"):
        plain = sign.isascii() and (sign.isalnum() or sign in "_.")
        kept.append("-" if sign == "/" else sign if plain else f"\\x{ord(sign):02x}")
    return f"allod-{''.join(kept)}.service"


def user_name(package: Purl) -> str:
    """The package's own user and group."""
    return "allod-" + hashlib.sha256(package.encode()).hexdigest()[:12]


def unit_text(unit: ServiceUnit, places: Places) -> str:
    """The unit file.

    Raises:
        InvalidInput: `bad-service`, if a path or word can't stand in a unit.
    """
    user = "root" if "root" in unit.access else user_name(unit.package)
    sections = [
        "# Written by allod-agent; changes are overwritten.",
        "[Unit]",
        f"Description={_line(unit.name)} ({unit.package})",
        "After=network.target allod-agent.service",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart=:{' '.join(_word(word) for word in unit.command)}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={_path(unit.directory)}",
        *(
            f"Environment={_word(f'{name}={value}')}"
            for name, value in sorted(unit.environment.items())
        ),
        "Restart=always",
        "RestartSec=2",
        "KillMode=control-group",
        f"TimeoutStopSec={unit.stop_seconds:g}",
        f"User={user}",
        f"Group={user}",
        *_protections(unit.access),
        *_filesystem(unit, places),
        *(_complaining() if unit.complain else _enforcing(unit.access)),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(sections)


def _protections(access: frozenset[str]) -> list[str]:
    """What every service does without, but for what takes away a declared privilege."""
    wanted = set(_values(access, "privilege:"))
    return [
        line
        for line in _ALWAYS.split("\n")
        if not wanted & _TAKES.get(line.partition("=")[0], set())
    ]


def _line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text).replace("%", "%%")


def _word(text: str) -> str:
    """A word of a command line, quoted; specifiers are switched off (variables are by ':')."""
    if any(ord(sign) < ord(" ") for sign in text):
        raise InvalidInput(
            "bad-service", "cannot run it: a word of its command holds control signs"
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _path(path: Path | str) -> str:
    if _PLAIN.fullmatch(str(path)) is None:
        raise InvalidInput(
            "bad-service",
            f"cannot run it: the path {str(path)[:120]!r} has signs that a unit can't hold",
        )
    return str(path)


def _filesystem(unit: ServiceUnit, places: Places) -> list[str]:
    """Everything read-only; other people's things hidden; declared paths let through."""
    reads = _values(unit.access, "path.read:")
    writes = _values(unit.access, "path.write:")
    lines = ["ProtectSystem=strict"]
    program = unit.command[0]
    hidden = [place for place in places.hidden if not program.startswith(place + "/")]
    hidden += [_path(places.state)]
    if not unit.complain:
        lines += [f"TemporaryFileSystem={place}:ro" for place in hidden]
        lines += [f"BindReadOnlyPaths={_path(place)}" for place in places.seen]
        lines += [f"BindReadOnlyPaths=-{_path(path)}" for path in reads]
        lines += [f"BindPaths=-{_path(path)}" for path in writes]
        if unit.data is not None:
            lines.append(f"BindPaths={_path(unit.data)}")
    else:
        lines += [f"ReadWritePaths=-{_path(path)}" for path in writes]
        if unit.data is not None:
            lines.append(f"ReadWritePaths={_path(unit.data)}")
    return lines


def _complaining() -> list[str]:
    """Nothing denied but privileges; what would have been is observed instead."""
    return [f"SystemCallLog={WATCHED}"]


def _enforcing(access: frozenset[str]) -> list[str]:
    return [*_network(access), *_devices(access), *_privileges(access)]


def _values(access: Iterable[str], prefix: str) -> list[str]:
    return sorted(name.removeprefix(prefix) for name in access if name.startswith(prefix))


def _network(access: frozenset[str]) -> list[str]:
    listen = _values(access, "network.listen:")
    hosts = _values(access, "network.outbound:")
    outbound = "network.outbound" in access or bool(hosts)
    if not listen and not outbound:
        return ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "IPAddressDeny=any"]
    lines = ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"]
    if not listen:
        lines.append("SocketBindDeny=any")
    else:
        lines += [f"SocketBindAllow={port.replace('/', ':')}" for port in listen]
        lines.append("SocketBindDeny=any")
    addresses = [host for host in hosts if _is_address(host)]
    if not listen and "network.outbound" not in access and len(addresses) == len(hosts):
        lines += ["IPAddressDeny=any", f"IPAddressAllow=localhost {' '.join(addresses)}"]
    return lines


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _devices(access: frozenset[str]) -> list[str]:
    named = _values(access, "device:")
    if not named and not {"microphone", "camera"} & access:
        return ["PrivateDevices=yes", "DevicePolicy=closed"]
    lines = ["DevicePolicy=closed", *(f"DeviceAllow={_path(path)} rw" for path in named)]
    if "microphone" in access:
        lines += ["DeviceAllow=char-alsa rw", "SupplementaryGroups=audio"]
    if "camera" in access:
        lines += [
            "DeviceAllow=char-video4linux rw",
            "DeviceAllow=char-media rw",
            "SupplementaryGroups=video",
        ]
    return lines


def _privileges(access: frozenset[str]) -> list[str]:
    wanted = set(_values(access, "privilege:"))
    ports = [int(value.rpartition("/")[2]) for value in _values(access, "network.listen:")]
    if any(port < _PRIVILEGED_PORT for port in ports):
        wanted.add("CAP_NET_BIND_SERVICE")
    if "root" in access:
        return [
            f"CapabilityBoundingSet={' '.join(sorted(wanted | _ROOT))}",
            "SystemCallFilter=@system-service",
            "SystemCallErrorNumber=EPERM",
        ]
    names = " ".join(sorted(wanted))
    lines = [f"CapabilityBoundingSet={names}", f"AmbientCapabilities={names}"]
    if not wanted - {"CAP_NET_BIND_SERVICE"}:
        lines += [
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@privileged @resources",
            "SystemCallErrorNumber=EPERM",
        ]
    return lines


#: What root needs to be of use in files that are let through to it; no network, no devices.
_ROOT: Final = frozenset(
    {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"}
)


def unenforced(unit: ServiceUnit) -> tuple[str, ...]:
    """What the sandbox of this unit leaves open although it is not declared, in words."""
    if unit.complain:
        return ("in complain mode nothing is denied",)
    access = unit.access
    hosts = _values(access, "network.outbound:")
    listen = _values(access, "network.listen:")
    found = ["files below /usr, /etc and /run that every user may read stay readable"]
    names = [host for host in hosts if not _is_address(host)]
    if names:
        found.append(f"outbound to {', '.join(names)} by name opens outbound to every host")
    if listen and "network.outbound" not in access:
        found.append("a service that listens can also open connections to other hosts")
    if "microphone" in access:
        found.append("a service with the microphone can also play sound")
    if "camera" in access:
        found.append("a service with the camera can use all cameras")
    if _values(access, "privilege:"):
        found.append("with the privileges that it declares its system calls are not filtered")
    return tuple(found)
