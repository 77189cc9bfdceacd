"""Checks an upload as a device would, and further: whole, addressed, readable, valid.

`Overlay` shows what would be published: the upload over what is published now. Nothing is
written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tuf.api.metadata import Targets

from allod.domain.desired import OWNER, PackageEntry, StateDocument
from allod.domain.ids import Digest, FleetId, Purl, Scope, parse_digest, parse_provider, sha256
from allod.domain.release import Release
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.server.layout import (
    FleetDirectory,
    is_metadata_name,
    is_target_path,
    is_trust_number,
    target_file,
)
from allod.server.services.check_delegated import check_delegations
from allod.server.services.fleets import DOCUMENT_CAP, LONG_AGO, published_file
from allod.server.services.online import Online
from allod.trust.accepted import Repository
from allod.trust.anchor import anchor_at, first_floors
from allod.trust.effects import drive
from allod.trust.metadata import ROOT, metadata_path, read
from allod.trust.profile import PUBLISHER
from allod.trust.repository import descend
from allod.wire.api import ChangeUpload
from allod.wire.codec import decode
from allod.wire.delegation import decode_delegation, delegation_path
from allod.wire.desired import decode_state
from allod.wire.trust import FleetDocument, ProviderDocument, WithdrawnDocument

ONLINE_ROLES: Final = frozenset({"snapshot", "timestamp"})


class ConfigurationCheck(Protocol):
    """Validates a configuration document against the release that it is for."""

    def __call__(self, fleet: FleetId, state: StateDocument, blobs: Mapping[Digest, bytes]) -> None:
        """Raise InvalidInput if a document does not fit its release."""
        ...

    def release(self, fleet: FleetId, package: Purl, entry: PackageEntry) -> Release | None:
        """The release that an entry orders to run, if the server has it."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """An upload, taken apart: every name has its form, every blob its digest."""

    roles: Mapping[str, bytes]  #: role -> file, root left out
    versions: Mapping[str, int]  #: role -> version, of `roles`
    roots: Mapping[int, bytes]
    files: Mapping[str, bytes]  #: address relative to /f/<fleet>/ -> bytes
    targets: Mapping[str, bytes]
    blobs: Mapping[Digest, bytes] = field(default_factory=dict)


def take_apart(upload: ChangeUpload) -> Parts:
    """Check names and digests, and lay the files out by address.

    Raises:
        InvalidInput: `bad-name`, `bad-metadata`, `digest-mismatch`.
    """
    files: dict[str, bytes] = {}
    roles: dict[str, bytes] = {}
    versions: dict[str, int] = {}
    roots: dict[int, bytes] = {}
    for name, data in upload.metadata.items():
        number, _, rest = name.partition(".")
        role = rest.removesuffix(".json")
        if not is_metadata_name(name) or role in ONLINE_ROLES or not number.isdecimal():
            raise _bad_name(name)
        version = read(data, role).signed.version
        if version != int(number) or role in roles:
            raise InvalidInput(
                "bad-metadata", f"cannot take {name}: it is version {version} of {role}"
            )
        if role == "root":
            roots[version] = data
        else:
            roles[role] = data
            versions[role] = version
        files[f"tuf/{name}"] = data
    for path, data in upload.targets.items():
        if not is_target_path(path):
            raise _bad_name(path)
        files["tuf/" + target_file(path, sha256(data).removeprefix("sha256:"))] = data
    for text, data in upload.trust.items():
        if not is_trust_number(text):
            raise _bad_name(text)
        files[f"trust/{text}.json"] = data
    return Parts(roles, versions, roots, files, upload.targets, _blobs(upload))


def _blobs(upload: ChangeUpload) -> dict[Digest, bytes]:
    blobs: dict[Digest, bytes] = {}
    for text, data in upload.blobs.items():
        digest = parse_digest(text)
        if sha256(data) != digest:
            raise InvalidInput(
                "digest-mismatch", f"cannot take the blob {digest}: its bytes differ"
            )
        blobs[digest] = data
    return blobs


def _bad_name(name: str) -> InvalidInput:
    return InvalidInput("bad-name", f"cannot take {name[:120]!r}: no file of a fleet is called so")


@dataclass(frozen=True, slots=True)
class Overlay:
    """What would be published: the upload, snapshot and timestamp over what is there."""

    directory: FleetDirectory
    parts: Parts
    online: Online

    def get(self, path: str, cap: int) -> bytes | None:
        """The answer to a `Need`."""
        data = self.parts.files.get(path)
        if data is None and path == "tuf/timestamp.json":
            data = self.online.timestamp
        if data is None and path == f"tuf/{self.online.snapshot_version}.snapshot.json":
            data = self.online.snapshot
        if data is None:
            return published_file(self.directory, path, cap)
        if len(data) > cap:
            raise InvalidInput("too-large", f"cannot take {path}: more than {cap} bytes")
        return data


def walk_all(overlay: Overlay) -> Repository:
    """Walk the overlay as a newcomer would, from the first root on, and load every role.

    Raises:
        Untrusted, Unavailable: as `descend`.
    """
    first = overlay.get(metadata_path(ROOT, 1), DOCUMENT_CAP)
    if first is None:
        raise InvalidInput("no-root", "cannot find the first root of this fleet")
    anchor = anchor_at(first)
    steps = descend(anchor, first_floors(anchor, LONG_AGO), {}, LONG_AGO, profile=PUBLISHER)
    repository = drive(steps, overlay.get, lambda _: None)
    drive(repository.load_all(), overlay.get, lambda _: None)
    return repository


@dataclass(frozen=True, slots=True)
class Documents:
    """What the verified target files of an upload say."""

    fleet: FleetDocument | None
    states: tuple[StateDocument, ...]  #: the owner's and delegates'
    providers: tuple[ProviderDocument, ...] = ()

    @property
    def orders(self) -> tuple[StateDocument, ...]:
        """The delegates' documents."""
        return tuple(one for one in self.states if one.author != OWNER)


