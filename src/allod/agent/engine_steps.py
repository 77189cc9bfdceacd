"""The steps of an activation, each with its undo beside it.

They are done in order and undone in reverse, beginning at the step that was under way; every one
may have been done already, or half, when it is done or undone. What cannot be undone happens in
`engine_work`, after commit.

| step | do | undo |
|---|---|---|
| prepare | build tree and configuration beside what runs | remove them |
| stop | stop what runs | start it again |
| data | copy the data; put an earlier copy back | put the copy back |
| switch | `current` names the new | `current` names the old |
| start | start the new | stop it |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec

from allod import durable
from allod.agent.activation import Activations
from allod.agent.engine_ports import Sheet, World
from allod.agent.journal import ActivationRecord, JournalStore, MemberRecord
from allod.agent.ports import ServiceUnit
from allod.agent.state_dir import StateDir
from allod.domain.ids import Digest, Purl
from allod.domain.release import Apply, Release, Service
from allod.errors import InvalidInput, Unavailable, Untrusted


@dataclass(frozen=True, slots=True)
class Bench:
    """What steps work on."""

    state: StateDir
    world: World
    journals: JournalStore
    activations: Activations
    complain: bool = False

    def release(self, package: Purl, digest: str) -> Release:
        """The description of a release that the device has.

        Raises:
            Unavailable: `description-lost`.
        """
        found = self.world.source.described(package, Digest(digest))
        if found is None:
            raise Unavailable(
                "description-lost",
                f"cannot use {package} {digest[:19]}: its description is damaged or gone; "
                "the next contact with the fleet mends it",
            )
        return found

    def sheet(self, package: Purl, record: ActivationRecord) -> Sheet:
        """Everything that makes up the configuration of an activation.

        Raises:
            Unavailable: `document-lost`, `description-lost`.
        """
        document = None
        if record.configuration is not None:
            document = self.world.source.read_document(Digest(record.configuration))
            if document is None:
                raise Unavailable(
                    "document-lost",
                    f"cannot configure {package}: the document {record.configuration[:19]} is "
                    "damaged or gone; the next contact with the fleet mends it",
                )
        release = self.release(package, record.digest)
        return Sheet(package, release, document, frozenset(record.secrets))

    def unit(self, package: Purl, release: Release) -> ServiceUnit | None:
        """How the service of what is active is run; None: it has none.

        Its paths go through `current`, so that they stay the same from one activation to the next.
        """
        if release.service is None:
            return None
        running = self.activations.running(package)
        data = self.state.data(package) if release.data is not None else None
        return service_unit(
            package, release, release.service, running, data, complain=self.complain
        )

    def restage(self, package: Purl, digest: str) -> None:
        """Put a release into the store again, from the payload that is kept."""
        release = self.release(package, digest)
        with self.world.source.open(package, Digest(digest)) as layers:
            self.world.installer.stage(package, Digest(digest), release, layers)


def service_unit(
    package: Purl,
    release: Release,
    service: Service,
    running: Path,
    data: Path | None,
    *,
    complain: bool,
) -> ServiceUnit:
    """A service's unit, with the placeholders {tree}, {config} and {data} filled in."""
    places = {"tree": str(running / "tree"), "config": str(running / "config")}
    places["data"] = "" if data is None else str(data)

    def fill(text: str) -> str:
        for name, place in places.items():
            text = text.replace("{" + name + "}", place)
        return text

    program = fill(service.command[0])
    if not program.startswith("/"):
        program = f"{places['tree']}/{program}"
    return ServiceUnit(
        package=package,
        name=service.name,
        command=(program, *(fill(word) for word in service.command[1:])),
        environment={name: fill(value) for name, value in service.environment},
        directory=running / "tree",
        data=data,
        configuration=running / "config",
        access=release.access,
        stop_seconds=service.stop_seconds,
        complain=complain,
    )


class Step(Protocol):
    """One step, for one member of a unit."""

    name: str

    def do(self, bench: Bench, member: MemberRecord) -> None:
        """Do it, again if need be."""
        ...

    def undo(self, bench: Bench, member: MemberRecord) -> None:
        """Undo it, also if it was only half done."""
        ...


class Prepare:
    """Build the activation beside what runs, out of a release that was measured just now."""

    name = "prepare"

    def do(self, bench: Bench, member: MemberRecord) -> None:
        """Measure the release, heal it if it was damaged, and build the activation."""
        package = Purl(member.package)
        record = bench.journals.load(package).activation(member.number)
        if member.digest is None or record is None:
            return
        digest = Digest(member.digest)
        if not bench.world.installer.measure(package, digest).ok:
            bench.restage(package, digest)
            if not bench.world.installer.measure(package, digest).ok:
                raise Untrusted("damaged-store", f"cannot activate {package}: it stays damaged")
        sheet = bench.sheet(package, record)
        if sheet.release.data is not None:
            durable.make_directory(bench.state.data(package), mode=0o755)
        earlier = None
        if member.before is not None:
            earlier = bench.activations.directory(package, member.before) / "config"
        bench.activations.prepare(
            package,
            member.number,
            bench.world.installer.directory(package, digest),
            lambda place: bench.world.renderer.render(sheet, place, earlier),
        )

    def undo(self, bench: Bench, member: MemberRecord) -> None:
        """Remove it."""
        package = Purl(member.package)
        bench.activations.arm(package, None)
        if bench.activations.number(package) != member.number:
            bench.activations.drop(package, member.number)


