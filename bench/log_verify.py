"""What it costs to verify a log: the tail that a device reads, and whole logs, as audits read them.

    python bench/log_verify.py [--entries 1000000] [--signed 100000] [--files 5000]

Tail: a device that knows the log verifies 1,000 more entries of `authority`: the checkpoint with
its signature and those of two witnesses, the entries against it, each entry's form, and each
entry's signature. Goal: under 0.5 s of processor time.

Whole: what `allod audit verify` does with a log, by its own code: two processes read bundles from
the disk, check tiles, the form of every entry and every signature, and hash; this one joins the
ranges and judges in order: for `authority` what counts, for `activity` the chain of each of 1,000
devices. `mix` is one fleet's two logs: a tenth authority, each entry with one Ed25519 signature, the
rest activity, whose entries carry none. Goal: 20,000 entries a second.

Every signature has to be checked, so no log of signatures is verified quicker than the signatures:
`Ed25519` is the part of the processor time that bare verifications in the same run would have
taken. `at most/s` is what the processor time comes to on two processors that do nothing else.

Memory is the highest peak of a process, for two lengths of the log. The files and reports that
entries name are compared, too; what that costs beside stands in a table of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing import Queue
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Key

from allod.audit.activity import ActivityAudit, Place
from allod.audit.authority import AuthorityAudit, Named, Roles
from allod.audit.reading import KeyRing
from allod.audit.releases import Releases
from allod.cli.audit.documents import Documents
from allod.cli.audit.ground import answer
from allod.cli.audit.logs import LogAudit
from allod.cli.audit.state import AuditDirectory
from allod.cli.audit.workers import Reader, Report, Workers
from allod.domain.ids import sha256 as digest_of
from allod.testing.logs import note_signer
from allod.testing.repository import RepositorySimulator
from allod.testing.server import SimulatedDevice
from allod.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint, vouched
from allod.tlog.growth import Edge
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.note import Kind
from allod.tlog.tail import Tail
from allod.tlog.tiles import WIDTH
from allod.trust import dsse
from allod.trust.keys import from_key
from allod.trust.metadata import open_role
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import (
    ReportEntry,
    RoleStatement,
    decode_authority,
    encode_activity,
    encode_authority,
    encode_role_statement,
    log_origin,
)
from allod.wire.trust import Log

TAIL_GOAL = 0.5
GOAL = 20_000.0
PART = 64 * WIDTH
SIM = RepositorySimulator()
FLEET = SIM.fleet
ROOTS = {1: open_role(SIM.first_root, "root")}
WITNESSES = [note_signer(f"w{number}.example", Kind.COSIGNATURE) for number in range(2)]
(SIGNER,) = SIM.owner.targets
TAIL = note_signer("log.example/bench")


def digest(number: int) -> str:
    return digest_of(b"%d" % number)


def report(number: int) -> bytes:
    return encode_activity(
        ReportEntry(
            fleet=FLEET,
            device=sha256(b"%d" % (number % 1000)).hexdigest(),
            epoch=1,
            sequence=number // 1000 + 1,
            previous=digest(number - 1000) if number >= 1000 else None,
            digest=digest(number),
        )
    )


def role(number: int) -> bytes:
    """The fleet's root, then version after version of targets."""
    signers = SIM.owner.targets if number else SIM.owner.root
    statement = RoleStatement(
        fleet=FLEET,
        role="targets" if number else "root",
        version=number or 1,
        digest=digest(number) if number else ROOTS[1].digest,
    )
    payload = encode_role_statement(statement)
    return encode_authority(dsse.make_envelope(payload, LOG_ROLE, signers))


def check_role(keys: list[Key], entry: bytes) -> None:
    dsse.verify(decode_authority(entry).envelope, LOG_ROLE, keys, 1, what="an entry")


@dataclass
class Disk:
    """A directory as an audit's source."""

    place: Path

    @property
    def name(self) -> str:
        return str(self.place)

    def file(self, path: str, cap: int) -> bytes | None:  # noqa: ARG002 - the port's
        try:
            return (self.place / path.replace("/", "-")).read_bytes()
        except FileNotFoundError:
            return None

    def bindings(self) -> Iterator[object]:
        return iter(())

    def reports(self, *_: object) -> Iterator[tuple[int, bytes]]:
        return iter(())


