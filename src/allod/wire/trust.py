"""Trust statements, `trust/<N>.json`: DSSE under the root threshold (docs/spec/trust.md)."""

from __future__ import annotations

from typing import Literal

from allod.wire.codec import Document
from allod.wire.envelope import PublicKey


class Location(Document, kw_only=True, frozen=True):
    """Where a fleet's files can be had."""

    url: str  #: https://host:port, without a trailing slash
    pins: list[str] = []  #: PEM certificates of the CAs that may certify it


class Log(Document, kw_only=True, frozen=True):
    """One transparency log, or the successor of one (docs/explanation/acceptance.md)."""

    name: Literal["authority", "activity"]
    origin: str
    key: str  #: a C2SP verifier key
    genesis: str  #: digest of its first checkpoint
    follows: str | None = None  #: origin of the log that it succeeds


class Witnesses(Document, kw_only=True, frozen=True):
    """Who vouches that the logs only grow."""

    keys: list[str]  #: C2SP verifier keys
    quorum: int
    max_age_seconds: int


class Repair(Document, kw_only=True, frozen=True):
    """Named floors that devices take down to the given value, once per statement."""

    roles: dict[str, int] = {}  #: role name -> version floor
    time: str | None = None  #: the time floor
    devices: list[str] = []  #: only these; empty: all


class Transfer(Document, kw_only=True, frozen=True):
    """Devices that may be bound by another owner."""

    devices: list[str]
    to: str  #: the other fleet's id
    until: str


class TrustStatement(Document, kw_only=True, frozen=True):
    """One link of the chain that is walked right after the root chain."""

    type: Literal["allod.trust"] = "allod.trust"
    format: Literal[1] = 1
    fleet: str
    number: int
    previous: str | None  #: digest of the payload of statement number - 1
    at: str
    anchors: list[Location]
    logs: list[Log] = []
    witnesses: Witnesses | None = None
    repairs: list[Repair] = []
    transfers: list[Transfer] = []


class Person(Document, kw_only=True, frozen=True):
    """Somebody (or something) whom the owner lets speak to the server's API."""

    name: str
    key: PublicKey
    role: Literal["admin", "read", "publish", "approver"]
    kinds: list[str] = []  #: as whom they approve changes: qa, operations, …
    approval: PublicKey | None = None  #: the key of their approvals; `key` never counts for them


class Verifier(Document, kw_only=True, frozen=True):
    """Who looks at releases on the owner's side, and whose word devices take for it."""

    name: str
    key: PublicKey
    vouches: list[Literal["mends", "provenance"]]  #: docs/spec/evidence.md
    sources: list[str] = []  #: of advisories, that its word on flaws may rest on; empty: any


class Defaults(Document, kw_only=True, frozen=True):
    """What holds where no scope sets it."""

    drift: Literal["report", "heal"] = "heal"
    retention_releases: int = 1


class FleetDocument(Document, kw_only=True, frozen=True):
    """`fleet.json`, signed by `targets`."""

    type: Literal["allod.fleet"] = "allod.fleet"
    format: Literal[1] = 1
    fleet: str
    name: str
    locations: list[Location] = []  #: add to the anchors
    people: list[Person] = []
    gate_key: PublicKey | None = None
    verifiers: list[Verifier] = []
    revoked_invites: list[str] = []
    public: bool = False  #: reads need no token
    defaults: Defaults = Defaults()


class TrustedBuilder(Document, kw_only=True, frozen=True):
    """A builder whose word about a build the owner believes, and how far."""

    id: str  #: as SLSA provenance has it; one that ends in "*" is a prefix
    level: int = 0  #: SLSA build level, 0 to 3, that the owner takes it to keep


class SigstoreIdentity(Document, kw_only=True, frozen=True):
    """Who stands in a signing certificate of Sigstore."""

    issuer: str  #: of the token by which the certificate was given: https://…
    subject: str  #: a mail address or a URI; one that ends in "*" is a prefix


class ProvenancePolicy(Document, kw_only=True, frozen=True):
    """How a provider's releases have to be built (docs/spec/provenance.md).

    Provenance is asked for as soon as one of the first seven fields is given; then a list that is
    empty lets nothing through.
    """

    builders: list[TrustedBuilder] = []
    keys: list[PublicKey] = []  #: of builders; one of them signs, and devices check it themselves
    identities: list[SigstoreIdentity] = []  #: of builders; devices need a verifier's summary
    sources: list[str] = []  #: repositories, without a ref: git+https://…
    refs: list[str] = []  #: of the source; one that ends in "*" is a prefix
    parameters: dict[str, str] | None = None  #: all external parameters; null: not looked at
    level: int = 0  #: least SLSA build level
    attestations: list[str] = []  #: predicate types of statements that must be there too
    sbom: bool = False  #: whether a bill of materials must be there, bound by a signature

    @property
    def asks_provenance(self) -> bool:
        """Whether a release needs provenance, and not only other statements."""
        return bool(
            self.builders
            or self.keys
            or self.identities
            or self.sources
            or self.refs
            or self.parameters is not None
            or self.level
        )


class ProviderDocument(Document, kw_only=True, frozen=True):
    """`providers/<provider>.json`, signed by `targets`."""

    type: Literal["allod.provider"] = "allod.provider"
    format: Literal[1] = 1
    fleet: str
    provider: str
    keys: list[PublicKey]
    threshold: int = 1
    namespaces: list[str]  #: purl prefixes ending in "/"
    access: list[str] | None = None  #: the most that its releases may need; None: any
    distrusted: str | None = None  #: why; running releases stay lawful
    distrusted_after: int | None = None  #: index in the authority log; None: all of their word
    adopted: str | None = None  #: why the owner signs for its namespaces
    provenance: ProvenancePolicy | None = None  #: null: the provider's own signature is enough


class Withdrawal(Document, kw_only=True, frozen=True):
    """One release that was recalled."""

    digest: str
    why: str
    replacement: str | None = None


class WithdrawnDocument(Document, kw_only=True, frozen=True):
    """`releases/withdrawn.json`, signed by `targets`."""

    type: Literal["allod.withdrawn"] = "allod.withdrawn"
    format: Literal[1] = 1
    fleet: str
    releases: list[Withdrawal] = []
