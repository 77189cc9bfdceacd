"""A machine that only holds keys: `$ALLOD_HOME/signer/`, of root for ceremonies, or of a provider.

It remembers the newest root of each fleet that it signed for, so that nobody can have it sign on
a base of their own making.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from allod.cli.fleet import fleet_names, home_directory
from allod.cli.keystore import KeyRecord, KeyStore
from allod.cli.passphrase import Passphrase
from allod.domain.ids import ProviderName
from allod.durable import make_directory, write_atomic
from allod.errors import Unavailable, Untrusted
from allod.trust.metadata import ROOT, digest_of, read

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from allod.cli.proposal import Proposal


@dataclass(frozen=True, slots=True)
class SignerStore:
    """Keys of this machine that belong to no fleet directory."""

    directory: Path
    keys: KeyStore

    @classmethod
    def open(cls, passphrase: Passphrase) -> SignerStore:
        """The store of this machine; it need not exist."""
        directory = home_directory() / "signer"
        return cls(directory, KeyStore(directory / "keys", passphrase))

    @property
    def exists(self) -> bool:
        """Whether a key was made here."""
        return (self.keys.directory / "index.json").exists()

    def make_key(self, role: str, *, now: datetime) -> KeyRecord:
        """A new key of this machine, of `root` or `provider:NAME`."""
        if not self.exists:
            self.keys.create()
        return self.keys.generate(role, now=now)

    def known_root(self, fleet: str) -> bytes | None:
        """The newest root that this machine signed or signed on."""
        try:
            return (self.directory / "known" / f"{fleet}.json").read_bytes()
        except FileNotFoundError:
            return None

    def remember(self, proposal: Proposal) -> None:
        """Keep the base (not the proposal itself: it may never be published)."""
        if proposal.base is not None:
            make_directory(self.directory / "known")
            write_atomic(self.directory / "known" / f"{proposal.fleet}.json", proposal.base)


def check_base(known: bytes | None, proposal: Proposal) -> bool:
    """Whether the proposal's base follows from what this machine knows; False: first time.

    Raises:
        Untrusted: `other-base`: another root of a version that is known, or an older one.
    """
    if known is None or proposal.base is None:
        return False
    mine, theirs = read(known, ROOT), read(proposal.base, ROOT)
    if theirs.signed.version < mine.signed.version or (
        theirs.signed.version == mine.signed.version
        and digest_of(theirs.signed_bytes) != digest_of(mine.signed_bytes)
    ):
        raise Untrusted(
            "other-base",
            f"cannot sign: the proposal is made on root {theirs.signed.version}, and this machine "
            f"knows another root {mine.signed.version} of the fleet; ask who proposed it",
        )
    if theirs.signed.version == mine.signed.version + 1:
        result = theirs.signed.get_root_verification_result(
            mine.signed, theirs.signed_bytes, theirs.signatures
        )
        if not result:
            raise Untrusted(
                "other-base", "cannot sign: the proposal's base does not follow from the known root"
            )
    return True


def local_root_signers(proposal: Proposal, passphrase: Passphrase) -> tuple[Signer, ...]:
    """Signers with all root keys on this machine that count for `proposal`."""
    wanted: set[str] = set()
    for raw in (proposal.base, proposal.root):
        if raw is not None:
            wanted |= set(read(raw, ROOT).signed.roles[ROOT].keyids)
    found: dict[str, Signer] = {}
    for keys in _stores(passphrase):
        for record in keys.records(ROOT):
            if record.id in wanted and record.file is not None and record.id not in found:
                found[record.id] = keys.signer(record)
    return tuple(found.values())


def local_provider_signers(provider: ProviderName, passphrase: Passphrase) -> tuple[Signer, ...]:
    """Signers with the keys of a provider on this machine, of whatever fleet or none.

    Raises:
        Unavailable: `key-elsewhere`, none lies here.
    """
    found: dict[str, Signer] = {}
    for keys in _stores(passphrase):
        for record in keys.records(f"provider:{provider}"):
            if record.file is not None and record.state == "current" and record.id not in found:
                found[record.id] = keys.signer(record)
    if not found:
        raise Unavailable(
            "key-elsewhere",
            f"cannot sign as {provider}: none of their keys is on this machine; "
            "'allod release key' makes one",
        )
    return tuple(found.values())


def _stores(passphrase: Passphrase) -> Iterable[KeyStore]:
    signer = SignerStore.open(passphrase)
    if signer.exists:
        yield signer.keys
    for name in fleet_names():
        yield KeyStore(home_directory() / "fleets" / name / "keys", passphrase)
