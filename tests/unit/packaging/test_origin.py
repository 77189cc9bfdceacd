"""An import carries what was said of the original: its SBOMs, its attestations, older tools' tags."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import httpx2
import pytest
from securesystemslib.signer import CryptoSigner

from allod.cli.foreign_registry import pull
from allod.cli.output import Output
from allod.cli.release_import import Wanted, import_release
from allod.cli.release_push import push_layout
from allod.domain.ids import sha256
from allod.packaging.build import Built, build_directory, open_built
from allod.packaging.layout import REF_NAME, Layout
from allod.packaging.origin import origins, said_of_origin
from allod.packaging.sboms import attach_sboms, sboms_beside
from allod.packaging.statement import sign_release
from allod.wire import oci
from allod.wire.oci import Descriptor, Manifest
from allod.wire.sbom import CYCLONEDX_JSON

QUIET = Output(json=True)
GIVEN = (
    b'{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","name":"a"}]}'
)
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def theirs(directory: Path) -> Built:
    """A signed release of acme's, with one thing of everything beside it."""
    where = directory / "six-1.dist-info"
    where.mkdir(parents=True)
    (where / "METADATA").write_text("Name: six\nVersion: 1\n")
    (directory / "allod.toml").write_text(
        'package = "pkg:generic/acme/app"\nversion = "1.0"\nprovider = "acme"\n'
    )
    built = build_directory(directory)
    sign_release(built, [CryptoSigner.generate_ed25519()])
    add(built.layout, built.descriptor, BUNDLE, b"{}")
    return built


def add(
    layout: Layout, subject: Descriptor | None, kind: str, raw: bytes, tag: str = ""
) -> Descriptor:
    """A referrer, or a manifest under a tag."""
    config = oci.EMPTY_DESCRIPTOR
    layout.put(oci.EMPTY_BLOB)
    about = None
    if subject is not None:
        about = Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size)
    manifest = Manifest(
        schema_version=2,
        media_type=oci.MANIFEST,
        artifact_type=kind,
        config=config,
        layers=[Descriptor(media_type=kind, digest=layout.put(raw), size=len(raw))],
        subject=about,
    )
    document = oci.encode_document(manifest)
    named = Descriptor(
        media_type=oci.MANIFEST,
        digest=layout.put(document),
        size=len(document),
        artifact_type=kind,
        annotations={REF_NAME: tag} if tag else None,
    )
    layout.write_index([*layout.read_index().manifests, named])
    return named


def imported(source: str, into: Path, **fields: object) -> Built:
    values = {"package": None, "version": None, "describe": None, "command": (), "provider": "me"}
    return import_release(source, Wanted(**{**values, **fields}), into, QUIET)  # type: ignore[arg-type]


def bom_names(built: Built) -> list[str]:
    held = sboms_beside(built.layout, built.digest, None)
    return [part.name for one in held if one.sbom is not None for part in one.sbom.components]


def test_what_was_said_of_the_original_comes_along(tmp_path: Path) -> None:
    """The original's manifest lies beside the import, and what refers to it unchanged: its
    statements still hold for its digest, and can be found from ours. Its SBOM is ours too.
    """
    original = theirs(tmp_path / "theirs")
    attach_sboms(original, [GIVEN])
    ours = imported(str(original.layout.directory), tmp_path / "out")
    assert origins(ours.layout, ours.digest) == [original.digest]
    assert ours.layout.get(original.digest) == original.layout.get(original.digest)
    kinds = {one.artifact_type for one, _ in ours.layout.all_about(original.digest)}
    assert kinds == {oci.STATEMENT, BUNDLE, CYCLONEDX_JSON}
    assert bom_names(ours) == ["a"]
    assert open_built(ours.layout.directory).digest == ours.digest, "there is one release in it"
    again = imported(str(original.layout.directory), tmp_path / "out")
    assert again.layout.read_index() == ours.layout.read_index()


def test_it_is_pushed_in_an_order_that_a_registry_takes(tmp_path: Path) -> None:
    """Blobs before manifests, all before the version; tags of older tools under their tags."""
    original = theirs(tmp_path / "theirs")
    tag = f"{original.digest.replace(':', '-')}.att"
    add(original.layout, None, "application/vnd.oci.empty.v1+json", b"att", tag)
    ours = imported(str(original.layout.directory), tmp_path / "out")
    sign_release(ours, [CryptoSigner.generate_ed25519()])
    blobs: set[str] = set()
    names: list[str] = []
    pushed: set[str] = set()

    class Target:
        """A repository that remembers."""

        def push_blob(self, digest: str, size: int, file, **_) -> None:  # type: ignore[no-untyped-def]
            data = file.read()
            assert (sha256(data), len(data)) == (digest, size)
            blobs.add(digest)

        def push_manifest(self, reference: str, media_type: str, raw: bytes) -> None:
            document = oci.decode_manifest(raw)
            assert media_type == oci.MANIFEST
            assert {document.config.digest, *(one.digest for one in document.layers)} <= blobs
            names.append(reference)
            pushed.add(sha256(raw))

    push_layout(ours, Target(), QUIET)
    assert tag in names
    assert names[0] == ours.digest
    assert names[-1] == "1.0"
    foreign = {one.digest for one, _ in said_of_origin(ours.layout, ours.digest)}
    assert (
        len(foreign) == 5
    )  # their statement, SBOM and its signature, a bundle, and what is tagged
    assert foreign <= pushed


