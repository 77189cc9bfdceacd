"""`allod export`: a stick with everything that the devices of a scope need, and nothing else.

The stick holds the server's files under the server's own addresses, with ':' as '-'. It carries
no authority: devices check it as they would check a server. Writing it again adds what is new;
what names other files comes after them, so a stick pulled out early is old or new, never torn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

from cyclopts import Parameter

from allod.cli.documents import FLEET_PATH, WITHDRAWN_PATH, provider_path
from allod.cli.export_log import log_files
from allod.cli.export_permission import entry_orders, permission_of
from allod.cli.foreign import sbom_bytes
from allod.cli.options import OPTIONS, Options
from allod.cli.picture import Picture, take
from allod.cli.scopes import touched
from allod.domain.desired import ReleaseOrder, StateDocument
from allod.domain.ids import (
    Digest,
    Purl,
    Scope,
    package_name,
    parse_digest,
    parse_provider,
    sha256,
)
from allod.durable import make_directory, write_atomic
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.trust.metadata import ROOT, SNAPSHOT, TIMESTAMP, metadata_path
from allod.wire import oci

if TYPE_CHECKING:
    from allod.cli.registry_client import RegistryClient

_PIECE: Final = 1024 * 1024
_DEPTH: Final = 1  #: what is about a release, and what is about that


def export(
    directory: Path,
    *,
    scope: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    devices_only: Annotated[bool, Parameter(negative="")] = False,
    options: Options = OPTIONS,
) -> None:
    """Write everything that devices need into a directory: for those without a network.

    On the device: 'allod-agent run --from DIRECTORY'. What it leaves there is carried back by
    'allod device admit DIRECTORY'. Of a whole fleet it also holds what an auditor needs: the logs
    and all that they name. 'allod audit verify --from DIRECTORY' checks it.

    Args:
        directory: Where to; what is there already and still right stays.
        scope: Only for these groups or devices, without what auditors need; for all, unless given.
        devices_only: Leave out what auditors need: past files, bindings, reports.
        options: Options of every verb.
    """
    picture = take(options.open(), reports=False)
    chosen = [picture.scope(text) for text in scope]
    stick = Stick(directory.absolute())
    audited = not chosen and not devices_only
    write_stick(picture, _documents(picture, chosen), stick, options, audited=audited)
    data = {"directory": str(stick.directory), "written": stick.written, "kept": stick.kept}
    options.output.result(
        data, f"{stick.directory} is ready: {stick.written} files written, {stick.kept} were there."
    )


@dataclass(slots=True)
class Stick:
    """A directory that stands in for a server."""

    directory: Path
    written: int = 0
    kept: int = 0
    _made: set[Path] = field(default_factory=set)

    def place(self, address: str) -> Path:
        """The file for an address, with its directory made."""
        path = self.directory.joinpath(*address.replace(":", "-").split("/"))
        if path.parent not in self._made:
            make_directory(path.parent, mode=0o755)
            self._made.add(path.parent)
        return path

    def put(self, address: str, data: bytes) -> None:
        """Write a file, unless it is there as it should be."""
        path = self.place(address)
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            self.kept += 1
            return
        write_atomic(path, data, mode=0o644)
        self.written += 1


def _documents(picture: Picture, chosen: Iterable[Scope]) -> dict[Scope, StateDocument]:
    """The documents that speak to the devices of these scopes, all of each device's."""
    wanted = set(chosen)
    if not wanted:
        return dict(picture.base.states)
    scopes = set(wanted)
    for scope in wanted:
        for member in touched(scope, picture.devices):
            scopes |= set(member.scopes)
    known = {one: picture.base.state(one) for one in scopes}
    found = {one: document for one, document in known.items() if document is not None}
    if not found:
        raise InvalidInput("nothing-to-export", "cannot export: nothing is said of these devices")
    return found


