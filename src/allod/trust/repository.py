"""The owner's repository, from the anchor to the newest proved state (docs/explanation/acceptance.md).

`descend` walks steps 1 to 5 of the order of acceptance and hands out a `Repository`, from
which single target files are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tuf.api.metadata import Root
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from allod.domain.ids import DeviceId
from allod.errors import AllodError, Untrusted
from allod.trust import statements
from allod.trust.accepted import Repository, TargetFile
from allod.trust.anchor import Anchor, check_root
from allod.trust.authority_log import read_authority
from allod.trust.effects import Need, Steps
from allod.trust.floors import Floors
from allod.trust.fork_evidence import EVIDENCE
from allod.trust.metadata import (
    ROOT,
    ROOT_CAP,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    RoleFile,
    cache_name,
    metadata_path,
    open_role,
    tuf_rules,
)
from allod.trust.profile import ALLOD, PLAIN_TUF, Profile
from allod.wire.report import Alarm

__all__ = ["ALLOD", "PLAIN_TUF", "Profile", "Repository", "TargetFile", "descend"]

MAX_ROOTS: Final = 1024  #: root rotations of one walk


def descend(
    anchor: Anchor,
    floors: Floors,
    cached: Mapping[str, bytes],
    now: datetime,
    *,
    device: DeviceId | None = None,
    profile: Profile = ALLOD,
) -> Steps[Repository]:
    """Walk from the anchor to the newest proved state (docs/explanation/acceptance.md, steps 1 to 5).

    Args:
        anchor: what was brought in person; the cache may hold a newer root, checked by the floors.
        floors: as they were kept.
        cached: flat name -> bytes, as they were kept; nothing in it is trusted.
        now: what the machine's clock says; it may be wrong by decades.
        device: who asks, for repairs that name devices.
        profile: which rules hold beside those of TUF.

    Raises:
        Untrusted: `auth`, `rollback`, `equivocation`, `mix-and-match`, `role-missing`,
            `wrong-fleet`, `wrong-role`, `root-withheld`, `bad-metadata`, …
        Unavailable: `stale`, `withheld`, and whatever the source raises.
    """
    if anchor.fleet != floors.fleet:
        raise Untrusted("wrong-fleet", "cannot start: anchor and floors are of two fleets")
    repository = _start(anchor, floors, cached, profile)
    try:
        # 1. Strict parsing and caps stand in `metadata.read`, before anything else sees a file:
        #    no bomb, no ambiguity, no number that overflows (attack 51).
        # 2. The root chain, then the trust statements under the newest root.
        yield from _root_chain(repository)
        if profile.statements:
            yield from _statements(repository, device)
        # The time that is decided on: never before the floor, so a clock in 1970 shows nothing
        # as fresh that was not; a clock in the future only makes things stale, and leaves no
        # trace in the floors (attack 49).
        repository.decided = max(now, repository.floors.time)
        repository.trusted.reference_time = repository.decided
        if profile.statements and profile.logs:
            # 3. The log's checkpoint and all that is new in it; what counts goes before TUF.
            yield from read_authority(repository, now, lazily=device is not None)
            repository.trusted.reference_time = repository.decided
        # 4. TUF: what is true now.
        yield from repository.load_timestamp()
        yield from repository.load_snapshot()
        yield from repository.load(TARGETS, ROOT)
    except AllodError:
        # 5. Floors rise by what was verified, whatever is refused later.
        yield from repository.keep()
        raise
    # 5. Floors are durable before anything below is used.
    yield from repository.keep()
    return repository


def _start(
    anchor: Anchor, floors: Floors, cached: Mapping[str, bytes], profile: Profile
) -> Repository:
    """From the cached root, if it is the very one of the floor; else from the anchor's."""
    alarms: list[Alarm] = []
    start = anchor.root
    data = cached.get(cache_name(ROOT))
    if data is not None:
        try:
            checked = check_root(data)
        except Untrusted as error:
            alarms.append(Alarm(code="cache-damaged", says=f"cannot use the cached root: {error}"))
        else:
            if (checked.root.version, checked.digest) == (floors.root_version, floors.root_digest):
                start = data
    with tuf_rules(ROOT):
        open_role(start, ROOT)
        trusted = TrustedMetadataSet(start, EnvelopeType.METADATA)
    repository = Repository(
        floors=floors,
        anchor=anchor,
        decided=floors.time,
        statement=None,
        alarms=alarms,
        trusted=trusted,
        cached=cached,
        profile=profile,
        kept=floors,
    )
    repository.verified[ROOT] = start
    repository.roots[trusted.root.version] = open_role(start, ROOT)
    return repository


def _root_chain(repository: Repository) -> Steps[None]:
    """N+1 until the source has no more; each signed by the thresholds of N and of N+1.

    One stolen root key, or the server, cannot make a root (attack 35).
    """
    trusted, floors = repository.trusted, repository.floors
    newest = open_role(repository.verified[ROOT], ROOT)
    online = _online(trusted.root)
    for _ in range(MAX_ROOTS):
        _check_root_floor(newest, floors)
        if newest.version >= floors.root_version:
            repository.note(newest)
        data = yield Need(metadata_path(ROOT, newest.version + 1), ROOT_CAP)
        if data is None:
            break
        with tuf_rules(ROOT):
            file = open_role(data, ROOT)
            trusted.update_root(data)
        newest = file
    else:
        raise Untrusted("too-many-roots", f"cannot walk more than {MAX_ROOTS} roots at a time")
    if newest.version < floors.root_version:
        # The source hides roots that were seen before: keys that were revoked would be good again.
        raise Untrusted(
            "root-withheld",
            f"cannot accept root version {newest.version}: {floors.root_version} was seen before",
        )
    repository.anchor = Anchor(repository.anchor.fleet, newest.data, repository.anchor.trust)
    if repository.profile.rotation_lowers and _online(trusted.root) != online:
        repository.floors = repository.floors.without_roles()


def _check_root_floor(root: RoleFile, floors: Floors) -> None:
    if root.version == floors.root_version and root.digest != floors.root_digest:
        raise Untrusted(
            "equivocation",
            f"cannot accept root version {root.version}: it is not the one seen before",
        )


def _online(root: Root) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(root.roles[TIMESTAMP].keyids), frozenset(root.roles[SNAPSHOT].keyids)


def _statements(repository: Repository, device: DeviceId | None) -> Steps[None]:
    chain = yield from statements.walk(
        repository.anchor, repository.floors, repository.root, repository.cached, device
    )
    repository.floors = chain.floors
    repository.statement = chain.statement
    if chain.raw is not None:
        repository.anchor = Anchor(repository.anchor.fleet, repository.anchor.root, chain.raw)
        if repository.cached.get(statements.CACHED) != chain.raw:
            repository.pending[statements.CACHED] = chain.raw
    if chain.repaired:
        # Floors fell by name; the cache of before would lift them again.
        kept = {cache_name(ROOT), statements.CACHED, EVIDENCE}
        repository.forget = tuple(name for name in repository.cached if name not in kept)
        repository.cached = {name: data for name, data in repository.cached.items() if name in kept}