def _statement(predicate_type: str, predicate: object) -> dict[str, object]:
    statement = {"_type": "x", "subject": [], "predicateType": predicate_type}
    payload = b64encode(json.dumps(statement | {"predicate": predicate}).encode()).decode()
    return {"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": []}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (oci.PROVENANCE, _statement("https://cyclonedx.org/bom", json.loads(GIVEN))),
        (oci.ENVELOPE, _statement("https://cyclonedx.org/bom/v1.5", json.loads(GIVEN))),
        (oci.ENVELOPE, _statement("https://spdx.dev/Document", {"Data": GIVEN.decode()})),
        (BUNDLE, {"dsseEnvelope": _statement("https://cyclonedx.org/bom", json.loads(GIVEN))}),
    ],
)
def test_an_sbom_within_a_statement_is_taken_out(
    tmp_path: Path, kind: str, value: dict[str, object]
) -> None:
    """As cosign and GitHub attest them, in envelopes and bundles."""
    original = theirs(tmp_path / "theirs")
    attach_sboms(original, [])
    add(original.layout, original.descriptor, kind, json.dumps(value).encode())
    assert bom_names(imported(str(original.layout.directory), tmp_path / "out")) == ["a"]


def test_without_theirs_allod_makes_one(tmp_path: Path) -> None:
    """Of the payload; what lies beside and cannot be read hinders nothing."""
    original = theirs(tmp_path / "theirs")
    attach_sboms(original, [])
    for raw in (b"[]", b'{"dsseEnvelope": 1}', b'{"payload": {}}', b"\xff"):
        add(original.layout, original.descriptor, oci.PROVENANCE, raw)
    lost = add(original.layout, original.descriptor, "application/x+json", b"lost")
    document = oci.decode_manifest(original.layout.get(lost.digest))
    original.layout.path(document.layers[0].digest).unlink()
    ours = imported(str(original.layout.directory), tmp_path / "out")
    assert bom_names(ours) == ["six"]
    kinds = {one.artifact_type for one, _ in ours.layout.all_about(original.digest)}
    assert "application/x+json" not in kinds


def test_an_artifact_with_referrers_is_one_artifact(tmp_path: Path) -> None:
    """What is about it does not make it several; the owner's own SBOM outranks theirs."""
    layout = Layout(tmp_path / "layout")
    layout.create()
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "tool").write_text("x")
    from allod.packaging.archive import write_archive

    with (tmp_path / "layer").open("wb") as out:
        write_archive(tmp_path / "t", out)
    layer = (tmp_path / "layer").read_bytes()
    artifact = add(layout, None, "application/vnd.oci.image.layer.v1.tar+gzip", layer)
    add(layout, artifact, CYCLONEDX_JSON, GIVEN)
    built = imported(str(layout.directory), tmp_path / "out", package="tool", version="1")
    assert (bom_names(built), origins(built.layout, built.digest)) == (["a"], [artifact.digest])
    (tmp_path / "d.toml").write_text(
        'package = "pkg:generic/me/tool"\nversion = "1"\nsbom = "mine.json"\n'
    )
    (tmp_path / "mine.json").write_bytes(GIVEN.replace(b'"a"', b'"mine"'))
    described = imported(str(layout.directory), tmp_path / "o2", describe=tmp_path / "d.toml")
    assert bom_names(described) == ["mine"]


def serving(layout: Layout, listed: bool) -> httpx2.Client:
    """A registry that has a layout's content under acme/app:1.0; with or without referrers."""
    index = layout.read_index().manifests

    def answer(request: httpx2.Request) -> httpx2.Response:
        kind, _, name = request.url.path.removeprefix("/v2/acme/app/").partition("/")
        about = name.replace("sha256-", "sha256:") if kind == "manifests" else name
        if (kind == "referrers" and listed) or (not listed and name.startswith("sha256-")):
            if about.endswith((".sig", ".att", ".sbom")):
                return httpx2.Response(404)
            found = [one for one, _ in layout.referrers(about, None)]
            document = oci.Index(schema_version=2, media_type=oci.INDEX, manifests=found)
            return httpx2.Response(200, content=iter([oci.encode_document(document)]))
        if kind == "referrers":
            return httpx2.Response(404)
        digest = index[0].digest if name == "1.0" else name
        try:
            return httpx2.Response(200, content=iter([layout.path(digest).read_bytes()]))
        except Exception:  # noqa: BLE001 — whatever is asked for and is not there
            return httpx2.Response(404)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


@pytest.mark.parametrize("listed", [True, False], ids=["referrers", "tags"])
def test_pulling_takes_the_referrers(tmp_path: Path, *, listed: bool) -> None:
    """From a registry with the referrers API, or with OCI's tag instead of it."""
    original = theirs(tmp_path / "theirs")
    into = Layout(tmp_path / "pulled")
    pulled = pull("localhost/acme/app:1.0", into, client=serving(original.layout, listed))
    assert pulled.notes == ()
    wanted = {one.digest for one in original.layout.read_index().manifests}
    assert {one.digest for one in into.read_index().manifests} == wanted


def test_too_many_referrers_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Junk beside a release costs little, and what was left out is said."""
    original = theirs(tmp_path / "theirs")
    monkeypatch.setattr("allod.cli.foreign_beside.MOST", 5)
    for number in range(5):
        add(original.layout, original.descriptor, "application/x", b"%d" % number)
    into = Layout(tmp_path / "pulled")
    pulled = pull("localhost/acme/app:1.0", into, client=serving(original.layout, True))
    assert len(into.read_index().manifests) == 6
    assert "more than" in pulled.notes[0]
