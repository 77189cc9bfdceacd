"""Publish what an owner signed: checked as a device would, then made true (see `publication`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from allod.domain.desired import OWNER
from allod.domain.ids import Digest, FleetId, ProviderName, sha256
from allod.errors import Conflict, InvalidInput, Refused, Untrusted
from allod.server.services.check import (
    ONLINE_ROLES,
    ConfigurationCheck,
    Documents,
    Overlay,
    Parts,
    check_documents,
    document_path,
    take_apart,
    walk_all,
)
from allod.server.services.check_delegated import check_orders, orders_in
from allod.server.services.fleets import (
    DOCUMENT_CAP,
    FleetState,
    published_file,
    verify_published,
)
from allod.server.services.limits import Rate
from allod.server.services.log_entries import check_entries
from allod.server.services.logs import Logs
from allod.server.services.online import Online, sign_online
from allod.server.services.publication import Pending, Publications
from allod.server.services.published_documents import newest_documents
from allod.server.services.records import Kind, Record, make_record, read_record
from allod.server.services.vetting import Vet
from allod.trust.accepted import Repository
from allod.trust.dsse import merge_envelopes
from allod.trust.effects import drive
from allod.trust.metadata import SNAPSHOT, TIMESTAMP
from allod.trust.profile import PUBLISHER
from allod.trust.repository import descend
from allod.trust.statements import check_statement
from allod.wire.api import ChangeReceipt, ChangeUpload
from allod.wire.codec import encode
from allod.wire.desired import decode_state
from allod.wire.log import ACTIVITY, AUTHORITY
from allod.wire.trust import TrustStatement

_REMEMBERED = 64  #: publications among which an upload that comes again is looked for


class Publish:
    """The use case.

    Args:
        publications: carries it out.
        check_configuration: validates configuration against releases.
        rate: how many changes a fleet may make (attack 30).
        orders: how many changes a delegation may make.
        vet: whether releases meet the owner's policy on their provider.
        published: told of the change that was published, by its id, and of whose files it was.
    """

    def __init__(
        self,
        publications: Publications,
        check_configuration: ConfigurationCheck,
        rate: Rate,
        orders: Rate,
        vet: Vet,
        published: Callable[[FleetId, str, int, frozenset[str]], None] = lambda *_: None,
    ) -> None:
        self._publications = publications
        self._check_configuration = check_configuration
        self._rate = rate
        self._orders = orders
        self._vet = vet
        self._published = published

    def __call__(
        self, fleet: FleetId, upload: ChangeUpload, *, delegation: str | None = None
    ) -> ChangeReceipt:
        """Publish a change. When it returns, it is published; the same upload again is fine.

        Args:
            fleet: whose files they are.
            upload: the files.
            delegation: whose delegate brings them; then they are of that delegation's role alone.

        Raises:
            InvalidInput: a file can't be read or does not fit.
            Untrusted: a device would not accept it: `auth`, `rollback`, `wrong-fleet`, …
            Refused: `forbidden`: not the delegate's to bring; `outside-terms`.
            Conflict: `out-of-date` with the published versions; `floors-unknown`.
            Unavailable: `too-many` changes; `stale`.
        """
        publications = self._publications
        with publications.lock(fleet):
            publications.recover(fleet)
            state = publications.fleets.need(fleet)
            digest = sha256(encode(upload))
            record = self._known(state, digest)
            if record is not None:
                return ChangeReceipt(fleet=fleet, news=record.news, versions=dict(record.roles))
            if state.restored:
                raise Conflict(
                    "floors-unknown",
                    "cannot publish: this server was restored from a backup and must first learn "
                    "the newest state from you; run 'allod server floors'",
                )
            parts = take_apart(upload)
            if delegation is not None:
                require_own(delegation, parts)
            check_base(state, upload.base, parts)
            self._count(fleet, parts, delegation)
            pending = self.prepare(state, upload, parts, "change", digest)
            after = publications.carry_out(pending)
            if upload.change is not None:
                self._published(fleet, upload.change.id, after.news, authors_of(parts))
            return ChangeReceipt(fleet=fleet, news=after.news, versions=after.versions)

    def _count(self, fleet: FleetId, parts: Parts, delegation: str | None) -> None:
        """One delegation uses up its own budget, not that of the fleet (attack 30).

        Also where somebody else carries a delegate's files: the role is what is counted.
        """
        roles = {role for role in parts.roles if role.startswith("delegation-")}
        if delegation is None and roles != set(parts.roles):
            self._rate.take(fleet)
        for role in roles:
            self._orders.take(f"{fleet}/{role}")

    def prepare(
        self,
        state: FleetState,
        upload: ChangeUpload,
        parts: Parts,
        kind: Kind,
        digest: str,
        *,
        above: Mapping[str, int] | None = None,
    ) -> Pending:
        """Check an upload against the published state, and make what is to be carried out.

        Args:
            state: what is published.
            upload: what is to be.
            parts: the upload, taken apart.
            kind: of the publication.
            digest: of the upload.
            above: versions of snapshot and timestamp that devices may have seen.

        Raises:
            AllodError: as `__call__`; nothing was written.
        """
        publications = self._publications
        now = publications.stores.clock.now()
        above = above or {}
        root = parts.roots[max(parts.roots)] if parts.roots else state.anchor.root
        online = sign_online(
            publications.keys.under(root),
            now,
            previous=state.online,
            changed=parts.roles,
            snapshot_above=above.get(SNAPSHOT, 0),
            timestamp_above=above.get(TIMESTAMP, 0),
        )
        overlay = Overlay(publications.directory(state.fleet), parts, online)
        # As a device that saw everything published so far would, now.
        drive(
            descend(state.anchor, state.floors, {}, now, profile=PUBLISHER),
            overlay.get,
            lambda _: None,
        )
        # As a newcomer would, from the first root on, and with all roles.
        repository = walk_all(overlay)
        check_used(repository, overlay, upload)
        documents = check_documents(repository, overlay, state.fleet)
        for document in documents.states:
            self._check_configuration(state.fleet, document, parts.blobs)
        for document in documents.orders:
            orders = orders_in(document, repository, overlay, documents.fleet or state.document)
            check_orders(orders, self._check_configuration.release, now)
        if kind == "change":
            self._vet_orders(state, documents)
        logged = logged_with(
            publications.logs, upload, repository, overlay, before=state.statement, kind=kind
        )
        return make_pending(
            make_record(
                state.news,
                state.fleet,
                kind,
                now,
                roles=_roles(state, parts, online),
                targets=tuple(upload.targets),
                change=upload.change,
                upload=digest,
            ),
            parts.files,
            parts.blobs,
            online,
            logged,
        )

    def _vet_orders(self, state: FleetState, documents: Documents) -> None:
        """What is newly ordered meets the policy on its provider, as both will be published.

        Raises:
            Untrusted: as `trust.policy.check_policy`.
        """
        providers = {ProviderName(name): one for name, one in state.providers.items()}
        providers |= {ProviderName(one.provider): one for one in documents.providers}
        if not any(one.provenance is not None for one in providers.values()):
            return
        directory = self._publications.directory(state.fleet)
        repository = verify_published(directory)
        verifiers = (documents.fleet or state.document).verifiers
        for document in documents.states:
            path = document_path(document)
            target = drive(
                repository.target(path, DOCUMENT_CAP),
                lambda path, cap: published_file(directory, path, cap),
                lambda _: None,
            )
            before = None if target is None else decode_state(target.data)
            self._vet.orders(state.fleet, before, document, providers, verifiers)

    def _known(self, state: FleetState, digest: Digest) -> Record | None:
        directory = self._publications.directory(state.fleet)
        for news in range(state.news, max(0, state.news - _REMEMBERED), -1):
            record = read_record(directory, news)
            if record is not None and record.upload == digest:
                return record
        return None


def _roles(state: FleetState, parts: Parts, online: Online) -> dict[str, int]:
    """All versions after the publication."""
    root = max(parts.roots, default=state.floors.root_version)
    return {**online.versions, "root": root}


def authors_of(parts: Parts) -> frozenset[str]:
    """Whose documents an upload changes: delegations' and the owner's."""
    return frozenset(
        role.removeprefix("delegation-") if role.startswith("delegation-") else OWNER
        for role in parts.roles
    )


def require_own(delegation: str, parts: Parts) -> None:
    """A delegate brings files of their own role, and of no other. Raises Refused `forbidden`."""
    role = f"delegation-{delegation}"
    if (
        set(parts.roles) != {role}
        or parts.roots
        or any(address.startswith("trust/") for address in parts.files)
    ):
        raise Refused(
            "forbidden", f"cannot publish: {delegation} may bring files of the role {role} alone"
        )


@dataclass(frozen=True, slots=True)
class Logged:
    """What goes into the fleet's logs with a publication."""

    begins: tuple[str, ...] = ()
    log: str | None = None
    entries: tuple[bytes, ...] = ()


