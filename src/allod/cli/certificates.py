"""The owner's spare certificate authority for TLS.

Every device pins it from the first day beside the server's own. If the server's authority is
lost, the owner signs a new one's certificates with the spare, and devices go on (attack 63).
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from allod.errors import InvalidInput

#: RFC 5280 §4.1.2.5: "no well-defined expiration date". Dates of pins are not checked anyway.
FOR_EVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_EARLIER: Final = timedelta(days=1)  #: for peers whose clock is behind


def authority(key: ec.EllipticCurvePrivateKey, *, name: str, now: datetime) -> str:
    """A self-signed certificate (PEM) of an authority that may certify servers only."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _builder(subject, subject, now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode("ascii")


def server_certificate(
    certificate: str, key: ec.EllipticCurvePrivateKey, hosts: tuple[str, ...], *, now: datetime
) -> tuple[str, str]:
    """A server's certificate under an authority: the chain and the new private key, both PEM.

    Raises:
        InvalidInput: `bad-host`.
    """
    issuer = x509.load_pem_x509_certificate(certificate.encode("ascii"))
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    made = (
        _builder(subject, issuer.subject, now)
        .public_key(private.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    chain = made.public_bytes(Encoding.PEM).decode("ascii") + certificate
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return chain, pem.decode("ascii")


def is_authority_of(certificate: str, public_pem: str) -> bool:
    """Whether `certificate` (PEM) carries the public key `public_pem`."""
    carried = x509.load_pem_x509_certificate(certificate.encode("ascii")).public_key()
    return bool(carried == load_pem_public_key(public_pem.encode("ascii")))


def _builder(subject: x509.Name, issuer: x509.Name, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(FOR_EVER)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise InvalidInput("bad-host", f"cannot certify the host {host[:80]!r}") from error
