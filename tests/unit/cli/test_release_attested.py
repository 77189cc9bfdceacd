"""`allod release verify`: files of vendors without a fleet, and releases with what others attest."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.attestation.vectors import VECTORS, vector
from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_delegate import with_acme
from tests.unit.cli.test_provider_built import CI, DESCRIPTION, SOURCE, demand
from tests.unit.cli.test_registry_client import ME, Broken, api, server, stack

from allod.cli.attestations import attestations_beside
from allod.cli.image_attested import of_originals
from allod.cli.registry_client import RegistryClient
from allod.cli.release_attested import Asked, looking_of
from allod.cli.release_look import in_layout, in_registry
from allod.cli.release_push import publish_release
from allod.packaging.build import build_directory, open_built
from allod.packaging.foreign import adopt
from allod.packaging.layout import REF_NAME, Layout
from allod.packaging.origin import keep_origin
from allod.program import main
from allod.testing.local_server import Request, local_server
from allod.trust.dsse import sign_envelope
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.envelope import IN_TOTO

__all__ = ["api", "server", "stack", "with_acme"]  # fixtures

NPM = VECTORS / "npm/gundam-visor-cli-v1-tag"
GITHUB = VECTORS / "github-attestation/MODULE.bazel"
ISSUER = "https://token.actions.githubusercontent.com"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, Any]:
    """Exit status and JSON answer of `allod release verify`, without any fleet."""
    status = main(["release", "verify", *(str(one) for one in words), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that knows no fleet."""
    monkeypatch.setenv("ALLOD_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.usefixtures("nowhere")
def test_a_vendors_file_is_verified_without_a_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    """Identity, builder, source: exit 0 if all holds, 5 if one does not, 6 if something is missing."""
    one = vector("github-attestation/MODULE.bazel")
    bundle, artifact = GITHUB / "bundle.sigstore.json", GITHUB / "artifact"
    who = ("--identity", one.identity.rpartition("@")[0] + "@*", "--issuer", ISSUER)
    what = ("--builder", f"{one.identity}=3", "--level", "3")
    source = ("--source", "git+https://github.com/aspect-build/rules_lint")
    status, said = run(capsys, bundle, "--artifact", artifact, *who, *what, *source)
    assert (status, said["good"]) == (0, True)
    [attestation] = said["attestations"]
    assert [step["number"] for step in attestation["steps"]] == list(range(1, 12))
    assert attestation["says"]["revision"] == "8f70009fde0c94ade6ce2a054b94718c819126ec"
    assert attestation["says"]["log_index"] == 188622862
    cases: list[tuple[int, str, tuple[Any, ...]]] = [
        (5, "wrong-source", (*who, "--source", "git+https://github.com/evil/x")),
        (5, "wrong-builder", (*who, "--builder", "https://evil.example")),
        (5, "wrong-identity", ("--identity", "https://evil.example/*")),
        (6, "no-identity", ()),
    ]
    for wanted, code, words in cases:
        status, said = run(capsys, bundle, "--artifact", artifact, *words)
        assert status == wanted
        assert code in {step["code"] for step in said["attestations"][0]["steps"]}
    status, said = run(capsys, bundle, "--artifact", NPM / "package.tgz", *who)
    assert status == 5
    status, said = run(capsys, bundle, *who)
    assert (status, said["attestations"][0]["steps"][-1]["code"]) == (6, "nothing-to-compare")


@pytest.mark.usefixtures("nowhere")
def test_keys_digests_and_other_trust_roots_are_given_as_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A summary under a plain key, a managed key, the staging instance's trust root."""
    vsa = VECTORS / "vsa-keyed-dsse"
    status, said = run(
        capsys, vsa / "gke-gce-pre.bcid-vsa.jsonl", "--key", vsa / "vsa_signing_public_key.pem",
        "--artifact", "gce_image_id:8970095005306000053",
    )  # fmt: skip
    assert (status, said["attestations"][0]["says"]["level"]) == (0, 2)
    managed = VECTORS / "conformance/managed-key-happy-path"
    words = (managed / "bundle.sigstore.json", "--artifact", managed / "artifact")
    assert run(capsys, *words, "--key", managed / "key.pub")[0] == 0
    assert run(capsys, *words)[0] == 6
    staging = VECTORS / "sigstore-python/staging-rekor-v2.txt"
    words = (
        staging / "bundle.sigstore.json", "--artifact", staging / "artifact",
        "--identity", "jku@goto.fi",
    )  # fmt: skip
    root = VECTORS / "trusted_roots/staging.trusted_root.json"
    assert run(capsys, *words, "--trust-root", root)[0] == 0
    assert run(capsys, *words)[0] == 5
    empty = tmp_path / "root.json"
    empty.write_text("{}")
    assert main(["release", "verify", *map(str, words), "--trust-root", str(empty)]) == 2
    capsys.readouterr()


def test_an_artifact_finds_its_attestation_beside_it(
    capsys: pytest.CaptureFixture[str], nowhere: Path
) -> None:
    """FILE.sigstore.json, or several in FILE.intoto.jsonl: one good one is enough."""
    who = ("--identity", vector("npm/gundam-visor-cli-v1-tag").identity)
    package = nowhere / "package.tgz"
    shutil.copy(NPM / "package.tgz", package)
    status, said = run(capsys, package, *who)
    assert (status, said["verdict"]) == (6, "Nothing is attested of it.")
    bad = VECTORS / "npm/gundam-visor-cli-v1-tag-invalidsigprov/bundle.sigstore.json"
    both = [json.dumps(json.loads(one.read_bytes())) for one in (bad, NPM / "bundle.sigstore.json")]
    (nowhere / "package.tgz.intoto.jsonl").write_text("\n".join(both))
    status, said = run(capsys, package, *who)
    assert (status, [one["good"] for one in said["attestations"]]) == (0, [False, True])
    (nowhere / "package.tgz.intoto.jsonl").write_text(both[0])
    assert run(capsys, package, *who)[0] == 5
    assert run(capsys, nowhere / "package.tgz.intoto.jsonl", *who)[0] == 5
    status = main(["release", "verify", str(package), *who])  # for people
    text = capsys.readouterr().out
    assert status == 5
    assert "FAILED   signature: cannot trust the signature" in text


def statement(digest: str, **other: str) -> dict[str, Any]:
    """Provenance of a release."""
    said = {"builder": "https://ci.example", "source": SOURCE} | other
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "toaster", "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "resolvedDependencies": [{"uri": f"{said['source']}@refs/tags/v1.0"}]
            },
            "runDetails": {"builder": {"id": said["builder"]}},
        },
    }


