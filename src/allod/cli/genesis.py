"""The beginning of a fleet: a plan, a first root under the owner's keys, and its first documents.

Everything follows from the plan and the keys, so that a beginning that was cut short goes on from
the same plan to the very same files. Order: keys and plan are durable, the recovery key was read
back, the first root is signed, the genesis is durable here, then at the server; last the plan goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from allod.cli.fleet import LocalFleet, LocalSettings
from allod.cli.keystore import KeyRecord, KeyStore
from allod.cli.log_entries import entries_for, statement_of
from allod.cli.named_logs import first_logs
from allod.cli.proposal import Proposal, require_complete
from allod.cli.proposal_entries import finished_entries, unsigned_entries
from allod.cli.proposing import LIVES, unsigned_statement
from allod.domain.ids import FleetId
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import Conflict, Unavailable, Untrusted
from allod.trust.authoring import RepositoryDraft
from allod.trust.keys import to_key
from allod.trust.metadata import ROOT, TARGETS
from allod.trust.role_keys import RoleKeys
from allod.wire.api import ENROLMENT_HEADER, ChangeUpload, ServerOffer
from allod.wire.codec import Document, decode, encode, parse_instant
from allod.wire.envelope import PublicKey
from allod.wire.trust import (
    FleetDocument,
    Location,
    Person,
    ProviderDocument,
    TrustStatement,
    WithdrawnDocument,
    Witnesses,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

OWN_PROVIDER: Final = "me"
OWN_NAMESPACE: Final = "pkg:generic/me/"
PLAN: Final = "genesis-plan.json"
PENDING: Final = "genesis.json"
_CAP: Final = 64 * 1024 * 1024


class Plan(Document, frozen=True, kw_only=True):
    """Everything that the first files are made from, beside the private keys."""

    type: Literal["allod.genesis-plan"] = "allod.genesis-plan"
    format: Literal[1] = 1
    name: str
    at: str
    profile: Literal["home", "production"]
    public: bool
    offer: ServerOffer
    server_directory: str | None
    roots: tuple[PublicKey, ...]
    threshold: int
    targets: PublicKey
    api: PublicKey
    provider: PublicKey
    witnesses: Witnesses | None = None
    spare: str  #: certificate (PEM) of the owner's spare authority; empty without TLS


def make_keys(keys: KeyStore, *, at: datetime, root: bool) -> dict[str, KeyRecord]:
    """The first keys of this machine; those that are there from a cut are taken."""
    roles = [TARGETS, "api", f"provider:{OWN_PROVIDER}", "spare-ca", *([ROOT] if root else [])]
    made = {}
    for role in roles:
        held = [record for record in keys.records(role) if record.file is not None]
        made[role] = held[-1] if held else keys.generate(role, now=at)
    return made


def spare_certificate(keys: KeyStore, record: KeyRecord, name: str) -> str:
    """The certificate of the owner's spare authority, always with the date of its key."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from allod.cli.certificates import authority

    key = keys.private(record)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise Unavailable("damaged-key", "cannot use the spare authority: it is no P-256 key")
    return authority(key, name=f"Allod spare of {name}", now=parse_instant(record.created))


def draft_of(plan: Plan) -> RepositoryDraft:
    """The repository that the plan begins; its fleet's id follows from it."""
    return RepositoryDraft.genesis(
        root=RoleKeys(tuple(to_key(key) for key in plan.roots), plan.threshold),
        targets=RoleKeys((to_key(plan.targets),)),
        snapshot=RoleKeys((to_key(plan.offer.snapshot),)),
        timestamp=RoleKeys((to_key(plan.offer.timestamp),)),
        now=parse_instant(plan.at),
        lives=LIVES[plan.profile],
    )


def location_of(plan: Plan) -> Location:
    """Where the fleet is served, pinned to the server's authority and the owner's spare."""
    return Location(url=plan.offer.url, pins=[plan.offer.ca, plan.spare] if plan.offer.ca else [])


def propose_genesis(plan: Plan) -> Proposal:
    """The first root and trust statement, unsigned, and their entries for the log."""
    draft = draft_of(plan)
    statement = TrustStatement(
        fleet=draft.fleet,
        number=1,
        previous=None,
        at=plan.at,
        anchors=[location_of(plan)],
        logs=[] if plan.offer.log is None else first_logs(draft.fleet, plan.offer.log),
        witnesses=plan.witnesses,
    )
    proposal = Proposal(
        fleet=draft.fleet,
        name=plan.name,
        at=plan.at,
        root=draft.propose_root(parse_instant(plan.at)),
        trust=unsigned_statement(statement),
    )
    return msgspec.structs.replace(proposal, entries=unsigned_entries(proposal))


