"""Whoever took over the server: its files, its online keys, its TLS key, and its address.

Run as a program it is a server of its own: it serves an altered copy of the fleet's files, calls
that news whenever a device asks, hands out tokens, and takes no report.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, TargetFile

from allod.domain.ids import parse_fleet
from allod.errors import AllodError
from allod.server.keys import load_log_key
from allod.server.layout import ServerDirectory
from allod.server.log.directory import DirectoryLogStorage
from allod.server.log.sequencer import Sequencer
from allod.testing.attacker import OnlineAttacker
from allod.tlog.asking import Heard, ask
from allod.tlog.note import Kind, NoteSigner, VerifierKey, parse_key
from allod.tlog.tiles import TileReader
from allod.trust.metadata import read
from allod.wire.log import log_origin


class _Files:
    """The fleet's files on the disk, by the names that devices ask for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __getitem__(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def __setitem__(self, name: str, data: bytes) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class StolenServer:
    """A copy of a server's directory, in the hands of somebody else.

    Args:
        server: the copied directory.
        fleet: the fleet's id.
        number: how many thefts there were, this one counted: versions go up with it.
        forged: role -> file: what was forged before. Devices have seen its version listed, so it
            has to be listed on; what is forged now is added.
    """

    def __init__(self, server: Path, fleet: str, number: int, forged: dict[str, bytes]) -> None:
        self.server, self.number, self.forged = server, number, forged
        self.fleet = parse_fleet(fleet)
        self.files = _Files(server / "fleets" / fleet)
        stamped = read(self.files["tuf/timestamp.json"], "timestamp").signed.snapshot_meta
        snapshot = self.files[f"tuf/{stamped.version}.snapshot.json"]
        self.roles = {"snapshot": snapshot}
        for name, meta in read(snapshot, "snapshot").signed.meta.items():
            self.roles[name.removesuffix(".json")] = self.files[f"tuf/{meta.version}.{name}"]
        world: Any = SimpleNamespace(
            roles=self.roles,
            files=self.files,
            owner=SimpleNamespace(snapshot=self.key("snapshot"), timestamp=self.key("timestamp")),
            now=datetime.now(UTC).replace(microsecond=0),
        )
        self.online = OnlineAttacker(world)

    def key(self, name: str) -> Signer:
        """One of the server's online keys."""
        pem = (self.server / "keys" / f"{name}.pem").read_bytes()
        private: Any = load_pem_private_key(pem, None)
        return CryptoSigner(private)

    def alter(self, role: str) -> None:
        """Serve a role's file with a byte that nobody signed."""
        if role == "timestamp":
            self._flip("tuf/timestamp.json")
        elif role == "snapshot":
            self.vouch({})
            version = read(self.roles[role], role).signed.version
            self._flip(f"tuf/{version}.{role}.json")
        else:
            metadata: Metadata[Any] = Metadata.from_bytes(self.roles[role])
            metadata.signed.version += self.number
            self.vouch({role: metadata.to_bytes()})

    def _flip(self, name: str) -> None:
        data = bytearray(self.files[name])
        data[len(data) // 2] ^= 1
        self.files[name] = bytes(data)

    def vouch(self, roles: dict[str, bytes | None], *, note: bool = True) -> None:
        """Serve these files as these roles, under a snapshot and a timestamp that say so."""
        newest = read(self.roles["snapshot"], "snapshot").signed.version
        stamped = read(self.files["tuf/timestamp.json"], "timestamp").signed.version
        if note:
            self.forged |= {role: data for role, data in roles.items() if data is not None}
        self.online.show(
            self.forged | roles,
            snapshot_version=newest + self.number,
            timestamp_version=stamped + self.number,
        )

    def older(self, role: str) -> None:
        """Vouch for a role's first version, as if it were the newest."""
        self.vouch({role: self.files[f"tuf/1.{role}.json"]}, note=False)

    def undone(self, role: str) -> None:
        """Vouch for the version of a role before its newest, as if what followed had never been."""
        newest = read(self.roles[role], role).signed.version
        self.vouch({role: self.files[f"tuf/{newest - 1}.{role}.json"]}, note=False)

    def channel(self, provider: str, channel: str, documents: Path) -> None:
        """Serve what a provider published, as if the owner's server had copied it."""
        for file in (documents / "channels" / provider / channel).iterdir():
            self.files[f"channels/{provider}/{channel}/{file.name}"] = file.read_bytes()

    def without(self, role: str) -> None:
        """Leave a role out: whatever it said is not said any more."""
        self.vouch({role: None})

    def rewrite_device(self, device: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Alter the owner's document of a device, and sign all that leads to it with what there is."""
        path = f"state/devices/{device}.json"
        role = next(
            name for name, data in self.roles.items()
            if name.startswith("devices-bins") and path in read(data, name).signed.targets
        )  # fmt: skip
        metadata: Metadata[Any] = Metadata.from_bytes(self.roles[role])
        digest = metadata.signed.targets[path].hashes["sha256"]
        document = json.loads(self.files[f"tuf/targets/state/devices/{digest}.{device}.json"])
        change(document)
        document["number"] = document.get("number", 0) + 1
        altered = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        target = TargetFile.from_data(path, altered, ["sha256"])
        metadata.signed.targets[path] = target
        metadata.signed.version += self.number
        metadata.signatures.clear()
        for name in ("snapshot", "timestamp", "gate"):
            metadata.sign(self.key(name), append=True)
        new = target.hashes["sha256"]
        self.files[f"tuf/targets/state/devices/{new}.{device}.json"] = altered
        self.vouch({role: metadata.to_bytes()})

    def fork(self, entries: int) -> None:
        """Let the log go on with something else than the owner's server logged."""
        sequencer, _ = self._log()
        sequencer.append([secrets.token_bytes(24) for _ in range(entries)])
        sequencer.close()

    def ask(self, url: str, witness: str) -> str:
        """Show the fork to a witness; what it says."""
        sequencer, storage = self._log()
        signed = sequencer.checkpoint()
        sequencer.close()
        reader = TileReader(signed.size, lambda tile: storage.read(tile.path) or b"")
        talk = ask(signed, parse_key(witness), reader)
        body = next(talk)
        while True:
            request = urllib.request.Request(f"{url}/add-checkpoint", body, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=10) as reply:
                    heard = Heard(reply.status, reply.read())
            except urllib.error.HTTPError as error:
                heard = Heard(error.code, error.read())
            try:
                body = talk.send(heard)
            except StopIteration:
                return "cosigned"
            except AllodError as error:
                return f"{heard.status}, {error.code}"

    def _log(self) -> tuple[Sequencer, DirectoryLogStorage]:
        """The newest authority log, with the server's key for it."""
        fleet = ServerDirectory(self.server).fleet(self.fleet)
        heads = sorted((fleet.root / "sequencers" / "authority").glob("*/head"))
        number = heads[-1].parent.name
        place = "authority" if number == "1" else f"authority/{number}"
        storage = DirectoryLogStorage(fleet.log(place), fleet.sequencer(place))
        origin = log_origin(self.fleet, "authority", int(number))
        for waiting in (False, True):
            key = load_log_key(ServerDirectory(self.server), waiting=waiting)
            if key is None:
                continue
            signer = NoteSigner(VerifierKey(origin, Kind.ED25519, key.public), key.sign)
            sequencer = Sequencer(storage, origin, signer)
            with contextlib.suppress(AllodError):
                sequencer.checkpoint()
                return sequencer, storage
            sequencer.close()
        raise AssertionError("none of the server's keys is the log's")


def serve(server: Path, port: int) -> None:
    """Serve the altered files over the stolen certificate until killed."""
    number = iter(range(10**6, 10**9))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.endswith("/news"):
                self.answer(200, json.dumps({"news": next(number)}).encode())
            elif path.endswith("/challenge"):
                self.answer(200, b'{"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}')
            elif re.fullmatch(
                r"/f/[0-9a-f]{64}/(tuf|trust|log|channels|gates)/[a-z0-9._/-]+", path
            ):
                found = server / "fleets" / path.removeprefix("/f/")
                here = found.is_file()
                self.answer(200 if here else 404, found.read_bytes() if here else b"{}")
            else:
                self.answer(404, b"{}")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.path.endswith("/token"):
                self.answer(200, b'{"token": "any", "expires": "2099-01-01T00:00:00Z"}')
            else:
                self.answer(503, b"{}")

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server / "tls" / "certificate.pem", server / "tls" / "key.pem")
    httpd.socket = context.wrap_socket(
        httpd.socket, server_side=True, do_handshake_on_connect=False
    )
    httpd.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