def application(directory: Path) -> Path:
    """What acme ships."""
    directory.mkdir()
    (directory / "allod.toml").write_text(DESCRIPTION)
    (directory / "run").write_text("x")
    return directory


def test_a_release_is_verified_with_the_provenance_that_the_owner_demands(
    with_acme: Owner, tmp_path: Path
) -> None:
    """Missing: 6, as no device would take it. By the wrong builder: 5. As demanded: 0."""
    layout = Path(with_acme.do("release", "build", application(tmp_path / "toaster"))["layout"])
    with_acme.do("release", "sign", layout)
    digest = open_built(layout, None).digest
    with_acme.do(*demand(with_acme, "--any-parameters"), "--yes")

    def verified(*words: str | Path, where: str | Path = layout) -> tuple[int, dict[str, Any]]:
        status = with_acme.run("release", "verify", where, *words, "--json")
        return status, json.loads(with_acme.out)

    def step(said: dict[str, Any], name: str) -> dict[str, Any]:
        return next(one for one in said["steps"] if one["name"] == name)

    def lay(said: dict[str, Any]) -> None:
        file = tmp_path / "provenance.json"
        file.write_bytes(sign_envelope(encode(said), IN_TOTO, [CI]))
        with_acme.do("release", "provenance", layout, file)

    status, said = verified()
    assert (status, step(said, "provenance")["ok"], step(said, "policy")["ok"]) == (6, None, None)
    lay(statement(digest, builder="https://evil.example"))
    status, said = verified()
    assert (status, step(said, "provenance")["ok"]) == (5, False)
    assert "https://evil.example" in step(said, "provenance")["says"]
    lay(statement(digest))
    status, said = verified()
    assert (status, step(said, "provenance")["ok"]) == (0, True)
    assert "built by https://ci.example" in step(said, "policy")["says"]
    assert sorted(one["good"] for one in said["attestations"]) == [False, True]
    for words in (("--builder", "https://ci.example"), ("--source", SOURCE)):
        status, said = verified(*words)
        assert (status, step(said, "asked")["ok"]) == (6, None)  # by whose key is not said
    key = tmp_path / "ci.pem"
    key.write_bytes(pem(CI))
    words = ("--key", str(key), "--builder", "https://ci.example=2")
    status, said = verified(*words, "--level", "2")
    assert (status, step(said, "asked")["ok"]) == (0, True)
    status, said = verified(*words, "--level", "3")
    assert (status, step(said, "asked")["ok"]) == (5, False)
    assert step(said, "provenance")["ok"]  # what the owner demands still holds
    key.write_bytes(pem(ME))  # by a key that signed nothing, whatever the owner's own keys signed
    status, said = verified("--key", str(key))
    assert (status, step(said, "asked")["ok"]) == (5, False)


