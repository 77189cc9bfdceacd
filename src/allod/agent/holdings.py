"""What the device keeps of releases and configuration documents: verified, and found by digest.

    packages/<package>/releases/<hex>   which blobs make up a release that was verified
    packages/<package>/evidence/<hex>   which blobs say what it mends
    accepted/documents/<hex>            configuration documents

Everything is checked by its digest again when it is read; a record that is damaged counts as
missing, so that the release is verified anew.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeVar

from allod.agent.files import PIECE, names_in
from allod.agent.transfer import Blobs
from allod.domain.ids import Digest, Purl, file_name, parse_digest, purl_of_file, sha256
from allod.domain.release import Layer, Release
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import InvalidInput, Unavailable
from allod.wire import oci
from allod.wire.codec import Document, decode, encode
from allod.wire.evidence import EVIDENCE_CAP
from allod.wire.release import CONFIG_CAP, decode_release

MANIFEST_CAP: Final = 256 * 1024  #: bytes of a manifest that a device is willing to read
_RECORD_CAP: Final = 64 * 1024
_HEX: Final = 64
_MARK: Final = 71  #: the record's own digest, written behind it


class ReleaseRecord(Document, frozen=True, kw_only=True):
    """Which blobs make up a release that was verified."""

    type: Literal["allod.release-record"] = "allod.release-record"
    format: Literal[1] = 1
    provider: str
    manifest: str  #: digest of the manifest for this platform; the order may name an index
    statement: str  #: digest of the provider's envelope
    policy: str = ""  #: mark of the policy that was met; empty: there was none
    proofs: tuple[str, ...] = ()  #: digests of the envelopes by which it was met


class EvidenceRecord(Document, frozen=True, kw_only=True):
    """What verifiers say of a release, as far as it was verified when it came."""

    type: Literal["allod.evidence-record"] = "allod.evidence-record"
    format: Literal[1] = 1
    envelopes: list[str]  #: digests


_Record = TypeVar("_Record", ReleaseRecord, EvidenceRecord)


class Holdings:
    """Releases and documents that are kept here.

    Args:
        blobs: the device's blobs.
        packages: `packages` of the state directory.
    """

    def __init__(self, blobs: Blobs, packages: Path) -> None:
        self._blobs = blobs
        self._packages = packages

    def _keep(self, package: Purl, digest: Digest, record: ReleaseRecord) -> None:
        """Write down, durably, what was verified."""
        self._write(self._record_path(package, digest), record)

    def _keep_evidence(self, package: Purl, digest: Digest, envelopes: Iterable[bytes]) -> None:
        """Keep what verifiers say of a release, durably, in place of what was kept before."""
        named = [self._blobs.put(one) for one in envelopes]
        record = EvidenceRecord(envelopes=[str(one) for one in named])
        before = self._evidence_blobs(package, digest)
        if before != set(named):
            self._write(self._evidence_path(package, digest), record)
            self._drop(before - set(named))

    def _write(self, place: Path, record: ReleaseRecord | EvidenceRecord) -> None:
        make_directory(place.parent.parent, mode=0o755)  # services pass through here
        make_directory(place.parent)
        data = encode(record)
        write_atomic(place, data + sha256(data).encode())

    def _evidence_kept(self, package: Purl, digest: Digest) -> list[bytes]:
        """The envelopes that are kept whole; what they are worth is judged where they are used."""
        read = (
            self._blobs.read(one, cap=2 * EVIDENCE_CAP)
            for one in sorted(self._evidence_blobs(package, digest))
        )
        return [envelope for envelope in read if envelope is not None]

    def _evidence_path(self, package: Purl, digest: Digest) -> Path:
        place = self._packages / file_name(package) / "evidence"
        return place / digest.removeprefix("sha256:")

    def _evidence_blobs(self, package: Purl, digest: Digest) -> set[Digest]:
        record = _read(self._evidence_path(package, digest), EvidenceRecord)
        return set() if record is None else {parse_digest(one) for one in record.envelopes}

    def described(self, package: Purl, digest: Digest) -> Release | None:
        """The description, if it is kept here whole; its digests are checked again."""
        manifest = self._kept(package, digest)
        if manifest is None:
            return None
        config = self._blobs.read(manifest.config, cap=CONFIG_CAP)
        return None if config is None else decode_release(config, manifest.layers)

    def _kept(self, package: Purl, digest: Digest) -> oci.ReleaseManifest | None:
        record = self._record(package, digest)
        if record is None:
            return None
        data = self._blobs.read(parse_digest(record.manifest), cap=MANIFEST_CAP)
        if data is None:
            return None
        return oci.release_manifest(oci.decode_manifest(data))

    def _record_path(self, package: Purl, digest: Digest) -> Path:
        place = self._packages / file_name(package) / "releases"
        return place / digest.removeprefix("sha256:")

    def _record(self, package: Purl, digest: Digest) -> ReleaseRecord | None:
        """What was verified; damaged counts as missing, and is verified anew."""
        return _read(self._record_path(package, digest), ReleaseRecord)

    def _provider_of(self, package: Purl, digest: Digest) -> str:
        record = self._record(package, digest)
        return "" if record is None else record.provider

    def held(self, package: Purl) -> frozenset[Digest]:
        """The releases whose description and payload are kept whole."""
        found = set()
        for digest in self._recorded(package):
            manifest = self._kept(package, digest)
            if manifest is not None and all(
                self._blobs.has(layer.digest, layer.size) for layer in manifest.layers
            ):
                found.add(digest)
        return frozenset(found)

    def _recorded(self, package: Purl) -> Iterator[Digest]:
        for name in names_in(self._packages / file_name(package) / "releases"):
            if len(name) == _HEX:
                yield Digest(f"sha256:{name}")

    @contextmanager
    def open(self, package: Purl, digest: Digest) -> Iterator[Mapping[Layer, BinaryIO]]:
        """The payload of a release that is held; who unpacks it checks its digests again.

        Raises:
            Unavailable: `not-described`, `not-held`, or `damaged-payload`, when unpacking failed
                and the disk, not the release, is at fault.
        """
        manifest = self._kept(package, digest)
        if manifest is None:
            raise Unavailable("not-described", f"cannot open {digest}: its description is gone")
        with ExitStack() as files:
            try:
                opened = {
                    layer: files.enter_context(self._blobs.open(layer.digest))
                    for layer in manifest.layers
                }
            except FileNotFoundError as error:
                raise Unavailable(
                    "not-held", f"cannot open {digest}: its payload is not here"
                ) from error
            try:
                yield opened
            except InvalidInput as error:
                if self._drop_changed(manifest):
                    raise Unavailable(
                        "damaged-payload",
                        f"cannot use the payload of {digest}: it changed on the disk; "
                        "it is fetched again",
                    ) from error
                raise

    def _drop_changed(self, manifest: oci.ReleaseManifest) -> bool:
        """Discard the layers whose bytes are no longer theirs; whether there were any (attack 50)."""
        changed = []
        for layer in manifest.layers:
            with self._blobs.open(layer.digest) as file:
                state = hashlib.sha256()
                while piece := file.read(PIECE):
                    state.update(piece)
                found = state.hexdigest()
            if f"sha256:{found}" != layer.digest:
                changed.append(layer.digest)
        for digest in changed:
            self._blobs.discard(digest)
        return bool(changed)

    def forget(self, package: Purl, digest: Digest) -> None:
        """Remove description and payload, but for what other releases need too."""
        gone = self._blobs_of(package, digest)
        remove_file(self._record_path(package, digest))
        remove_file(self._evidence_path(package, digest))
        self._drop(gone)

    def _drop(self, gone: set[Digest]) -> None:
        """Discard blobs, but for what some release needs."""
        needed: set[Digest] = set()
        for other in self._all_packages():
            for release in self._recorded(other):
                needed |= self._blobs_of(other, release)
        for blob in gone - needed:
            self._blobs.discard(blob)

    def _all_packages(self) -> Iterator[Purl]:
        for name in names_in(self._packages):
            with contextlib.suppress(InvalidInput):
                yield purl_of_file(name)

    def _blobs_of(self, package: Purl, digest: Digest) -> set[Digest]:
        said = self._evidence_blobs(package, digest)
        record = self._record(package, digest)
        if record is None:
            return said
        found = said | {digest, parse_digest(record.manifest), parse_digest(record.statement)}
        found |= {parse_digest(one) for one in record.proofs}
        manifest = self._kept(package, digest)
        if manifest is not None:
            found |= {manifest.config, *(layer.digest for layer in manifest.layers)}
        return found

    def progress(self, package: Purl, digest: Digest) -> float | None:
        """How much of the payload is here, 0 to 1; None: nothing is known."""
        manifest = self._kept(package, digest)
        if manifest is None:
            return None
        total = sum(layer.size for layer in manifest.layers)
        there = sum(
            layer.size
            if self._blobs.has(layer.digest, layer.size)
            else self._blobs.arrived(layer.digest)
            for layer in manifest.layers
        )
        return 1.0 if total == 0 else min(1.0, there / total)

    def read_document(self, digest: Digest) -> bytes | None:
        """A configuration document, if it is kept here and whole."""
        with contextlib.suppress(OSError):
            data = self._document_path(digest).read_bytes()
            return data if sha256(data) == digest else None
        return None

    def keep_documents(self, wanted: Iterable[Digest]) -> None:
        """Remove all configuration documents but these."""
        kept = {digest.removeprefix("sha256:") for digest in wanted}
        for name in names_in(self._documents):
            if name not in kept:
                remove_file(self._documents / name)

    def _keep_document(self, digest: Digest, data: bytes) -> None:
        make_directory(self._documents)
        write_atomic(self._document_path(digest), data)

    @property
    def _documents(self) -> Path:
        return self._packages.parent / "accepted" / "documents"

    def _document_path(self, digest: Digest) -> Path:
        return self._documents / digest.removeprefix("sha256:")


def _read(place: Path, kind: type[_Record]) -> _Record | None:
    """A record; damaged counts as missing."""
    with contextlib.suppress(OSError, InvalidInput):
        stored = place.read_bytes()
        data, mark = stored[:-_MARK], stored[-_MARK:]
        if sha256(data).encode() == mark:
            return decode(data, kind, cap=_RECORD_CAP)
    return None
