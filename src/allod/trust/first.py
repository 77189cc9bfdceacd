"""The first files of a repository: root 1, by which the fleet is called, and roles without targets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, SuccinctRoles, Targets

from allod.domain.ids import FleetId
from allod.trust.metadata import BINS, DEVICES, TARGETS
from allod.trust.role_keys import Lives, RoleKeys, after, by_id, ids, set_root_keys

DEVICES_PREFIX: Final = "state/devices/"
DEVICES_PATH: Final = f"{DEVICES_PREFIX}*"


def first_files(
    keys: Mapping[str, RoleKeys], now: datetime, lives: Lives
) -> tuple[FleetId, Metadata[Root], dict[str, Metadata[Targets]]]:
    """The fleet's name, its first root, and `targets`, `devices` and all its bins, unsigned.

    Args:
        keys: of the four roles that a root names.
        now: from which the lives are counted.
        lives: of the profile.
    """
    first = Root(version=1, expires=after(now, lives.root), consistent_snapshot=True)
    set_root_keys(first, keys)
    metadata: Metadata[Root] = Metadata(first)
    fleet = FleetId(hashlib.sha256(metadata.signed_bytes).hexdigest())
    daily = keys[TARGETS]
    bins = SuccinctRoles(ids(daily), daily.threshold, lives.bin_bits, BINS)
    roles: dict[str, Metadata[Targets]] = {
        name: Metadata(Targets(version=1, expires=after(now, lives.targets)))
        for name in (TARGETS, DEVICES, *bins.get_roles())
    }
    devices = DelegatedRole(
        DEVICES, ids(daily), daily.threshold, terminating=True, paths=[DEVICES_PATH]
    )
    roles[TARGETS].signed.delegations = Delegations(by_id(daily), roles={DEVICES: devices})
    roles[DEVICES].signed.delegations = Delegations(by_id(daily), succinct_roles=bins)
    return fleet, metadata, roles