def pem(signer: Any) -> bytes:
    """The public half of a signer, as vendors hand it out."""
    raw = bytes.fromhex(signer.public_key.keyval["public"])
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_attestations_are_found_in_the_fleets_registry(api: Broken, tmp_path: Path) -> None:
    """What was laid beside a release is pushed with it, and read back as it was."""
    directory = application(tmp_path / "toaster")
    description = DESCRIPTION.replace("acme", "me")
    (directory / "allod.toml").write_text(description)
    published = publish_release(directory, "me", lambda _: [ME], api)
    layout = Layout(directory / ".allod" / "release")
    envelope = sign_envelope(encode(statement(published.digest)), IN_TOTO, [CI])
    layout.put(envelope)
    built = open_built(layout.directory, None)
    layout.attach(oci.statement_manifest(envelope, built.descriptor, kind=oci.PROVENANCE))
    publish_release(directory, "me", lambda _: [ME], api)
    [found] = [
        one
        for one in attestations_beside(in_registry(RegistryClient(api, "me/toaster"), built.digest))
        if one.content == envelope
    ]
    assert found.where.startswith("referrer sha256:")


def test_attestations_are_found_wherever_tools_lay_them(tmp_path: Path) -> None:
    """As referrers, in an index under the fallback tag, and under cosign's older tags."""
    built = build_directory(application(tmp_path / "toaster"), None)
    layout = built.layout
    tag = built.digest.replace(":", "-")
    parts = [f'{{"n": {number}}}'.encode() for number in range(4)]
    layout.put(oci.EMPTY_BLOB)

    def manifest(data: bytes, media_type: str, *, refers: bool) -> oci.Descriptor:
        layer = oci.Descriptor(media_type=media_type, digest=layout.put(data), size=len(data))
        raw = oci.encode_document(
            oci.Manifest(
                schema_version=2,
                media_type=oci.MANIFEST,
                artifact_type=media_type if refers else None,
                config=oci.EMPTY_DESCRIPTOR,
                layers=[layer],
                subject=built.descriptor if refers else None,
            )
        )
        return oci.Descriptor(media_type=oci.MANIFEST, digest=layout.put(raw), size=len(raw))

    def named(descriptor: oci.Descriptor, name: str) -> oci.Descriptor:
        return msgspec.structs.replace(descriptor, annotations={REF_NAME: name})

    listed = oci.encode_document(
        oci.Index(
            schema_version=2, media_type=oci.INDEX,
            manifests=[manifest(parts[1], BUNDLE, refers=False)],
        )
    )  # fmt: skip
    index = oci.Descriptor(media_type=oci.INDEX, digest=layout.put(listed), size=len(listed))
    layout.write_index(
        [
            *layout.read_index().manifests,
            manifest(parts[0], BUNDLE, refers=True),
            named(index, tag),
            named(manifest(parts[2], oci.ENVELOPE, refers=False), f"{tag}.att"),
            named(manifest(parts[3], "application/octet-stream", refers=False), f"{tag}.sig"),
        ]
    )
    found = attestations_beside(in_layout(Layout(layout.directory), built.digest))
    assert [one.content for one in found] == parts[:3]
    assert [one.where.partition(" ")[0] for one in found] == ["referrer", "tag", "tag"]


def image(layout: Layout, statement_about: str | None = None) -> str:
    """Somebody's image in a layout, attested as cosign 3 does."""
    layout.create()
    layout.put(oci.EMPTY_BLOB)
    raw = oci.encode_document(
        oci.Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            artifact_type="application/vnd.example",
            config=oci.EMPTY_DESCRIPTOR,
            layers=[],
        )
    )
    digest = layout.put(raw)
    about = oci.Descriptor(media_type=oci.MANIFEST, digest=digest, size=len(raw))
    envelope = sign_envelope(encode(statement(statement_about or digest)), IN_TOTO, [CI])
    layout.put(envelope)
    layout.write_index([about])
    layout.attach(oci.statement_manifest(envelope, about, kind=oci.PROVENANCE))
    return digest


