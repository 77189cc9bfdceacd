"""Attestations as package registries publish them: one file with several, in a shape of their own.

* npm and GitHub: `{"attestations": [{"bundle": …}]}`, each a Sigstore bundle;
* PyPI (PEP 740): `{"attestation_bundles": [{"attestations": [ATTESTATION]}]}`, or one ATTESTATION:
  certificate, log entries, statement and signature, put together here as a bundle v0.3.

In other files: one attestation, or one a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from allod.attestation.envelope import ENVELOPE_CAP
from allod.errors import InvalidInput
from allod.wire.codec import parse_strict
from allod.wire.envelope import IN_TOTO

FILE_CAP: Final = 4 * ENVELOPE_CAP
_V03: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"


def split(data: bytes) -> list[bytes]:
    """The attestations in a file; at least one, be it none.

    Raises:
        InvalidInput: `too-large`.
    """
    if len(data) > FILE_CAP:
        raise InvalidInput("too-large", "cannot read the attestations: more than 32 MiB")
    try:
        found = list(_listed(parse_strict(data, cap=FILE_CAP)))
    except InvalidInput:
        return _lines(data)
    return [msgspec.json.encode(one) for one in found] or [data]


def _lines(data: bytes) -> list[bytes]:
    lines = [line for line in data.splitlines() if line.strip()]
    try:
        values = [parse_strict(line, cap=ENVELOPE_CAP) for line in lines]
    except InvalidInput:
        return [data]
    return lines if values and all(isinstance(one, dict) for one in values) else [data]


def _listed(value: object) -> Iterator[object]:
    """What a registry's file lists; nothing if it is no such file."""
    if not isinstance(value, dict):
        return
    if {"verification_material", "envelope"} <= value.keys():
        yield _bundle(value)
    for group in _list(value, "attestation_bundles"):
        for one in _list(group, "attestations"):
            yield _bundle(one)
    for one in _list(value, "attestations"):
        if isinstance(one, dict) and "bundle" in one:
            yield one["bundle"]


def _list(value: object, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _bundle(attestation: object) -> object:
    """One of PEP 740 as a Sigstore bundle; something else as it is, to be refused for what it is."""
    if not isinstance(attestation, dict):
        return attestation
    material, envelope = attestation.get("verification_material"), attestation.get("envelope")
    if not isinstance(material, dict) or not isinstance(envelope, dict):
        return attestation
    return {
        "mediaType": _V03,
        "verificationMaterial": {
            "certificate": {"rawBytes": material.get("certificate")},
            "tlogEntries": material.get("transparency_entries"),
        },
        "dsseEnvelope": {
            "payload": envelope.get("statement"),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": envelope.get("signature")}],
        },
    }