def write_stick(
    picture: Picture,
    documents: dict[Scope, StateDocument],
    stick: Stick,
    options: Options,
    *,
    audited: bool = False,
) -> None:
    """Write the files of these documents: content first, then what names it.

    Args:
        picture: of the fleet.
        documents: what devices are to find.
        stick: where to.
        options: of the verb.
        audited: with what an auditor needs.
    """
    fleet = f"f/{picture.base.fleet_id}"
    others = permission_of(picture, documents)
    all_documents = [*documents.values(), *others.documents]
    providers = {parse_provider(name) for name in others.providers}
    for package, order in _orders(all_documents, others.orders):
        providers.add(order.provider)
        _release(picture, stick, package, order, options)
    for digest in sorted(_configurations(all_documents)):
        data = picture.fleet.client.file(f"blobs/{digest}", cap=_PIECE)
        if data is None or sha256(data) != digest:
            raise Untrusted("wrong-digest", f"cannot use what the server gave for {digest}")
        stick.put(f"{fleet}/blobs/{digest}", data)
    if audited:
        _records(picture, stick, fleet)
    paths = [FLEET_PATH, WITHDRAWN_PATH, *(provider_path(name) for name in sorted(providers))]
    paths += [scope.target_path for scope in sorted(documents)]
    paths += others.targets
    for path in paths:
        info = picture.base.targets.get(path)
        if info is None:
            continue
        content = picture.base.content(path)
        if content is not None:
            address = quote(info.get_prefixed_paths()[0], safe="/")
            stick.put(f"{fleet}/tuf/targets/{address}", content)
    named, naming = log_files(picture)
    for path, data in (*others.files.items(), *named.items()):
        stick.put(f"{fleet}/{path}", data)
    if naming and audited:
        _evidence(picture, stick, naming, options)
    _trust(picture, stick, fleet)
    _metadata(picture, stick, fleet, naming)


def _records(picture: Picture, stick: Stick, fleet: str) -> None:
    """The SBOMs of devices that are only on record: no device needs them."""
    for member in picture.foreign:
        known = None if member.foreign is None else sbom_bytes(picture.fleet, member.foreign)
        if known is not None:
            stick.put(f"{fleet}/blobs/{sha256(known)}", known)


def _evidence(
    picture: Picture, stick: Stick, checkpoint: Mapping[str, bytes], options: Options
) -> None:
    from allod.cli.export_audit import put_evidence

    def put(path: str, data: bytes) -> None:
        stick.put(f"f/{picture.base.fleet_id}/{path}", data)

    with options.output.progress("Writing the logs") as advance:
        found = put_evidence(picture, put, checkpoint, advance)
    if found:
        options.output.say(f"! An audit finds {found} things: see 'allod audit verify'.")


def _orders(
    documents: Iterable[StateDocument], more: Iterable[tuple[Purl, ReleaseOrder]]
) -> Iterator[tuple[Purl, ReleaseOrder]]:
    named = (
        (Purl(key), order)
        for document in documents
        for key, entry in document.packages.items()
        for order in entry_orders(entry)
    )
    seen: set[Digest] = set()
    for package, order in (*named, *more):
        if order.digest not in seen:
            seen.add(order.digest)
            yield package, order


def _configurations(documents: Iterable[StateDocument]) -> set[Digest]:
    return {
        order.digest
        for document in documents
        for entry in document.packages.values()
        for order in (
            entry.configuration,
            None if entry.rollout is None else entry.rollout.before_configuration,
        )
        if order is not None and order.digest is not None
    }


def _release(
    picture: Picture, stick: Stick, package: Purl, order: ReleaseOrder, options: Options
) -> None:
    """A release whole: its layers, its manifests, and all that anybody says of it."""
    from allod.cli.registry_client import RegistryClient

    name = f"{order.provider}/{package_name(package)}"
    registry = RegistryClient(picture.fleet.client, name)
    base = f"v2/{picture.base.fleet_id}/{name}"
    _manifest(registry, stick, base, order.digest, options)
    _about(registry, stick, base, order.digest, options)


