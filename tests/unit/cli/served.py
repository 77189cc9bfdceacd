"""A server of the house without its HTTP edge, for tests of the owner's command.

The real use cases admit, check and publish on a real directory; only the socket is left out, at
the one seam of the client where bytes leave the machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from allod.cli.client import ApiClient
from allod.domain.ids import Digest, FleetId, parse_digest
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.server.blobs.directory import DirectoryBlobStore
from allod.server.db.sqlite import SqliteDatabase
from allod.server.files import DurableFiles
from allod.server.keys import load_log_key, load_secrets, load_signer, load_waiting
from allod.server.layout import ServerDirectory
from allod.server.news import InProcessNews
from allod.server.services.access import _DELEGATE, _PERSON, PROPOSE, READ, Principal
from allod.server.services.admit_fleet import AdmitFleet
from allod.server.services.fleets import Fleets, published_file
from allod.server.services.limits import Rate
from allod.server.services.logs import Logs, read_tile
from allod.server.services.online import OnlineKeys
from allod.server.services.proposals import Proposals
from allod.server.services.publication import Publications, Stores
from allod.server.services.publish import Publish
from allod.server.services.vetting import Vet
from allod.tlog.tiles import parse_tile_path
from allod.wire.api import UPLOAD_CAP, BindingList, ChangeUpload, DeviceList
from allod.wire.codec import decode, encode
from allod.wire.proposal import ApprovalUpload, CloseProposal, Proposal


class Unchecked:
    """Knows no releases; implements `allod.server.services.check.ConfigurationCheck`."""

    def __call__(self, *_: object) -> None:
        """Everything fits."""

    def release(self, *_: object) -> None:
        """Nothing is here."""


@dataclass
class Moment:
    """A clock that the test moves."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()