def logged_with(
    logs: Logs,
    upload: ChangeUpload,
    repository: Repository,
    overlay: Overlay,
    *,
    before: TrustStatement | None,
    kind: Kind,
) -> Logged:
    """Check the entries of an upload; a fleet whose statement names no log of ours has none.

    Raises:
        InvalidInput: `bad-log-entry`, `missing-log-entry`.
        Untrusted: `wrong-fleet`, `unsigned-log-entry`, `auth`.
    """
    known = {log.origin for log in (before.logs if before else ())}
    after = repository.statement
    mine = [log for name in (AUTHORITY, ACTIVITY) if (log := logs.mine(after, name))]
    begins = tuple(log.origin for log in mine if log.origin not in known)
    authority = logs.mine(after, AUTHORITY)
    if authority is None or (kind == "restore" and authority.origin not in begins):
        return Logged(begins)
    if authority.origin not in begins:
        logs.require(repository.anchor.fleet, authority.origin)
    entries = check_entries(
        upload.entries, repository, overlay, all_roles=authority.origin in begins
    )
    if authority.origin in begins:
        # What counts in a log that was lost is to count in the one that follows it.
        entries = (*entries, *newest_documents(overlay.directory.root))
    return Logged(begins, authority.origin, entries)


def make_pending(
    record: Record,
    files: Mapping[str, bytes],
    blobs: Mapping[Digest, bytes],
    online: Online,
    logged: Logged | None = None,
) -> Pending:
    """What is to be carried out."""
    logged = logged or Logged()
    return Pending(
        record=record,
        files=dict(files),
        blobs={str(digest): data for digest, data in blobs.items()},
        begins=logged.begins,
        log=logged.log,
        entries=logged.entries,
        snapshot_version=online.snapshot_version,
        snapshot=online.snapshot,
        timestamp=online.timestamp,
        replaced={},
    )


