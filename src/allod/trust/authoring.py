"""Making what the owner signs: the repository's metadata, from the first root to the last edit.

Pure: keys are handed in as securesystemslib `Signer`s, times as values. What belongs to
signing apart from TUF is in `papers`, the server's part in `online`, roots of several people in
`ceremony`, lives and thresholds in `role_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Root,
    TargetFile,
    Targets,
)

from allod.domain.ids import FleetId
from allod.errors import InvalidInput, Refused
from allod.trust.accepted import Repository
from allod.trust.ceremony import (
    require_complete,
    same_but_for_life,
    sign_root,
)
from allod.trust.first import DEVICES_PREFIX, first_files
from allod.trust.metadata import (
    ADDRESS,
    BINS,
    DEVICES,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    last_change,
    read,
)
from allod.trust.role_keys import (
    HOME,
    Lives,
    RoleKeys,
    after,
    by_id,
    forget_keys,
    ids,
    set_root_keys,
)


@dataclass(frozen=True, slots=True)
class Publication:
    """What is uploaded: new metadata by file name, new targets by path, versions by role."""

    metadata: Mapping[str, bytes]
    targets: Mapping[str, bytes]
    versions: Mapping[str, int]
    roles: Mapping[str, bytes]  #: role -> file, of what is new


class RepositoryDraft:
    """An edit of the owner's repository, on top of what was verified; `sign` ends it.

    Roles that were not loaded are not touched; an edit that needs one raises RuntimeError.
    """

    def __init__(
        self,
        fleet: FleetId,
        root: Metadata[Root],
        roles: Mapping[str, Metadata[Targets]],
        published: Mapping[str, int],
        lives: Lives,
        *,
        newest_root: bytes | None,
    ) -> None:
        self.fleet: Final = fleet
        self.lives: Final = lives
        self._root = root
        self._newest_root = newest_root
        self._roles = dict(roles)
        self._published = dict(published)
        self._dirty: set[str] = set() if newest_root is not None else {ROOT, *roles}
        self._targets: dict[str, bytes] = {}
        self._note: dict[str, object] = {}

    @classmethod
    def genesis(
        cls,
        *,
        root: RoleKeys,
        targets: RoleKeys,
        snapshot: RoleKeys,
        timestamp: RoleKeys,
        now: datetime,
        lives: Lives = HOME,
    ) -> RepositoryDraft:
        """The first root and empty roles: `targets`, `devices` and all its bins."""
        keys = {ROOT: root, TARGETS: targets, SNAPSHOT: snapshot, TIMESTAMP: timestamp}
        fleet, first, roles = first_files(keys, now, lives)
        return cls(fleet, first, roles, {}, lives, newest_root=None)

    @classmethod
    def from_repository(cls, repository: Repository, lives: Lives = HOME) -> RepositoryDraft:
        """On top of the roles that `repository` has loaded (`load_all` for rotations)."""
        return cls.from_files(repository.anchor.fleet, repository.files, lives)

    @classmethod
    def from_files(
        cls, fleet: FleetId, files: Mapping[str, bytes], lives: Lives = HOME
    ) -> RepositoryDraft:
        """On top of verified files, role -> bytes.

        Raises:
            InvalidInput: a file is no metadata of its role.
        """
        roles = {
            role: read(data, role)
            for role, data in files.items()
            if role not in {ROOT, SNAPSHOT, TIMESTAMP}
        }
        published = {role: metadata.signed.version for role, metadata in roles.items()}
        root = read(files[ROOT], ROOT)
        return cls(fleet, root, roles, published, lives, newest_root=files[ROOT])

    @property
    def root_changed(self) -> bool:
        """Whether a new root has to be signed."""
        return ROOT in self._dirty

    @property
    def touched(self) -> frozenset[str]:
        """The roles that `sign` will sign anew."""
        return frozenset(self._dirty)

    @property
    def contents(self) -> Mapping[str, bytes]:
        """Target path -> content, of every target that the edit has set."""
        return dict(self._targets)

    def target(self, path: str) -> TargetFile | None:
        """What the draft says of a target path."""
        return self._role_of(path)[1].targets.get(path)

    def paths(self) -> tuple[str, ...]:
        """All target paths of the loaded roles."""
        return tuple(sorted(p for m in self._roles.values() for p in m.signed.targets))

    def set_target(self, path: str, data: bytes) -> None:
        """Sign that `path` holds `data`. The same bytes again are no edit."""
        role, targets = self._role_of(path)
        info = TargetFile.from_data(path, data, ["sha256"])
        if targets.targets.get(path) == info:
            return
        targets.targets[path] = info
        self._targets[path] = data
        self._dirty.add(role)

    def remove_target(self, path: str) -> None:
        """Sign that there is no `path`. To a device that means: not managed, never: delete."""
        role, targets = self._role_of(path)
        if targets.targets.pop(path, None) is not None:
            self._targets.pop(path, None)
            self._dirty.add(role)

    def note(self, change: Mapping[str, object]) -> None:
        """Sign along, in every file of this edit, which change it is and why (JSON values)."""
        self._note = dict(change)

    def propose(self, now: datetime) -> Mapping[str, bytes]:
        """Role -> file as `sign`, at the same `now`, will sign it: to be shown first (attack 9)."""
        return {role: self._prepare(role, now).to_bytes() for role in sorted(self._dirty - {ROOT})}

    def delegate(self, role: str, keys: RoleKeys, paths: Sequence[str]) -> None:
        """Let `keys` speak for `paths`, terminating. A role's name is never used twice.

        Raises:
            InvalidInput: `role-exists`.
        """
        delegations = self._delegations()
        if role in self._roles or role in (delegations.roles or {}):
            raise InvalidInput(
                "role-exists", f"cannot delegate to {role}: the name was used before"
            )
        delegated = DelegatedRole(
            role, ids(keys), keys.threshold, terminating=True, paths=list(paths)
        )
        (delegations.roles or {})[role] = delegated
        delegations.keys.update(by_id(keys))
        self._dirty.add(TARGETS)

    def revoke_delegation(self, role: str) -> None:
        """End a delegation; its role stays in the snapshot for ever."""
        delegations = self._delegations()
        (delegations.roles or {}).pop(role, None)
        forget_keys(delegations)
        self._dirty.add(TARGETS)

    def rotate_root(self, keys: RoleKeys) -> None:
        """Give the root to other keys; old and new thresholds have to sign."""
        self._rotate({ROOT: keys})

    def rotate_online(
        self, *, snapshot: RoleKeys | None = None, timestamp: RoleKeys | None = None
    ) -> None:
        """Take the online keys from whoever has them."""
        new = {SNAPSHOT: snapshot, TIMESTAMP: timestamp}
        self._rotate({role: keys for role, keys in new.items() if keys is not None})

    def rotate_targets(self, keys: RoleKeys) -> None:
        """Give the daily work to other keys: the root names them, every role is signed anew.

        Raises:
            RuntimeError: not every role was loaded.
        """
        devices = self._signed(DEVICES).delegations
        bins = None if devices is None else devices.succinct_roles
        if devices is None or bins is None:
            raise RuntimeError("the role 'devices' has no bins")
        if missing := set(bins.get_roles()) - self._roles.keys():
            raise RuntimeError(f"roles were not loaded: {sorted(missing)[:3]}")
        self._rotate({TARGETS: keys})
        delegations = self._delegations()
        delegated = (delegations.roles or {})[DEVICES]
        delegated.keyids, delegated.threshold = ids(keys), keys.threshold
        bins.keyids, bins.threshold = ids(keys), keys.threshold
        delegations.keys.update(by_id(keys))
        forget_keys(delegations)
        devices.keys = dict(by_id(keys))
        self._dirty |= {TARGETS, DEVICES, *bins.get_roles()}

    def renew(self, now: datetime, *, root: bool = True) -> frozenset[str]:
        """Mark every loaded role whose life is half over; they are returned.

        Args:
            now: what their lives are judged by.
            root: the root too; False where it is signed by ceremony.
        """
        due = {
            role
            for role, metadata in self._roles.items()
            if role not in self._dirty
            and metadata.signed.expires - now < self.lives.targets / 2
            and self._is_ours(role)
        }
        half_over = self._root.signed.expires - now < self.lives.root / 2
        if root and ROOT not in self._dirty and half_over:
            due.add(ROOT)
        self._dirty |= due
        return frozenset(due)

    def propose_root(self, now: datetime) -> bytes:
        """The new root, unsigned, for a ceremony (`sign_root`, `merge_roots`)."""
        self._root.signatures.clear()
        if self._newest_root is not None:
            self._root.signed.version = read(self._newest_root, ROOT).signed.version + 1
            self._root.signed.expires = after(now, self.lives.root)
        return self._root.to_bytes()

    def sign(
        self,
        now: datetime,
        signers: Mapping[str, Sequence[Signer]],
        *,
        root: bytes | None = None,
    ) -> Publication:
        """Sign everything that changed.

        Args:
            now: from which the new lives are counted.
            signers: by role; `devices` and its bins are signed by those of `targets`, a
                delegation's role by its own. A rotation of the root needs old and new keys.
            root: the root as it came back from its ceremony, instead of signers for it.

        Raises:
            Refused: `root-incomplete`, `role-incomplete`: signatures are missing.
            InvalidInput: `root` is another root than the draft's.
        """
        metadata: dict[str, bytes] = {}
        roles: dict[str, bytes] = {}
        versions: dict[str, int] = {}
        if ROOT in self._dirty:
            data = self._finish_root(now, signers.get(ROOT, ()), root)
            versions[ROOT] = read(data, ROOT).signed.version
            metadata[f"{versions[ROOT]}.{ROOT}.json"] = data
            roles[ROOT] = data
        for role in sorted(self._dirty - {ROOT}):
            data = self._finish(role, now, signers)
            versions[role] = self._published.get(role, 0) + 1
            metadata[f"{versions[role]}.{role}.json"] = data
            roles[role] = data
        return Publication(metadata, dict(self._targets), versions, roles)

    def _finish_root(self, now: datetime, signers: Sequence[Signer], root: bytes | None) -> bytes:
        if root is None:
            root = sign_root(self.propose_root(now), signers)
        elif not same_but_for_life(root, self._root.to_bytes()):
            raise InvalidInput(
                "different-documents", "cannot publish this root: it is not the draft's"
            )
        require_complete(self._newest_root, root)
        return root

    def _finish(self, role: str, now: datetime, signers: Mapping[str, Sequence[Signer]]) -> bytes:
        metadata = self._prepare(role, now)
        payload = metadata.signed_bytes
        for signer in signers.get(role if not self._is_ours(role) else TARGETS, ()):
            metadata.sign(signer, append=True)
        result = self._delegator(role).get_verification_result(role, payload, metadata.signatures)
        if not result.verified:
            raise Refused(
                "role-incomplete",
                f"cannot publish {role}: {result.missing} signatures are missing",
                role=role,
                missing=result.missing,
            )
        return metadata.to_bytes()

    def _prepare(self, role: str, now: datetime) -> Metadata[Targets]:
        metadata = self._roles[role]
        signed = metadata.signed
        signed.version = self._published.get(role, 0) + 1
        signed.expires = after(now, self.lives.targets)
        address: dict[str, object] = {"fleet": self.fleet, "role": role}
        last = last_change(signed.unrecognized_fields)
        if self._note:
            address["change"] = self._note
        elif last:
            address["last"] = last  # so that no number is given twice
        signed.unrecognized_fields[ADDRESS] = address
        metadata.signatures.clear()
        return metadata

    def _delegator(self, role: str) -> Root | Targets:
        if role == TARGETS:
            return self._root.signed
        return self._signed(DEVICES if role.startswith(f"{BINS}-") else TARGETS)

    def _is_ours(self, role: str) -> bool:
        return role in {TARGETS, DEVICES} or role.startswith(f"{BINS}-")

    def _signed(self, role: str) -> Targets:
        if role not in self._roles:
            raise RuntimeError(f"the role {role} was not loaded")
        return self._roles[role].signed

    def _delegations(self) -> Delegations:
        delegations = self._signed(TARGETS).delegations
        if delegations is None or delegations.roles is None:
            raise RuntimeError("the role 'targets' delegates nothing")
        return delegations

    def _role_of(self, path: str) -> tuple[str, Targets]:
        """Who signs for `path`: the owner's own roles, or the delegation that it lies under."""
        if path.startswith(DEVICES_PREFIX):
            devices = self._signed(DEVICES).delegations
            if devices is None or devices.succinct_roles is None:
                raise RuntimeError("the role 'devices' has no bins")
            role = devices.succinct_roles.get_role_for_target(path)
            return role, self._signed(role)
        for name, delegated in (self._delegations().roles or {}).items():
            if delegated.is_delegated_path(path):
                return name, self._fresh(name).signed
        return TARGETS, self._signed(TARGETS)

    def _fresh(self, role: str) -> Metadata[Targets]:
        empty = Metadata(Targets(version=1, expires=self._root.signed.expires))
        return self._roles.setdefault(role, empty)

    def _rotate(self, keys: Mapping[str, RoleKeys]) -> None:
        set_root_keys(self._root.signed, keys)
        self._dirty.add(ROOT)
