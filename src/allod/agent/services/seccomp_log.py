"""The kernel's log of system calls that `SystemCallLog=` asked for, read as access names.

Lines look like `audit: type=1326 audit(…): … uid=998 … arch=c000003e syscall=169 …`. The kernel
writes neither arguments nor outcome, so a line says that a privilege was tried, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_LINE: Final = re.compile(r"type=1326 .*?\buid=(\d+) .*?\barch=([0-9a-f]+) syscall=(\d+)\b")

_SYS_TIME, _SYS_ADMIN, _SYS_MODULE = "CAP_SYS_TIME", "CAP_SYS_ADMIN", "CAP_SYS_MODULE"
_SYS_BOOT, _SYS_CHROOT, _SYS_PTRACE = "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"
_PRIVILEGES: Final[dict[str, dict[int, str]]] = {
    "c000003e": {  # x86_64
        101: _SYS_PTRACE,
        155: _SYS_ADMIN,  # pivot_root
        161: _SYS_CHROOT,
        163: "CAP_SYS_PACCT",
        164: _SYS_TIME,  # settimeofday
        165: _SYS_ADMIN,  # mount
        166: _SYS_ADMIN,  # umount2
        167: _SYS_ADMIN,  # swapon
        168: _SYS_ADMIN,  # swapoff
        169: _SYS_BOOT,  # reboot
        170: _SYS_ADMIN,  # sethostname
        175: _SYS_MODULE,
        176: _SYS_MODULE,
        227: _SYS_TIME,  # clock_settime
        246: _SYS_BOOT,  # kexec_load
        313: _SYS_MODULE,
        321: "CAP_BPF",
    },
    "c00000b7": {  # aarch64
        39: _SYS_ADMIN,
        40: _SYS_ADMIN,
        41: _SYS_ADMIN,
        51: _SYS_CHROOT,
        89: "CAP_SYS_PACCT",
        104: _SYS_BOOT,
        105: _SYS_MODULE,
        106: _SYS_MODULE,
        112: _SYS_TIME,
        117: _SYS_PTRACE,
        142: _SYS_BOOT,
        161: _SYS_ADMIN,
        170: _SYS_TIME,
        224: _SYS_ADMIN,
        225: _SYS_ADMIN,
        273: _SYS_MODULE,
        280: "CAP_BPF",
    },
}


def privileges_tried(lines: Iterable[str], uid: int) -> frozenset[str]:
    """The privileges that processes of this user tried to use."""
    found = set()
    for line in lines:
        match = _LINE.search(line)
        if match and int(match[1]) == uid:
            name = _PRIVILEGES.get(match[2], {}).get(int(match[3]))
            if name is not None:
                found.add(f"privilege:{name}")
    return frozenset(found)