@dataclass
class Written:
    """A log on the disk."""

    place: Path
    log: Log
    raw: bytes


def write_log(place: Path, name: str, make: Callable[[int], bytes], count: int) -> Written:
    """Write the bundles and tiles of a log, and sign its checkpoint."""
    origin = log_origin(FLEET, name)
    signer = note_signer(origin)
    edge = Edge()
    for begin in range(0, count, PART):
        fresh = [make(number) for number in range(begin, min(begin + PART, count))]
        edge, files = edge.grown(fresh)
        for tile, data in files.items():
            (place / f"log/{name}/{tile.path}".replace("/", "-")).write_bytes(data)
    signed = sign_checkpoint(Checkpoint(origin, edge.size, edge.range.root()), signer)
    genesis = digest_of(Checkpoint(origin, 0, EMPTY_ROOT).text.encode())
    log = Log(name=name, origin=origin, key=str(signer.key), genesis=genesis)
    return Written(place, log, signed.encode())


def read_log(written: Written, staff: Workers) -> None:
    """As an audit does, but for what entries name."""
    key = note_signer(written.log.origin).key
    signed = open_checkpoint(written.raw, written.log.origin, [key])
    source = Disk(written.place)
    opened = LogAudit(source, FLEET, written.log, None, signed)
    authority = AuthorityAudit(FLEET, written.log.origin, ROOTS, Roles(), whole=True)
    activity = ActivityAudit(FLEET, written.log.origin, whole=True)
    for entries in opened.read(staff):
        if written.log.name == "authority":
            answer(source, authority.take(entries))
        else:
            activity.take(entries)
    known = opened.finish(AuditDirectory(written.place, FLEET))
    found = [*opened.findings.all, *authority.findings.all, *activity.findings.all]
    if known is None or found:
        sys.exit(f"the log is not as it should be: {found[:3]}")
    if written.log.name == "authority" and authority.counting != signed.size:
        sys.exit("not every entry counts")


def spent_here() -> tuple[float, float, float]:
    """Processor seconds of this process and of those that it started; the peaks of both, in MB."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, others = (use.ru_maxrss * 1024 / 1e6 for use in uses)
    return sum(use.ru_utime + use.ru_stime for use in uses), own, others


def verify_logs(logs: list[Written], done: Queue[tuple[float, float, float, float]]) -> None:
    """Verify logs, in a process of its own: seconds, and its own and its workers' peaks."""
    ring = KeyRing([SIGNER.public_key, *ROOTS[1].signed.keys.values()])
    begin = time.perf_counter()
    with Workers(Reader(FLEET, ring)) as staff:
        staff.start()
        for log in logs:
            read_log(log, staff)
    seconds = time.perf_counter() - begin
    done.put((seconds, *spent_here()))


def whole(name: str, logs: list[Written], bare: float, signed: int) -> float:
    """Verify logs with two processes beside the one that judges; one line of the table."""
    context = multiprocessing.get_context("spawn")
    done: Queue[tuple[float, float, float, float]] = context.Queue()
    process = context.Process(target=verify_logs, args=(logs, done))
    process.start()
    process.join()
    if process.exitcode != 0:
        sys.exit(1)
    seconds, cpu, own, others = done.get()
    count = sum(int(log.raw.split(b"\n")[1]) for log in logs)
    rate = count / seconds
    ratio = f"{signed / (bare / 2) / cpu:.2f}" if signed else "-"
    idle = count / (cpu / 2)
    print(
        f"| {name} | {count:,} | {signed:,} | {seconds:.1f} | {rate:,.0f} | {cpu:.1f} | {idle:,.0f} | {ratio} "
        f"| {own:.0f} | {others:.0f} |",
        flush=True,
    )
    return rate


def verify_bare(count: int) -> tuple[float, float]:
    """Bare verifications a second, and a second of processor time."""
    private = Ed25519PrivateKey.from_private_bytes(sha256(b"bare").digest())
    public, message = private.public_key(), b"x" * 300
    signature = private.sign(message)
    begin, spent = time.perf_counter(), time.process_time()
    for _ in range(count):
        public.verify(signature, message)
    return count / (time.perf_counter() - begin), count / (time.process_time() - spent)


