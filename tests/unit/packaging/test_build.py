"""From a directory to a signed release in an OCI layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from allod.domain.ids import sha256
from allod.errors import Conflict, InvalidInput, Untrusted
from allod.packaging.build import Built, build_directory, open_built
from allod.packaging.layout import Layout
from allod.packaging.statement import sign_release, statements_in
from allod.trust.keys import from_key
from allod.trust.release import verify_release_statement
from allod.wire import oci
from allod.wire.trust import ProviderDocument


def app(directory: Path, extra: str = "", *, version: str = "1.0") -> Path:
    """A small application with a description."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "main.py").write_text("print('hello')\n")
    (directory / "allod.toml").write_text(
        f'package = "pkg:generic/me/app"\nversion = "{version}"\n{extra}'
    )
    return directory


def test_a_build_is_a_layout_that_others_read(tmp_path: Path) -> None:
    """Marker, index, manifest, config and layer stand where the image specification says."""
    built = build_directory(app(tmp_path / "app"))
    where = tmp_path / "app" / ".allod" / "release"
    assert json.loads((where / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    entry = json.loads((where / "index.json").read_text())["manifests"][0]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1.0"
    for blob in (where / "blobs" / "sha256").iterdir():
        assert sha256(blob.read_bytes()) == f"sha256:{blob.name}"
    again = open_built(where)
    assert (again.digest, again.releases) == (built.digest, built.releases)
    assert built.release.installed_size == len("print('hello')\n")


def test_the_same_input_is_the_same_digest(tmp_path: Path) -> None:
    """Twice in place, and elsewhere; another version or byte is another release."""
    first = build_directory(app(tmp_path / "a"))
    assert build_directory(tmp_path / "a").digest == first.digest
    assert build_directory(app(tmp_path / "b"), tmp_path / "out").digest == first.digest
    assert build_directory(tmp_path / "b", tmp_path / "out", version="1.1").digest != first.digest
    (tmp_path / "a" / "main.py").write_text("print('hullo')\n")
    assert build_directory(tmp_path / "a").digest != first.digest


def test_a_layout_holds_only_the_newest_build(tmp_path: Path) -> None:
    """Old blobs do not pile up; a foreign directory is left alone."""
    build_directory(app(tmp_path / "a"), tmp_path / "out")
    (tmp_path / "a" / "main.py").write_text("other")
    build_directory(tmp_path / "a", tmp_path / "out")
    assert len(list((tmp_path / "out" / "blobs" / "sha256").iterdir())) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(Conflict) as caught:
        build_directory(tmp_path / "a", tmp_path / "mine")
    assert caught.value.code == "not-a-layout"
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_several_platforms_are_one_index(tmp_path: Path) -> None:
    """One digest names the release for all architectures; each device finds its own."""
    extra = '[[platform]]\narchitecture = "x86_64"\ntree = "x"\n[[platform]]\narchitecture = "aarch64"\ntree = "arm"\n'
    root = app(tmp_path / "app", extra)
    for name in ("x", "arm"):
        (root / name).mkdir()
        (root / name / "binary").write_text(name)
    built = build_directory(root)
    assert built.descriptor.media_type == oci.INDEX
    index = oci.decode_index(built.layout.get(built.digest))
    chosen = oci.select_platform(index, "aarch64")
    named = oci.release_manifest(oci.decode_manifest(built.layout.get(chosen.digest)))
    assert named.layers == next(r for r in built.releases if r.architecture == "aarch64").layers
    assert {one.architecture for one in open_built(built.layout.directory).releases} == {
        "x86_64",
        "aarch64",
    }


def test_the_provider_signs_name_version_and_digest(tmp_path: Path) -> None:
    """The statement verifies as a device verifies it, stays with the layout, and is made once."""
    signer = CryptoSigner.generate_ed25519()
    built = build_directory(app(tmp_path / "app"))
    envelope = sign_release(built, [signer])
    assert sign_release(built, [signer]) == envelope
    provider = ProviderDocument(
        fleet="0" * 64,
        provider="me",
        keys=[from_key(signer.public_key)],
        namespaces=["pkg:generic/me/"],
    )
    known = verify_release_statement(envelope, provider, built.digest).value
    assert (known.package, known.version, known.digest) == (
        "pkg:generic/me/app",
        "1.0",
        built.digest,
    )
    rebuilt = build_directory(tmp_path / "app")
    assert statements_in(rebuilt.layout, rebuilt.digest) == (envelope,)
    other = CryptoSigner.generate_ed25519()
    assert sign_release(rebuilt, [other]) != envelope


def test_a_statement_for_other_bytes_does_not_stay(tmp_path: Path) -> None:
    """After the content changed, the old statement is not offered for the new release."""
    built = build_directory(app(tmp_path / "app"))
    sign_release(built, [CryptoSigner.generate_ed25519()])
    (tmp_path / "app" / "main.py").write_text("changed")
    again = build_directory(tmp_path / "app")
    assert statements_in(again.layout, again.digest) == ()


def test_a_tampered_layout_is_noticed(tmp_path: Path) -> None:
    """A blob that was changed on disk has another digest than its name."""
    built: Built = build_directory(app(tmp_path / "app"))
    manifest = built.layout.path(built.digest)
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b"1.0", b"6.6"))
    with pytest.raises(Untrusted) as caught:
        open_built(built.layout.directory)
    assert caught.value.code == "wrong-digest"
    layer = built.release.layers[0]
    built.layout.path(layer.digest).write_bytes(b"evil")
    with pytest.raises(Untrusted):
        built.layout.check(layer.digest, layer.size)


@pytest.mark.parametrize(
    ("extra", "code"),
    [('tree = "none"', "bad-tree"), ('[service]\ncommand = ["{x}"]', "bad-release")],
)
def test_a_release_that_no_device_would_take_is_not_built(
    tmp_path: Path, extra: str, code: str
) -> None:
    """What the device would refuse, the build refuses first."""
    with pytest.raises(InvalidInput) as caught:
        build_directory(app(tmp_path / "app", extra))
    assert caught.value.code == code


def test_a_layout_without_a_release_says_so(tmp_path: Path) -> None:
    """Nothing, something else, and two things are told apart."""
    layout = Layout(tmp_path / "l")
    with pytest.raises(InvalidInput) as caught:
        layout.read_index()
    assert caught.value.code == "not-a-layout"
    layout.create()
    with pytest.raises(InvalidInput) as caught:
        open_built(layout.directory)
    assert caught.value.code == "no-release"
    one = build_directory(app(tmp_path / "a"), tmp_path / "l").descriptor
    kept = {path: path.read_bytes() for path in (tmp_path / "l" / "blobs" / "sha256").iterdir()}
    two = build_directory(tmp_path / "a", tmp_path / "l", version="2.0").descriptor
    for path, data in kept.items():
        path.write_bytes(data)
    layout.write_index([one, two])
    with pytest.raises(InvalidInput) as caught:
        open_built(layout.directory)
    assert caught.value.code == "several-releases"
    assert open_built(layout.directory, "2.0").release.version == "2.0"
