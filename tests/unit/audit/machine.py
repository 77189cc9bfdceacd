"""The owner's machine beside a whole server without sockets: runs `allod`, and can be lied to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from allod.cli.client import ApiClient, _error_of
from allod.cli.fleet import LocalFleet, LocalSettings
from allod.cli.keystore import KeyStore
from allod.cli.options import another_clock
from allod.cli.passphrase import Passphrase
from allod.errors import Unavailable
from allod.program import main
from allod.testing.asgi import ask
from allod.testing.repository import BUILD_TIME, DEFAULT_LOCATION
from allod.testing.server import ServerRig, SimulatedDevice, upload_of
from allod.testing.server_logs import entries_of, naming
from allod.trust.anchor import first_floors
from allod.trust.authoring import Publication
from allod.wire.api import ChangeUpload
from allod.wire.report import TrustState
from allod.wire.trust import Witnesses


@dataclass
class Machine:
    """Whoever owns the fleet of a rig."""

    rig: ServerRig
    home: Path
    capsys: pytest.CaptureFixture[str]
    down: bool = False
    lie: dict[str, bytes | None] = field(default_factory=dict)  #: fleet file -> what is shown
    asked: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Take over the fleet's first root, as `allod init` leaves it."""
        fleet = LocalFleet.create(
            self.home / "fleets" / "home",
            LocalSettings(fleet=self.rig.fleet, name="home", server=DEFAULT_LOCATION),
            KeyStore(self.home / "fleets" / "home" / "keys", Passphrase.given("correct horse")),
        )
        fleet.keys.create()
        anchor = self.rig.simulator.anchor
        fleet.save_anchor(root=anchor.root, trust=None)
        fleet.save_floors(first_floors(anchor, BUILD_TIME))

    @property
    def fleet(self) -> LocalFleet:
        """The fleet on this machine."""
        return LocalFleet.at(self.home / "fleets" / "home")

    def run(self, *arguments: str | Path) -> int:
        """The exit status of a command; what it said lies in `out` and `err`."""
        self.capsys.readouterr()
        status = main([str(one) for one in arguments])
        self.out, self.err = self.capsys.readouterr()
        return status

    def ask(self, *arguments: str | Path, status: int = 0) -> Any:
        """The JSON answer of a command that ends with a status."""
        found = self.run(*arguments, "--json")
        assert found == status, (found, self.out, self.err)
        return json.loads(self.out)

    def exchange(
        self, _client: ApiClient, method: str, path: str, body: bytes, _headers: Any, _cap: int
    ) -> bytes:
        """What stands for `ApiClient._exchange`."""
        if self.down:
            raise Unavailable("server-unreachable", "cannot reach the server", unsent=True)
        self.asked.append(path)
        name = path.removeprefix(f"/f/{self.rig.fleet}/")
        if name in self.lie:
            data = self.lie[name]
            if data is None:
                raise _error_of(404, b'{"code": "not-found", "detail": "not there"}', path)
            return data
        bare, _, query = path.partition("?")
        headers = self.rig.signed(method, bare, body, query=query)
        answer = ask(self.rig.application, method, path, body=body, headers=headers)
        if answer.status >= 300:
            raise _error_of(answer.status, answer.body, path)
        return answer.body

    # -- the fleet ----------------------------------------------------------------------------

    def publish(self, publication: Publication) -> None:
        """The owner's change, with the entries of its files."""
        upload = upload_of(publication, self.rig.base(publication))
        self.rig.server.publish(
            self.rig.fleet,
            ChangeUpload(
                base=upload.base,
                metadata=upload.metadata,
                targets=upload.targets,
                entries=entries_of(self.rig, upload.metadata, {}),
            ),
        )

    def hand_in(self, device: SimulatedDevice, **fields: Any) -> None:
        """A device's report reaches the server."""
        self.rig.server.receive_report(self.rig.fleet, device.id, device.report(**fields))

    def trust(self, **fields: Any) -> TrustState:
        """What an honest device says of its floors: those of this machine."""
        floors = self.fleet.floors
        known: dict[str, Any] = {
            "root": floors.root_version,
            "trust": floors.trust_number,
            "roles": dict(floors.roles),
            "time": "2026-11-01T12:00:00Z",
            "logs": dict(floors.checkpoints),
            "notes": dict(floors.notes),
        }
        return TrustState(**{**known, **fields})


@contextmanager
def machine_of(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    witnesses: Witnesses | None = None,
) -> Iterator[Machine]:
    """A fleet with both logs, and the machine of its owner."""
    rig = ServerRig.make(directory / "server")
    rig.server.publish(rig.fleet, naming(rig, witnesses=witnesses))
    machine = Machine(rig, directory / "laptop", capsys)
    monkeypatch.setenv("ALLOD_HOME", str(machine.home))
    monkeypatch.delenv("ALLOD_FLEET", raising=False)
    monkeypatch.setattr("allod.cli.refresh.SETTLE", 0.0)

    def exchange(client: ApiClient, *request: Any) -> bytes:
        return machine.exchange(client, *request)

    monkeypatch.setattr(ApiClient, "_exchange", exchange)
    monkeypatch.setattr("allod.cli.client.FIRST_PAUSE", 0.0)
    monkeypatch.setattr("allod.cli.pkcs8.SCRYPT_N", 16)
    monkeypatch.setattr("allod.cli.pkcs8.SCRYPT_P", 1)
    machine.begin()
    with another_clock(rig.clock.now), capture_logs():  # the server is in this process
        yield machine
    rig.server.close()