def documents_of(plan: Plan, fleet: FleetId) -> dict[str, bytes]:
    """The first documents."""
    people = [Person(name="owner", key=plan.api, role="admin")]
    return {
        "fleet.json": encode(
            FleetDocument(
                fleet=fleet,
                name=plan.name,
                people=people,
                gate_key=plan.offer.gate,
                public=plan.public,
            )
        ),
        f"providers/{OWN_PROVIDER}.json": encode(
            ProviderDocument(
                fleet=fleet, provider=OWN_PROVIDER, keys=[plan.provider], namespaces=[OWN_NAMESPACE]
            )
        ),
        "releases/withdrawn.json": encode(WithdrawnDocument(fleet=fleet)),
    }


def save_plan(directory: Path, plan: Plan) -> None:
    """Keep the plan, durably."""
    make_directory(directory)
    write_atomic(directory / PLAN, encode(plan))


def read_plan(directory: Path) -> Plan:
    """A plan that was not carried out yet. Raises Unavailable `no-plan`."""
    try:
        data = (directory / PLAN).read_bytes()
    except FileNotFoundError as error:
        raise Unavailable(
            "no-plan", "cannot begin the fleet: it was begun already, or never planned"
        ) from error
    return decode(data, Plan, cap=_CAP, what="the plan of the fleet")


def begin(directory: Path, plan: Plan, keys: KeyStore, proposal: Proposal) -> LocalFleet:
    """Sign the first files and keep everything here; the server comes next.

    The pending upload is written last: where it is, the fleet is whole on this machine.

    Raises:
        Refused: `threshold-not-met`.
        Conflict: `out-of-date`, the proposal is not the plan's.
    """
    from allod.trust.anchor import anchor_at, first_floors

    require_complete(proposal)
    draft = draft_of(plan)
    if proposal.fleet != draft.fleet or proposal.root is None or proposal.trust is None:
        raise Conflict(
            "out-of-date", "cannot begin the fleet: the proposal belongs to another plan"
        )
    for path, data in documents_of(plan, draft.fleet).items():
        draft.set_target(path, data)
    signers: Sequence[Signer] = keys.signers(TARGETS)
    made = draft.sign(parse_instant(plan.at), {TARGETS: signers}, root=proposal.root)
    daily = {name: data for name, data in made.metadata.items() if data != proposal.root}
    upload = ChangeUpload(
        metadata=dict(made.metadata),
        targets=dict(made.targets),
        trust={"1": proposal.trust},
        entries=[
            *finished_entries(proposal),
            *entries_for(draft.fleet, statement_of(proposal.trust), daily, {TARGETS: signers}),
        ],
    )
    fleet = LocalFleet(directory, _settings(plan, draft.fleet), keys)
    anchor = anchor_at(proposal.root)
    fleet.save_history("roots", {"1.root.json": proposal.root})
    fleet.save_history("trust", {"1.json": proposal.trust})
    fleet.save_floors(first_floors(anchor, parse_instant(plan.at)))
    fleet.save_anchor(root=proposal.root, trust=None)
    if (directory / "fleet.json").exists():
        fleet = LocalFleet.at(directory, passphrase=keys.passphrase)
    else:
        fleet = LocalFleet.create(directory, fleet.settings, keys)
    write_atomic(directory / PENDING, encode(upload))
    return fleet


def _settings(plan: Plan, fleet: FleetId) -> LocalSettings:
    return LocalSettings(
        fleet=fleet,
        name=plan.name,
        profile=plan.profile,
        server=location_of(plan),
        server_directory=plan.server_directory,
    )


def deliver(fleet: LocalFleet) -> str:
    """Bring the genesis to the server; again is fine. Returns how: `posted` or `inbox`.

    An embedded server that does not run takes it from its inbox when it starts.

    Raises:
        Unavailable: `server-unreachable`, where there is no inbox; run init again later.
    """
    plan = read_plan(fleet.directory)
    data = (fleet.directory / PENDING).read_bytes()
    how = "posted"
    try:
        fleet.client.request(
            "POST", "/api/v1/fleets", body=data, headers={ENROLMENT_HEADER: plan.offer.enrolment}
        )
    except (Unavailable, Untrusted) as error:
        # A stranger at its address says that the embedded server does not run: it takes the
        # fleet from its inbox, and says what keeps it from listening.
        strangers = {"server-unreachable", "wrong-certificate"}
        if plan.server_directory is None or error.code not in strangers:
            raise
        inbox = Path(plan.server_directory) / "inbox"
        make_directory(inbox)
        write_atomic(inbox / f"{fleet.id}.json", data)
        how = "inbox"
    remove_file(fleet.directory / PENDING)
    remove_file(fleet.directory / PLAN)
    return how


def publish_genesis(fleet: LocalFleet, proposal: Proposal) -> dict[str, str]:
    """Begin a fleet whose first root went round for signatures.

    Raises:
        Refused: `threshold-not-met`.
    """
    plan = read_plan(fleet.directory)
    begin(fleet.directory, plan, fleet.keys, proposal)
    return {"fleet": fleet.id, "how": deliver(fleet)}
