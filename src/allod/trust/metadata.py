"""TUF metadata files: strict pre-parse, caps, addresses, and one mapping of python-tuf's errors.

python-tuf accepts duplicate keys, any nesting and numbers of any length; so every file goes
through `read` before it sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from securesystemslib.exceptions import Error as SecureSystemsError
from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from allod.domain.ids import FleetId
from allod.errors import InvalidInput, Unavailable, Untrusted
from allod.wire.codec import parse_strict

ROOT_CAP: Final = 512_000
TIMESTAMP_CAP: Final = 16_384
SNAPSHOT_CAP: Final = 4_000_000
TARGETS_CAP: Final = 16_000_000
MAX_VERSION: Final = 2**63 - 1

ROOT, TIMESTAMP, SNAPSHOT, TARGETS = Root.type, Timestamp.type, Snapshot.type, Targets.type
DEVICES: Final = "devices"
BINS: Final = "devices-bins"
ADDRESS: Final = "allod"  #: field of the signed part that holds fleet and role


_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")


def quote(text: str, *, safe: bytes = b"") -> str:
    """Percent-encode as RFC 3986 does; what is in `safe` stays."""
    return "".join(
        chr(byte) if byte in _PLAIN or byte in safe else f"%{byte:02X}" for byte in text.encode()
    )


def cap_of(role: str) -> int:
    """The most bytes that a role's file may have."""
    return {ROOT: ROOT_CAP, TIMESTAMP: TIMESTAMP_CAP, SNAPSHOT: SNAPSHOT_CAP}.get(role, TARGETS_CAP)


def cache_name(role: str) -> str:
    """The flat name under which a role's file is cached."""
    return quote(role) + ".json"


def cached_target(path: str) -> str:
    """The flat name under which a target file is cached."""
    return quote(path) + ".target"


def metadata_path(role: str, version: int | None) -> str:
    """Where a role's file lies, relative to /f/<fleet>/."""
    prefix = "" if version is None else f"{version}."
    return f"tuf/{prefix}{quote(role)}.json"


def digest_of(signed_bytes: bytes) -> str:
    """The digest of a canonical signed part."""
    return "sha256:" + hashlib.sha256(signed_bytes).hexdigest()


def fleet_id(first_root: bytes) -> FleetId:
    """The fleet whose first root file this is: SHA-256 of its canonical signed part.

    Raises:
        InvalidInput: it is no root metadata of version 1.
    """
    metadata = read(first_root, ROOT)
    if metadata.signed.version != 1:
        raise InvalidInput("bad-metadata", "cannot tell the fleet: this is not its first root")
    return FleetId(hashlib.sha256(metadata.signed_bytes).hexdigest())


def read(data: bytes, role: str, *, cap: int | None = None) -> Metadata[Any]:
    """Read a role's file strictly; nothing is verified yet.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-metadata`.
    """
    what = f"the metadata of {role[:80]!r}"
    value = parse_strict(data, cap=cap_of(role) if cap is None else cap, what=what)
    version = value["signed"].get("version") if _is_metadata(value) else None
    if type(version) is not int or not 0 < version <= MAX_VERSION:
        raise InvalidInput("bad-metadata", f"cannot read {what}: it is no TUF metadata")
    kind = role if role in {ROOT, TIMESTAMP, SNAPSHOT} else TARGETS
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except DeserializationError as error:
        raise InvalidInput("bad-metadata", f"cannot read {what}: {error.__cause__}") from error
    if metadata.signed.type != kind:
        raise InvalidInput(
            "bad-metadata", f"cannot read {what}: it is of type {metadata.signed.type}"
        )
    return metadata


@dataclass(frozen=True, slots=True)
class RoleFile:
    """A role's file, read strictly and once; whether it is signed is another question."""

    role: str
    data: bytes
    signed: Any
    digest: str  #: of the canonical signed part

    @property
    def version(self) -> int:
        """Its version."""
        version: int = self.signed.version
        return version


def open_role(data: bytes, role: str) -> RoleFile:
    """`read`, with the digest. Raises InvalidInput."""
    metadata = read(data, role)
    return RoleFile(role, data, metadata.signed, digest_of(metadata.signed_bytes))


def matches(info: MetaFile | TargetFile, data: bytes) -> bool:
    """Whether length and hashes are those that were signed."""
    try:
        info.verify_length_and_hashes(data)
    except tuf_errors.LengthOrHashMismatchError:
        return False
    return True


def withheld(what: str) -> Unavailable:
    """Not there although it must be: a fault of the source, never an empty answer (attack 8)."""
    return Unavailable("withheld", f"cannot go on: the source does not have {what}", what=what)


def _is_metadata(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("signed"), dict)


def address_of(signed: Signed) -> tuple[object, object]:
    """The fleet and the role that a targets file says it is for."""
    address = signed.unrecognized_fields.get(ADDRESS)
    if not isinstance(address, dict):
        return None, None
    return address.get("fleet"), address.get("role")


def check_address(signed: Signed, fleet: FleetId, role: str) -> None:
    """A file counts only in the fleet and the role that its signers meant.

    Several roles share keys, so without this whoever holds the online keys could show the
    file of one role as another's, and so 'prove' that documents are absent (attack 4, 58).

    Raises:
        Untrusted: `wrong-fleet`, `wrong-role`.
    """
    said_fleet, said_role = address_of(signed)
    if said_fleet != fleet:
        raise Untrusted(
            "wrong-fleet", f"cannot accept {role}: it is signed for another fleet", role=role
        )
    if said_role != role:
        raise Untrusted(
            "wrong-role", f"cannot accept {role}: it is signed as another role", role=role
        )


@contextlib.contextmanager
def tuf_rules(role: str) -> Iterator[None]:
    """Turn what python-tuf raises into our codes.

    Raises:
        Untrusted: `auth`, `rollback`, `mix-and-match`, `bad-metadata`.
        Unavailable: `stale`.
    """
    try:
        yield
    except tuf_errors.UnsignedMetadataError as error:
        raise Untrusted("auth", f"cannot accept {role}: {error}", role=role) from error
    except tuf_errors.ExpiredMetadataError as error:
        raise Unavailable(
            "stale", f"cannot go on: {error}; it must be signed anew", role=role
        ) from error
    except tuf_errors.BadVersionNumberError as error:
        raise Untrusted("rollback", f"cannot accept {role}: {error}", role=role) from error
    except tuf_errors.LengthOrHashMismatchError as error:
        raise Untrusted("mix-and-match", f"cannot accept {role}: {error}", role=role) from error
    except InvalidInput as error:
        raise Untrusted(error.code, error.message, role=role) from error
    except (
        tuf_errors.RepositoryError,
        SecureSystemsError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        raise Untrusted("bad-metadata", f"cannot accept {role}: {error}", role=role) from error


def last_change(fields: Mapping[str, Any]) -> int:
    """The highest number of a change that a role's own fields know of; 0: none."""
    address = fields.get(ADDRESS)
    if not isinstance(address, dict):
        return 0
    change = address.get("change")
    numbers = [address.get("last"), change.get("number") if isinstance(change, dict) else None]
    return max((number for number in numbers if type(number) is int), default=0)
