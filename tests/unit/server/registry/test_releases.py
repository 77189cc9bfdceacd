"""What the registry adds to OCI: a release stands where it says, and its version never moves."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from allod.domain.ids import Digest, sha256
from allod.errors import Conflict, InvalidInput
from allod.packaging.build import Built, build_directory
from allod.packaging.statement import sign_release
from allod.server.blobs.directory import DirectoryBlobStore
from allod.server.registry import catalogue as catalogue_module
from allod.server.registry import service
from allod.server.registry.catalogue import DirectoryCatalogue
from allod.server.registry.ports import FleetStore, ManifestRow, Repository
from allod.wire import oci

HERE = Repository("me", "app")


@pytest.fixture
def store(tmp_path: Path) -> FleetStore:
    """An empty store."""
    return FleetStore(DirectoryBlobStore(tmp_path / "blobs"), DirectoryCatalogue(tmp_path / "cat"))


def built(directory: Path, content: str = "1", *, version: str = "1.0", extra: str = "") -> Built:
    """A release of `me`, with this content."""
    directory.mkdir(exist_ok=True)
    (directory / "file").write_text(content)
    (directory / "allod.toml").write_text(
        f'package = "pkg:generic/me/app"\nversion = "{version}"\n{extra}'
    )
    return build_directory(directory)


def push(store: FleetStore, made: Built, reference: str, where: Repository = HERE) -> None:
    """Push blobs and manifests by digest, then the release as `reference`."""
    root = made.layout.directory / "blobs" / "sha256"
    blobs = {Digest(f"sha256:{path.name}"): path.read_bytes() for path in root.iterdir()}
    for digest, data in blobs.items():
        store.blobs.put(digest, [data])
    document = oci.decode_document(blobs[made.digest])
    if isinstance(document, oci.Index):
        for one in document.manifests:
            service.push_manifest(store, where, one.digest, oci.MANIFEST, blobs[Digest(one.digest)])
    service.push_manifest(store, where, reference, made.descriptor.media_type, blobs[made.digest])


def push_statement(store: FleetStore, made: Built) -> str:
    """Sign a release and push the statement; the statement's digest."""
    sign_release(made, [CryptoSigner.generate_ed25519()])
    descriptor, manifest = made.layout.referrers(made.digest, oci.STATEMENT)[0]
    for blob in (manifest.config, *manifest.layers):
        store.blobs.put(Digest(blob.digest), [made.layout.get(blob.digest)])
    raw = made.layout.get(descriptor.digest)
    service.push_manifest(store, HERE, descriptor.digest, oci.MANIFEST, raw)
    return descriptor.digest


def test_a_version_is_taken_once(store: FleetStore, tmp_path: Path) -> None:
    """Other bytes under a version are refused and change nothing; the same ones are welcome again."""
    first, second = built(tmp_path / "a"), built(tmp_path / "b", "2")
    push(store, first, "1.0")
    push(store, first, "1.0")
    with pytest.raises(Conflict) as caught:
        push(store, second, "1.0")
    assert caught.value.code == "version-taken"
    assert store.catalogue.resolve(HERE, "1.0") == first.digest
    assert store.catalogue.manifest(HERE, second.digest) is None


class Slow(DirectoryCatalogue):
    """Somebody else takes the tag just after one looked whether it is free."""

    def resolve(self, repository: Repository, tag: str) -> Digest | None:
        """The tag as it was before the other one came, once."""
        if self.__dict__.pop("blind", False):
            return None
        return super().resolve(repository, tag)


def test_who_comes_second_by_a_hair_is_refused_too(store: FleetStore, tmp_path: Path) -> None:
    """Between looking and taking there is no gap: the tag itself is taken once."""
    slow = Slow(tmp_path / "cat")
    slower = FleetStore(store.blobs, slow)
    first, second = built(tmp_path / "a"), built(tmp_path / "b", "2")
    push(slower, first, "1.0")
    push(slower, second, second.digest)
    slow.__dict__["blind"] = True
    with pytest.raises(Conflict) as caught:
        push(slower, second, "1.0")
    assert caught.value.code == "version-taken"
    assert slow.resolve(HERE, "1.0") == first.digest