def test_somebodys_image_is_verified_before_it_is_imported(
    capsys: pytest.CaptureFixture[str], nowhere: Path
) -> None:
    """A layout without an Allod release: what lies beside the image, against the image's digest."""
    key = nowhere / "ci.pem"
    key.write_bytes(pem(CI))
    digest = image(Layout(nowhere / "image"))
    words = ("--key", key, "--builder", "https://ci.example", "--source", SOURCE)
    status, said = run(capsys, nowhere / "image", *words)
    assert (status, said["good"]) == (0, True)
    assert said["artifact"] == {"sha256": digest.removeprefix("sha256:")}
    assert run(capsys, nowhere / "image")[0] == 6
    image(Layout(nowhere / "other"), "0" * 64)
    assert run(capsys, nowhere / "other", *words)[0] == 5
    empty = Layout(nowhere / "empty")
    empty.create()
    assert main(["release", "verify", str(nowhere / "empty")]) == 2
    assert "cannot find an image" in capsys.readouterr().err


def test_an_image_is_looked_at_in_its_registry(
    capsys: pytest.CaptureFixture[str], nowhere: Path, stack: ExitStack
) -> None:
    """Pulled with what refers to it, into nowhere that stays; by tag, and against what came."""
    layout = Layout(nowhere / "image")
    digest = image(layout)
    listed = layout.read_index()

    def act(request: Request) -> None:
        name = request.path.rpartition("/")[2]
        if "/referrers/" in request.path:
            about = listed.manifests[1:] if name == digest else []
            answer = oci.encode_document(msgspec.structs.replace(listed, manifests=about))
            request.answer(200, answer, Content_Type=oci.INDEX)
        elif name.startswith("sha256-"):
            request.answer(404, b"{}")
        else:
            wanted = digest if name == "1.0" else name
            request.answer(200, layout.path(wanted).read_bytes(), Content_Type=oci.MANIFEST)

    host = stack.enter_context(local_server(act)).url.removeprefix("http://")
    key = written(nowhere / "ci.pem", pem(CI))
    image_ = f"docker://{host}/acme/tool:1.0"
    status, said = run(capsys, image_, "--key", key, "--builder", "https://ci.example")
    assert (status, said["good"]) == (0, True)
    assert said["artifact"] == {"sha256": digest.removeprefix("sha256:")}
    assert run(capsys, image_, "--key", key, "--builder", "https://evil.example")[0] == 5


def test_of_an_import_the_attestations_of_the_original_are_told(tmp_path: Path) -> None:
    """They count if the release has the original's payload; anybody could lay another beside it."""
    original = build_directory(application(tmp_path / "toaster"), None)
    envelope = sign_envelope(encode(statement(original.digest)), IN_TOTO, [CI])
    original.layout.put(oci.EMPTY_BLOB)
    original.layout.put(envelope)
    about = oci.statement_manifest(envelope, original.descriptor, kind=oci.PROVENANCE)
    beside = original.layout.attach(about)
    ours = adopt(
        original.layout, original.descriptor, tmp_path / "ours", provider="me", version="1.0-ours"
    )
    assert ours.digest != original.digest
    keep_origin(original.layout, [original.descriptor], ours)
    looking = looking_of(Asked(key=(written(tmp_path / "ci.pem", pem(CI)),)))
    [(one, examined)] = of_originals(in_layout(ours.layout, ours.digest), looking)
    assert examined.good, examined.checks
    assert one.where == f"referrer {beside.digest}, about the original"
    (tmp_path / "toaster" / "run").write_text("y")
    other = build_directory(tmp_path / "toaster", tmp_path / "other")
    for kept in (
        *ours.layout.referrers(ours.digest, oci.ORIGIN),
        *ours.layout.referrers(original.digest, None),
    ):
        for blob in (kept[1].config, *kept[1].layers):
            other.layout.put(ours.layout.get(blob.digest))
        subject = other.descriptor if kept[1].artifact_type == oci.ORIGIN else original.descriptor
        other.layout.attach(msgspec.structs.replace(kept[1], subject=subject))
    [(_, examined)] = of_originals(in_layout(other.layout, other.digest), looking)
    assert [check.code for check in examined.checks if not check.ok] == ["nothing-to-compare"]


def written(path: Path, data: bytes) -> Path:
    """A file."""
    path.write_bytes(data)
    return path
