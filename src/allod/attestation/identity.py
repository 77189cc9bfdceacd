"""Whom a Sigstore certificate was given to, and what it says of the run (Fulcio's OIDs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allod.attestation.verdict import Claims

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, ExtensionType, ObjectIdentifier

_ARC: Final = "1.3.6.1.4.1.57264.1."
_UTF8_STRING: Final = 0x0C
_SHORT: Final = 0x80
_GITHUB: Final = "https://token.actions.githubusercontent.com"


def identity_of(certificate: Certificate) -> str:
    """The subject alternative name: a mail address, a URI, or Sigstore's own kind of name."""
    from cryptography import x509

    names = _extension(certificate, x509.SubjectAlternativeName.oid)
    if not isinstance(names, x509.SubjectAlternativeName):
        return ""
    for kind in (x509.RFC822Name, x509.UniformResourceIdentifier):
        if found := names.get_values_for_type(kind):
            return str(found[0])
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id.dotted_string == _ARC + "7":
            return _utf8(other.value)
    return ""


def issuer_of(certificate: Certificate) -> str:
    """Who told the authority whom it is given to."""
    return _said(certificate, 8) or _plain(certificate, 1)


def claims_of(certificate: Certificate) -> Claims:
    """What it says of the run: the fields that every issuer has, or GitHub's older ones."""
    claims = Claims(
        workflow=_said(certificate, 9),
        source=_said(certificate, 12),
        ref=_said(certificate, 14),
        revision=_said(certificate, 13),
        trigger=_said(certificate, 20),
        runner=_said(certificate, 11),
    )
    if claims != Claims() or issuer_of(certificate) != _GITHUB:
        return claims
    repository = _plain(certificate, 5)
    return Claims(
        workflow=identity_of(certificate),
        source=f"https://github.com/{repository}" if repository else "",
        ref=_plain(certificate, 6),
        revision=_plain(certificate, 3),
        trigger=_plain(certificate, 2),
    )


def _extension(certificate: Certificate, oid: ObjectIdentifier) -> ExtensionType | None:
    """One extension; None if it is not there, or if none of them can be read.

    Of a certificate that counts they can: what is told of another is for people to look at.
    """
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_oid(oid).value
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        ValueError,
    ):
        return None


def _field(certificate: Certificate, number: int) -> bytes:
    from cryptography import x509

    value = _extension(certificate, x509.ObjectIdentifier(f"{_ARC}{number}"))
    return value.value if isinstance(value, x509.UnrecognizedExtension) else b""


def _plain(certificate: Certificate, number: int) -> str:
    """Older fields hold the bare text."""
    return _field(certificate, number).decode("utf-8", "replace")


def _said(certificate: Certificate, number: int) -> str:
    """Newer fields hold a DER UTF8String."""
    return _utf8(_field(certificate, number))


def _utf8(der: bytes) -> str:
    """The text of a DER UTF8String; empty if it is none."""
    if len(der) < 2 or der[0] != _UTF8_STRING:  # noqa: PLR2004  # tag and length
        return ""
    size, start = der[1], 2
    if size >= _SHORT:
        start = 2 + size - _SHORT
        size = int.from_bytes(der[2:start])
    return der[start:].decode("utf-8", "replace") if len(der) == start + size else ""
