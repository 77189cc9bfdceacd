"""What it costs to verify a log: the tail that a device reads, and a whole log.

    python bench/log_verify.py [--entries 1000000] [--signed 50000]

Tail: a device that knows the log verifies 1,000 more entries of `authority`: the checkpoint with
its signature and those of two witnesses, the entries against it, each entry's form, and each
entry's signature. Goal: under 0.5 s of processor time.

Whole: two processes read the bundles of a log from the disk, check the form of every entry, and
hash; the ranges that they return are joined and compared with the checkpoint. `activity` entries
carry no signatures of their own; of `authority` every entry's signature is checked. Goal: 20,000
entries a second. Memory is the highest peak of the processes, for two lengths of the log.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Key

from allod.testing.logs import note_signer
from allod.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint, vouched
from allod.tlog.growth import Edge
from allod.tlog.merkle import CompactRange
from allod.tlog.note import Kind
from allod.tlog.tail import Tail
from allod.tlog.tiles import ENTRIES, WIDTH
from allod.trust import dsse
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import (
    ReportEntry,
    RoleStatement,
    decode_activity,
    decode_authority,
    encode_activity,
    encode_authority,
    encode_role_statement,
)

TAIL_GOAL = 0.5
GOAL = 20_000.0
PART = 64 * WIDTH
FLEET = "f" * 64
ORIGIN = "log.example/bench"
LOG = note_signer(ORIGIN)
WITNESSES = [note_signer(f"w{number}.example", Kind.COSIGNATURE) for number in range(2)]
SIGNER = CryptoSigner(Ed25519PrivateKey.from_private_bytes(sha256(b"targets").digest()))


def digest(number: int) -> str:
    return "sha256:" + sha256(b"%d" % number).hexdigest()


def report(number: int) -> bytes:
    return encode_activity(
        ReportEntry(
            fleet=FLEET,
            device=sha256(b"%d" % (number % 1000)).hexdigest(),
            epoch=1,
            sequence=number + 1,
            previous=digest(number),
            digest=digest(number + 1),
        )
    )


def role(number: int) -> bytes:
    statement = RoleStatement(
        fleet=FLEET, role="targets", version=number + 1, digest=digest(number)
    )
    payload = encode_role_statement(statement)
    return encode_authority(dsse.make_envelope(payload, LOG_ROLE, [SIGNER]))


def check_role(keys: list[Key], entry: bytes) -> None:
    dsse.verify(decode_authority(entry).envelope, LOG_ROLE, keys, 1, what="an entry")


def check_report(entry: bytes) -> None:
    decode_activity(entry)


def write_log(place: Path, make: Callable[[int], bytes], count: int) -> bytes:
    """Write the bundles of a log, and return its signed, cosigned checkpoint."""
    edge = Edge()
    (place / "tile").mkdir(parents=True)
    for begin in range(0, count, PART):
        fresh = [make(number) for number in range(begin, min(begin + PART, count))]
        edge, files = edge.grown(fresh)
        for tile, data in files.items():
            if tile.level == ENTRIES:
                (place / tile.path.replace("/", "-")).write_bytes(data)
    signed = sign_checkpoint(Checkpoint(ORIGIN, edge.size, edge.range.root()), LOG)
    lines = [witness.cosignature(signed.note.text, 1_800_000_000) for witness in WITNESSES]
    return signed.note.with_signatures(lines).encode()


def verify_part(place: Path, check: Callable[[bytes], None], bounds: tuple[int, int]):
    """The range of a part of the log; the processor seconds that it took; this process's peak."""
    begin = time.process_time()
    tail = Tail(CompactRange(bounds[0], bounds[0]), bounds[1])
    while (tile := tail.wanted) is not None:
        for _, entry in tail.take((place / tile.path.replace("/", "-")).read_bytes()):
            check(entry)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return tail.range, time.process_time() - begin, peak


def parts(size: int) -> Iterable[tuple[int, int]]:
    return ((begin, min(begin + PART, size)) for begin in range(0, size, PART))


def whole(name: str, place: Path, check: Callable[[bytes], None], raw: bytes) -> float:
    """Verify a log with two processes; one line of the table."""
    begin = time.perf_counter()
    checkpoint = open_checkpoint(raw, ORIGIN, [LOG.key])
    joined, peak, spent = CompactRange(), 0.0, 0.0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        for part, cpu, memory in pool.map(
            partial(verify_part, place, check), parts(checkpoint.size)
        ):
            joined, peak, spent = joined.merged(part), max(peak, memory), spent + cpu
    if (joined.end, joined.root()) != (checkpoint.size, checkpoint.root):
        sys.exit("the log is not that of its checkpoint")
    seconds = time.perf_counter() - begin
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    rate = checkpoint.size / seconds
    print(
        f"| {name} | {checkpoint.size:,} | {seconds:.1f} | {rate:,.0f} | {spent:.1f} | {peak:.0f} | {own:.0f} |"
    )
    return rate


def tail(keys: list[Key]) -> float:
    """A device's tail of 1,000 entries after 10,000 that it knows: processor seconds."""
    known, _ = Edge().grown([role(number) for number in range(10_000)])
    grown, files = known.grown([role(number) for number in range(10_000, 11_000)])
    signed = sign_checkpoint(Checkpoint(ORIGIN, grown.size, grown.range.root()), LOG)
    lines = [witness.cosignature(signed.note.text, 1_800_000_000) for witness in WITNESSES]
    raw = signed.note.with_signatures(lines).encode()
    kept, runs = known.range, []
    for checked in (False, True):
        begin = time.process_time()
        opened = open_checkpoint(raw, ORIGIN, [LOG.key])
        if vouched(opened, [witness.key for witness in WITNESSES]).as_of(2) is None:
            sys.exit("the witnesses are missing")
        reader = Tail(kept, opened.size)
        entries: list[bytes] = []
        while reader.wanted is not None:
            entries += [entry for _, entry in reader.take(files[reader.wanted])]
        reader.finish(opened.checkpoint)
        for entry in entries:
            if checked:
                check_role(keys, entry)
            else:
                decode_authority(entry)
        runs.append(time.process_time() - begin)
    print("| tail of 1,000 entries | CPU s |\n|---|--:|")
    print(f"| checkpoint, witnesses, hashes, form | {runs[0]:.3f} |")
    print(f"| the same, and every signature | {runs[1]:.3f} |\n")
    return runs[1]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--signed", type=int, default=50_000)
    arguments = parser.parse_args()
    keys: list[Key] = [SIGNER.public_key]
    spent = tail(keys)
    print("| log | entries | s | entries/s | CPU s | MB a process | MB of the one that joins |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    rates = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        for what, make, check, count in (
            ("activity", report, check_report, arguments.entries // 10),
            ("activity", report, check_report, arguments.entries),
            ("authority, signatures", role, partial(check_role, keys), arguments.signed),
        ):
            place = Path(name) / f"{what} {count}"
            raw = write_log(place, make, count)
            rates.append(whole(what, place, check, raw))
    print(f"\ngoal for the tail: {TAIL_GOAL} s; reached: {spent:.3f} s")
    print(f"goal for a whole log: {GOAL:,.0f} entries/s; reached: {rates[1]:,.0f}")
    sys.exit(spent > TAIL_GOAL or rates[1] < GOAL)


if __name__ == "__main__":
    main()