@dataclass
class Served:
    """The server in `directory`, as the client sees it."""

    directory: Path
    clock: Moment
    down: bool = False
    lie: dict[str, bytes | None] = field(default_factory=dict)  #: path -> what is shown instead
    cut_after: str | None = None  #: "METHOD /path" after which the answer is lost
    seen: list[str] = field(default_factory=list)
    wares: dict[str, bytes] = field(default_factory=dict)  #: what the registry has, by path
    lie_of: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)  #: of API answers
    _publications: Publications | None = None

    @property
    def publications(self) -> Publications:
        if self._publications is None:
            layout = ServerDirectory(self.directory)
            layout.database.parent.mkdir(exist_ok=True)
            stores = Stores(
                layout,
                DurableFiles(),
                SqliteDatabase(layout.database),
                lambda fleet: DirectoryBlobStore(layout.fleet(fleet).root / "blobs"),
                InProcessNews(),
                self.clock,
            )
            keys = OnlineKeys(
                load_signer(layout, "snapshot"),
                load_signer(layout, "timestamp"),
                timedelta(days=400),
                timedelta(days=400),
                lambda role: load_waiting(layout, role),
            )
            logs = Logs(
                layout, load_log_key(layout), waiting=lambda: load_log_key(layout, waiting=True)
            )
            self._publications = Publications(stores, Fleets(), keys, logs)
        return self._publications

    def restart(self) -> None:
        """A new process on the same directory takes what lies in the inbox."""
        self.close()
        layout = ServerDirectory(self.directory)
        for fleet in layout.fleets():
            self.publications.fleets.put(self.publications.load(fleet))
        admit = AdmitFleet(self.publications, load_secrets(layout).enrolment)
        for path in sorted(layout.inbox.glob("*.json")):
            admit(decode(path.read_bytes(), ChangeUpload, cap=UPLOAD_CAP, what="the genesis"))
            path.unlink()

    def close(self) -> None:
        if self._publications is not None:
            self._publications.logs.close()
            self._publications.stores.database.close()
            self._publications = None

    def exchange(
        self, client: ApiClient, method: str, path: str, body: bytes, _headers: object, cap: int
    ) -> bytes:
        """What stands for `ApiClient._exchange`."""
        if self.down:
            raise Unavailable("server-unreachable", "cannot reach the server", unsent=True)
        self.seen.append(f"{method} {path}")
        answer = self._answer(client, method, path, body, cap)
        if self.cut_after == f"{method} {path}":
            self.down = True
            raise Unavailable("server-unreachable", "cannot reach the server", unsent=False)
        return answer

    def _answer(self, client: ApiClient, method: str, path: str, body: bytes, cap: int) -> bytes:
        secrets = load_secrets(ServerDirectory(self.directory))
        if path == "/api/v1/fleets":
            admit = AdmitFleet(self.publications, secrets.enrolment)
            return encode(admit(decode(body, ChangeUpload, cap=UPLOAD_CAP, what="the genesis")))
        if path.startswith("/v2/"):
            if path[1:] not in self.wares:
                raise InvalidInput("not-found", f"cannot find {path}")
            return self.wares[path[1:]]
        parts = path.removeprefix("/api/v1/fleets/").removeprefix("/f/").split("/")
        fleet = FleetId(parts[0])
        self._authenticate(client, fleet, secrets.enrolment)
        if method == "POST" and parts[1:] == ["changes"]:
            rate = Rate(self.clock, 1000, "changes")
            publish = Publish(
                self.publications,
                Unchecked(),
                rate,
                rate,
                Vet(lambda _: None),
                self.proposals.published,
            )
            upload = decode(body, ChangeUpload, cap=UPLOAD_CAP, what="the change")
            return encode(publish(fleet, upload))
        if path.startswith("/api/") and parts[1:] in (["bindings"], ["devices"]):
            return encode(
                DeviceList(devices=[]) if "devices" in parts else BindingList(bindings=[])
            )
        if path.startswith("/api/") and parts[1].partition("?")[0] == "proposals":
            answer = encode(self._proposals(client, fleet, method, parts[1:], body))
            return self.lie_of.get("/".join(parts[1:]), bytes)(answer)
        wanted = "/".join(parts[1:])
        data = self.file(fleet, wanted, cap)
        if wanted in self.lie:
            data = self.lie[wanted]
        if data is None:
            raise InvalidInput("not-found", f"cannot find {wanted}")
        return data

    @property
    def proposals(self) -> Proposals:
        """Changes that wait for people."""
        publications = self.publications
        rate = Rate(self.clock, 1000, "proposals")
        return Proposals(publications.stores, publications.fleets, rate)

    def _proposals(
        self, client: ApiClient, fleet: FleetId, method: str, parts: list[str], body: bytes
    ) -> object:
        """What the routes of proposals do, with the rights of whoever signs the request."""
        state = self.publications.fleets.need(fleet)
        person = state.people[client.key.id if client.key is not None else ""]
        delegation = state.delegation_of(person)
        may = _PERSON[person.role] if delegation is None else _DELEGATE
        who = Principal("person", person.name, may, fleet, delegation=delegation)
        who.need(READ if method == "GET" else PROPOSE)
        _, *rest = parts
        if method == "GET" and not rest:
            wanted = "open" if "state=open" in parts[0] else None
            return self.proposals.list(fleet, wanted, "", 100)
        if method == "GET":
            return self.proposals.show(fleet, rest[0])
        if not rest:
            proposal = decode(body, Proposal, cap=UPLOAD_CAP, what="the proposal")
            return self.proposals.propose(fleet, proposal, who)
        if rest[1] == "approvals":
            said = decode(body, ApprovalUpload, cap=UPLOAD_CAP, what="the approval")
            return self.proposals.approve(fleet, rest[0], said.approval)
        wish = decode(body, CloseProposal, cap=UPLOAD_CAP, what="the wish")
        return self.proposals.close(fleet, rest[0], wish, who)

    def file(self, fleet: FleetId, wanted: str, cap: int) -> bytes | None:
        """What is published at an address."""
        if wanted.startswith("log/"):
            return self._log(fleet, wanted)
        if wanted.startswith("blobs/"):
            return self._blob(fleet, parse_digest(wanted.removeprefix("blobs/")))
        return published_file(self.publications.directory(fleet), wanted, cap)

    def _blob(self, fleet: FleetId, digest: Digest) -> bytes | None:
        blobs = self.publications.stores.blobs(fleet)
        return None if blobs.size(digest) is None else b"".join(blobs.read(digest))

    def _log(self, fleet: FleetId, wanted: str) -> bytes | None:
        """A checkpoint or tile, as the HTTP edge serves it."""
        place, _, name = wanted.removeprefix("log/").partition("/")
        if name[:1].isdecimal():
            number, _, name = name.partition("/")
            place = f"{place}/{number}"
        files = self.publications.logs.files(fleet, place)
        if name == "checkpoint":
            return files.published()
        return read_tile(files, parse_tile_path(name))

    def _authenticate(self, client: ApiClient, fleet: FleetId, enrolment: str) -> None:
        state = self.publications.fleets.need(fleet)
        known = client.key is not None and client.key.id in state.people
        if not known and client.enrolment != enrolment:
            raise Untrusted("unauthenticated", "cannot tell who you are")

    def change_documents(self, fleet: str) -> dict[str, object]:
        """The published fleet.json."""
        state = self.publications.fleets.need(fleet)
        return json.loads(encode(state.document))
