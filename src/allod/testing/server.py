"""A server in a directory, with a simulated owner who has all keys and speaks to it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import CryptoSigner

from allod import durable
from allod.domain.ids import DeviceId, FleetId, sha256
from allod.server.app import Application
from allod.server.assembly import Server, assemble
from allod.server.log.ports import LogStorage
from allod.server.ports import BlobStore, Database, Files
from allod.server.services.gather import WitnessCalls
from allod.server.services.mirror_source import Source
from allod.server.settings import LogsIn, Settings
from allod.server.setup import initialise
from allod.testing.repository import RepositorySimulator, TestOwner, key_from
from allod.trust.authoring import Publication
from allod.trust.binding import make_binding, make_token_request
from allod.trust.dsse import make_envelope
from allod.trust.invite import open_invite
from allod.trust.keys import device_id, from_key
from allod.wire.api import ChangeReceipt, ChangeUpload
from allod.wire.codec import encode, instant
from allod.wire.entry import ChangeNote
from allod.wire.envelope import REPORT
from allod.wire.httpsig import content_digest, sign_request
from allod.wire.report import Boot, Report, TrustState
from allod.wire.trust import Person


@dataclass(slots=True)
class FakeServerClock:
    """Time that stands still until a test moves it; implements `allod.server.ports.Clock`."""

    moment: datetime

    def now(self) -> datetime:
        """See the port."""
        return self.moment

    def seconds(self) -> float:
        """See the port."""
        return self.moment.timestamp()

    def pass_time(self, **span: float) -> None:
        """Let time go by: hours=1."""
        self.moment += timedelta(**span)


def private_pem(signer: CryptoSigner) -> bytes:
    """The private half of a simulated key, as the server keeps its own."""
    return signer._private_key.private_bytes(  # noqa: SLF001 - a test hands its own key over
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def upload_of(
    publication: Publication, base: Mapping[str, int], change: ChangeNote | None = None
) -> ChangeUpload:
    """What the owner's program would upload."""
    return ChangeUpload(
        base=dict(base),
        metadata=dict(publication.metadata),
        targets=dict(publication.targets),
        change=change,
    )


@dataclass(slots=True)
class SimulatedDevice:
    """A device that binds and reports, without an agent."""

    key: CryptoSigner
    fleet: str
    epoch: int = 1
    sequence: int = 0
    head: str | None = None

    @property
    def id(self) -> DeviceId:
        """Its id."""
        return device_id(from_key(self.key.public_key))

    def bind(self, invite: bytes, now: datetime, *, epoch: int = 1) -> bytes:
        """A binding file."""
        opened = open_invite(invite, now, datetime(2020, 1, 1, tzinfo=UTC)).value
        self.epoch, self.sequence, self.head = epoch, 0, None
        return make_binding(
            opened, self.key, epoch=epoch, at=now, facts={"device.name": "pi"}, agent="0.1.0"
        )

    def token_request(self, challenge: str) -> bytes:
        """An answer to a challenge."""
        return make_token_request(self.key, fleet=self.fleet, epoch=self.epoch, challenge=challenge)

    def report(
        self,
        *,
        kind: Literal["change", "heartbeat"] = "change",
        advance: bool = True,
        **fields: Any,
    ) -> bytes:
        """The next report; with `advance=False` the device forgets that it made it."""
        report = Report(
            **{
                "fleet": self.fleet,
                "device": self.id,
                "epoch": self.epoch,
                "sequence": self.sequence + 1,
                "previous": self.head,
                "kind": kind,
                "at": instant(datetime.now(UTC)),
                "agent": "0.1.0",
                "boot": Boot(id="b", count=1),
                "uptime": 1,
                "facts": {"device.name": "pi"},
                "trust": TrustState(root=1, trust=1, roles={}, time="2026-11-01T12:00:00Z"),
                "packages": [],
                "journey": sha256(b""),
                **fields,
            }
        )
        payload = encode(report)
        if advance:
            self.sequence = report.sequence
            self.head = sha256(payload) if kind == "change" else self.head
        return encode(make_envelope(payload, REPORT, [self.key]))


