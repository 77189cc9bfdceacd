"""A fleet on a server without sockets, as an audit reads it; a test can lie in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from allod.audit.activity import Place
from allod.cli.audit.run import Audit, Result
from allod.cli.audit.state import AuditDirectory
from allod.server.services.logs import read_tile
from allod.testing.server import ServerRig, upload_of
from allod.testing.server_logs import entries_of, logged
from allod.tlog.tiles import parse_tile_path
from allod.trust.authoring import Publication
from allod.wire.api import BindingEntry, ChangeUpload
from allod.wire.codec import encode


@dataclass
class RigSource:
    """What an `allod.cli.audit.source.Source` is, of a rig."""

    rig: ServerRig
    lie: dict[str, bytes | None] = field(default_factory=dict)  #: path -> what is shown instead
    hidden: set[tuple[Place, int]] = field(default_factory=set)  #: reports that are not shown
    more: list[tuple[Place, int, bytes]] = field(default_factory=list)  #: reports that are added
    asked: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "the server"

    def file(self, path: str, cap: int) -> bytes | None:
        self.asked.append(path)
        if path in self.lie:
            return self.lie[path]
        if path.startswith("log/"):
            return self._log(path)
        if path == "tuf/timestamp.json":
            return self.rig.server.fleets.need(self.rig.fleet).online.timestamp
        found = self.rig.settings.layout.fleet(self.rig.fleet).served(path)
        return found.read_bytes() if found is not None and found.is_file() else None

    def _log(self, path: str) -> bytes | None:
        place, _, name = path.removeprefix("log/").partition("/")
        if name[:1].isdecimal():
            number, _, name = name.partition("/")
            place = f"{place}/{number}"
        files = self.rig.server.publications.logs.files(self.rig.fleet, place)
        return (
            files.published() if name == "checkpoint" else read_tile(files, parse_tile_path(name))
        )

    def bindings(self) -> Iterator[BindingEntry]:
        listings = self.rig.server.listings
        for newest in listings.bindings(self.rig.fleet, "", 1000).bindings:
            yield from listings.device_bindings(self.rig.fleet, newest.device).bindings

    def reports(self, place: Place, after: int) -> Iterator[tuple[int, bytes]]:
        page = self.rig.server.listings.reports(
            self.rig.fleet, place.device, after, 1000, place.epoch
        )
        found = [
            (one.sequence, encode(one.report))
            for one in page.reports
            if (place, one.sequence) not in self.hidden
        ]
        found += [
            (number, raw) for where, number, raw in self.more if where == place and number > after
        ]
        yield from sorted(found)


@dataclass
class Auditor:
    """Audits a rig, again and again, with a memory of its own."""

    rig: ServerRig
    directory: Path
    source: RigSource = field(init=False)

    def __post_init__(self) -> None:
        self.source = RigSource(self.rig)

    def audit(self, *, scratch: bool = False) -> Result:
        place = AuditDirectory(self.directory / "audit", self.rig.fleet)
        if scratch:
            place.forget()
        now = self.rig.clock.moment + timedelta(minutes=1)
        return Audit(
            self.source, self.rig.fleet, place, place.load(), None, now, lambda _: None
        ).run()

    def publish(self, what: str) -> None:
        """The owner changes something, and logs it."""
        rig = self.rig
        people = rig.server.fleets.need(rig.fleet).document.people
        made = rig.simulator.set_fleet(people=people, revoked_invites=[what])
        self.upload(made)

    def upload(self, made: Publication) -> None:
        """Upload what the simulated owner signed, with its entries."""
        rig = self.rig
        upload = upload_of(made, rig.base(made))
        rig.server.publish(
            rig.fleet,
            ChangeUpload(
                base=upload.base,
                metadata=upload.metadata,
                targets=upload.targets,
                entries=entries_of(rig, upload.metadata, {}),
            ),
        )

    def codes(self, *, scratch: bool = False) -> list[str]:
        """What is new, by code."""
        return sorted({one.code for one in self.audit(scratch=scratch).findings})


def audited(directory: Path) -> Auditor:
    """A fleet with logs, and somebody who audits it."""
    return Auditor(logged(ServerRig.make(directory / "server")), directory)
