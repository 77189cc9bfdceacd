"""What a configuration says, member by member: a digest alone tells an owner nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from allod.cli.preview import Reading, json_differences
from allod.domain.desired import OWNER, StateDocument
from allod.domain.difference import subject_of
from allod.domain.ids import Digest, Scope, sha256
from allod.domain.said import Difference
from allod.errors import AllodError, Untrusted
from allod.wire.codec import parse_strict

if TYPE_CHECKING:
    from allod.cli.client import ApiClient

DOCUMENT_CAP: Final = 1024 * 1024

Load = Callable[[Digest], Mapping[str, Any]]


def with_contents(reading: Reading, load: Load) -> Reading:
    """The reading with, behind each other configuration, what its document says differently.

    Args:
        reading: of the signed files, which name configurations by digest.
        load: gives the document of a digest, checked against it.
    """
    found: list[Difference] = []
    for one in reading.differences:
        found.append(one)
        if one.what == "configuration" and one.package is not None:
            found += _members(one.subject, one.package, reading, load)
    return replace(reading, differences=tuple(found))


def fetch_configuration(client: ApiClient, digest: Digest) -> Mapping[str, Any]:
    """A configuration document by its digest. Raises Untrusted `wrong-digest`."""
    return read_document(client.file(f"blobs/{digest}", cap=DOCUMENT_CAP) or b"", digest)


def read_document(data: bytes, digest: Digest) -> Mapping[str, Any]:
    """The document in the bytes of a digest. Raises Untrusted `wrong-digest`."""
    if sha256(data) != digest:
        raise Untrusted("wrong-digest", f"cannot use what the server gave for {digest}")
    document = parse_strict(data, cap=DOCUMENT_CAP, what="the configuration")
    return document if isinstance(document, dict) else {}


def _members(subject: str, package: str, reading: Reading, load: Load) -> Iterator[Difference]:
    had, has = (_digest(side, subject, package) for side in (reading.before, reading.after))
    if has is None:
        return
    try:
        old = None if had is None else load(had)
        new = load(has)
    except AllodError as error:
        yield Difference(
            subject, "configuration-unseen",
            f"{package} configuration: what it says cannot be shown: {error.message}", package,
        )  # fmt: skip
        return
    for one in json_differences(subject, old or {}, new):
        yield replace(
            one, what="configuration-member", package=package,
            says=f"{package} configuration {one.says}",
        )  # fmt: skip


def _digest(side: Mapping[Scope, StateDocument], subject: str, package: str) -> Digest | None:
    document = next((known for known in side.values() if subject_of(known) == subject), None)
    entry = None if document is None else document.packages.get(package)
    order = None if entry is None else entry.configuration
    return None if order is None or order.manager != OWNER else order.digest