@dataclass(slots=True)
class ServerRig:
    """A server's directory, the owner's simulator, and the server put together on it."""

    directory: Path
    simulator: RepositorySimulator
    clock: FakeServerClock
    settings: Settings
    server: Server = field(init=False)
    _application: tuple[Server, Application] | None = field(init=False, default=None)

    @classmethod
    def make(
        cls,
        directory: Path,
        *,
        name: str = "home",
        now: datetime | None = None,
        url: str = "http://127.0.0.1:8443",
        people: Iterable[Person] = (),
        logs: LogsIn = "directory",
        **fleet: Any,
    ) -> ServerRig:
        """A server with one fleet; the owner's person has the role admin."""
        moment = (now or datetime.now(UTC)).replace(microsecond=0)
        owner = TestOwner(name)
        simulator = RepositorySimulator(owner, now=moment)
        person = Person(name="owner", key=from_key(owner.person.public_key), role="admin")
        simulator.set_fleet(people=[person, *people], **fleet)
        settings = initialise(directory, url=url, now=moment, logs=logs)
        for role in ("snapshot", "timestamp"):
            durable.write_atomic(settings.layout.key(role), private_pem(getattr(owner, role)))
        rig = cls(directory, simulator, FakeServerClock(moment), settings)
        rig.start()
        rig.server.admit_fleet(rig.genesis())
        return rig

    def fork(self, directory: Path) -> ServerRig:
        """Another server with the same past, in a directory of its own."""
        shutil.copytree(self.directory, directory)
        settings = replace(self.settings, directory=directory)
        made = ServerRig(
            directory,
            self.simulator.snapshot_state(),
            FakeServerClock(self.clock.moment),
            settings,
        )
        made.start()
        return made

    def start(
        self,
        *,
        files: Files | None = None,
        database: Database | None = None,
        blob_stores: Callable[[FleetId], BlobStore] | None = None,
        log_storages: Callable[[FleetId, str], LogStorage] | None = None,
        witness_calls: WitnessCalls | None = None,
        source: Source | None = None,
    ) -> Server:
        """Put a server together on the directory, as after a restart."""
        self.server = assemble(
            self.settings,
            clock=self.clock,
            files=files,
            database=database,
            blob_stores=blob_stores,
            log_storages=log_storages,
            witness_calls=witness_calls,
            source=source,
        )
        self.server.start()
        return self.server

    def restart(self, **ports: Any) -> Server:
        """Forget everything in memory and start again."""
        self.server.close()
        return self.start(**ports)

    @property
    def application(self) -> Application:
        """The ASGI application of the server as it is now; it takes a while to make."""
        if self._application is None or self._application[0] is not self.server:
            self._application = (self.server, Application(self.server))
        return self._application[1]

    @property
    def fleet(self) -> Any:
        """The fleet's id."""
        return self.simulator.fleet

    def genesis(self) -> ChangeUpload:
        """The first upload, of the simulator's newest files."""
        files, roles = self.simulator.files, self.simulator.roles
        metadata = {"1.root.json": files["tuf/1.root.json"]}
        for path, data in files.items():
            if data in roles.values() and not path.endswith((".snapshot.json", "timestamp.json")):
                metadata[path.removeprefix("tuf/")] = data
        targets = {}
        for path in self.simulator.draft().paths():
            target = self.simulator.draft().target(path)
            if target is not None:
                digest = target.hashes["sha256"]
                directory, slash, name = path.rpartition("/")
                targets[path] = files[f"tuf/targets/{directory}{slash}{digest}.{name}"]
        trust = {str(n): raw for n, raw in enumerate(self.simulator.statements, 1)}
        return ChangeUpload(metadata=metadata, targets=targets, trust=trust)

    @property
    def versions(self) -> dict[str, int]:
        """The published versions."""
        return self.server.fleets.need(self.fleet).versions

    def change(self, publication: Publication) -> ChangeReceipt:
        """Upload what the simulator just published."""
        return self.server.publish(self.fleet, upload_of(publication, self.base(publication)))

    def base(self, publication: Publication) -> dict[str, int]:
        """The versions under a publication."""
        changed = {name.split(".", 1)[1].removesuffix(".json") for name in publication.metadata}
        return {role: version for role, version in self.versions.items() if role in changed}

    def device(self, seed: str = "device") -> SimulatedDevice:
        """A device that is not bound yet."""
        return SimulatedDevice(key_from(seed), self.fleet)

    def bound(
        self, seed: str = "device", *, uses: int = 1, invite: str = "invite-1"
    ) -> SimulatedDevice:
        """A device that the server admitted."""
        device = self.device(seed)
        self.simulator.now = self.clock.moment
        file = self.simulator.invite(id=invite, uses=uses)
        self.server.admit_binding(self.fleet, device.bind(file, self.clock.moment))
        return device

    def token(self, device: SimulatedDevice) -> str:
        """A read token for a bound device."""
        tokens = self.server.read_tokens
        challenge = tokens.challenge(self.fleet, device.id)
        return tokens.grant(self.fleet, device.id, device.token_request(challenge)).token

    def signed(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: str = "",
        key: CryptoSigner | None = None,
    ) -> dict[str, str]:
        """Header fields of a request that a person signed."""
        return signed_headers(
            key or self.simulator.owner.person,
            method,
            path,
            body,
            query=query,
            created=int(self.clock.seconds()),
        )


def signed_headers(
    key: CryptoSigner, method: str, path: str, body: bytes, *, query: str = "", created: int
) -> dict[str, str]:
    """Header fields of a signed request (RFC 9421)."""
    return sign_request(
        method,
        path,
        query,
        content_digest(body),
        key_id=key.public_key.keyid,
        created=created,
        nonce=secrets.token_urlsafe(18),
        sign=lambda base: bytes.fromhex(key.sign(base).signature),
    )
