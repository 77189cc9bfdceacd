"""What running processes use, seen from outside: sockets, devices and open files under /proc.

A sample of the moment. What a service does and has ended between two looks is not seen, nor
can the use of a privilege be told from /proc. It names access in the grammar of
`allod.domain.access`; `remember` adds up what several looks have seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

from allod.durable import write_atomic

MOST_REMEMBERED: Final = 100  #: names of one unit
_LISTEN: Final = "0A"
_INODE: Final = 9  #: column of /proc/net tables
_SHARED: Final = ("/dev/shm/", "/tmp/")  # noqa: S108  # only compared with
_IDLE: Final = "07"  #: a UDP socket that is bound and not connected
_SYSTEM: Final = (
    "/usr/",
    "/lib",
    "/bin/",
    "/sbin/",
    "/etc/",
    "/proc/",
    "/sys/",
    *_SHARED,
)
_PLAIN: Final = frozenset(
    {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}
)
_WRITES: Final = os.O_WRONLY | os.O_RDWR


def observed_access(pids: Iterable[int], *, own: Iterable[str] = ()) -> frozenset[str]:
    """The access that these processes are using now; paths below `own` and the system's are not listed."""
    roots = tuple(os.path.realpath(path).rstrip("/") + "/" for path in own)
    used: set[str] = set()
    for pid in pids:
        sockets: set[str] = set()
        for number, target in _descriptors(pid):
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
            else:
                used.update(_file(pid, number, target, roots))
        if sockets:
            used.update(_sockets(pid, sockets))
    return frozenset(used)


def undeclared(used: Iterable[str], declared: Iterable[str]) -> frozenset[str]:
    """What of `used` no declared name covers (a bare name covers its narrow forms, a path what is below it)."""
    known = frozenset(declared)
    writes = tuple(
        name.removeprefix("path.write:") for name in known if name.startswith("path.write:")
    )
    reads = tuple(
        name.removeprefix("path.read:") for name in known if name.startswith("path.read:")
    )
    covered = {
        name
        for name in used
        if name in known
        or name.partition(":")[0] in known
        or (name.startswith("path.write:") and _below(name.removeprefix("path.write:"), writes))
        or (
            name.startswith("path.read:")
            and _below(name.removeprefix("path.read:"), reads + writes)
        )
    }
    return frozenset(used) - covered


def remember(file: Path, unit: bytes, found: frozenset[str]) -> frozenset[str]:
    """What was found for this unit, now and whenever it was looked at before; kept in `file`."""
    key = hashlib.sha256(unit).hexdigest()
    try:
        kept = json.loads(file.read_bytes())
        known = {str(name) for name in kept["names"]} if kept["unit"] == key else set()
    except (OSError, ValueError, LookupError, TypeError):
        known = set()
    every = sorted(known | found)[:MOST_REMEMBERED]
    if set(every) != known:
        write_atomic(file, json.dumps({"unit": key, "names": every}).encode())
    return frozenset(every)


def _below(path: str, roots: Iterable[str]) -> bool:
    return any((path + "/").startswith(root.rstrip("/") + "/") for root in roots)


def _descriptors(pid: int) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            links = [Path(entry.path) for entry in entries]
    except OSError:
        return
    for link in links:
        try:
            yield link.name, str(link.readlink())
        except OSError:
            continue


def _file(pid: int, number: str, target: str, roots: tuple[str, ...]) -> Iterator[str]:
    if not target.startswith("/") or target.endswith(" (deleted)") or target in _PLAIN:
        return
    if target.startswith("/dev/snd/"):
        yield "microphone"
    elif target.startswith(("/dev/video", "/dev/media")):
        yield "camera"
    elif target.startswith("/dev/") and not target.startswith((*_SHARED, "/dev/pts/")):
        yield f"device:{target}"
    elif not (target + "/").startswith((*roots, *_SYSTEM)) and number not in {"1", "2"}:
        yield f"path.{'write' if _writes(pid, number) else 'read'}:{target}"


def _writes(pid: int, number: str) -> bool:
    try:
        with Path(f"/proc/{pid}/fdinfo/{number}").open(encoding="ascii") as file:
            for line in file:
                if line.startswith("flags:"):
                    return bool(int(line.split()[1], 8) & _WRITES)
    except (OSError, ValueError):
        pass
    return False


def _sockets(pid: int, inodes: set[str]) -> Iterator[str]:
    """Listening ports, and peers beyond this device that no listening port of the same explains."""
    listening: set[int] = set()
    peers: list[tuple[int, str]] = []
    for protocol in ("tcp", "udp"):
        for table in (protocol, protocol + "6"):
            for local, remote, state, inode in _table(pid, table):
                if inode not in inodes:
                    continue
                address, port = _address(local)
                if state == (_LISTEN if protocol == "tcp" else _IDLE):
                    listening.add(port)
                    if protocol == "tcp" or not ip_address(address).is_loopback:
                        yield f"network.listen:{protocol}/{port}"
                else:
                    peers.append((port, _address(remote)[0]))
    for port, peer in peers:
        if port not in listening and not ip_address(peer).is_loopback:
            yield f"network.outbound:{peer}" if ":" not in peer else "network.outbound"


def _table(pid: int, name: str) -> Iterator[tuple[str, str, str, str]]:
    try:
        with Path(f"/proc/{pid}/net/{name}").open(encoding="ascii") as file:
            next(file, None)
            for line in file:
                fields = line.split()
                if len(fields) > _INODE:
                    yield fields[1], fields[2], fields[3], fields[_INODE]
    except OSError:
        return


def _address(field: str) -> tuple[str, int]:
    """An address of /proc/net: 32-bit words in the machine's byte order."""
    host, _, port = field.partition(":")
    raw = bytes.fromhex(host)
    words = struct.unpack(f">{len(raw) // 4}I", raw)
    packed = struct.pack(f"={len(words)}I", *words)
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped), int(port, 16)
    return str(address), int(port, 16)