class Stop:
    """Stop what runs, unless it only reads its configuration again."""

    name = "stop"

    def do(self, bench: Bench, member: MemberRecord) -> None:
        """Stop it."""
        if not reloads(bench, member):
            bench.world.services.stop(Purl(member.package))

    def undo(self, bench: Bench, member: MemberRecord) -> None:
        """Start what ran before, or let it read its configuration again."""
        package = Purl(member.package)
        record = bench.journals.load(package).activation(member.before)
        if record is None:
            return
        unit = bench.unit(package, bench.release(package, record.digest))
        if unit is None:
            return
        if reloads(bench, member) and bench.world.services.state(package).running:
            bench.world.services.reload(package)
        else:
            bench.world.services.start(unit)


class CopyData:
    """Copy the data before the new release touches them, or put an earlier copy back."""

    name = "data"

    def do(self, bench: Bench, member: MemberRecord) -> None:
        """Copy; then put back what the new release can read, if it has to."""
        package = Purl(member.package)
        journal = bench.journals.load(package)
        if member.snapshot:
            bench.world.snapshots.take(package, member.number)
        if member.snapshot and journal.schema is not None:
            copies = {**journal.snapshots, str(member.number): journal.schema}
            bench.journals.change(package, snapshots=copies)
        if member.restore is not None:
            bench.world.snapshots.restore(package, member.restore)

    def undo(self, bench: Bench, member: MemberRecord) -> None:
        """Put the copy back, if there is a whole one: else nobody touched the data yet."""
        package = Purl(member.package)
        if member.snapshot and member.number in bench.world.snapshots.numbers(package):
            bench.world.snapshots.restore(package, member.number)


class Switch:
    """Software and configuration change by the renaming of one link."""

    name = "switch"

    def do(self, bench: Bench, member: MemberRecord) -> None:
        """`current` names the new activation, `previous` the old one."""
        package = Purl(member.package)
        number = None if member.digest is None else member.number
        bench.activations.switch(package, number, member.before)
        bench.activations.arm(package, None)

    def undo(self, bench: Bench, member: MemberRecord) -> None:
        """`current` names the old one."""
        bench.activations.switch(Purl(member.package), member.before, None)


class Start:
    """Start the new."""

    name = "start"

    def do(self, bench: Bench, member: MemberRecord) -> None:
        """Start it, or let it read its configuration again."""
        package = Purl(member.package)
        if member.digest is None:
            return
        unit = bench.unit(package, bench.release(package, member.digest))
        if unit is None:
            return
        if reloads(bench, member) and bench.world.services.state(package).running:
            bench.world.services.reload(package)
        else:
            bench.world.services.start(unit)

    def undo(self, bench: Bench, member: MemberRecord) -> None:
        """Stop it."""
        if not reloads(bench, member):
            bench.world.services.stop(Purl(member.package))


def reloads(bench: Bench, member: MemberRecord) -> bool:
    """Whether the running service only has to read its configuration again."""
    package = Purl(member.package)
    before = bench.journals.load(package).activation(member.before)
    if member.digest is None or before is None or before.digest != member.digest:
        return False
    spec = bench.release(package, member.digest).configuration
    return spec is not None and spec.apply is Apply.RELOAD


STEPS: Final[tuple[Step, ...]] = (Prepare(), Stop(), CopyData(), Switch(), Start())


def record_of(
    bench: Bench, member: MemberRecord, secrets: frozenset[str]
) -> ActivationRecord | None:
    """What the journal keeps of the activation that `member` is to make; None: nothing is to run.

    Raises:
        InvalidInput: `wrong-release`.
        Unavailable: `description-lost`.
    """
    if member.digest is None:
        return None
    package = Purl(member.package)
    release = bench.release(package, member.digest)
    if release.package != package:
        raise InvalidInput("wrong-release", f"cannot activate {release.package} as {package}")
    journal = bench.journals.load(package)
    return ActivationRecord(
        digest=member.digest,
        configuration=member.configuration,
        secrets=tuple(sorted(secrets)),
        schema=journal.schema if release.data is None else release.data.schema,
        provider=release.provider,
        version=release.version,
    )


def note_activation(bench: Bench, member: MemberRecord, record: ActivationRecord | None) -> None:
    """Reserve the number of an activation, and keep what it consists of."""
    package = Purl(member.package)
    journal = bench.journals.load(package)
    kept = dict(journal.activations)
    if record is not None:
        kept[str(member.number)] = record
    bench.journals.save(
        package,
        msgspec.structs.replace(
            journal, last_number=max(journal.last_number, member.number), activations=kept
        ),
    )