def check_documents(repository: Repository, overlay: Overlay, fleet: FleetId) -> Documents:
    """Read every target of the upload under the verified roles, and see that none is missing.

    Raises:
        Untrusted: `unsigned-target`, `withheld`, `wrong-fleet`, `wrong-scope`.
        InvalidInput: a document can't be read; the server publishes nothing that a device
            could not use.
    """
    _check_whole(overlay)
    found: FleetDocument | None = None
    states: list[StateDocument] = []
    providers: list[ProviderDocument] = []
    for path, data in overlay.parts.targets.items():
        target = drive(repository.target(path, DOCUMENT_CAP), overlay.get, lambda _: None)
        if target is None or target.data != data:
            raise Untrusted(
                "unsigned-target", f"cannot publish {path}: no role that may speak for it lists it"
            )
        document = read_document(path, data, fleet)
        _check_author(path, document, target.role)
        if isinstance(document, FleetDocument):
            found = document
        elif isinstance(document, StateDocument):
            states.append(document)
        elif isinstance(document, ProviderDocument):
            providers.append(document)
    return Documents(found, tuple(states), tuple(providers))


def _check_author(path: str, document: object, role: str) -> None:
    """What a delegate signs stands below `by/<id>/`, in their own role; all else is the owner's."""
    author = document.author if isinstance(document, StateDocument) else OWNER
    if (author == OWNER) is role.startswith("delegation-") or (
        author != OWNER and role != f"delegation-{author}"
    ):
        raise Untrusted(
            "wrong-role", f"cannot publish {path}: the role {role} does not speak for {author}"
        )


def _check_whole(overlay: Overlay) -> None:
    """Every target that an uploaded role lists is uploaded, or published already."""
    for role, data in overlay.parts.roles.items():
        signed = read(data, role).signed
        if not isinstance(signed, Targets):
            raise InvalidInput("bad-metadata", f"cannot publish {role}: it is no targets role")
        if signed.delegations is not None:
            check_delegations(role, signed.delegations)
        for path, info in signed.targets.items():
            address = "tuf/" + target_file(path, info.hashes.get("sha256", ""))
            file = overlay.directory.served(address)
            if address not in overlay.parts.files and (file is None or not file.is_file()):
                raise Untrusted(
                    "withheld",
                    f"cannot publish {role}: it lists {path}, which is not in the upload",
                )


def read_document(path: str, data: bytes, fleet: FleetId) -> Any:
    """Read one target by its path, and check that it is meant for this fleet and place.

    Raises:
        InvalidInput: `unknown-document`, or it can't be read.
        Untrusted: `wrong-fleet`, `wrong-scope`.
    """
    room, _, rest = path.partition("/")
    document: Any
    if path == "fleet.json":
        document = decode(data, FleetDocument, cap=DOCUMENT_CAP, what=path)
    elif path == "releases/withdrawn.json":
        document = decode(data, WithdrawnDocument, cap=DOCUMENT_CAP, what=path)
    elif room == "providers":
        document = decode(data, ProviderDocument, cap=DOCUMENT_CAP, what=path)
        if parse_provider(rest.removesuffix(".json")) != document.provider:
            raise _elsewhere(path, document.provider)
    elif room in {"state", "by"}:
        document = _state(path, data)
    elif room == "delegations":
        said, document = decode_delegation(data)
        if delegation_path(document.id) != path:
            raise _elsewhere(path, document.id)
        if said != fleet:
            raise _foreign(path)
        return document
    else:
        raise InvalidInput(
            "unknown-document", f"cannot publish {path}: this server does not know it"
        )
    if document.fleet != fleet:
        raise _foreign(path)
    return document


def _foreign(path: str) -> AllodError:
    return Untrusted("wrong-fleet", f"cannot publish {path}: it is signed for another fleet")


def _state(path: str, data: bytes) -> StateDocument:
    document = decode_state(data)
    if document_path(document) != path:
        raise _elsewhere(path, str(document.scope))
    if document.unreadable:
        key, why = next(iter(document.unreadable.items()))
        raise InvalidInput("unreadable-entries", f"cannot publish {path}: {key[:80]}: {why}")
    return document


def document_path(document: StateDocument) -> str:
    """Where a document of desired state stands."""
    scope: Scope = document.scope
    return scope.target_path if document.author == OWNER else f"by/{document.author}/{scope}.json"


def _elsewhere(path: str, said: str) -> AllodError:
    return Untrusted("wrong-scope", f"cannot publish {path}: it says that it is for {said[:80]}")
