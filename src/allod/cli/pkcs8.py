"""Private keys as encrypted PKCS#8 files: PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914).

`cryptography` reads this form but writes only PBKDF2, so the outer structure is written here.
`openssl pkey -in FILE` opens it: no Allod is needed to get at one's own key.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from allod.errors import InvalidInput, Refused

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey

#: scrypt's cost: 16 MiB a try, within what a stock OpenSSL is willing to spend on reading.
SCRYPT_N: Final = 2**14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 5

_PBES2: Final = "1.2.840.113549.1.5.13"
_SCRYPT: Final = "1.3.6.1.4.1.11591.4.11"
_AES_256_CBC: Final = "2.16.840.1.101.3.4.1.42"
_BLOCK: Final = 16
_LINE: Final = 64
_SHORT_FORM: Final = 0x80  #: DER lengths below it take one byte
_BEGIN: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
_END: Final = b"-----END ENCRYPTED PRIVATE KEY-----\n"


def encrypt(key: PrivateKey, passphrase: bytes) -> bytes:
    """The PEM file of `key`, readable only with `passphrase`."""
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, start = secrets.token_bytes(16), secrets.token_bytes(_BLOCK)
    derived = hashlib.scrypt(passphrase, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=32)
    padding = _BLOCK - len(plain) % _BLOCK
    encryptor = Cipher(algorithms.AES(derived), modes.CBC(start)).encryptor()
    sealed = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    derivation = _sequence(
        _identifier(_SCRYPT),
        _sequence(
            _octets(salt), _integer(SCRYPT_N), _integer(SCRYPT_R), _integer(SCRYPT_P), _integer(32)
        ),
    )
    cipher = _sequence(_identifier(_AES_256_CBC), _octets(start))
    algorithm = _sequence(_identifier(_PBES2), _sequence(derivation, cipher))
    text = base64.b64encode(_sequence(algorithm, _octets(sealed)))
    lines = [text[at : at + _LINE] + b"\n" for at in range(0, len(text), _LINE)]
    return _BEGIN + b"".join(lines) + _END


def decrypt(pem: bytes, passphrase: bytes, *, what: str, whole: bool = False) -> PrivateKey:
    """The inverse of `encrypt`; reads any other encrypted PKCS#8 file too.

    One in 256 wrong passphrases leaves a padding that looks right, and bytes that are no key.

    Args:
        pem: the file.
        passphrase: of its owner.
        what: in messages.
        whole: the file is known to be undamaged, so that only the passphrase can be wrong.

    Raises:
        Refused: `wrong-passphrase`.
        InvalidInput: `damaged-key`, the file is no such key.
    """
    if not pem.startswith(_BEGIN):
        raise InvalidInput(
            "damaged-key",
            f"cannot read {what}: it is no encrypted private key; restore it from a backup",
        )
    try:
        key = load_pem_private_key(pem, passphrase)
    except UnsupportedAlgorithm as error:
        raise InvalidInput("damaged-key", f"cannot read {what}: {error}") from error
    except ValueError as error:
        if not whole and "password" not in str(error).lower():
            raise InvalidInput(
                "damaged-key", f"cannot read {what}: {error}; restore it from a backup"
            ) from error
        raise Refused(
            "wrong-passphrase", f"cannot open {what}: the passphrase is not the right one"
        ) from error
    if not isinstance(key, (Ed25519PrivateKey, EllipticCurvePrivateKey)):
        raise InvalidInput("damaged-key", f"cannot use {what}: it holds another kind of key")
    return key


def _tagged(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < _SHORT_FORM:
        return bytes([tag, size]) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + body


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(data: bytes) -> bytes:
    return _tagged(0x04, data)


def _integer(number: int) -> bytes:
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _identifier(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    body = bytearray([first * 40 + second])
    for part in rest:
        digits = [part & 0x7F]
        while part := part >> 7:
            digits.append(0x80 | part & 0x7F)
        body.extend(reversed(digits))
    return _tagged(0x06, bytes(body))
