"""What an audit stands on: the fleet's id, and everything that follows from it by signatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from securesystemslib.signer import Key

from allod.audit.findings import Finding
from allod.cli.audit.source import Source
from allod.domain.ids import FleetId, sha256
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.trust.anchor import anchor_at
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.effects import Keep, Steps, drive
from allod.trust.floors import Floors
from allod.trust.metadata import (
    DEVICES,
    ROOT,
    ROOT_CAP,
    SNAPSHOT,
    TARGETS,
    TARGETS_CAP,
    TIMESTAMP,
    RoleFile,
    cap_of,
    fleet_id,
    metadata_path,
    open_role,
    read,
    tuf_rules,
)
from allod.trust.past import MAX_ROOTS, check_root_chain
from allod.trust.statements import TrustChain, read_pinned, walk
from allod.wire.codec import instant, parse_instant
from allod.wire.envelope import ENVELOPE_CAP
from allod.wire.log import TRUST_ROLE
from allod.wire.trust import Log, TrustStatement

_T = TypeVar("_T")

_FIRST: Final = "trust/1.json"
_LONG_AGO: Final = "2000-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Ground:
    """What was proved before a log was looked at.

    Attributes:
        roots: version -> root, each proved by the one before; the first is the fleet's id.
        statement: the newest trust statement, under the newest root.
        first: the first one.
        served: role -> newest version at the source, read before any checkpoint.
        candidates: keys that may have signed entries.
    """

    fleet: FleetId
    roots: Mapping[int, RoleFile]
    statement: TrustStatement
    first: TrustStatement
    served: Mapping[str, int]
    candidates: tuple[Key, ...]

    def logs(self, name: str) -> list[Log]:
        """The logs of a name, each before the one that succeeds it."""
        named = {log.origin: log for log in self.statement.logs if log.name == name}
        after = {log.follows: log for log in named.values()}
        found: list[Log] = []
        log = after.get(None)
        while log is not None and log not in found:
            found.append(log)
            log = after.get(log.origin)
        return found

    def whole(self, name: str) -> bool:
        """Whether the fleet had a log of that name from its beginning."""
        return any(log.name == name for log in self.first.logs)


def settle(
    source: Source, fleet: FleetId, floors: Floors | None
) -> tuple[Ground, list[Finding], list[str]]:
    """Prove roots and trust statements, and read what the source says is newest.

    Args:
        source: where from.
        fleet: the auditor's anchor: the digest of the first root.
        floors: what the owner's machine has verified, if this is it.

    Returns:
        The ground, what was found, and what could not be checked.

    Raises:
        Untrusted: the roots are not this fleet's, or not signed; statements likewise.
        InvalidInput: `no-log`.
        Unavailable: `withheld`.
    """
    findings: list[Finding] = []
    unchecked: list[str] = []
    roots = _roots(source, fleet)
    newest = max(roots)
    if floors is not None:
        findings += _below(source, roots, floors)
    try:
        chain, first = _statements(source, fleet, roots)
    except Untrusted as error:
        if findings:  # what would vouch for the statement may be held back
            raise Unavailable("withheld", f"cannot audit: {findings[0].says}") from error
        raise
    served = {ROOT: newest, TRUST_ROLE: chain.floors.trust_number}
    try:
        served |= _snapshot(source, roots[newest])
    except AllodError as error:
        unchecked.append(f"what is newest at the source: {error.message}")
    keys = [key for root in roots.values() for key in root.signed.keys.values()]
    keys += _delegated(source, served)
    statement = first if chain.statement is None else chain.statement
    return Ground(fleet, roots, statement, first, served, tuple(keys)), findings, unchecked


def _roots(source: Source, fleet: FleetId) -> dict[int, RoleFile]:
    files: list[bytes] = []
    while len(files) < MAX_ROOTS:
        data = source.file(metadata_path(ROOT, len(files) + 1), ROOT_CAP)
        if data is None:
            break
        files.append(data)
    if not files:
        raise Unavailable("withheld", f"cannot audit: {source.name} does not have root 1")
    if fleet_id(files[0]) != fleet:
        raise Untrusted("wrong-fleet", f"cannot audit: what {source.name} has is another fleet's")
    check_root_chain(files, fleet)
    return {number: open_role(data, ROOT) for number, data in enumerate(files, start=1)}


def _below(source: Source, roots: Mapping[int, RoleFile], floors: Floors) -> Iterator[Finding]:
    """Whether the source shows less, or other, than this machine has verified."""
    known = roots.get(floors.root_version)
    if known is None:
        says = f"root {floors.root_version} was verified here, and is not served"
        yield Finding("root-withheld", ROOT, says)
    elif known.digest != floors.root_digest:
        says = f"root {floors.root_version} is not the one that was verified here"
        yield Finding("equivocation", ROOT, says)
    path = f"trust/{floors.trust_number}.json"
    if floors.trust_number and source.file(path, ENVELOPE_CAP) is None:
        says = f"trust statement {floors.trust_number} was verified here, and is not served"
        yield Finding("withheld", path, says)


def _statements(
    source: Source, fleet: FleetId, roots: Mapping[int, RoleFile]
) -> tuple[TrustChain, TrustStatement]:
    """The chain, and its first statement as it was walked: the newest vouches for it."""
    anchor = anchor_at(roots[1].data)
    nothing = Floors(fleet, 1, roots[1].digest, parse_instant(_LONG_AGO))
    walked: dict[str, bytes | None] = {}

    def get(path: str, cap: int) -> bytes | None:
        walked[path] = source.file(path, cap)
        return walked[path]

    chain = drive(walk(anchor, nothing, roots[max(roots)].signed, {}, None), get, _keep)
    raw = walked.get(_FIRST)
    if chain.statement is None or raw is None or not chain.statement.logs:
        raise InvalidInput(
            "no-log", "cannot audit: the fleet's owner names no log; run 'allod trust log begin'"
        )
    digest = sha256(payload_of(decode_envelope(raw)))
    return chain, read_pinned(raw, fleet, 1, digest)


def _snapshot(source: Source, root: RoleFile) -> dict[str, int]:
    """Role -> version, as the online keys say; whether that is all the log knows is checked."""
    version: int | None = None
    for role in (TIMESTAMP, SNAPSHOT):
        path = metadata_path(role, version)
        data = source.file(path, cap_of(role))
        if data is None:
            raise Unavailable("withheld", f"cannot read {path}: {source.name} does not have it")
        with tuf_rules(role):
            metadata = read(data, role)
            root.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        if role == TIMESTAMP:
            version = metadata.signed.snapshot_meta.version
    return {name.removesuffix(".json"): info.version for name, info in metadata.signed.meta.items()}


def _delegated(source: Source, served: Mapping[str, int]) -> Iterator[Key]:
    """Keys of roles below `targets`; they are only tried, so nothing here needs to be proved."""
    for role in (TARGETS, DEVICES):
        if role not in served:
            continue
        data = source.file(metadata_path(role, served[role]), TARGETS_CAP)
        if data is None:
            continue
        try:
            delegations = open_role(data, role).signed.delegations
        except AllodError:
            continue
        if delegations is not None:
            yield from delegations.keys.values()


def answer(source: Source, steps: Steps[_T]) -> _T:
    """Let steps of `trust` read from the source."""
    return drive(steps, source.file, _keep)


def _keep(effect: Keep) -> None:
    raise RuntimeError(f"an audit keeps no floors: {effect}")


def when(statement: TrustStatement) -> str:
    """When the owner signed a statement, as it says."""
    return instant(parse_instant(statement.at))
