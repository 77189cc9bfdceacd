"""The composition root of the server: settings in, everything that it is made of out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import SystemRandom
from typing import Final

import structlog

from allod.domain.ids import FleetId, parse_fleet
from allod.errors import AllodError
from allod.server import keys
from allod.server.blobs.directory import DirectoryBlobStore
from allod.server.clock import SystemClock
from allod.server.db.sqlite import SqliteDatabase
from allod.server.files import DurableFiles
from allod.server.http.foreign_registry import ForeignRegistry
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
from allod.server.services.copy_channels import CopyChannels
from allod.server.services.fleets import Fleets
from allod.server.services.gather import WitnessCalls
from allod.server.services.inbox import empty_inbox
from allod.server.services.learn_floors import LearnFloors
from allod.server.services.limits import Rate
from allod.server.services.listings import Listings
from allod.server.services.logs import Logs, open_logs
from allod.server.services.mirror import Mirror
from allod.server.services.mirror_source import Source
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
from allod.server.services.vetting import Vet
from allod.server.services.witnesses import GatherAll
from allod.server.settings import Settings

_CHANGES_A_MINUTE: Final = 120
_BINDINGS_A_MINUTE: Final = 1200
_PROPOSALS_A_MINUTE: Final = 120
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
    copy_channels: CopyChannels
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
        self.copy_channels.close()
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
    source: Source | None = None,
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
        source: of channels, likewise.

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
        Vet(releases),
        proposals.published,
    )
    learn_floors = LearnFloors(publications, publish)
    refusals = Refusals(logs, clock)
    foreign = source or ForeignRegistry()
    copy_channels = CopyChannels(
        fleets,
        channels,
        Mirror(releases, foreign),
        foreign,
        refusals,
        clock,
        every=settings.poll_seconds,
        chance=SystemRandom().random,
    )
    channels.polled = copy_channels.polled
    rollouts = Rollouts(publications, alarms, keys.load_signer(layout, "gate"))
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
        copy_channels=copy_channels,
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