def bare_rates() -> tuple[float, float]:
    """Bare Ed25519 verifications of two processes together: a second; of two processors' seconds."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(verify_bare, [10, 10]))
        rates = list(pool.map(verify_bare, [20_000, 20_000]))
    return sum(rate for rate, _ in rates), sum(rate for _, rate in rates)


def named_files(place: Path, count: int) -> float:
    """Files of roles a second: read, parsed strictly, digested, compared with their entries."""
    data = SIM.files["tuf/1.devices-bins-3.json"]
    digest = open_role(data, "devices-bins-3").digest
    (place / "tuf-1.devices-bins-3.json").write_bytes(data)
    named = [Named(at, "devices-bins-3", 1, digest, newest=True) for at in range(count)]
    documents = Documents(Disk(place), Releases())
    with Workers(Reader(FLEET, KeyRing(()))) as staff:
        staff.start()
        list(documents.digests(named[:100], staff))
        begin = time.perf_counter()
        good = sum(found == one.digest for one, found in documents.digests(named, staff))
        seconds = time.perf_counter() - begin
    if good != count:
        sys.exit("files are not those of their entries")
    return count / seconds


def named_reports(count: int) -> float:
    """Reports a second: signature, strict parse, and what is compared of them."""
    device = SimulatedDevice(CryptoSigner(Ed25519PrivateKey.generate()), FLEET)
    place = Place(device.id, 1)
    key = from_key(device.key.public_key)
    batch = [Report(device.report(), key, place) for _ in range(64)]
    with Workers(Reader(FLEET, KeyRing(()))) as staff:
        staff.start()
        list(staff.ordered(Reader.reports, [batch, batch]))
        begin = time.perf_counter()
        done = sum(map(len, staff.ordered(Reader.reports, [batch] * (count // 64))))
        return done / (time.perf_counter() - begin)


def tail(keys: list[Key]) -> float:
    """A device's tail of 1,000 entries after 10,000 that it knows: processor seconds."""
    known, _ = Edge().grown([role(number) for number in range(10_000)])
    grown, files = known.grown([role(number) for number in range(10_000, 11_000)])
    signed = sign_checkpoint(Checkpoint(TAIL.key.name, grown.size, grown.range.root()), TAIL)
    lines = [witness.cosignature(signed.note.text, 1_800_000_000) for witness in WITNESSES]
    raw = signed.note.with_signatures(lines).encode()
    kept, runs = known.range, []
    for checked in (False, True):
        begin = time.process_time()
        opened = open_checkpoint(raw, TAIL.key.name, [TAIL.key])
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
    parser.add_argument("--signed", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=5_000)
    arguments = parser.parse_args()
    print(f"written {datetime.now(UTC):%Y-%m-%d}\n")
    spent = tail([SIGNER.public_key])
    wall, bare = bare_rates()
    print(f"bare Ed25519 verifications a second, two processes: {wall:,.0f}", end="")
    print(f" ({bare:,.0f} had they had two processors to themselves)\n")
    heads = ("log", "entries", "signatures", "s", "entries/s", "CPU s", "at most/s", "Ed25519")
    print(f"| {' | '.join(heads)} | MB here | MB a worker |\n|---{'|--:' * 9}|", flush=True)
    signed, plain = arguments.signed, arguments.entries - arguments.signed
    with tempfile.TemporaryDirectory(dir=".") as name:
        small, large = Path(name) / "small", Path(name) / "large"
        small.mkdir()
        large.mkdir()
        tenth = [
            write_log(small, "authority", role, signed // 10),
            write_log(small, "activity", report, plain // 10),
        ]
        whole("mix, a tenth of it", tenth, bare, signed // 10)
        logs = [
            write_log(large, "authority", role, signed),
            write_log(large, "activity", report, plain),
        ]
        rate = whole("mix", logs, bare, signed)
        whole("activity alone", logs[1:], bare, 0)
        whole("authority alone", logs[:1], bare, signed)
        files = named_files(large, arguments.files)
    reports = named_reports(arguments.files)
    print("\n| what entries name | a second |\n|---|--:|")
    print(f"| files of roles | {files:,.0f} |")
    print(f"| reports | {reports:,.0f} |")
    print(f"\ngoal for the tail: {TAIL_GOAL} s; reached: {spent:.3f} s")
    print(f"goal for a whole log: {GOAL:,.0f} entries/s; reached: {rate:,.0f}")
    sys.exit(spent > TAIL_GOAL or rate < GOAL)


if __name__ == "__main__":
    main()
