"""The owner's private keys on this machine, encrypted at rest.

A store is a directory: `index.json` (public: role, key id, created, state) and one PKCS#8 file a
key, all under one passphrase. Files are 0600 and durable; an index entry is written after its
file, so a power cut leaves at worst a file that nobody names.

States of a key: `next` (made, not yet named by the published repository), `current`, `retired`.
`reconcile` moves them along by what the verified repository names, so that a rotation that was
cut short goes on by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from allod.cli.passphrase import Passphrase
from allod.domain.ids import sha256
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import Conflict, InvalidInput, Unavailable
from allod.wire.codec import Document, decode, encode, instant
from allod.wire.envelope import KeyValue, PublicKey

if TYPE_CHECKING:
    from securesystemslib.signer import Key, Signer

    from allod.cli.pkcs8 import PrivateKey

State = Literal["next", "current", "retired"]

INDEX_CAP: Final = 1024 * 1024
_ROLE: Final = re.compile(
    r"root|targets|api|approval|verifier|spare-ca|(?:provider:|delegation-)[a-z0-9][a-z0-9._-]{0,62}"
)


class KeyRecord(Document, frozen=True, kw_only=True):
    """The public half of one key, and where its private half lies."""

    role: str
    id: str  #: the key id as in TUF
    created: str
    public: PublicKey
    state: State = "current"
    file: str | None = None  #: None: held elsewhere (on paper, on another machine)
    digest: str | None = None  #: of the file
    note: str = ""


class KeyIndex(Document, frozen=True, kw_only=True):
    """`index.json`."""

    type: Literal["allod.keys"] = "allod.keys"
    format: Literal[1] = 1
    keys: tuple[KeyRecord, ...] = ()


@dataclass(slots=True)
class KeyStore:
    """One directory of keys under one passphrase."""

    directory: Path
    passphrase: Passphrase

    @property
    def _index(self) -> Path:
        return self.directory / "index.json"

    def create(self) -> None:
        """Make an empty store; the passphrase is chosen here.

        Raises:
            Conflict: `exists`.
            InvalidInput: the passphrase is missing or weak.
        """
        if self._index.exists():
            raise Conflict("exists", f"cannot make a key store in {self.directory}: one is there")
        self.passphrase.choose()
        make_directory(self.directory)
        self._write([])

    def records(self, role: str | None = None) -> tuple[KeyRecord, ...]:
        """All keys, or those of one role, oldest first.

        Raises:
            Unavailable: `no-keys`, there is no store here.
            InvalidInput: the index is damaged.
        """
        try:
            data = self._index.read_bytes()
        except FileNotFoundError as error:
            raise Unavailable(
                "no-keys", f"cannot find keys in {self.directory}: run 'allod keys restore'"
            ) from error
        index = decode(data, KeyIndex, cap=INDEX_CAP, what=f"the key index {self._index}")
        return tuple(key for key in index.keys if role is None or key.role == role)

    def record(self, key_id: str) -> KeyRecord:
        """The record of one key. Raises InvalidInput `unknown-key`."""
        for record in self.records():
            if record.id == key_id:
                return record
        raise InvalidInput("unknown-key", f"cannot find the key {key_id[:16]} in {self.directory}")

    def generate(
        self, role: str, *, now: datetime, state: State = "current", note: str = ""
    ) -> KeyRecord:
        """Make a new key of `role`: Ed25519, or P-256 for a certificate authority."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519

        key: PrivateKey
        if role == "spare-ca":
            key = ec.generate_private_key(ec.SECP256R1())
        else:
            key = ed25519.Ed25519PrivateKey.generate()
        return self.add(role, key, now=now, state=state, note=note)

    def add(
        self,
        role: str,
        key: PrivateKey,
        *,
        now: datetime,
        state: State = "current",
        note: str = "",
    ) -> KeyRecord:
        """Take in a private key; the file first, then the index.

        Raises:
            InvalidInput: `bad-role`.
        """
        from allod.cli.pkcs8 import encrypt

        _check_role(role)
        public = public_key(key)
        pem = encrypt(key, self.passphrase.read())
        name = f"{role.replace(':', '-')}-{public.keyid[:16]}.pem"
        write_atomic(self.directory / name, pem)
        record = KeyRecord(
            role=role,
            id=public.keyid,
            created=instant(now),
            public=to_wire(public),
            state=state,
            file=name,
            digest=sha256(pem),
            note=note,
        )
        self._put(record)
        return record

    def add_public(
        self, role: str, key: Key, *, now: datetime, state: State = "current", note: str = ""
    ) -> KeyRecord:
        """Note a key whose private half lies elsewhere; a key that is held here stays so."""
        _check_role(role)
        for record in self.records():
            if record.id == key.keyid and record.file is not None:
                return record
        record = KeyRecord(
            role=role,
            id=key.keyid,
            created=instant(now),
            public=to_wire(key),
            state=state,
            note=note,
        )
        self._put(record)
        return record

    def private(self, record: KeyRecord) -> PrivateKey:
        """Open the private half.

        Raises:
            Unavailable: `key-elsewhere`.
            InvalidInput: `damaged-key`.
            Refused: `wrong-passphrase`.
        """
        from allod.cli.pkcs8 import decrypt

        what = f"the {record.role} key {record.id[:16]}"
        if record.file is None:
            raise Unavailable(
                "key-elsewhere",
                f"cannot use {what}: it is kept elsewhere ({record.note or 'not on this machine'})",
            )
        try:
            pem = (self.directory / record.file).read_bytes()
        except OSError as error:
            raise InvalidInput(
                "damaged-key",
                f"cannot read {what}: {error.strerror}; restore it with 'allod keys restore'",
            ) from error
        if sha256(pem) != record.digest:
            raise InvalidInput(
                "damaged-key",
                f"cannot use {what}: its file {record.file} is damaged; "
                "restore it with 'allod keys restore'",
            )
        key = decrypt(pem, self.passphrase.read(), what=what, whole=True)
        if public_key(key).keyid != record.id:
            raise InvalidInput("damaged-key", f"cannot use {what}: its file holds another key")
        return key

    def signers(self, role: str, *, states: tuple[State, ...] = ("current",)) -> tuple[Signer, ...]:
        """Signers with the keys of `role` that lie here and are in use.

        Raises:
            Unavailable: `key-elsewhere`, none lies here.
        """
        held = [r for r in self.records(role) if r.file is not None and r.state in states]
        if not held:
            raise Unavailable(
                "key-elsewhere",
                f"cannot sign as {role}: none of its keys is on this machine; "
                "see 'allod keys list', or restore one with 'allod keys restore'",
            )
        return tuple(self.signer(record) for record in held)

    def signer(self, record: KeyRecord) -> Signer:
        """A signer with one key."""
        from securesystemslib.signer import CryptoSigner

        return CryptoSigner(self.private(record), None)

    def set_state(self, states: Mapping[str, State]) -> None:
        """Move keys (by id) to other states, in one write."""
        known = self.records()
        changed = [
            msgspec.structs.replace(record, state=states.get(record.id, record.state))
            for record in known
        ]
        if changed != list(known):
            self._write(changed)

    def reconcile(self, named: Mapping[str, Iterable[str]]) -> None:
        """Follow the verified repository: role -> ids of the keys that it names now.

        A `next` key that is named becomes `current`; a `current` one that is no longer named
        becomes `retired`, once one of its role is named.
        """
        states: dict[str, State] = {}
        for role, ids in named.items():
            wanted = set(ids)
            records = self.records(role)
            if not wanted & {record.id for record in records}:
                continue
            for record in records:
                if record.id in wanted:
                    states[record.id] = "current"
                elif record.state == "current":
                    states[record.id] = "retired"
        self.set_state(states)

    def forget(self, key_id: str) -> None:
        """Remove a key and its file: the index first, so that no entry points at nothing."""
        record = self.record(key_id)
        self._write([other for other in self.records() if other.id != key_id])
        if record.file is not None:
            remove_file(self.directory / record.file)

    def _put(self, record: KeyRecord) -> None:
        others = [other for other in self.records() if other.id != record.id]
        self._write([*others, record])

    def _write(self, records: list[KeyRecord]) -> None:
        write_atomic(self._index, encode(KeyIndex(keys=tuple(records))))


def public_key(key: PrivateKey) -> Key:
    """The public half in the form of TUF, with its key id."""
    from securesystemslib.signer import SSlibKey

    return SSlibKey.from_crypto(key.public_key())


def to_wire(key: Key) -> PublicKey:
    """A public key as it stands in documents."""
    public = str(key.keyval["public"])
    return PublicKey(keytype=key.keytype, scheme=key.scheme, keyval=KeyValue(public=public))


def _check_role(role: str) -> None:
    if _ROLE.fullmatch(role) is None:
        raise InvalidInput(
            "bad-role",
            f"cannot keep a key for {role[:40]!r}: roles are root, targets, api, approval, verifier, "
            "spare-ca, provider:NAME, delegation-NAME",
        )