def test_the_statement_takes_the_version(store: FleetStore, tmp_path: Path) -> None:
    """By digest alone a second release of a version can be pushed, but not be vouched for."""
    first, second = built(tmp_path / "a"), built(tmp_path / "b", "2")
    push(store, first, first.digest)
    assert store.catalogue.resolve(HERE, "1.0") is None
    statement = push_statement(store, first)
    assert store.catalogue.resolve(HERE, "1.0") == first.digest
    push(store, second, second.digest)
    with pytest.raises(Conflict) as caught:
        push_statement(store, second)
    assert caught.value.code == "version-taken"
    found = service.list_referrers(store, HERE, first.digest, oci.STATEMENT)
    assert [one.digest for one in found.manifests] == [statement]
    assert service.list_referrers(store, HERE, second.digest, None).manifests == []


def test_no_artifact_takes_the_tag_of_a_release(store: FleetStore, tmp_path: Path) -> None:
    """A release's tag does not move to something that is no release either."""
    push(store, built(tmp_path / "a"), "1.0")
    store.blobs.put(sha256(oci.EMPTY_BLOB), [oci.EMPTY_BLOB])
    other = oci.Manifest(
        schema_version=2, media_type=oci.MANIFEST, config=oci.EMPTY_DESCRIPTOR, layers=[]
    )
    with pytest.raises(Conflict):
        service.push_manifest(store, HERE, "1.0", oci.MANIFEST, oci.encode_document(other))


@pytest.mark.parametrize(
    ("where", "tag", "code"),
    [
        (Repository("me", "kettle"), "1.0", "wrong-repository"),
        (Repository("acme", "app"), "1.0", "wrong-repository"),
        (HERE, "latest", "wrong-tag"),
        (HERE, "1.0.0", "wrong-tag"),
    ],
)
def test_a_release_stands_where_it_says(
    store: FleetStore, tmp_path: Path, where: Repository, tag: str, code: str
) -> None:
    """Neither another name, nor another provider, nor a tag that floats."""
    with pytest.raises(InvalidInput) as caught:
        push(store, built(tmp_path / "a"), tag, where)
    assert caught.value.code == code
    assert store.catalogue.resolve(where, tag) is None


def test_a_release_for_several_platforms_is_one_version(store: FleetStore, tmp_path: Path) -> None:
    """The index takes the version, its parts do not."""
    extra = "".join(
        f'[[platform]]\narchitecture = "{name}"\ntree = "."\n' for name in ("x86_64", "aarch64")
    )
    made = built(tmp_path / "a", extra=extra)
    push(store, made, "1.0")
    assert store.catalogue.resolve(HERE, "1.0") == made.digest
    release = service.release_of(store, HERE, made.digest)
    assert release is not None
    assert release.version == "1.0"


def test_a_release_that_no_device_would_take_is_refused(store: FleetStore, tmp_path: Path) -> None:
    """The description is read as a device reads it, before the version is taken."""
    made = built(tmp_path / "a")
    manifest = oci.decode_manifest(made.layout.get(made.digest))
    config = json.loads(made.layout.get(manifest.config.digest)) | {"postInstall": "evil"}
    raw = json.dumps(config).encode()
    store.blobs.put(sha256(raw), [raw])
    layer = made.release.layers[0].digest
    store.blobs.put(layer, [made.layout.path(layer).read_bytes()])
    evil = oci.Manifest(
        schema_version=2,
        media_type=oci.MANIFEST,
        artifact_type=oci.RELEASE,
        config=oci.Descriptor(media_type=oci.CONFIG, digest=sha256(raw), size=len(raw)),
        layers=manifest.layers,
    )
    with pytest.raises(InvalidInput) as caught:
        service.push_manifest(store, HERE, "1.0", oci.MANIFEST, oci.encode_document(evil))
    assert caught.value.code == "bad-document"
    assert store.catalogue.resolve(HERE, "1.0") is None


