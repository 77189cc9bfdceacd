"""The laptop with the keys is lost: the recovery key makes new ones, and the lost ones void.

One publication: a new root (this machine and the same recovery key), a new daily key with every
role signed anew, the owner's new API key, the provider's new key, a new spare authority in the
pins. Until it is in force nothing has changed; after it the lost machine's keys open nothing.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from allod.cli.client import ApiClient
from allod.cli.fleet import LocalFleet, LocalSettings, home_directory
from allod.cli.floors import known
from allod.cli.genesis import OWN_PROVIDER, make_keys, spare_certificate
from allod.cli.keystore import KeyRecord, KeyStore, public_key
from allod.cli.log_entries import names_log
from allod.cli.mending import view_to_mend
from allod.cli.named_logs import followed
from allod.cli.options import Options
from allod.cli.options import now as clock
from allod.cli.paper import fleet_of_sheet, read_sheet, type_paper
from allod.cli.proposal import Proposal, sign_proposal
from allod.cli.proposing import Logging, propose_root
from allod.cli.publishing import publish_proposal, read_offer
from allod.cli.refresh import View
from allod.cli.rotation import provider_document, with_person
from allod.domain.ids import FleetId, parse_fleet, parse_name
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Untrusted
from allod.trust.anchor import Anchor, anchor_at, first_floors
from allod.trust.keys import to_key
from allod.trust.metadata import ROOT, ROOT_CAP, TARGETS
from allod.trust.role_keys import RoleKeys
from allod.wire.api import ChangeReceipt
from allod.wire.codec import encode
from allod.wire.trust import Location, TrustStatement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from allod.cli.in_force import SeenReceipt
    from allod.wire.api import ServerOffer

#: What a server says that came back from a backup.
_RESTORED: Final = frozenset({"floors-unknown", "log-restored", "log-missing", "log-damaged"})


def recover(
    recovery_file: Path | None,
    *,
    server_offer: Path | None,
    fleet_id: str | None,
    name: str | None,
    yes: bool,
    options: Options,
) -> None:
    """Take a fleet up again with its recovery key alone.

    Raises:
        Conflict: `exists`: keys of a fleet of this name are here.
        Refused: `not-a-root-key`: the sheet is of another fleet, or was replaced since.
        Untrusted: the server shows another fleet, or one that its roots do not lead to.
    """
    place = server_offer or home_directory() / "server" / "offer.json"
    if server_offer is None and not place.exists():
        raise InvalidInput(
            "bad-arguments",
            "cannot find the fleet's server: give --server-offer, the offer.json in its directory",
        )
    offer = read_offer(place)
    key, fleet_name = _key_and_fleet(recovery_file, fleet_id, place)
    directory = home_directory() / "fleets" / parse_name(name or "home", "a fleet's name")
    if (directory / "fleet.json").exists():
        raise Conflict(
            "exists",
            f"cannot restore into {directory}: keys are there; move it away, or give --name",
        )
    fleet = _prepare(directory, offer, fleet_name, options)
    view, receipt = _take_up(fleet, key, offer, yes=yes, options=options)
    fleet.keys.add_public(ROOT, public_key(key), now=clock(), note="recovery key")
    settings = msgspec.structs.replace(fleet.settings, name=view.fleet_document.name)
    LocalFleet.create(directory, settings, fleet.keys)
    options.output.result(
        receipt, f"The fleet is yours again, as {fleet.name}; the lost keys are void."
    )


def _take_up(
    fleet: LocalFleet,
    key: Ed25519PrivateKey,
    offer: ServerOffer,
    *,
    yes: bool,
    options: Options,
) -> tuple[View, SeenReceipt]:
    """Publish new keys; where the server is lost too and came back from a backup, go on above it."""
    from securesystemslib.signer import CryptoSigner

    restored = False
    while True:
        view = view_to_mend(fleet, options)
        view.load_all()
        if public_key(key).keyid not in view.repository.root.roles[ROOT].keyids:
            raise Refused(
                "not-a-root-key",
                "cannot restore with this recovery key: the fleet's root does not name it",
            )
        made = make_keys(fleet.keys, at=clock(), root=True)
        proposal = _propose(view, key, made, offer, clock(), restored=restored)
        if not options.json:
            from allod.cli.ceremony import tell

            tell(proposal, options)
        options.output.confirm("Make the lost keys void, and these the fleet's?", yes=yes)
        signed = sign_proposal(proposal, (CryptoSigner(key), fleet.keys.signer(made[ROOT])))
        try:
            return view, publish_proposal(view, signed, documents=_documents(view, made))
        except AllodError as error:
            if restored or error.code not in _RESTORED:
                raise
            restored = True
            options.output.say(f"The server was lost too: {error.message}.")
            if error.code == "floors-unknown":
                fleet.client.post("floors", known(fleet), ChangeReceipt)
                options.output.say(
                    "It goes on above its backup, which is all that is known here; devices that "
                    "have seen more say 'rollback', and go on after 'allod trust repair'."
                )


def _key_and_fleet(
    recovery_file: Path | None, fleet_id: str | None, offer: Path
) -> tuple[Ed25519PrivateKey, FleetId]:
    """The recovery key, and the fleet that it is said to be of; the root tells whether it is."""
    if recovery_file is not None:
        return read_sheet(recovery_file), parse_fleet(fleet_id or fleet_of_sheet(recovery_file))
    if fleet_id is None:
        served = sorted(one.name for one in (offer.parent / "fleets").glob("*") if one.is_dir())
        fleet_id = served[0] if len(served) == 1 else None
    if fleet_id is None:
        raise InvalidInput(
            "bad-arguments", "cannot tell which fleet: give --id with the number on the sheet"
        )
    return type_paper(), parse_fleet(fleet_id)


def _prepare(directory: Path, offer: ServerOffer, fleet: FleetId, options: Options) -> LocalFleet:
    """A key store, and the fleet's first root checked against the number on the sheet."""
    keys = KeyStore(directory / "keys", options.passphrase())
    if not (keys.directory / "index.json").exists():
        keys.create()
    location = Location(url=offer.url, pins=[offer.ca] if offer.ca else [])
    client = ApiClient(location, fleet, enrolment=offer.enrolment)
    local = LocalFleet(
        directory, LocalSettings(fleet=fleet, name=directory.name, server=location), keys
    )
    local.use(client)
    anchor = _first_anchor(client, fleet)
    local.save_anchor(root=anchor.root, trust=None)
    local.save_floors(first_floors(anchor, clock()))
    return local


