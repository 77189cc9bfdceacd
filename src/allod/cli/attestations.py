"""Attestations beside a release, in a layout or the fleet's registry, and in files.

Beside a release they are OCI referrers, as cosign 3, GitHub and Allod lay them; or they hang on
tags: `sha256-<hex>` is an index of referrers, and `sha256-<hex>.att` and `.sig` are cosign's before
version 3.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.attestation.bundle import VERSIONS
from allod.attestation.collected import Lying
from allod.attestation.cosign import SIMPLE_SIGNING
from allod.attestation.envelope import ENVELOPE_CAP
from allod.attestation.published import FILE_CAP, split
from allod.domain.ids import Digest
from allod.errors import AllodError, InvalidInput
from allod.packaging.layout import REF_NAME, Layout
from allod.wire import oci
from allod.wire.envelope import IN_TOTO

if TYPE_CHECKING:
    from allod.cli.release_look import Found
    from allod.packaging.sboms import Beside
    from allod.wire.oci import Manifest

MAX_LOOKED_AT: Final = 64
_TYPES: Final = frozenset({*VERSIONS, oci.ENVELOPE, IN_TOTO, SIMPLE_SIGNING})
#: What stands after a file's name where its attestation lies beside it.
SUFFIXES: Final = (
    ".sigstore.json", ".sigstore", ".intoto.jsonl", ".intoto.json", ".bundle.json", ".jsonl",
    ".provenance", ".publish.attestation",
)  # fmt: skip
_PIECE: Final = 1024 * 1024
_SPOKEN: Final = re.compile(r"(?P<name>[A-Za-z0-9_]{1,40}):(?P<value>[A-Za-z0-9]{1,200})")


def attestations_beside(found: Found) -> list[Lying]:
    """What lies beside a release, but for its provider's statement, which has its own check."""
    return attestations_about(found.beside, found.digest)


def attestations_about(source: Beside, digest: Digest) -> list[Lying]:
    """The same of any artifact."""
    lying: list[Lying] = []
    for where, manifest in _manifests(source, digest):
        if manifest.artifact_type == oci.STATEMENT:
            continue
        for layer in manifest.layers[:MAX_LOOKED_AT]:
            if layer.media_type in _TYPES and 0 <= layer.size <= ENVELOPE_CAP:
                with contextlib.suppress(AllodError):  # it is not there: nothing is lost by that
                    content = source.get(layer.digest, cap=ENVELOPE_CAP)
                    kind = manifest.artifact_type or ""
                    lying.append(Lying(where, content, layer.annotations or {}, kind))
    return list({(one.content, tuple(one.annotations.items())): one for one in lying}.values())


def _manifests(source: Beside, digest: Digest) -> Iterator[tuple[str, Manifest]]:
    for descriptor, manifest in source.referrers(digest, None)[:MAX_LOOKED_AT]:
        yield f"referrer {descriptor.digest}", manifest
    tag = digest.replace(":", "-")
    for name in (tag, f"{tag}.att", f"{tag}.sig"):
        raw = _tagged(source, name)
        if raw is None:
            continue
        with contextlib.suppress(InvalidInput):  # somebody else's tag says nothing of ours
            document = oci.decode_document(raw)
            if not isinstance(document, oci.Index):
                yield f"tag {name}", document
                continue
            for one in document.manifests[:MAX_LOOKED_AT]:
                yield f"tag {name}", oci.decode_manifest(source.get(one.digest))


def _tagged(source: Beside, name: str) -> bytes | None:
    """The manifest that a tag names; None if there is no such tag."""
    from allod.cli.release_sbom import InRegistry

    with contextlib.suppress(AllodError):
        if isinstance(source, Layout):
            for one in source.read_index().manifests:
                if (one.annotations or {}).get(REF_NAME) == name:
                    return source.get(one.digest)
        elif isinstance(source, InRegistry):
            return source.registry.manifest(name)[1]
    return None


def attestations_in(path: Path) -> list[Lying]:
    """The attestations in a file: one or several. Raises InvalidInput."""
    parts = split(read(path, cap=FILE_CAP))
    if len(parts) == 1:
        return [Lying(str(path), parts[0])]
    return [Lying(f"{path}, number {number}", part) for number, part in enumerate(parts, 1)]


def read(path: Path, *, cap: int) -> bytes:
    """A small file. Raises InvalidInput `no-file`, `too-large`."""
    try:
        with path.open("rb") as file:
            data = file.read(cap + 1)
    except OSError as error:
        raise InvalidInput("no-file", f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > cap:
        raise InvalidInput("too-large", f"cannot read {path}: more than {cap} bytes")
    return data


def beside_file(path: Path) -> Path | None:
    """The attestation of an artifact, if one lies beside it under a usual name."""
    names = (path.with_name(path.name + suffix) for suffix in SUFFIXES)
    return next((one for one in names if one.is_file()), None)


def digests_named(artifact: str) -> dict[str, str]:
    """What `--artifact` means: a file, an OCI layout with one release, or ALGORITHM:VALUE.

    Raises:
        InvalidInput: `no-file`, or what is wrong with the layout.
    """
    path = Path(artifact)
    if path.is_dir():
        return spoken(Layout(path).release().digest)
    if path.is_file():
        return file_digests(path)
    if _SPOKEN.fullmatch(artifact) is None:
        raise InvalidInput(
            "no-file", f"cannot read {artifact[:200]}: it is no file, layout or sha256:…"
        )
    return spoken(artifact)


def spoken(text: str) -> dict[str, str]:
    """`sha256:…` as algorithm -> value."""
    name, _, value = text.partition(":")
    return {name: value.lower() if name.startswith("sha") else value}


def file_digests(path: Path) -> dict[str, str]:
    """SHA-256, SHA-384 and SHA-512 of a file of any size. Raises InvalidInput `no-file`."""
    states = {name: hashlib.new(name) for name in ("sha256", "sha384", "sha512")}
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                for state in states.values():
                    state.update(piece)
    except OSError as error:
        raise InvalidInput("no-file", f"cannot read {path}: {error.strerror or error}") from error
    return {name: state.hexdigest() for name, state in states.items()}
