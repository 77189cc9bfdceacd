"""The fleet's past: roots and targets files of earlier versions, checked long after.

Nothing here says what is true now (`descend` does); it says what the owner once signed. A file
counts if a threshold of the keys that held `targets` under one root of the proved chain signed
it; that it is expired or was superseded is what makes it past.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tuf.api.metadata import Root, Targets

from allod.domain.ids import FleetId
from allod.errors import Untrusted
from allod.trust.anchor import CheckedRoot, check_root
from allod.trust.metadata import ROOT, TARGETS, check_address, fleet_id, read, tuf_rules
from allod.trust.verified import Verified, seal

MAX_ROOTS: Final = 1024
_DELEGATION: Final = "delegation-"


def check_root_chain(files: Sequence[bytes], fleet: FleetId) -> Verified[tuple[CheckedRoot, ...]]:
    """Roots 1 to N, each under the thresholds of the one before and of itself.

    Args:
        files: root version 1 and its followers, without a gap.
        fleet: whose they are to be; it is the digest of version 1.

    Raises:
        Untrusted: `wrong-fleet`, `auth`, `bad-metadata`, `broken-chain`.
    """
    if not 0 < len(files) <= MAX_ROOTS or fleet_id(files[0]) != fleet:
        raise Untrusted("wrong-fleet", "cannot accept the roots: the first is not this fleet's")
    chain: list[CheckedRoot] = []
    for number, data in enumerate(files, start=1):
        checked = check_root(data)
        if checked.root.version != number:
            raise Untrusted("broken-chain", f"cannot accept root {number}: it has another version")
        if chain:
            with tuf_rules(ROOT):
                metadata = read(data, ROOT)
                chain[-1].root.verify_delegate(ROOT, metadata.signed_bytes, metadata.signatures)
        chain.append(checked)
    return seal(tuple(chain), frozenset(chain[-1].root.roles[ROOT].keyids))


def check_past_targets(
    data: bytes,
    role: str,
    version: int,
    fleet: FleetId,
    roots: Sequence[Root],
    delegators: Sequence[Targets] = (),
) -> Verified[Targets]:
    """One version of `targets`, `devices`, a bin or a delegation, as it was once signed.

    The keys of `targets` under any one of `roots`, which are of the proved chain, count; for a
    delegation those that one of `delegators`, versions of `targets` that were checked so, names.

    Raises:
        Untrusted: `auth`, `bad-metadata`, `wrong-fleet`, `wrong-role`, `wrong-version`.
    """
    with tuf_rules(role):
        metadata = read(data, role)
        check_address(metadata.signed, fleet, role)
        if metadata.signed.version != version:
            raise Untrusted("wrong-version", f"cannot accept {role}: it is not version {version}")
        for root in () if role.startswith(_DELEGATION) else reversed(roots):
            result = root.get_verification_result(
                TARGETS, metadata.signed_bytes, metadata.signatures
            )
            if result:
                return seal(metadata.signed, frozenset(result.signed))
        for targets in reversed(delegators):
            if targets.delegations is None or role not in (targets.delegations.roles or {}):
                continue
            result = targets.get_verification_result(
                role, metadata.signed_bytes, metadata.signatures
            )
            if result:
                return seal(metadata.signed, frozenset(result.signed))
    raise Untrusted("auth", f"cannot accept {role} version {version}: who was to sign it did not")