def _first_anchor(client: ApiClient, fleet: FleetId) -> Anchor:
    first = client.file("tuf/1.root.json", cap=ROOT_CAP)
    if first is None:
        raise Untrusted("wrong-fleet", f"cannot find the fleet {fleet[:16]} on this server")
    anchor = anchor_at(first)
    if anchor.fleet != fleet:
        raise Untrusted("wrong-fleet", "cannot use this server: it shows another fleet's root")
    return anchor


def _propose(
    view: View,
    key: Ed25519PrivateKey,
    made: dict[str, KeyRecord],
    offer: ServerOffer,
    at: datetime,
    *,
    restored: bool,
) -> Proposal:
    statement = view.repository.statement
    anchors = [] if statement is None else list(statement.anchors)
    if offer.ca:
        spare = spare_certificate(view.fleet.keys, made["spare-ca"], view.fleet.settings.name)
        here = Location(url=offer.url, pins=[offer.ca, spare])
        anchors = [here, *(anchor for anchor in anchors if anchor.url != offer.url)]
    roles = {
        ROOT: RoleKeys((to_key(made[ROOT].public), public_key(key))),
        TARGETS: RoleKeys((to_key(made[TARGETS].public),)),
    }
    lost = restored or (names_log(statement) and view.repository.logged is None)
    return propose_root(
        view,
        roles,
        at=at,
        anchors=anchors,
        logging=_successors(statement, offer) if lost else None,
        message="keys lost; recovery key used",
    )


def _successors(statement: TrustStatement | None, offer: ServerOffer) -> Logging | None:
    """The logs that follow those that were lost. Raises InvalidInput `no-log`."""
    if statement is None or not statement.logs:
        return None
    if offer.log is None:
        raise InvalidInput("no-log", "cannot let a log succeed: the server has no key for one")
    names = {log.name for log in statement.logs}
    return Logging(followed(statement, sorted(names), offer.log), statement.witnesses)


def _documents(view: View, made: dict[str, KeyRecord]) -> dict[str, bytes]:
    """The owner's new API key, and the provider's new key beside the old for what it signed."""
    fleet = with_person(view.fleet_document, view.fleet.settings.person, made["api"])
    path, provider = provider_document(view, OWN_PROVIDER)
    record = made[f"provider:{OWN_PROVIDER}"]
    changed = msgspec.structs.replace(provider, keys=[record.public, *provider.keys])
    return {"fleet.json": encode(fleet), path: encode(changed)}
