"""The repository that was proved: roles under their floors, and files asked for one by one.

Made by `repository.descend`; python-tuf's `TrustedMetadataSet` applies the rules of TUF, what is
added here is named above the code that adds it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from tuf.api.exceptions import EqualVersionNumberError, ExpiredMetadataError
from tuf.api.metadata import MetaFile, Root, Targets
from tuf.api.metadata import TargetFile as TargetInfo
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

from allod.domain.ids import sha256
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.trust.anchor import Anchor
from allod.trust.below import (
    OF_DELEGATES,
    TargetFile,
    check_floor,
    check_listed,
    check_logged,
    check_not_less,
    given_by,
    is_at_floor,
    is_delegates,
    not_yet,
    role_missing,
    rollback,
    target_path,
)
from allod.trust.counting import Counting
from allod.trust.effects import Keep, Need, Steps
from allod.trust.floors import Counted, Floors
from allod.trust.metadata import (
    ROOT,
    SNAPSHOT,
    SNAPSHOT_CAP,
    TARGETS,
    TARGETS_CAP,
    TIMESTAMP,
    TIMESTAMP_CAP,
    RoleFile,
    cache_name,
    cached_target,
    check_address,
    matches,
    metadata_path,
    open_role,
    quote,
    tuf_rules,
    withheld,
)
from allod.trust.profile import Profile
from allod.wire.codec import instant, parse_instant
from allod.wire.report import Alarm
from allod.wire.trust import TrustStatement

__all__ = ["Repository", "TargetFile"]


@dataclass(slots=True)
class Repository:
    """The newest state that was proved. Made by `descend` alone.

    Attributes:
        floors: as they stand after everything that was verified so far.
        anchor: newest root and trust statement.
        decided: the time that expiry is judged by: never before the time floor.
        alarms: what the owner should look at, although it stopped nothing.
    """

    floors: Floors
    anchor: Anchor
    decided: datetime
    statement: TrustStatement | None
    alarms: list[Alarm]
    trusted: TrustedMetadataSet
    cached: Mapping[str, bytes]
    profile: Profile
    pending: dict[str, bytes] = field(default_factory=dict)
    verified: dict[str, bytes] = field(default_factory=dict)
    forget: tuple[str, ...] = ()
    kept: Floors | None = None
    refused: dict[str, Untrusted] = field(default_factory=dict)
    roots: dict[int, RoleFile] = field(default_factory=dict)  #: that were walked
    logged: Mapping[str, Counted] | None = None  #: what counts; None: the fleet has no log
    tail: Counting | None = None  #: what the log had gained
    witnessed: datetime | None = None  #: time of the quorum on the log's newest checkpoint

    @property
    def root(self) -> Root:
        """The newest root."""
        return self.trusted.root

    @property
    def files(self) -> Mapping[str, bytes]:
        """Role -> file, of every role that was verified so far."""
        return dict(self.verified)

    @property
    def versions(self) -> Mapping[str, int]:
        """Role -> version as the snapshot says; root and timestamp beside them."""
        metas = self.trusted.snapshot.meta.items()
        listed = {name.removesuffix(".json"): meta.version for name, meta in metas}
        return {
            **listed,
            ROOT: self.trusted.root.version,
            TIMESTAMP: self.trusted.timestamp.version,
            SNAPSHOT: self.trusted.snapshot.version,
        }

    def target(self, path: str, cap: int) -> Steps[TargetFile | None]:
        """The target file `path`; None only if the signed metadata proves that there is none.

        Raises:
            Untrusted: `auth`, `rollback`, `mix-and-match`, `wrong-role`, `too-many-roles`, …
            Unavailable: `stale`, `withheld`.
        """
        try:
            found = yield from self._find(path)
        except AllodError:
            yield from self.keep()
            raise
        # 5. Floors of the roles that were loaded on the way are durable before the file is used.
        yield from self.keep()
        return None if found is None else (yield from self._fetch(*found, cap))

    def load_all(self, *, lenient: bool = False) -> Steps[None]:
        """Load every role of the tree of delegations: for whoever signs or checks it whole.

        Args:
            lenient: a delegate's role that does not hold is an alarm and is left out: nobody is
                kept from their own work by the fault of one whom they let decide.

        Raises:
            Untrusted, Unavailable: as `target`.
        """
        waiting = [(TARGETS, ROOT)]
        seen: set[str] = set()
        try:
            while waiting:
                role, delegator = waiting.pop()
                if role in seen or self._is_unpublished(role):
                    continue
                seen.add(role)
                try:
                    signed = yield from self.load(role, delegator)
                except (Untrusted, Unavailable) as error:
                    if not lenient or not is_delegates(role) or error.code not in OF_DELEGATES:
                        raise
                    self._alarm(error.code, error.message)
                    continue
                waiting.extend((name, role) for name in given_by(role, signed))
        except AllodError:
            yield from self.keep()
            raise
        yield from self.keep()

    def settle(self, *, owner_time: datetime | None = None, epoch: int = 0) -> Steps[None]:
        """Raise time floor and epoch by what the owner signed, and keep what is not kept yet.

        A time beyond the life of the timestamp that it came with does not count: the owner's
        clock was wrong, and a floor there would lock the device out (attack 49).
        """
        if owner_time is not None and owner_time <= self.trusted.timestamp.expires:
            self.floors = self.floors.raised_time(owner_time)
        self.floors = self.floors.raised_epoch(epoch)
        yield from self.keep()

    def keep(self) -> Steps[None]:
        """Have floors and files kept, if there is anything new."""
        if self.floors != self.kept or self.pending or self.forget:
            yield Keep(self.floors, dict(self.pending), self.forget)
            self.kept = self.floors
            self.pending.clear()
            self.forget = ()

    def note(self, file: RoleFile) -> None:
        """A role was verified: raise its floor, remember its file."""
        if file.role == ROOT:
            self.floors = self.floors.with_root(file.version, file.digest)
            self.roots[file.version] = file
        else:
            self.floors = self.floors.raised(file.role, file.version, file.digest)
        self.verified[file.role] = file.data
        name = cache_name(file.role)
        if self.cached.get(name) != file.data:
            self.pending[name] = file.data

    def require_logged(self, file: RoleFile) -> None:
        """4. Of what counts in the log only the newest version holds, and only as it was logged.

        Raises:
            Untrusted: `equivocation`.
            Unavailable: `publishing`, and after an hour `withheld`.
        """
        if self.logged is None:
            return
        since_name = f"publishing-{quote(file.role)}"
        says = check_logged(self.logged.get(file.role), file)
        if says is None:
            if since_name in self.cached:
                self.forget = (*self.forget, since_name)
            return
        raise not_yet(file.role, says, self._publishing_since(since_name), self.decided)

    def _publishing_since(self, name: str) -> datetime:
        """When this was seen first; lost, it begins anew."""
        with contextlib.suppress(InvalidInput, UnicodeDecodeError):
            return parse_instant(self.cached.get(name, b"").decode())
        self.pending[name] = instant(self.decided).encode()
        return self.decided

    def _cached_role(self, role: str) -> RoleFile | None:
        """The cached file, if it is the one at the floor.

        One that cannot be read is an alarm, not a first run: the floors hold without it. One
        beside the floor (a repair, a cut between floors and files) is not used.
        """
        name = cache_name(role)
        data = self.cached.get(name)
        if data is None:
            return None
        try:
            file = open_role(data, role)
        except InvalidInput as error:
            self._alarm("cache-damaged", f"cannot use the cached {name}: {error}")
            self.forget = (*self.forget, name)
            return None
        return file if is_at_floor(self.floors, file) else None

    def _alarm(self, code: str, says: str) -> None:
        self.alarms.append(Alarm(code=code, says=says))

    # 4. TUF, from the top: each role under the one before.

    def load_timestamp(self) -> Steps[None]:
        """The newest timestamp; the cached one is its floor."""
        cached = self._cached_role(TIMESTAMP)
        if cached is not None:
            with contextlib.suppress(AllodError), tuf_rules(TIMESTAMP):
                self.trusted.update_timestamp(cached.data)  # expired, it is a floor all the same
            if TIMESTAMP not in self.trusted:
                cached = None  # its key was taken away
        data = yield Need(metadata_path(TIMESTAMP, None), TIMESTAMP_CAP)
        if data is None:
            raise withheld(TIMESTAMP)
        with tuf_rules(TIMESTAMP):
            file = open_role(data, TIMESTAMP)
            try:
                self.trusted.update_timestamp(data)
            except EqualVersionNumberError:
                file = self._same_timestamp(cached, file)
            check_floor(self.floors, file)
            listed = self.trusted.timestamp.snapshot_meta.version
            if listed < self.floors.roles.get(SNAPSHOT, 0):
                raise rollback(SNAPSHOT, listed, self.floors.roles[SNAPSHOT])
        self.note(file)

    def _same_timestamp(self, cached: RoleFile | None, file: RoleFile) -> RoleFile:
        """The version that is known; another content under it is an alarm, and is not used."""
        if cached is not None and file.digest != cached.digest:
            self._alarm("equivocation", f"timestamp {file.version} came with two contents")
        if self.trusted.timestamp.is_expired(self.decided):
            raise ExpiredMetadataError("timestamp.json is expired")
        return cached or file

    def load_snapshot(self) -> Steps[None]:
        """The snapshot that the timestamp names; the cached one is its floor."""
        meta = self.trusted.timestamp.snapshot_meta
        cached = self._cached_role(SNAPSHOT)
        if cached is not None:
            with contextlib.suppress(AllodError), tuf_rules(SNAPSHOT):
                self.trusted.update_snapshot(cached.data, trusted=True)
            if SNAPSHOT in self.trusted and self._is_final(cached, meta):
                check_listed(self.floors, cached.signed.meta)
                self.note(cached)
                return
        data = yield from self._fetch_role(SNAPSHOT, meta, SNAPSHOT_CAP)
        with tuf_rules(SNAPSHOT):
            file = open_role(data, SNAPSHOT)
            check_floor(self.floors, file)
            if cached is not None and SNAPSHOT in self.trusted:
                check_not_less(cached.signed.meta, file.signed.meta)
            self.trusted.update_snapshot(data)
        check_listed(self.floors, file.signed.meta)
        self.note(file)

    def _is_final(self, cached: RoleFile, meta: MetaFile) -> bool:
        """Whether the cached snapshot is the very one that the timestamp names, and fresh."""
        fresh = not self.trusted.snapshot.is_expired(self.decided)
        return fresh and meta.version == cached.version and matches(meta, cached.data)

    def load(self, role: str, delegator: str) -> Steps[Targets]:
        """A targets role, under its delegator; from the cache if the snapshot lists it so.

        Raises:
            Untrusted, Unavailable: the same again if the role was refused before.
        """
        if role in self.refused:
            raise self.refused[role]
        try:
            return (yield from self._load(role, delegator))
        except Untrusted as error:
            self.refused[role] = error
            raise

    def _load(self, role: str, delegator: str) -> Steps[Targets]:
        if self.trusted.contains(role, delegator):
            return self._targets(role)
        meta = self.trusted.snapshot.meta.get(f"{role}.json")
        if meta is None:
            raise role_missing(role)
        cached = self._cached_role(role)
        if cached is not None:
            with contextlib.suppress(AllodError), tuf_rules(role):
                self.trusted.update_delegated_targets(cached.data, role, delegator)
                self.note(cached)
            if role in self.trusted:
                self.require_logged(cached)
                return self._targets(role)
        data = yield from self._fetch_role(role, meta, TARGETS_CAP)
        with tuf_rules(role):
            file = open_role(data, role)
            loaded = self.trusted.update_delegated_targets(data, role, delegator)
            if self.profile.addressed:
                check_address(file.signed, self.anchor.fleet, role)
            check_floor(self.floors, file)
        self.require_logged(file)
        self.note(file)
        return loaded

    def _is_unpublished(self, role: str) -> bool:
        """Whether a delegate never published anything: no document yet, and none is withheld."""
        known = self.floors.roles.get(role, 0) or role in (self.logged or {})
        return is_delegates(role) and not known and f"{role}.json" not in self.trusted.snapshot.meta

    def _targets(self, role: str) -> Targets:
        return cast("Targets", self.trusted[role])

    def _fetch_role(self, role: str, meta: MetaFile, cap: int) -> Steps[bytes]:
        version = meta.version if self.trusted.root.consistent_snapshot else None
        data = yield Need(metadata_path(role, version), min(meta.length or cap, cap))
        if data is None:
            raise withheld(role)
        return data

    def _find(self, path: str) -> Steps[tuple[TargetInfo, str] | None]:
        """Preorder, depth first, as TUF 5.6.7; every role on the way is loaded and fresh."""
        waiting = [(TARGETS, ROOT)]
        visited: set[str] = set()
        while waiting:
            role, delegator = waiting.pop()
            if role in visited:
                continue
            if len(visited) >= self.profile.visits:
                # Stock clients stop quietly here and say 'not found'.
                raise Untrusted("too-many-roles", f"cannot look for {path}: too many delegations")
            visited.add(role)
            targets = yield from self.load(role, delegator)
            info = targets.targets.get(path)
            if info is not None:
                return info, role
            if targets.delegations is not None and not is_delegates(role):
                children = []
                for name, terminating in targets.delegations.get_roles_for_target(path):
                    if not self._is_unpublished(name):
                        children.append((name, role))
                    if terminating:
                        waiting = []
                        break
                waiting.extend(reversed(children))
        return None

    def _fetch(self, info: TargetInfo, role: str, cap: int) -> Steps[TargetFile]:
        if info.length > cap:
            says = f"cannot accept {info.path}: {info.length} bytes, at most {cap}"
            raise Untrusted("too-large", says)
        name = cached_target(info.path)
        data = self.cached.get(name)
        if data is None or not matches(info, data):
            data = yield Need(target_path(info, self.trusted.root), info.length)
            if data is None:
                raise withheld(info.path)
            with tuf_rules(info.path):
                # 13, 10: what the source or the way altered has another length or digest.
                info.verify_length_and_hashes(data)
            self.pending[name] = data
        logged = (self.logged or {}).get(role)
        index = logged.index if logged is not None and logged.index >= 0 else None
        return TargetFile(info.path, data, sha256(data), role, self.trusted[role].version, index)
