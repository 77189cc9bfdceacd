"""The device's own key: made once, never leaves the device, signs DSSE envelopes and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from allod.agent.twin import Damaged, TwinFile
from allod.domain.ids import DeviceId
from allod.errors import Untrusted
from allod.trust.dsse import sign_envelope
from allod.trust.keys import device_id
from allod.wire.envelope import KeyValue, PublicKey

if TYPE_CHECKING:
    from pathlib import Path

_FILE: Final = "key"


class FileIdentityKey:
    """`IdentityKey` over an Ed25519 key in a file (kept twice, mode 0600)."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        public = private.public_key()
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key: Final = PublicKey(
            keytype="ed25519", scheme="ed25519", keyval=KeyValue(public=raw.hex())
        )
        self.device: Final[DeviceId] = device_id(self.key)
        self.signer: Final = CryptoSigner(private, SSlibKey.from_crypto(public))

    def public(self) -> Mapping[str, object]:
        """The public half as a TUF key dictionary."""
        return {
            "keytype": self.key.keytype,
            "scheme": self.key.scheme,
            "keyval": {"public": self.key.keyval.public},
        }

    def sign_envelope(self, payload_type: str, payload: bytes) -> bytes:
        """A DSSE envelope (JSON) around `payload` with this key's signature."""
        return sign_envelope(payload, payload_type, [self.signer])


def load_identity(directory: Path) -> FileIdentityKey | None:
    """The key in `directory`, or None if none was made yet.

    Raises:
        Untrusted: `identity-damaged`.
    """
    try:
        content = TwinFile(directory, _FILE).load()
        return None if content is None else FileIdentityKey(_private(content.data))
    except (Damaged, ValueError) as error:
        raise Untrusted(
            "identity-damaged",
            f"cannot read the device's key in {directory}: both copies are damaged; "
            "'allod-agent unbind' and a new binding give the device a new identity",
        ) from error


def make_identity(directory: Path) -> FileIdentityKey:
    """The key in `directory`, made now if there is none.

    Raises:
        Untrusted: `identity-damaged`; a damaged key is never replaced silently.
    """
    known = load_identity(directory)
    if known is not None:
        return known
    private = Ed25519PrivateKey.generate()
    seed = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    TwinFile(directory, _FILE).save(seed)
    return FileIdentityKey(private)


def forget_identity(directory: Path) -> None:
    """Destroy the key: the device's next identity is a new one."""
    TwinFile(directory, _FILE).remove()


def _private(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)
