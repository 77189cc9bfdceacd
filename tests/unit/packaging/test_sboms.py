"""SBOMs beside a release: given or made, signed by the provider, and told from anybody's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from allod.domain.ids import sha256
from allod.errors import InvalidInput, Untrusted
from allod.packaging.build import Built, build_directory, open_built
from allod.packaging.sboms import attach_sboms, make_again, sbom_manifest, sboms_beside
from allod.packaging.statement import sign_release
from allod.trust.dsse import sign_envelope
from allod.trust.keys import from_key
from allod.trust.references import MAX_REFERENCES, verify_references
from allod.wire import oci
from allod.wire.envelope import IN_TOTO
from allod.wire.sbom import CYCLONEDX_JSON, SPDX_JSON
from allod.wire.trust import ProviderDocument

GIVEN = (
    b'{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","name":"a"}]}'
)
SPDX = b'{"spdxVersion":"SPDX-2.3","packages":[{"name":"b","versionInfo":"1"}]}'


def app(directory: Path, extra: str = "") -> Path:
    """An application that brings one distribution."""
    where = directory / "site" / "waitress-2.1.1.dist-info"
    where.mkdir(parents=True)
    (where / "METADATA").write_text("Name: waitress\nVersion: 2.1.1\n")
    (directory / "allod.toml").write_text(
        f'package = "pkg:generic/me/app"\nversion = "1.0"\n{extra}'
    )
    return directory


def trusting(*signers: CryptoSigner) -> ProviderDocument:
    """What an owner says of the provider with these keys."""
    return ProviderDocument(
        fleet="0" * 64,
        provider="me",
        keys=[from_key(one.public_key) for one in signers],
        threshold=1,
        namespaces=["pkg:generic/me/"],
        access=[],
    )


def beside(built: Built, *signers: CryptoSigner) -> list[tuple[str, bool]]:
    """What lies beside it: who made it, and whether it is signed."""
    held = sboms_beside(built.layout, built.digest, trusting(*signers))
    return [(one.fault if one.sbom is None else str(one.sbom.made_by), one.signed) for one in held]


@pytest.fixture
def signer() -> CryptoSigner:
    """A provider's key."""
    return CryptoSigner.generate_ed25519()


def test_a_build_has_a_list_that_allod_made(tmp_path: Path) -> None:
    """Of the payload, marked, a referrer as OCI has it; the release's digest is the same without,
    and building again changes nothing.
    """
    built = build_directory(app(tmp_path / "app"))
    [held] = sboms_beside(built.layout, built.digest, None)
    assert held.sbom is not None
    assert held.sbom.by_allod
    assert [one.purl for one in held.sbom.components] == ["pkg:pypi/waitress@2.1.1"]
    [(_, manifest)] = built.layout.referrers(built.digest, CYCLONEDX_JSON)
    assert manifest.config == oci.EMPTY_DESCRIPTOR
    assert [layer.media_type for layer in manifest.layers] == [CYCLONEDX_JSON]
    before = built.layout.read_index()
    assert build_directory(tmp_path / "app").layout.read_index() == before
    assert make_again(built) == held.sbom


def test_a_given_list_takes_the_place_of_a_made_one(tmp_path: Path) -> None:
    """By allod.toml, or laid beside a layout; it stays when the same is built again."""
    root = app(tmp_path / "app", 'sbom = "bom.json"\n')
    with pytest.raises(InvalidInput, match=r"bom\.json") as missing:
        build_directory(root)
    assert missing.value.code == "no-sbom-file"
    (root / "bom.json").write_bytes(GIVEN)
    built = build_directory(root)
    assert [one.digest for one in sboms_beside(built.layout, built.digest, None)] == [sha256(GIVEN)]
    other = build_directory(app(tmp_path / "other"))
    attach_sboms(other, [SPDX, GIVEN])
    again = build_directory(tmp_path / "other")
    held = sboms_beside(again.layout, again.digest, None)
    assert {one.media_type for one in held} == {CYCLONEDX_JSON, SPDX_JSON}
    with pytest.raises(InvalidInput, match="neither"):
        attach_sboms(again, [b"{}"])
    assert sboms_beside(again.layout, again.digest, None) == held, "a bad one changes nothing"


