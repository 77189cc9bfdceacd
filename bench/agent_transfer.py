"""Transfer rate of the agent against bare SHA-256, and its peak memory by size of payload.

    python bench/agent_transfer.py [--mib 1024]

The source is a directory (`--from DIR`, as for a stick), so that the disk and not a network is
measured. Each figure is the best of three rounds, taken in turn in one run; memory is the peak of
a fresh process that fetches and stages a release.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import BinaryIO

MIB = 1 << 20
ROUNDS = 3
TARGET = 0.70
PEAK_MIB = 64


def write_layer(path: Path, size: int) -> tuple[str, int]:
    """A layer of one incompressible file; its digest and length."""
    info = tarfile.TarInfo("payload")
    info.size = size
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    state = hashlib.sha256()
    with path.open("wb") as file:

        def put(data: bytes) -> None:
            state.update(data)
            file.write(data)

        put(packer.compress(info.tobuf(tarfile.PAX_FORMAT)))
        for _ in range(size // MIB):
            put(packer.compress(os.urandom(MIB)))
        put(packer.compress(bytes(1024)) + packer.flush())
    return f"sha256:{state.hexdigest()}", path.stat().st_size


def forget(path: Path) -> None:
    """Drop the file from the page cache, so that it is read from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_file(path: Path, size: int) -> float:
    """Seconds that the disk takes to take so many bytes and sync them, with nothing else to do."""
    block = os.urandom(MIB)
    begin = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(block)
        os.fsync(file.fileno())
    taken = time.perf_counter() - begin
    path.unlink()
    return taken


def hash_file(path: Path) -> float:
    """Seconds that bare SHA-256 takes over the file."""
    forget(path)
    begin = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - begin


def transfer(stick: Path, room: Path, digest: str, size: int) -> float:
    """Seconds that the agent takes to have the blob whole and durable."""
    from allod.agent.transfer import Blobs
    from allod.agent.transport_stick import StickTransport
    from allod.domain.ids import Digest, FleetId

    blobs = Blobs(room / "blobs")
    transport = StickTransport(FleetId("f" * 64), stick)
    forget(stick / "f" / ("f" * 64) / "blobs" / digest.replace(":", "-"))
    begin = time.perf_counter()
    blobs.fetch(transport, f"blobs/{digest}", Digest(digest), size)
    return time.perf_counter() - begin


def fetch_and_stage(stick: Path, room: Path, digest: str, size: int, installed: int) -> None:
    """What a fresh worker does with a payload; prints its peak memory in KiB."""
    from allod.agent.installers.tree import TreeInstaller
    from allod.agent.transfer import Blobs
    from allod.domain.ids import Digest, ProviderName, Purl, Version
    from allod.domain.release import Kind, Layer, Release
    from allod.wire.oci import TREE_LAYER

    transfer(stick, room, digest, size)
    package = Purl("pkg:generic/bench/payload")
    layer = Layer(Digest(digest), size, TREE_LAYER)
    release = Release(
        package,
        Version("1"),
        ProviderName("bench"),
        Kind.TREE,
        installed_size=installed,
        layers=(layer,),
    )
    installer = TreeInstaller(room / "store")
    begin = time.perf_counter()
    with Blobs(room / "blobs").open(Digest(digest)) as file:
        sources: dict[Layer, BinaryIO] = {layer: file}
        installer.stage(package, Digest(digest), release, sources)
    staged = time.perf_counter()
    if not installer.measure(package, Digest(digest)).ok:
        raise SystemExit("the staged release does not measure whole")
    measured = time.perf_counter()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, staged - begin, measured - staged)


def peak(
    stick: Path, room: Path, digest: str, size: int, installed: int
) -> tuple[float, float, float]:
    """MiB at the peak, seconds of staging and of measuring, of a process of its own."""
    words = [
        sys.executable,
        __file__,
        "--child",
        str(stick),
        str(room),
        digest,
        str(size),
        str(installed),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    memory, stage, measure = done.stdout.split()
    return int(memory) / 1024, float(stage), float(measure)


def rates(megabytes: int) -> tuple[float, float]:
    """Bytes a second: bare SHA-256 of a file from disk, and the agent's transfer of it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        blobs = root / "stick" / "f" / ("f" * 64) / "blobs"
        blobs.mkdir(parents=True)
        digest, size = write_layer(root / "layer", megabytes * MIB)
        place = blobs / digest.replace(":", "-")
        (root / "layer").rename(place)
        found: list[tuple[float, float]] = []
        for number in range(ROUNDS):
            room = root / f"round{number}"
            found.append((hash_file(place), transfer(root / "stick", room, digest, size)))
            remove(room)
        return size / min(bare for bare, _ in found), size / min(agent for _, agent in found)


def remove(room: Path) -> None:
    """Take a read-only store away."""
    from allod.agent.files import remove_tree

    remove_tree(room)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--child", nargs=5)
    given = parser.parse_args()
    if given.child:
        stick, room, digest, size, installed = given.child
        fetch_and_stage(Path(stick), Path(room), digest, int(size), int(installed))
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        stick = root / "stick"
        blobs = stick / "f" / ("f" * 64) / "blobs"
        blobs.mkdir(parents=True)
        payloads = []
        for mib in (1, given.mib):
            digest, size = write_layer(root / "layer", mib * MIB)
            (root / "layer").rename(blobs / digest.replace(":", "-"))
            payloads.append((mib, digest, size))
        _, digest, size = payloads[-1]
        rates: dict[str, list[float]] = {"SHA-256": [], "write": [], "transfer": []}
        for number in range(ROUNDS):
            rates["SHA-256"].append(size / hash_file(blobs / digest.replace(":", "-")))
            rates["write"].append(size / write_file(root / "written", size))
            room = root / f"round{number}"
            rates["transfer"].append(size / transfer(stick, room, digest, size))
            remove(room)
        bare, agent = max(rates["SHA-256"]), max(rates["transfer"])
        print(f"| payload {size / MIB:.0f} MiB | MB/s | of SHA-256 | wanted |")
        print("|---|---|---|---|")
        print(f"| bare SHA-256 from disk | {bare / 1e6:.0f} | 100% | |")
        write = max(rates["write"])
        print(f"| bare write and fsync | {write / 1e6:.0f} | {write / bare:.0%} | |")
        ratio = agent / bare
        print(
            f"| agent: transfer, digest, fsync | {agent / 1e6:.0f} | {ratio:.0%} | {TARGET:.0%} |"
        )
        print("\n| payload | peak MiB | wanted | staging MB/s | measuring MB/s |")
        print("|---|---|---|---|---|")
        peaks = []
        for mib, payload, length in payloads:
            room = root / f"peak{mib}"
            memory, stage, measure = peak(stick, room, payload, length, mib * MIB)
            remove(room)
            peaks.append(memory)
            rate = [mib * MIB / seconds / 1e6 for seconds in (stage, measure)]
            print(f"| {mib} MiB | {memory:.1f} | {PEAK_MIB} | {rate[0]:.0f} | {rate[1]:.0f} |")
    if ratio < TARGET or max(peaks) > PEAK_MIB:
        raise SystemExit("a figure was missed")


if __name__ == "__main__":
    main()
