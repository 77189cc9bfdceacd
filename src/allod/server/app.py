"""The composition root of the server: settings in, one ASGI application out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from allod.domain.ids import FleetId, parse_fleet
from allod.errors import AllodError, Unavailable
from allod.server import keys
from allod.server.blobs.directory import DirectoryBlobStore
from allod.server.clock import SystemClock
from allod.server.db.sqlite import SqliteDatabase
from allod.server.files import DurableFiles
from allod.server.http.admin import PREFIX, AdminApp, AdminLimits
from allod.server.http.fleet_files import FleetApp, FleetServices
from allod.server.http.log_files import LogFilesApp
from allod.server.http.messages import (
    NO_STORE,
    Bodies,
    Receive,
    Scope,
    Send,
    not_found,
    respond,
    respond_problem,
)
from allod.server.http.permission_routes import PermissionServices
from allod.server.http.routes import Services
from allod.server.http.witness_calls import HttpWitnessCalls
from allod.server.log.ports import LogStorage
from allod.server.log.sql import SqlLogs
from allod.server.news import InProcessNews
from allod.server.ports import BlobStore, Clock, Database, Files
from allod.server.registry.app import RegistryApp
from allod.server.registry.catalogue import DirectoryCatalogue
from allod.server.registry.ports import FleetStore
from allod.server.services.access import Access, Nonces
from allod.server.services.admit_binding import AdmitBinding
from allod.server.services.admit_fleet import AdmitFleet
from allod.server.services.alarms import Alarms
from allod.server.services.api_tokens import ApiTokens
from allod.server.services.channels import Channels
from allod.server.services.check_configuration import CheckConfiguration
from allod.server.services.fleets import Fleets
from allod.server.services.gather import WitnessCalls
from allod.server.services.inbox import empty_inbox
from allod.server.services.learn_floors import LearnFloors
from allod.server.services.limits import Rate
from allod.server.services.listings import Listings
from allod.server.services.logs import Logs, open_logs
from allod.server.services.online import OnlineKeys
from allod.server.services.proposals import Proposals
from allod.server.services.publication import Publications, Stores
from allod.server.services.publish import Publish
from allod.server.services.read_tokens import ReadTokens
from allod.server.services.rebuild import Rebuild
from allod.server.services.receive_report import ReceiveReport
from allod.server.services.refresh import Refresh
from allod.server.services.refusals import Refusals
from allod.server.services.rollouts import Rollouts
from allod.server.services.witnesses import GatherAll
from allod.server.settings import Settings

_CHANGES_A_MINUTE: Final = 120
_BINDINGS_A_MINUTE: Final = 1200
_PROPOSALS_A_MINUTE: Final = 120
_SUBMISSIONS_A_MINUTE: Final = 300
_log = structlog.get_logger("allod.server")


@dataclass(slots=True)
class Server:
    """Everything that a running server is made of."""

    settings: Settings
    stores: Stores
    fleets: Fleets
    publications: Publications
    log_database: SqlLogs | None  #: where all logs lie, if not in directories
    alarms: Alarms
    refusals: Refusals
    publish: Publish
    admit_fleet: AdmitFleet
    admit_binding: AdmitBinding
    receive_report: ReceiveReport
    learn_floors: LearnFloors
    refresh: Refresh
    proposals: Proposals
    channels: Channels
    rollouts: Rollouts
    rebuild: Rebuild
    gather: GatherAll
    read_tokens: ReadTokens
    api_tokens: ApiTokens
    access: Access
    listings: Listings
    registry: RegistryApp

    def start(self) -> None:
        """Recover every fleet, admit what lies in the inbox, sign anew what grows old.

        A fleet that the database does not know is brought into it again from its files.
        """
        for fleet in self.stores.layout.fleets():
            try:
                if self.stores.database.fleet(fleet) is None:
                    _log.warning("projection-missing", fleet=fleet, entries=self.rebuild(fleet))
                self.publications.load(fleet)
            except (AllodError, OSError) as error:
                _log.error("fleet-unusable", fleet=fleet, exc_info=error)
        empty_inbox(self.stores.layout, self.admit_fleet)
        self.refresh.all()

    def witness(self) -> None:
        """Show the logs to their witnesses, and keep what they say of channels."""
        self.gather()
        self.channels.witness()

    def settle(self) -> None:
        """Log what could not be logged yet, and what was only counted."""
        self.alarms.settle()
        self.refusals.settle()

    def close(self) -> None:
        """Let go of the logs and the database."""
        self.gather.close()
        self.publications.logs.close()
        if self.log_database is not None:
            self.log_database.close()
        self.stores.database.close()


def assemble(
    settings: Settings,
    *,
    clock: Clock | None = None,
    files: Files | None = None,
    database: Database | None = None,
    blob_stores: Callable[[FleetId], BlobStore] | None = None,
    log_storages: Callable[[FleetId, str], LogStorage] | None = None,
    witness_calls: WitnessCalls | None = None,
) -> Server:
    """Put the parts together; nothing is read but keys and secrets.

    Args:
        settings: of this server.
        clock: another one, for tests.
        files: likewise.
        database: likewise.
        blob_stores: likewise; gives the store of a fleet.
        log_storages: likewise; gives where the log of a fleet lies, by its place.
        witness_calls: likewise.

    Raises:
        Unavailable: `no-server-key`.
    """
    layout, clock = settings.layout, clock or SystemClock()
    secrets = keys.load_secrets(layout)

    def directories(fleet: FleetId) -> BlobStore:
        return DirectoryBlobStore(layout.fleet(fleet).root / "blobs")

    blobs = blob_stores or directories

    stores = Stores(
        layout,
        files or DurableFiles(),
        database or SqliteDatabase(layout.database),
        blobs,
        InProcessNews(),
        clock,
    )
    fleets = Fleets()

    def releases(fleet: str) -> FleetStore | None:
        # While a fleet is being admitted its directory exists before its state does.
        known = parse_fleet(fleet)
        root = layout.fleet(known).root
        return FleetStore(blobs(known), DirectoryCatalogue(root / "registry"))

    online = OnlineKeys(
        keys.load_signer(layout, "snapshot"),
        keys.load_signer(layout, "timestamp"),
        timedelta(hours=settings.snapshot_hours),
        timedelta(hours=settings.timestamp_hours),
        lambda role: keys.load_waiting(layout, role),
    )
    log_database = None
    if log_storages is None and settings.logs == "sql":
        log_storages = log_database = open_logs(layout, clock)
    logs = Logs(
        layout,
        keys.load_log_key(layout),
        log_storages,
        lambda: keys.load_log_key(layout, waiting=True),
    )
    alarms = Alarms(layout, stores.files, stores.database, logs)
    gather = GatherAll(layout, fleets, logs, alarms, witness_calls or HttpWitnessCalls(), clock)
    publications = Publications(stores, fleets, online, logs, gather.vouch)
    proposals = Proposals(stores, fleets, Rate(clock, _PROPOSALS_A_MINUTE, "proposals"))
    channels = Channels(
        publications,
        alarms,
        Rate(clock, settings.documents_an_hour, "documents of a channel", seconds=3600),
    )
    publish = Publish(
        publications,
        CheckConfiguration(blobs, releases),
        Rate(clock, _CHANGES_A_MINUTE, "changes of a fleet"),
        Rate(clock, settings.orders_an_hour, "changes of a delegation", seconds=3600),
        proposals.published,
    )
    learn_floors = LearnFloors(publications, publish)
    rollouts = Rollouts(publications, alarms, keys.load_signer(layout, "gate"))
    refusals = Refusals(logs, clock)
    read_tokens = ReadTokens(
        stores.database,
        clock,
        token_secret=secrets.token,
        challenge_secret=secrets.challenge,
        token_seconds=settings.read_token_seconds,
        challenge_seconds=settings.challenge_seconds,
    )
    api_tokens = ApiTokens(layout, stores.database, clock)
    nonces = Nonces(layout.root / "nonces", clock)
    access = Access(fleets, read_tokens, api_tokens, nonces, clock, secrets.enrolment)
    return Server(
        settings=settings,
        stores=stores,
        fleets=fleets,
        publications=publications,
        log_database=log_database,
        alarms=alarms,
        refusals=refusals,
        publish=publish,
        admit_fleet=AdmitFleet(publications, secrets.enrolment),
        admit_binding=AdmitBinding(
            stores,
            fleets,
            alarms,
            Rate(clock, _BINDINGS_A_MINUTE, "binding records"),
            logs,
            refusals,
        ),
        receive_report=ReceiveReport(
            stores,
            alarms,
            Rate(clock, settings.reports_a_minute, "reports of a device"),
            learn_floors.seen,
            logs,
            refusals,
            keep=settings.heartbeats_kept,
            counts=rollouts.taken,
        ),
        learn_floors=learn_floors,
        refresh=Refresh(publications),
        proposals=proposals,
        channels=channels,
        rollouts=rollouts,
        rebuild=Rebuild(publications),
        gather=gather,
        read_tokens=read_tokens,
        api_tokens=api_tokens,
        access=access,
        listings=Listings(stores, fleets),
        registry=RegistryApp(
            lambda fleet: releases(fleet) if fleets.get(fleet) is not None else None,
            access,
            lambda what, error: _log.error("unexpected", what=what, exc_info=error),
        ),
    )


class Application:
    """The ASGI application: one dispatcher by prefix over three rooms."""

    def __init__(self, server: Server) -> None:
        settings = server.settings
        self._server = server
        bodies = Bodies(settings.body_seconds, settings.bodies_room)
        clock = server.stores.clock
        self._fleet = FleetApp(
            FleetServices(
                server.stores,
                server.fleets,
                server.access,
                server.read_tokens,
                server.admit_binding,
                server.receive_report,
                LogFilesApp(
                    server.publications.logs,
                    server.gather,
                    Rate(clock, _SUBMISSIONS_A_MINUTE, "cosigned checkpoints of a fleet"),
                    bodies,
                ),
                bodies,
                settings.wait_seconds,
                max(1, settings.connections * 3 // 4),
            )
        )
        self._admin = AdminApp(
            server.access,
            server.admit_fleet,
            Services(
                server.fleets,
                server.publish,
                server.admit_fleet,
                server.learn_floors,
                server.api_tokens,
                server.listings,
                server.refusals,
                PermissionServices(server.proposals, server.channels, server.refusals),
                server.rollouts,
            ),
            AdminLimits(settings.upload_cap, bodies),
        )
        self._registry = server.registry
        self._busy = 0
        self._most = settings.connections
        self.failure: Exception | None = None  #: why it could not start

    def stop(self) -> None:
        """Let nobody wait any longer, so that open polls do not keep the process."""
        self._server.stores.news.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path = scope["path"]
        if self._busy >= self._most:
            await respond_problem(
                send,
                Unavailable("too-many", "cannot answer: too many requests at once", retry_after=5),
            )
            return
        self._busy += 1
        try:
            if path.startswith("/f/"):
                await self._fleet(scope, receive, send)
            elif path.startswith("/v2"):
                await self._registry(scope, receive, send)
            elif path.startswith(PREFIX):
                await self._admin(scope, receive, send)
            elif path == "/health":
                await respond(send, 200, b"ok\n", ((b"content-type", b"text/plain"), NO_STORE))
            else:
                await respond_problem(send, not_found("this address"))
        finally:
            self._busy -= 1

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Recover before the first request; refresh while running."""
        await receive()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(
            ThreadPoolExecutor(self._server.settings.threads, thread_name_prefix="use-case")
        )
        try:
            await loop.run_in_executor(None, self._server.start)
        except Exception as error:  # noqa: BLE001 - whoever runs the process tells it
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        server, settings = self._server, self._server.settings
        chores = [
            asyncio.create_task(_again(settings.refresh_every_seconds, server.refresh.all)),
            asyncio.create_task(_again(settings.gather_every_seconds, server.witness)),
            asyncio.create_task(_again(settings.settle_every_seconds, server.settle)),
            asyncio.create_task(_again(settings.rollouts_every_seconds, server.rollouts)),
        ]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for chore in chores:
            chore.cancel()
        for chore in chores:
            with contextlib.suppress(asyncio.CancelledError):
                await chore
        self._server.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _again(seconds: float, act: Callable[[], None]) -> None:
    """Do it over and over; what fails unforeseen is logged, and done again."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.run_in_executor(None, act)
        except Exception as error:  # noqa: BLE001 - a chore never ends by itself
            _log.error("chore-failed", exc_info=error)
        await asyncio.sleep(seconds)


def build(settings: Settings) -> Application:
    """The ASGI application of a server's directory. Raises Unavailable `no-server-key`."""
    return Application(assemble(settings))