def test_of_many_racers_one_takes_the_tag(store: FleetStore) -> None:
    """All of them learn who it is."""
    digests = [sha256(str(number).encode()) for number in range(12)]
    said: list[Digest] = []
    barrier = threading.Barrier(len(digests))

    def race(digest: Digest) -> None:
        barrier.wait()
        said.append(store.catalogue.claim(HERE, "1.0", digest))

    racers = [threading.Thread(target=race, args=(digest,)) for digest in digests]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(said) == len(digests)
    assert set(said) == {store.catalogue.resolve(HERE, "1.0")}
    assert store.catalogue.tags(HERE) == ("1.0",)


class Cut(Exception):
    """The power went."""


def cut_at(place: int, *, before: bool, patch: pytest.MonkeyPatch) -> Iterator[int]:
    """Let the `place`-th durable write of the catalogue fail, before or after it took effect."""
    counted = iter(range(10_000))
    for name in ("write_atomic", "sync_directory"):
        real = getattr(catalogue_module, name)

        def act(*args: object, real: object = real, **more: object) -> None:
            mine = next(counted) == place
            if mine and before:
                raise Cut
            real(*args, **more)
            if mine:
                raise Cut

        patch.setattr(catalogue_module, name, act)
    return counted


@pytest.mark.parametrize("before", [True, False])
def test_a_cut_anywhere_leaves_a_catalogue_that_can_be_read(
    store: FleetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """After a cut at any write, what is listed can be read, and the same push goes through."""
    row = ManifestRow(sha256(b"m"), oci.MANIFEST, 1, "a/b", sha256(b"s"), {"k": "v"})
    for place in range(20):
        cat = DirectoryCatalogue(tmp_path / f"cut-{place}")
        with monkeypatch.context() as patch:
            cut_at(place, before=before, patch=patch)
            try:
                cat.add(HERE, row)
                cat.claim(HERE, "1.0", row.digest)
                return
            except Cut:
                pass
        for found in cat.referrers(HERE, sha256(b"s")):
            assert found == row
        for tag in cat.tags(HERE) or ():
            assert cat.resolve(HERE, tag) == row.digest
            assert cat.manifest(HERE, row.digest) == row
        cat.add(HERE, row)
        assert cat.claim(HERE, "1.0", row.digest) == row.digest
        assert cat.referrers(HERE, sha256(b"s")) == (row,)
    pytest.fail("there are more writes than this test goes through")


def test_repositories_are_listed(store: FleetStore) -> None:
    """In order, and without temporary files."""
    row = ManifestRow(sha256(b"m"), oci.MANIFEST, 1)
    for one in (Repository("b", "x"), Repository("a", "z"), Repository("a", "y")):
        store.catalogue.add(one, row)
    assert [str(one) for one in store.catalogue.repositories()] == ["a/y", "a/z", "b/x"]
    assert store.catalogue.tags(Repository("a", "y")) == ()
    assert store.catalogue.tags(Repository("none", "x")) is None


def test_abandoned_uploads_do_not_fill_the_disk(tmp_path: Path) -> None:
    """What was begun and left for a day is gone when the next upload begins; a fresh one stays."""
    blobs = DirectoryBlobStore(tmp_path)
    left, fresh = blobs.begin(), blobs.begin()
    blobs.append(left, b"x", offset=0)
    os.utime(tmp_path / "uploads" / left, (1, 1))
    blobs.begin()
    assert blobs.received(fresh) == 0
    with pytest.raises(InvalidInput) as caught:
        blobs.received(left)
    assert caught.value.code == "not-found"
