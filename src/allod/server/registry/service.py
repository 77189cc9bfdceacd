"""What the registry does, apart from HTTP. Plain functions over the ports; called in threads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from allod.domain.ids import Digest, package_name, parse_digest, sha256
from allod.domain.release import Release
from allod.errors import Conflict, InvalidInput
from allod.server.registry.ports import FleetStore, ManifestRow, Repository
from allod.wire import oci
from allod.wire.oci import Descriptor, Index, Manifest
from allod.wire.release import CONFIG_CAP, decode_release

TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_ELSEWHERE: Final = "application/vnd.oci.image.layer.nondistributable."  #: never pushed (OCI)
MAX_REFERRERS: Final = 1000  #: of one subject, so that the answer stays below 4 MiB


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest that is held now."""

    digest: Digest
    subject: Digest | None


def read_manifest(
    store: FleetStore, repository: Repository, reference: str
) -> tuple[ManifestRow, bytes]:
    """A manifest by digest or tag.

    Raises:
        InvalidInput: `manifest-unknown`.
    """
    row = find_manifest(store, repository, reference)
    return row, read_small(store, row.digest, oci.MANIFEST_CAP)


def find_manifest(store: FleetStore, repository: Repository, reference: str) -> ManifestRow:
    """What a manifest is, by digest or tag. Raises InvalidInput `manifest-unknown`."""
    digest: Digest | None
    if ":" in reference:
        digest = parse_digest(reference)
    else:
        fits = TAG.fullmatch(reference) is not None
        digest = store.catalogue.resolve(repository, reference) if fits else None
    row = None if digest is None else store.catalogue.manifest(repository, digest)
    if row is None:
        raise InvalidInput(
            "manifest-unknown",
            f"cannot find {reference[:140]!r} in {repository}: nothing of this name was pushed",
        )
    return row


def read_small(store: FleetStore, digest: Digest, cap: int) -> bytes:
    """A blob whole. Raises InvalidInput `not-found`, `too-large`."""
    size = store.blobs.size(digest)
    if size is not None and size > cap:
        raise InvalidInput("too-large", f"cannot read {digest}: it has more than {cap} bytes")
    return b"".join(store.blobs.read(digest))


def push_manifest(
    store: FleetStore, repository: Repository, reference: str, media_type: str, raw: bytes
) -> Pushed:
    """Hold a manifest, under its digest and, if `reference` is a tag, under that.

    Everything that it names must have been pushed before. A release goes only into the
    repository that it names itself, and under its own version, which never moves.

    Raises:
        InvalidInput: `bad-manifest`, `digest-mismatch`, `bad-tag`, `missing-blob`,
            `wrong-repository`, `wrong-tag`, or what is wrong with a release.
        Conflict: `version-taken`, `tag-taken`.
    """
    document = oci.decode_document(raw)
    if document.media_type not in {None, media_type}:
        raise InvalidInput(
            "bad-manifest",
            f"cannot take the manifest: it says {document.media_type}, its request {media_type}",
        )
    digest = sha256(raw)
    tag = _tag(reference, digest)
    _check_named(store, repository, document)
    subject = None if document.subject is None else parse_digest(document.subject.digest)
    claimed = _claims(store, repository, document, digest, tag)
    store.blobs.put(digest, [raw])
    artifact_type = document.artifact_type
    if artifact_type is None and isinstance(document, Manifest):
        artifact_type = document.config.media_type
    store.catalogue.add(
        repository,
        ManifestRow(digest, media_type, len(raw), artifact_type, subject, document.annotations),
    )
    if claimed is not None:
        _claim(store, repository, *claimed)
    elif tag is not None:
        store.catalogue.move(repository, tag, digest)
    return Pushed(digest, subject)


def _tag(reference: str, digest: Digest) -> str | None:
    if ":" in reference:
        if parse_digest(reference) != digest:
            raise InvalidInput("digest-mismatch", f"cannot take {reference}: what came is {digest}")
        return None
    if TAG.fullmatch(reference) is None:
        raise InvalidInput("bad-tag", f"cannot use {reference[:140]!r} as a tag")
    return reference


