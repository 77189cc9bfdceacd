"""Admit a fleet: its first upload, let in by the secret of the server's offer."""

from __future__ import annotations

import hmac

from allod.domain.ids import FleetId, sha256
from allod.errors import InvalidInput, Untrusted
from allod.server.services.check import Overlay, check_documents, take_apart, walk_all
from allod.server.services.fleets import LONG_AGO
from allod.server.services.online import sign_online
from allod.server.services.publication import Pending, Publications
from allod.server.services.publish import check_used, logged_with, make_pending
from allod.server.services.records import make_record
from allod.trust.anchor import anchor_at, first_floors
from allod.trust.effects import drive
from allod.trust.metadata import fleet_id
from allod.trust.profile import PUBLISHER
from allod.trust.repository import descend
from allod.wire.api import ChangeReceipt, Genesis
from allod.wire.codec import encode


class AdmitFleet:
    """The use case.

    Args:
        publications: carries it out.
        enrolment: the secret.
    """

    def __init__(self, publications: Publications, enrolment: str) -> None:
        self._publications = publications
        self._enrolment = enrolment

    def check_secret(self, secret: str) -> None:
        """Raises Untrusted `unauthenticated`."""
        if not hmac.compare_digest(secret.encode(), self._enrolment.encode()):
            raise Untrusted(
                "unauthenticated",
                "cannot admit the fleet: the enrolment secret is not the one in the server's offer.json",
            )

    def __call__(self, genesis: Genesis) -> ChangeReceipt:
        """Admit a fleet. When it returns, it is published; the same upload again is fine.

        Raises:
            InvalidInput: a file is missing or can't be read.
            Untrusted: a device would not accept it; `auth` if its root names other online keys
                than this server's.
        """
        publications = self._publications
        first = genesis.metadata.get("1.root.json")
        if first is None:
            raise InvalidInput("no-root", "cannot admit the fleet: 1.root.json is missing")
        fleet = fleet_id(first)
        with publications.lock(fleet):
            publications.recover(fleet)
            known = publications.fleets.get(fleet)
            if known is None:
                known = publications.carry_out(self._prepare(fleet, first, genesis))
            return ChangeReceipt(fleet=fleet, news=known.news, versions=known.versions)

    def _prepare(self, fleet: FleetId, first: bytes, genesis: Genesis) -> Pending:
        publications = self._publications
        now = publications.stores.clock.now()
        parts = take_apart(genesis)
        online = sign_online(
            publications.keys.under(first),
            now,
            previous=None,
            changed=parts.roles,
        )
        overlay = Overlay(publications.directory(fleet), parts, online)
        anchor = anchor_at(first)
        floors = first_floors(anchor, LONG_AGO)
        drive(descend(anchor, floors, {}, now, profile=PUBLISHER), overlay.get, lambda _: None)
        repository = walk_all(overlay)
        check_used(repository, overlay, genesis)
        if check_documents(repository, overlay, fleet).fleet is None:
            raise InvalidInput("no-fleet-document", "cannot admit the fleet: fleet.json is missing")
        record = make_record(
            0,
            fleet,
            "genesis",
            now,
            roles={**online.versions, "root": max(parts.roots)},
            targets=tuple(genesis.targets),
            change=genesis.change,
            upload=sha256(encode(genesis)),
        )
        logged = logged_with(
            publications.logs, genesis, repository, overlay, before=None, kind="genesis"
        )
        return make_pending(record, parts.files, parts.blobs, online, logged)
