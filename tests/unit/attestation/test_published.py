"""Attestations as PyPI, npm and GitHub publish them: the same real signatures in other clothes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.attestation.vectors import vector

from allod.attestation.published import FILE_CAP, split
from allod.errors import InvalidInput

GITHUB = "github-attestation/MODULE.bazel"


def bundle() -> dict[str, Any]:
    """A real one, with an envelope."""
    return json.loads(vector(GITHUB).raw)


def pep740() -> dict[str, Any]:
    """The same as PyPI would hold it."""
    one = bundle()
    material, envelope = one["verificationMaterial"], one["dsseEnvelope"]
    return {
        "version": 1,
        "verification_material": {
            "certificate": material["certificate"]["rawBytes"],
            "transparency_entries": material["tlogEntries"],
        },
        "envelope": {
            "statement": envelope["payload"],
            "signature": envelope["signatures"][0]["sig"],
        },
    }


@pytest.mark.parametrize(
    "published",
    [
        {"attestations": [{"predicateType": "x", "bundle": bundle()}]},
        {"attestations": [{"repository_id": 1, "bundle_url": "x", "bundle": bundle()}]},
        pep740(),
        {
            "version": 1,
            "attestation_bundles": [{"publisher": {"kind": "GitHub"}, "attestations": [pep740()]}],
        },
    ],
)
def test_what_registries_publish_is_verified(published: dict[str, Any]) -> None:
    """Each in its shape holds, and one changed letter of the statement does not."""
    [raw] = split(json.dumps(published, indent=2).encode())
    one = vector(GITHUB)
    assert one.examine(data=raw).good
    said = bundle()["dsseEnvelope"]["payload"]
    [raw] = split(json.dumps(published).replace(said[200:220], "A" * 20).encode())
    failed = one.examine(data=raw).failed
    assert failed is not None
    assert failed.name in {"signature", "format"}


def test_several_are_several() -> None:
    """Of several publishers, or of several kinds; what is none among them is refused by itself."""
    both = {"attestation_bundles": [{"attestations": [pep740(), 7]}, {"attestations": [{}]}, 3]}
    parts = split(json.dumps(both).encode())
    assert [vector(GITHUB).examine(data=part).good for part in parts] == [True, False, False]
    assert (
        len(split(json.dumps({"attestations": [{"bundle": {}}, {"bundle": {}}, {}]}).encode())) == 2
    )


def test_files_of_other_shapes_are_one_attestation_or_one_a_line() -> None:
    """A bundle is one, on however many lines; what cannot be read at all is refused as one."""
    raw = vector(GITHUB).raw
    compact = json.dumps(bundle()).encode()
    assert split(raw) == [raw]
    assert split(json.dumps(bundle(), indent=1).encode()) != []
    assert split(compact + b"\n" + compact) == [compact, compact]
    for odd in (b"", b"\n", b"[]", b"7", b"{} x", b"{}\n[", b"[1]\n[2]", b"\xff"):
        assert split(odd) == [odd]
    with pytest.raises(InvalidInput):
        split(b" " * (FILE_CAP + 1))