def test_the_provider_signs_which_lists_are_theirs(tmp_path: Path, signer: CryptoSigner) -> None:
    """Signing a release signs its SBOMs, once; with another key it is nobody's word."""
    built = build_directory(app(tmp_path / "app"))
    assert beside(built, signer) == [("('Allod',)", False)]
    sign_release(built, [signer])
    assert beside(built, signer) == [("('Allod',)", True)]
    assert beside(built, CryptoSigner.generate_ed25519()) == [("('Allod',)", False)]
    entries = len(built.layout.read_index().manifests)
    sign_release(open_built(built.layout.directory), [signer])
    assert len(built.layout.read_index().manifests) == entries
    [(_, manifest)] = built.layout.referrers(built.digest, oci.PROVENANCE)
    envelope = json.loads(built.layout.get(manifest.layers[0].digest))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"


def test_another_list_is_signed_anew(tmp_path: Path, signer: CryptoSigner) -> None:
    """What was signed about the one before goes with it: an old word binds no new list."""
    built = build_directory(app(tmp_path / "app"))
    sign_release(built, [signer])
    attach_sboms(built, [GIVEN])
    assert beside(built, signer) == [("()", False)]
    sign_release(built, [signer])
    assert beside(built, signer) == [("()", True)]
    assert len(built.layout.referrers(built.digest, oci.PROVENANCE)) == 1


def test_a_list_that_somebody_added_is_unsigned(tmp_path: Path, signer: CryptoSigner) -> None:
    """Whoever may write into a registry can lay a clean list beside a release; it does not count,
    and hides the provider's own as little as one that cannot be read does.
    """
    built = build_directory(app(tmp_path / "app"))
    sign_release(built, [signer])
    for raw in (GIVEN, b"no json"):
        digest = built.layout.put(raw)
        manifest = sbom_manifest(digest, len(raw), CYCLONEDX_JSON, built.descriptor)
        built.layout.attach(manifest)
    found = beside(built, signer)
    assert found[0] == ("('Allod',)", True)
    assert [signed for _, signed in found] == [True, False, False]
    assert any("cannot read the SBOM" in says for says, _ in found)


def _reference(built: Built, signer: CryptoSigner, **changes: object) -> bytes:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": built.digest[7:]}}],
        "predicateType": "https://in-toto.io/attestation/reference/v0.1",
        "predicate": {
            "attester": {"id": "https://other.example"},
            "references": [{"digest": {"sha256": "a" * 64}, "mediaType": "x", "more": 1}],
        },
    }
    return sign_envelope(json.dumps(statement | changes).encode(), IN_TOTO, [signer])


def test_references_of_other_tools_are_read(tmp_path: Path, signer: CryptoSigner) -> None:
    """The predicate is in-toto's: fields that are unknown here are no fault."""
    built = build_directory(app(tmp_path / "app"))
    known = verify_references(_reference(built, signer), trusting(signer), built.digest)
    assert known.value == {f"sha256:{'a' * 64}": "x"}
    assert known.by == {signer.public_key.keyid}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subject": [{"digest": {"sha256": "b" * 64}}]}, "wrong-digest"),
        ({"subject": []}, "wrong-digest"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "wrong-type"),
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "wrong-type"),
        ({"predicate": {"references": [{"digest": {"sha256": "no"}}]}}, "bad-digest"),
        ({"predicate": {"references": [{}] * (MAX_REFERENCES + 1)}}, "bad-document"),
        ({"predicate": []}, "bad-document"),
    ],
)
def test_what_does_not_bind_is_refused(
    tmp_path: Path, signer: CryptoSigner, changes: dict[str, object], code: str
) -> None:
    """Another release, another kind of statement, or a malformed one binds nothing."""
    built = build_directory(app(tmp_path / "app"))
    envelope = _reference(built, signer, **changes)
    with pytest.raises((InvalidInput, Untrusted)) as refused:
        verify_references(envelope, trusting(signer), built.digest)
    assert refused.value.code == code


def test_lock_files_beside_a_tree_are_read(tmp_path: Path) -> None:
    """Where only a part of the directory is shipped, its lock files speak for that part."""
    root = tmp_path / "app"
    (root / "out").mkdir(parents=True)
    (root / "out" / "run").write_text("x")
    (root / "allod.toml").write_text(
        'package = "pkg:generic/me/app"\nversion = "1"\ntree = "out"\n'
    )
    (root / "Cargo.lock").write_text(
        '[[package]]\nname = "serde"\nversion = "1.0.0"\nsource = "registry+x"\n'
    )
    built = build_directory(root)
    [held] = sboms_beside(built.layout, built.digest, None)
    assert held.sbom is not None
    assert [one.purl for one in held.sbom.components] == ["pkg:cargo/serde@1.0.0"]
    assert make_again(built) is None, "the payload alone does not tell it"
