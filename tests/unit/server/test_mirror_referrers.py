"""What lies beside a release comes along with it: as it is, within caps, and never in its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from allod.domain.ids import Digest, sha256
from allod.errors import Unavailable
from allod.server.blobs.directory import DirectoryBlobStore
from allod.server.registry.catalogue import DirectoryCatalogue
from allod.server.registry.ports import FleetStore, Repository
from allod.server.services import mirror_referrers
from allod.server.services.mirror_referrers import Carrying
from allod.wire import oci
from allod.wire.oci import Descriptor, Manifest
from allod.wire.sbom import CYCLONEDX_JSON

HERE = Repository("acme", "toaster")
RELEASE = sha256(b"a release")


@dataclass
class Shelf:
    """A provider's registry in dictionaries; implements `Source`."""

    files: dict[str, bytes] = field(default_factory=dict)
    about: dict[str, list[Descriptor]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def add(self, subject: str, kind: str, data: bytes, *, says: str = "", tag: str = "") -> str:
        """A referrer of `subject`; `says`: another subject in it. Or one under a tag."""
        self.files[sha256(oci.EMPTY_BLOB)] = oci.EMPTY_BLOB
        self.files[sha256(data)] = data
        document = Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            artifact_type=kind,
            config=oci.EMPTY_DESCRIPTOR,
            layers=[Descriptor(media_type=kind, digest=sha256(data), size=len(data))],
            subject=None
            if tag
            else Descriptor(media_type=oci.MANIFEST, digest=says or subject, size=1),
        )
        raw = oci.encode_document(document)
        digest = sha256(raw)
        self.files[tag or digest] = raw
        if not tag:
            self.about.setdefault(subject, []).append(
                Descriptor(
                    media_type=oci.MANIFEST, digest=digest, size=len(raw), artifact_type=kind
                )
            )
        return digest

    def _get(self, name: str) -> bytes | None:
        self.asked.append(name)
        if self.down:
            raise Unavailable("registry-unreachable", "cannot reach it")
        return self.files.get(name)

    def manifest(self, source: str, name: str, reference: str) -> bytes | None:
        del source, name
        return self._get(reference)

    def referrers(
        self, source: str, name: str, subject: Digest, kind: str | None
    ) -> list[Descriptor]:
        del source, name
        assert kind is None
        self.asked.append(f"referrers {subject}")
        return self.about.get(subject, [])

    def blob(self, source: str, name: str, digest: Digest, size: int) -> Iterator[bytes]:
        del source, name
        yield (self._get(digest) or b"")[:size]


@pytest.fixture
def store(tmp_path: Path) -> FleetStore:
    """The fleet's, empty."""
    return FleetStore(DirectoryBlobStore(tmp_path / "blobs"), DirectoryCatalogue(tmp_path / "cat"))


def carried(store: FleetStore, shelf: Shelf) -> int:
    return Carrying(shelf, "https://shelf.example", store, HERE)(RELEASE)


def here(store: FleetStore, digest: str) -> bool:
    return store.catalogue.manifest(HERE, Digest(digest)) is not None


def test_everything_beside_a_release_comes_along(store: FleetStore) -> None:
    """SBOMs, attestations of any kind, what is said of those, what older tools keep under tags, and
    what was said of the original of an import; a second look fetches nothing that is here.
    """
    shelf = Shelf()
    bom = shelf.add(RELEASE, CYCLONEDX_JSON, b"{}")
    signature = shelf.add(bom, "application/vnd.x.signature", b"s")
    other = shelf.add(RELEASE, "application/vnd.unknown", b"o")
    original = b'{"schemaVersion":2}'
    origin = shelf.add(RELEASE, oci.ORIGIN, original)
    theirs = shelf.add(sha256(original), oci.PROVENANCE, b"p")
    tag = f"{RELEASE.replace(':', '-')}.att"
    shelf.add("", oci.EMPTY, b"att", tag=tag)
    assert carried(store, shelf) == 6
    assert all(here(store, one) for one in (bom, signature, other, origin, theirs))
    assert store.catalogue.resolve(HERE, tag) == sha256(shelf.files[tag])
    shelf.asked.clear()
    assert carried(store, shelf) == 0
    assert [one for one in shelf.asked if one.startswith("sha256:")] == []


def test_what_does_not_belong_is_left(store: FleetStore) -> None:
    """One that speaks of something else, names itself a release or a channel, lies about its bytes or
    is too large; the others come.
    """
    shelf = Shelf()
    elsewhere = shelf.add(RELEASE, "application/x", b"1", says=sha256(b"other"))
    posing = shelf.add(RELEASE, oci.RELEASE, b"2")
    channel = shelf.add(RELEASE, oci.CHANNEL, b"3")
    lying = shelf.add(RELEASE, "application/x", b"4")
    shelf.files[sha256(b"4")] = b"5"
    good = shelf.add(RELEASE, "application/x", b"6")
    shelf.about[RELEASE].append(Descriptor(media_type=oci.MANIFEST, digest="bad", size=1))
    assert carried(store, shelf) == 1
    assert here(store, good)
    assert not any(here(store, one) for one in (elsewhere, posing, channel, lying))


def test_there_are_caps(store: FleetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood beside a release costs little, and cannot crowd out what counts."""
    monkeypatch.setattr(mirror_referrers, "MOST", 3)
    monkeypatch.setattr(mirror_referrers, "BLOB_CAP", 10)
    shelf = Shelf()
    large = shelf.add(RELEASE, CYCLONEDX_JSON, b"x" * 11)
    for number in range(5):
        shelf.add(RELEASE, "application/junk", b"%d" % number)
    bom = shelf.add(RELEASE, CYCLONEDX_JSON, b"{}")
    assert carried(store, shelf) == 3
    assert here(store, bom)
    assert not here(store, large)


def test_a_source_that_goes_away_delays_nobody(store: FleetStore) -> None:
    """After one answer that does not come, no other is asked for."""
    shelf = Shelf(down=True)
    for number in range(5):
        shelf.add(RELEASE, "application/x", b"%d" % number)
    assert carried(store, shelf) == 0
    assert len([one for one in shelf.asked if not one.startswith("referrers")]) == 1