def _about(
    registry: RegistryClient,
    stick: Stick,
    base: str,
    subject: Digest,
    options: Options,
    depth: int = 0,
) -> None:
    """What refers to `subject`, and what refers to that; its list comes last."""
    descriptors = registry.referrers(subject, None)
    for descriptor in descriptors:
        digest = parse_digest(descriptor.digest)
        _manifest(registry, stick, base, digest, options)
        if depth < _DEPTH:
            _about(registry, stick, base, digest, options, depth + 1)
            for original in _originals(registry, descriptor):
                _about(registry, stick, base, original, options, depth + 1)
    if descriptors or depth == 0:
        index = oci.Index(schema_version=2, media_type=oci.INDEX, manifests=descriptors)
        stick.put(f"{base}/referrers/{subject}", oci.encode_document(index))


def _originals(registry: RegistryClient, descriptor: oci.Descriptor) -> list[Digest]:
    """What an imported release was made of, about which others speak."""
    if descriptor.artifact_type != oci.ORIGIN:
        return []
    document = oci.decode_manifest(registry.manifest(descriptor.digest)[1])
    return [parse_digest(layer.digest) for layer in document.layers]


def _manifest(
    registry: RegistryClient, stick: Stick, base: str, digest: Digest, options: Options
) -> None:
    _, raw = registry.manifest(digest)
    if sha256(raw) != digest:
        raise Untrusted("wrong-digest", f"cannot use what the server gave for {digest}")
    document = oci.decode_document(raw)
    if isinstance(document, oci.Index):
        for part in document.manifests:
            _manifest(registry, stick, base, parse_digest(part.digest), options)
    else:
        for blob in (document.config, *document.layers):
            _blob(registry, stick, f"{base}/blobs/{parse_digest(blob.digest)}", blob, options)
    stick.put(f"{base}/manifests/{digest}", raw)


def _blob(
    registry: RegistryClient,
    stick: Stick,
    address: str,
    blob: oci.Descriptor,
    options: Options,
) -> None:
    """A blob of any size, in pieces; one of the right size that is there is read, not fetched."""
    path = stick.place(address)
    if path.is_file() and _digest_of(path) == blob.digest:
        stick.kept += 1
        return
    with options.output.progress(f"Writing {path.name[:24]}", blob.size) as advance:
        registry.save_blob(blob.digest, blob.size, path, progress=advance)
    stick.written += 1


def _digest_of(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _trust(picture: Picture, stick: Stick, fleet: str) -> None:
    """Every trust statement: a device may have seen none of them."""
    from allod.wire.envelope import ENVELOPE_CAP

    repository = picture.base.view.repository
    newest = repository.statement
    for number in range(1, (0 if newest is None else newest.number) + 1):
        data = picture.fleet.client.file(f"trust/{number}.json", cap=ENVELOPE_CAP)
        if data is None:
            raise Unavailable("withheld", f"cannot export: the server lacks trust/{number}.json")
        stick.put(f"{fleet}/trust/{number}.json", data)


def _metadata(picture: Picture, stick: Stick, fleet: str, checkpoint: Mapping[str, bytes]) -> None:
    """Roots, roles, the log's checkpoint, the snapshot, and the timestamp last of all."""
    for version, data in picture.members.roots.items():
        stick.put(f"{fleet}/{metadata_path(ROOT, version)}", data)
    files, versions = picture.base.view.repository.files, picture.base.view.versions
    online = {ROOT, SNAPSHOT, TIMESTAMP}
    for role in sorted(files.keys() - online):
        stick.put(f"{fleet}/{metadata_path(role, versions[role])}", files[role])
    for path, data in checkpoint.items():
        stick.put(f"{fleet}/{path}", data)
    stick.put(f"{fleet}/{metadata_path(SNAPSHOT, versions[SNAPSHOT])}", files[SNAPSHOT])
    stick.put(f"{fleet}/{metadata_path(TIMESTAMP, None)}", files[TIMESTAMP])
