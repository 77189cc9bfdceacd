"""Foreign software becomes a release of the owner's own, with the same content, and marked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from allod.cli.output import Output
from allod.cli.release_import import Wanted, import_release
from allod.domain.ids import sha256
from allod.errors import InvalidInput, Untrusted
from allod.packaging.archive import unpack
from allod.packaging.build import Built, build_directory
from allod.packaging.layout import Layout
from allod.wire import oci
from allod.wire.oci import Descriptor, Manifest

QUIET = Output(json=True)


def wanted(**fields: object) -> Wanted:
    """What the owner says."""
    values = {"package": None, "version": None, "describe": None, "command": (), "provider": "me"}
    return Wanted(**{**values, **fields})


def content(built: Built, into: Path) -> dict[str, bytes]:
    """What a device would unpack."""
    into.mkdir()
    with built.layout.open(built.release.layers[0].digest) as file:
        unpack(file, into)
    return {p.relative_to(into).as_posix(): p.read_bytes() for p in into.rglob("*") if p.is_file()}


def tarball(path: Path, files: dict[str, bytes]) -> Path:
    """A gzipped tarball."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_a_tarball_is_imported_whole(tmp_path: Path) -> None:
    """Its one top directory is taken off, and nothing of it is ignored."""
    source = tarball(tmp_path / "x.tgz", {"app-1/run": b"#!", "app-1/.git/x": b"kept"})
    built = import_release(
        str(source),
        wanted(package="thing", version="7", command=("{tree}/run",)),
        tmp_path / "out",
        QUIET,
    )
    release = built.release
    assert (release.package, release.version, release.provider) == (
        "pkg:generic/me/thing",
        "7",
        "me",
    )
    assert release.imported_by_owner
    assert release.service is not None
    assert content(built, tmp_path / "c") == {"run": b"#!", ".git/x": b"kept"}


def test_a_description_says_the_rest(tmp_path: Path) -> None:
    """With --describe everything can be said; provider and mark are the owner's all the same."""
    source = tarball(tmp_path / "x.tgz", {"a": b"1", "b": b"2"})
    (tmp_path / "d.toml").write_text(
        'package = "pkg:pypi/thing"\nversion = "1"\nprovider = "acme"\naccess = ["camera"]\n'
    )
    built = import_release(
        str(source), wanted(describe=tmp_path / "d.toml"), tmp_path / "out", QUIET
    )
    assert (built.release.provider, built.release.package) == ("me", "pkg:pypi/thing")
    assert built.release.access == {"camera"}
    assert built.release.imported_by_owner


def test_a_foreign_release_keeps_its_layers(tmp_path: Path) -> None:
    """The payload is byte for byte the provider's; who answers for it is the owner."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "f").write_text("x")
    (app / "allod.toml").write_text(
        'package = "pkg:generic/acme/app"\nversion = "1.0"\nprovider = "acme"\n'
    )
    theirs = build_directory(app)
    ours = import_release(str(theirs.layout.directory), wanted(), tmp_path / "out", QUIET)
    assert ours.release.layers == theirs.release.layers
    assert ours.digest != theirs.digest
    assert (ours.release.provider, ours.release.version) == ("me", "1.0")
    assert ours.release.package == theirs.release.package
    assert ours.release.imported_by_owner
    assert not theirs.release.imported_by_owner
    other = import_release(
        str(theirs.layout.directory), wanted(version="1.0-me"), tmp_path / "o2", QUIET
    )
    assert other.release.version == "1.0-me"


def test_a_foreign_release_with_wrong_bytes_is_refused(tmp_path: Path) -> None:
    """The layers are read and compared before they are taken over."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "f").write_text("x")
    (app / "allod.toml").write_text('package = "pkg:generic/acme/app"\nversion = "1.0"\n')
    theirs = build_directory(app)
    theirs.layout.path(theirs.release.layers[0].digest).write_bytes(b"evil")
    with pytest.raises(Untrusted):
        import_release(str(theirs.layout.directory), wanted(), tmp_path / "out", QUIET)


def artifact(directory: Path, config_type: str, layer_type: str) -> Layout:
    """An OCI artifact of somebody else's, with one layer."""
    layout = Layout(directory)
    layout.create()
    layer = tarball(directory.parent / "layer.tgz", {"tool": b"bits"}).read_bytes()
    config = Descriptor(media_type=config_type, digest=layout.put(b"{}"), size=2)
    manifest = Manifest(
        schema_version=2,
        media_type=oci.MANIFEST,
        config=config,
        layers=[Descriptor(media_type=layer_type, digest=layout.put(layer), size=len(layer))],
    )
    raw = oci.encode_document(manifest)
    layout.write_index([Descriptor(media_type=oci.MANIFEST, digest=layout.put(raw), size=len(raw))])
    assert layout.path(sha256(raw)).is_file()
    return layout


def test_an_artifact_of_tars_is_imported(tmp_path: Path) -> None:
    """An OCI artifact whose layers are tars becomes a tree."""
    layout = artifact(
        tmp_path / "l", "application/vnd.acme.config", "application/vnd.oci.image.layer.v1.tar+gzip"
    )
    built = import_release(
        str(layout.directory), wanted(package="tool", version="1"), tmp_path / "out", QUIET
    )
    assert content(built, tmp_path / "c") == {"tool": b"bits"}


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("application/vnd.acme.config", "application/vnd.acme.firmware"),
    ],
    ids=["container image", "no tar"],
)
def test_what_is_no_tree_is_not_made_one(tmp_path: Path, config: str, layer: str) -> None:
    """A container image needs a root of its own; a blob of firmware is no tree. Both are said."""
    layout = artifact(tmp_path / "l", config, layer)
    with pytest.raises(InvalidInput) as caught:
        import_release(
            str(layout.directory), wanted(package="tool", version="1"), tmp_path / "out", QUIET
        )
    assert caught.value.code == "not-importable"


@pytest.mark.parametrize("source", ["nothing-here.tgz", "."])
def test_what_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """A missing file, or a plain directory, is no source."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        import_release(source, wanted(package="tool", version="1"), tmp_path / "out", QUIET)
    assert caught.value.code == "not-importable"