def _check_named(store: FleetStore, repository: Repository, document: Manifest | Index) -> None:
    """Everything that a manifest names must be there, in the size that it says."""
    if isinstance(document, Index):
        for one in document.manifests:
            if store.catalogue.manifest(repository, parse_digest(one.digest)) is None:
                raise _missing(one.digest)
        return
    if len(document.layers) > oci.MAX_LAYERS:
        raise InvalidInput("bad-manifest", f"cannot take more than {oci.MAX_LAYERS} layers")
    for one in (document.config, *document.layers):
        if one.media_type.startswith(_ELSEWHERE):
            continue
        size = store.blobs.size(parse_digest(one.digest))
        if size is None:
            raise _missing(one.digest)
        if size != one.size:
            raise InvalidInput(
                "bad-manifest",
                f"cannot take the manifest: {one.digest} has {size} bytes, not {one.size}",
            )


def _missing(digest: str) -> InvalidInput:
    return InvalidInput(
        "missing-blob", f"cannot take the manifest: it names {digest}, which was not pushed before"
    )


def _claims(
    store: FleetStore,
    repository: Repository,
    document: Manifest | Index,
    digest: Digest,
    tag: str | None,
) -> tuple[str, Digest] | None:
    """The version that this push takes for a release, checked; None: it takes none."""
    if document.artifact_type == oci.STATEMENT and document.subject is not None:
        about = parse_digest(document.subject.digest)
        release = release_of(store, repository, about)
        if release is None or tag is not None:
            return None
        _check_free(store, repository, release.version, about)
        return release.version, about
    if document.artifact_type == oci.RELEASE:
        release = _release(store, repository, document)
        if (release.provider, package_name(release.package)) != (
            repository.provider,
            repository.name,
        ):
            raise InvalidInput(
                "wrong-repository",
                f"cannot take {release.package} of {release.provider} into {repository}",
            )
        if tag is None:
            return None
        if tag != release.version:
            raise InvalidInput(
                "wrong-tag",
                f"cannot tag the release {release.version} as {tag}: its tag is its version",
            )
        _check_free(store, repository, tag, digest)
        return tag, digest
    if tag is not None and (present := store.catalogue.resolve(repository, tag)) is not None:
        row = store.catalogue.manifest(repository, present)
        if row is not None and row.artifact_type == oci.RELEASE and present != digest:
            raise _taken(tag, present)
    return None


def _release(store: FleetStore, repository: Repository, document: Manifest | Index) -> Release:
    if isinstance(document, Index):
        if not 1 <= len(document.manifests) <= oci.MAX_MANIFESTS:
            raise InvalidInput("bad-manifest", "cannot take a release for no or too many platforms")
        parts = [
            release_of(store, repository, parse_digest(one.digest)) for one in document.manifests
        ]
        names = {None if one is None else (one.package, one.version, one.provider) for one in parts}
        first = parts[0]
        if first is None or len(names) != 1:
            raise InvalidInput("bad-manifest", "cannot take it: its platforms are not one release")
        return first
    named = oci.release_manifest(document)
    config = read_small(store, named.config, CONFIG_CAP)
    return decode_release(config, named.layers)


def release_of(store: FleetStore, repository: Repository, digest: Digest) -> Release | None:
    """The release with this manifest, if the repository holds it and it is one."""
    row = store.catalogue.manifest(repository, digest)
    if row is None or row.artifact_type != oci.RELEASE:
        return None
    document = oci.decode_document(read_small(store, digest, oci.MANIFEST_CAP))
    return _release(store, repository, document)


def _taken(version: str, present: Digest) -> Conflict:
    return Conflict(
        "version-taken",
        f"cannot push other bytes as version {version}: it is {present}; give it a new version",
        present=present,
    )


def _check_free(store: FleetStore, repository: Repository, version: str, digest: Digest) -> None:
    present = store.catalogue.resolve(repository, version)
    if present not in {None, digest}:
        raise _taken(version, Digest(str(present)))


def _claim(store: FleetStore, repository: Repository, version: str, digest: Digest) -> None:
    present = store.catalogue.claim(repository, version, digest)
    if present != digest:
        raise _taken(version, present)


def list_referrers(
    store: FleetStore, repository: Repository, subject: Digest, artifact_type: str | None
) -> Index:
    """The answer of the referrers API."""
    rows = store.catalogue.referrers(repository, subject)
    chosen = [row for row in rows if artifact_type in {None, row.artifact_type}]
    return Index(
        schema_version=oci.SCHEMA_VERSION,
        media_type=oci.INDEX,
        manifests=[
            Descriptor(
                media_type=row.media_type,
                digest=row.digest,
                size=row.size,
                artifact_type=row.artifact_type,
                annotations=None if row.annotations is None else dict(row.annotations),
            )
            for row in chosen[:MAX_REFERRERS]
        ],
    )
