"""The server's own certificate authority and certificate.

Devices and owners pin the authority and ignore dates; they are far away all the same, so that
other clients (skopeo, curl) are content too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from allod import durable
from allod.errors import InvalidInput
from allod.server.layout import ServerDirectory

_AUTHORITY_YEARS: Final = 30
_CERTIFICATE_DAYS: Final = 825


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def make_authority(name: str, now: datetime) -> tuple[bytes, bytes]:
    """A new certificate authority: certificate and private key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _AUTHORITY_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def alternative_name(host: str) -> x509.GeneralName:
    """A host's name or address as it stands in a certificate."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_certificate(
    authority: bytes, authority_key: bytes, hosts: Sequence[str], now: datetime
) -> tuple[bytes, bytes]:
    """A certificate for `hosts` by the authority: chain and private key, both PEM.

    Raises:
        InvalidInput: `bad-authority`: certificate and key do not belong together.
    """
    try:
        issuer = x509.load_pem_x509_certificate(authority)
        issuer_key = serialization.load_pem_private_key(authority_key, None)
    except ValueError as error:
        raise InvalidInput("bad-authority", f"cannot read the authority: {error}") from error
    if (
        not isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        or issuer_key.public_key() != issuer.public_key()
    ):
        raise InvalidInput(
            "bad-authority", "cannot use the authority: its certificate has another key"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(hosts[0]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([alternative_name(host) for host in hosts]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + authority, _key_pem(key)


def check_pair(chain: bytes, key: bytes) -> None:
    """Raises InvalidInput `bad-certificate` unless the key is the certificate's."""
    try:
        certificate = x509.load_pem_x509_certificate(chain)
        private = serialization.load_pem_private_key(key, None)
    except ValueError as error:
        raise InvalidInput("bad-certificate", f"cannot read the certificate: {error}") from error
    if private.public_key() != certificate.public_key():
        raise InvalidInput(
            "bad-certificate", "cannot install the certificate: it has another key than this one"
        )


def install_certificate(
    layout: ServerDirectory, authority: bytes, chain: bytes, key: bytes
) -> None:
    """Put a certificate in place; the key goes first, and a torn pair is mended by a repeat."""
    durable.make_directory(layout.tls("certificate.pem").parent)
    durable.write_atomic(layout.tls("key.pem"), key)
    durable.write_atomic(layout.tls("certificate.pem"), chain)
    durable.write_atomic(layout.tls("ca.pem"), authority)
