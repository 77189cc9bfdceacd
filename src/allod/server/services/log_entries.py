"""The entries that come with an upload: one for each signed file, by the same keys, and no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Root, SuccinctRoles, Targets

from allod.domain.ids import sha256
from allod.errors import InvalidInput, Untrusted
from allod.server.services.check import Overlay
from allod.server.services.fleets import DOCUMENT_CAP
from allod.trust.accepted import Repository
from allod.trust.anchor import keys_of
from allod.trust.dsse import decode_envelope, payload_of, verify
from allod.trust.metadata import DEVICES, ROOT, TARGETS, digest_of, metadata_path, read
from allod.wire.envelope import LOG_ROLE
from allod.wire.log import TRUST_ROLE, RoleStatement, decode_authority

_FIRST: Final = (ROOT, TRUST_ROLE, TARGETS, DEVICES)


@dataclass(frozen=True, slots=True)
class _Holders:
    keys: list[Key]
    threshold: int


def check_entries(
    entries: Iterable[bytes], repository: Repository, overlay: Overlay, *, all_roles: bool
) -> tuple[bytes, ...]:
    """Check the entries as the files were checked, and put delegators first.

    Args:
        entries: as they were uploaded.
        repository: the upload, walked.
        overlay: its files.
        all_roles: the log begins with this upload, so it needs an entry for every role.

    Raises:
        InvalidInput: `bad-log-entry`, `missing-log-entry`.
        Untrusted: `wrong-fleet`, `unsigned-log-entry`, `auth`.
    """
    found: dict[tuple[str, int], bytes] = {}
    for data in entries:
        entry = decode_authority(data)
        statement = entry.role
        if statement is None:
            raise InvalidInput("bad-log-entry", "cannot publish: an entry is for no role")
        what = f"the log entry of {statement.role} {statement.version}"
        if statement.fleet != repository.anchor.fleet:
            raise Untrusted("wrong-fleet", f"cannot publish {what}: it is another fleet's")
        if _digest(statement, repository, overlay) != statement.digest:
            raise Untrusted("unsigned-log-entry", f"cannot publish {what}: it is of no such file")
        for holders in _holders(statement, repository, overlay, first=all_roles):
            verify(entry.envelope, LOG_ROLE, holders.keys, holders.threshold, what=what)
        found[statement.role, statement.version] = data
    for role, version in _needed(repository, overlay, all_roles=all_roles):
        if (role, version) not in found:
            raise InvalidInput(
                "missing-log-entry",
                f"cannot publish {role} {version}: its entry for the log is missing",
            )
    return tuple(found[place] for place in sorted(found, key=_order))


def _order(place: tuple[str, int]) -> tuple[int, str, int]:
    role, version = place
    return (_FIRST.index(role) if role in _FIRST else len(_FIRST), role, version)


def _needed(repository: Repository, overlay: Overlay, *, all_roles: bool) -> set[tuple[str, int]]:
    parts = overlay.parts
    needed = {(ROOT, version) for version in parts.roots} | set(parts.versions.items())
    for path in parts.files:
        if path.startswith("trust/"):
            needed.add((TRUST_ROLE, int(path[6:-5])))
    if all_roles:
        # A delegate's entry is theirs to sign: it may come along, and is not asked of the owner.
        versions: Mapping[str, int] = repository.versions
        needed |= {
            (role, version)
            for role, version in versions.items()
            if role not in {"snapshot", "timestamp"} and not role.startswith("delegation-")
        }
        needed.add((TRUST_ROLE, repository.floors.trust_number))
    return needed


def _root(version: int, overlay: Overlay) -> Root | None:
    data = overlay.get(metadata_path(ROOT, version), DOCUMENT_CAP) if version else None
    return None if data is None else read(data, ROOT).signed


def _digest(statement: RoleStatement, repository: Repository, overlay: Overlay) -> str | None:
    """What the log should say of this version of the file; None: there is none."""
    role, version = statement.role, statement.version
    if role == TRUST_ROLE:
        data = overlay.get(f"trust/{version}.json", DOCUMENT_CAP)
        return None if data is None else sha256(payload_of(decode_envelope(data, what=role)))
    data = (
        overlay.get(metadata_path(ROOT, version), DOCUMENT_CAP)
        if role == ROOT
        else repository.files.get(role)
    )
    if data is None:
        return None
    metadata = read(data, role)
    return digest_of(metadata.signed_bytes) if metadata.signed.version == version else None


def _holders(
    statement: RoleStatement, repository: Repository, overlay: Overlay, *, first: bool
) -> list[_Holders]:
    """Whose thresholds the entry needs. Raises Untrusted `unsigned-log-entry`.

    A root that stood before its log needs its own alone: those of the root before may be gone.
    """
    role = statement.role
    if role == ROOT:
        stood = first and statement.version not in overlay.parts.roots
        before = () if stood else (statement.version - 1,)
        roots = [_root(number, overlay) for number in (*before, statement.version)]
        return [_Holders(*keys_of(root, ROOT)) for root in roots if root is not None]
    if role in {TRUST_ROLE, TARGETS}:
        return [_Holders(*keys_of(repository.root, TARGETS if role == TARGETS else ROOT))]
    for delegator in (TARGETS, DEVICES):
        data = repository.files.get(delegator)
        signed = None if data is None else read(data, delegator).signed
        delegations = signed.delegations if isinstance(signed, Targets) else None
        if delegations is None:
            continue
        known: DelegatedRole | SuccinctRoles | None = (delegations.roles or {}).get(role)
        succinct = delegations.succinct_roles
        if succinct is not None and succinct.is_delegated_role(role):
            known = succinct
        if known is not None:
            keys = [delegations.keys[key] for key in known.keyids if key in delegations.keys]
            return [_Holders(keys, known.threshold)]
    raise Untrusted(
        "unsigned-log-entry", f"cannot publish an entry of {role}: nobody has that role"
    )
