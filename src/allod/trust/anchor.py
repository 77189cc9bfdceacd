"""What a device, an owner's machine or a server starts from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from allod.domain.ids import FleetId
from allod.errors import Untrusted
from allod.trust.floors import Floors
from allod.trust.metadata import ROOT, digest_of, fleet_id, read, tuf_rules


@dataclass(frozen=True, slots=True)
class Anchor:
    """A root that is trusted because somebody brought it in person, or that follows from one."""

    fleet: FleetId
    root: bytes  #: a root metadata file
    trust: bytes | None = None  #: the newest trust statement known (an envelope)


@dataclass(frozen=True, slots=True)
class CheckedRoot:
    """A root that is signed by its own threshold; whether it is trusted is another question."""

    root: Root
    digest: str  #: of the canonical signed part


def check_root(data: bytes) -> CheckedRoot:
    """Read a root file and check that it is signed by its own threshold.

    Raises:
        Untrusted: `auth`, `bad-metadata`.
    """
    with tuf_rules(ROOT):
        metadata = read(data, ROOT)
        root = metadata.signed
        root.verify_delegate(ROOT, metadata.signed_bytes, metadata.signatures)
        return CheckedRoot(root, digest_of(metadata.signed_bytes))


def anchor_at(first_root: bytes, *, trust: bytes | None = None) -> Anchor:
    """The anchor of whoever has the fleet's first root.

    Raises:
        Untrusted: it is not signed by its own threshold.
        InvalidInput: it is not root version 1.
    """
    check_root(first_root)
    return Anchor(fleet_id(first_root), first_root, trust)


def first_floors(anchor: Anchor, build_time: datetime) -> Floors:
    """The floors of whoever knows nothing but the anchor.

    Raises:
        Untrusted: the anchor's root is not signed by its own threshold.
        Untrusted: `wrong-fleet` if it is version 1 and another fleet's.
    """
    checked = check_root(anchor.root)
    if checked.root.version == 1 and fleet_id(anchor.root) != anchor.fleet:
        raise Untrusted("wrong-fleet", "cannot use this root: it is another fleet's")
    return Floors(anchor.fleet, checked.root.version, checked.digest, build_time)


def keys_of(root: Root, role: str) -> tuple[list[Key], int]:
    """The keys that a top-level role has under `root`, and their threshold."""
    entry = root.roles[role]
    return [root.keys[keyid] for keyid in entry.keyids if keyid in root.keys], entry.threshold
