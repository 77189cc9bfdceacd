"""A fleet's authority log in memory: signed with the owner's keys, cosigned by witnesses, served."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from securesystemslib.signer import CryptoSigner

from allod.domain.ids import FleetId, sha256
from allod.testing.logs import note_signer
from allod.testing.owner import TestOwner
from allod.tlog.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from allod.tlog.growth import Edge
from allod.tlog.merkle import EMPTY_ROOT, leaf_hash, range_over
from allod.tlog.note import Kind, NoteSigner
from allod.tlog.witness import cosign, with_cosignatures
from allod.trust.authoring import Publication
from allod.trust.dsse import decode_envelope, make_envelope
from allod.trust.metadata import open_role
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import RoleStatement, encode_authority, encode_role_statement, log_origin
from allod.wire.trust import Log, Witnesses

_ORDER = {"root": 0, "trust": 1, "targets": 2, "devices": 3}
_LAST = 9


@dataclass
class AuthorityLog:
    """What an honest server logs; a test appends to `entries` whatever it likes.

    Attributes:
        entries: in order.
        cosigners: the witnesses that are awake.
        number: 1, or which successor it is.
    """

    witnesses: int = 0
    quorum: int = 1
    max_age_seconds: int = 7 * 24 * 3600
    number: int = 1
    genesis: str | None = None  #: named in place of the true one
    entries: list[bytes] = field(default_factory=list)
    fleet: FleetId = field(init=False)
    cosigners: list[NoteSigner] = field(default_factory=list)
    past: list[Log] = field(default_factory=list)
    waiting: list[tuple[int, bytes]] = field(default_factory=list)

    def begin(self, fleet: FleetId) -> None:
        """It is this fleet's."""
        self.fleet = fleet
        names = [f"w{number}.example" for number in range(self.witnesses)]
        self.cosigners = [note_signer(name, Kind.COSIGNATURE) for name in names]

    @property
    def origin(self) -> str:
        """Its origin."""
        return log_origin(self.fleet, "authority", self.number)

    @property
    def prefix(self) -> str:
        """Where it is served, relative to /f/<fleet>/."""
        return "log/authority" if self.number == 1 else f"log/authority/{self.number}"

    @property
    def signer(self) -> NoteSigner:
        """The log's key."""
        return note_signer(self.origin)

    @property
    def named(self) -> list[Log]:
        """The logs as a trust statement names them."""
        key = str(self.signer.key)
        genesis = self.genesis or sha256(Checkpoint(self.origin, 0, EMPTY_ROOT).text.encode())
        follows = self.past[-1].origin if self.past else None
        mine = Log(name="authority", origin=self.origin, key=key, genesis=genesis, follows=follows)
        return [*self.past, mine]

    @property
    def witnesses_named(self) -> Witnesses | None:
        """The witnesses as a trust statement names them."""
        names = [f"w{number}.example" for number in range(self.witnesses)]
        keys = [str(note_signer(name, Kind.COSIGNATURE).key) for name in names]
        if not keys:
            return None
        return Witnesses(keys=keys, quorum=self.quorum, max_age_seconds=self.max_age_seconds)

    def succeed(self) -> None:
        """It is lost; another one begins."""
        self.past = self.named
        self.number += 1
        self.entries = []

    def sign(self, role: str, version: int, digest: str, signers: Sequence[CryptoSigner]) -> bytes:
        """Sign an entry; it is logged with the next publication."""
        statement = RoleStatement(fleet=self.fleet, role=role, version=version, digest=digest)
        envelope = make_envelope(encode_role_statement(statement), LOG_ROLE, signers)
        entry = encode_authority(envelope)
        self.waiting.append((_ORDER.get(role, _LAST), entry))
        return entry

    def sign_roles(self, publication: Publication, owner: TestOwner) -> None:
        """Sign the entries of an upload, as its roles were signed."""
        for role, data in publication.roles.items():
            file = open_role(data, role)
            signers = owner.signers.get(role, owner.targets)
            self.sign(role, file.version, file.digest, signers)

    def add_channel(self, raw: bytes) -> None:
        """A provider's channel document; it is logged with the next publication."""
        self.waiting.append((_LAST, encode_authority(decode_envelope(raw))))

    def flush(self) -> None:
        """Log what is signed, delegators first."""
        self.entries += [entry for _, entry in sorted(self.waiting, key=lambda one: one[0])]
        self.waiting.clear()

    def checkpoint(self, at: datetime) -> SignedCheckpoint:
        """Signed by the log, cosigned by the witnesses that are awake."""
        leaves = range_over(map(leaf_hash, self.entries))
        signed = sign_checkpoint(
            Checkpoint(self.origin, len(self.entries), leaves.root()), self.signer
        )
        for witness in self.cosigners:
            made = cosign(signed.checkpoint, witness, int(at.timestamp()))
            signed = with_cosignatures(signed, made, [witness.key])
        return signed

    def files(self, at: datetime) -> dict[str, bytes]:
        """Path -> bytes of checkpoint, tiles and bundles."""
        self.flush()
        _, tiles = Edge().grown(self.entries)
        files = {f"{self.prefix}/{tile.path}": data for tile, data in tiles.items()}
        files[f"{self.prefix}/checkpoint"] = self.checkpoint(at).encode()
        return files

    def copy(self) -> AuthorityLog:
        """The same, from where it can go another way."""
        twin = copy.copy(self)
        twin.entries, twin.cosigners = list(self.entries), list(self.cosigners)
        twin.past, twin.waiting = list(self.past), list(self.waiting)
        return twin