def check_base(state: FleetState, base: Mapping[str, int], parts: Parts) -> None:
    """The upload was made on what is published now.

    Raises:
        Conflict: `out-of-date`, with the published versions.
    """
    published = state.versions
    behind = sorted(
        role
        for role, version in base.items()
        if role not in ONLINE_ROLES and published.get(role, 0) != version
    )
    for role, version in parts.versions.items():
        known = published.get(role, 0)
        if version <= known or (role not in base and version != known + 1):
            behind.append(role)
    if parts.roots and min(parts.roots) != published["root"] + 1:
        behind.append("root")
    if behind:
        raise Conflict(
            "out-of-date",
            f"cannot publish: {behind[0]} has changed since; fetch the newest state and sign again",
            roles=sorted(set(behind)),
            versions=[f"{role}={version}" for role, version in sorted(published.items())],
        )


def check_used(repository: Repository, overlay: Overlay, upload: ChangeUpload) -> None:
    """Every uploaded file was reached and accepted on the way; nothing is published unseen.

    Raises:
        Untrusted: `unsigned-role`, `unsigned-root`, `unsigned-statement`, `auth`.
        InvalidInput: `different-documents` if a statement is there with other words.
    """
    verified, parts = repository.files, overlay.parts
    for role, data in parts.roles.items():
        if verified.get(role) != data:
            raise Untrusted("unsigned-role", f"cannot publish {role}: no role delegates to it")
    if parts.roots and max(parts.roots) > repository.floors.root_version:
        raise Untrusted("unsigned-root", "cannot publish the root: its chain has a hole")
    for number, raw in upload.trust.items():
        # One that was there before may carry further signatures, and nothing else.
        check_statement(raw, repository.anchor.fleet, repository.root)
        before = overlay.directory.served(f"trust/{number}.json")
        if before is not None and before.is_file():
            merge_envelopes([before.read_bytes(), raw])
    numbers = [int(number) for number in upload.trust]
    if numbers and max(numbers) > repository.floors.trust_number:
        raise Untrusted(
            "unsigned-statement", "cannot publish the trust statement: the chain has a hole"
        )
    if not (upload.metadata or upload.trust):
        raise InvalidInput("empty-change", "cannot publish: the upload has no signed file")
