"""Trust statements `trust/<N>.json`: the chain under the root threshold, repairs, transfers.

Each names the digest of the one before, so the newest signature vouches for all of them: a
rotation of the root signs the newest statement anew, and devices that lag need no older root.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tuf.api.metadata import Root

from allod.domain.ids import DeviceId, FleetId, parse_device, parse_fleet, sha256
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted
from allod.tlog.note import Kind, parse_key
from allod.trust.anchor import Anchor, keys_of
from allod.trust.dsse import decode_envelope, payload_of, verify
from allod.trust.effects import Need
from allod.trust.floors import Floors
from allod.trust.metadata import MAX_VERSION, ROOT
from allod.wire.codec import decode, parse_instant
from allod.wire.envelope import ENVELOPE_CAP, TRUST
from allod.wire.log import log_origin
from allod.wire.trust import Log, TrustStatement

CACHED: Final = "trust.json"  #: the newest accepted statement in the cache
_LOG: Final = re.compile(
    r"allod\.dev/log/[0-9a-f]{64}/(authority|activity)(/[1-9][0-9]{0,5})?", re.ASCII
)
MAX_STATEMENTS: Final = 1024  #: of one walk


@dataclass(frozen=True, slots=True)
class TrustChain:
    """Where the walk ended."""

    statement: TrustStatement | None  #: the newest; None: the fleet has none yet
    raw: bytes | None
    floors: Floors
    repaired: bool  #: floors were taken down: the TUF cache is to be dropped


@dataclass(frozen=True, slots=True)
class _Link:
    raw: bytes
    digest: str
    statement: TrustStatement


def _read(raw: bytes, fleet: FleetId, number: int) -> _Link:
    """Read a statement; its signature is checked by the caller."""
    what = f"trust statement {number}"
    envelope = decode_envelope(raw, what=what)
    if envelope.payload_type != TRUST:
        raise Untrusted("wrong-type", f"cannot accept {what}: it is signed as something else")
    payload = payload_of(envelope)
    statement = decode(payload, TrustStatement, cap=ENVELOPE_CAP, what=what)
    if statement.fleet != fleet:
        raise Untrusted("wrong-fleet", f"cannot accept {what}: it is another fleet's")
    if statement.number != number:
        raise Untrusted("wrong-address", f"cannot accept {what}: it says it is {statement.number}")
    _check(statement)
    return _Link(raw, sha256(payload), statement)


def _check(statement: TrustStatement) -> None:
    """Every value that is read later has its form now. Raises InvalidInput."""
    parse_instant(statement.at, what="the time of a trust statement")
    for repair in statement.repairs:
        if repair.time is not None:
            parse_instant(repair.time, what="a repaired time")
        if any(not 0 <= version <= MAX_VERSION for version in repair.roles.values()):
            raise InvalidInput("bad-document", "cannot read a repair: a version is out of range")
        for device in repair.devices:
            parse_device(device)
    for transfer in statement.transfers:
        parse_fleet(transfer.to)
        parse_instant(transfer.until, what="the end of a transfer")
        for device in transfer.devices:
            parse_device(device)
    _check_logs(statement)


def _check_logs(statement: TrustStatement) -> None:
    """Logs and witnesses that can be used: a quorum that nobody can reach would stop the fleet."""
    for log in statement.logs:
        if _LOG.fullmatch(log.origin) is None or not log.origin.startswith(
            log_origin(FleetId(statement.fleet), log.name)
        ):
            raise InvalidInput(
                "bad-document", f"cannot use a log of the origin {log.origin[:80]!r}: it is not its"
            )
        if parse_key(log.key).kind is not Kind.ED25519:
            raise InvalidInput("bad-key", f"cannot use the key of {log.origin}: it only cosigns")
    authority_log(statement)
    if (witnesses := statement.witnesses) is not None:
        keys = [parse_key(key) for key in witnesses.keys]
        public = {key.public for key in keys if key.kind is Kind.COSIGNATURE}
        if not 1 <= witnesses.quorum <= len(public) or witnesses.max_age_seconds < 1:
            raise InvalidInput(
                "bad-quorum", f"cannot ask for {witnesses.quorum} of {len(public)} witnesses"
            )


def authority_log(statement: TrustStatement) -> Log | None:
    """The authority log that holds now: the one that none succeeds; None: the fleet has none.

    Raises:
        InvalidInput: `bad-document`: there are several.
    """
    logs = [log for log in statement.logs if log.name == "authority"]
    past = {log.follows for log in logs}
    newest = [log for log in logs if log.origin not in past]
    if len(newest) > 1 or (logs and not newest):
        raise InvalidInput("bad-document", "cannot tell which authority log holds: name successors")
    return newest[0] if newest else None


def log_prefix(log: Log, fleet: FleetId) -> str:
    """Where a log lies, relative to /f/<fleet>/: the end of its origin tells."""
    return log.origin.removeprefix("allod.dev/").replace(f"/{fleet}/", "/", 1)


def check_statement(raw: bytes, fleet: FleetId, root: Root) -> TrustStatement:
    """Check one statement by itself: form, fleet, root threshold.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-fleet`.
    """
    payload = payload_of(decode_envelope(raw, what="the trust statement"))
    number = decode(payload, TrustStatement, cap=ENVELOPE_CAP, what="the trust statement").number
    link = _read(raw, fleet, number)
    _check_signature(link, root)
    return link.statement


def _check_signature(link: _Link, root: Root) -> None:
    keys, threshold = keys_of(root, ROOT)
    what = f"trust statement {link.statement.number}"
    verify(decode_envelope(link.raw, what=what), TRUST, keys, threshold, what=what)


def walk(
    anchor: Anchor,
    floors: Floors,
    root: Root,
    cached: Mapping[str, bytes],
    device: DeviceId | None,
) -> Generator[Need, bytes | None, TrustChain]:
    """Walk the chain from the floor on and apply every new statement once (docs/explanation/acceptance.md, step 2).

    Raises:
        Untrusted: `auth`, `equivocation`, `wrong-fleet`, `wrong-address`, …
        Unavailable: `withheld` if the statement that the floor names cannot be had.
    """
    newest: _Link | None = None
    if floors.trust_number:
        newest = yield from _at_floor(anchor, floors, cached)
    fresh: list[_Link] = []
    for _ in range(MAX_STATEMENTS):
        number = floors.trust_number + len(fresh) + 1
        raw = yield Need(f"trust/{number}.json", ENVELOPE_CAP)
        if raw is None:
            break
        link = _guarded(raw, anchor.fleet, number)
        # The chain: nothing is slipped in, left out or exchanged between two statements.
        if link.statement.previous != (newest.digest if newest is not None else None):
            raise Untrusted(
                "broken-chain", f"cannot accept trust statement {number}: it follows another"
            )
        fresh.append(link)
        newest = link
    else:
        raise Untrusted("too-many-statements", "cannot walk so many trust statements at a time")
    if newest is not None and fresh:
        # The root threshold: the server, the daily key or one stolen root key cannot do it (35).
        _check_signature(newest, root)
    repaired = False
    for link in fresh:
        before = floors.with_trust(link.statement.number, link.digest)
        before = before.raised_time(parse_instant(link.statement.at))
        floors = _repaired(before, link.statement, device)
        repaired = repaired or floors is not before
    return TrustChain(
        None if newest is None else newest.statement,
        None if newest is None else newest.raw,
        floors,
        repaired,
    )


def _guarded(raw: bytes, fleet: FleetId, number: int) -> _Link:
    try:
        return _read(raw, fleet, number)
    except InvalidInput as error:
        raise Untrusted(error.code, error.message, number=number) from error


def _at_floor(
    anchor: Anchor, floors: Floors, cached: Mapping[str, bytes]
) -> Generator[Need, bytes | None, _Link]:
    """The statement that the floor names, from the cache, the anchor or the source.

    Its digest is the floor's own, so it needs no signature again.
    """
    for known in (cached.get(CACHED), anchor.trust):
        if known is not None:
            try:
                link = _read(known, anchor.fleet, floors.trust_number)
            except AllodError:
                continue
            if link.digest == floors.trust_digest:
                return link
    raw = yield Need(f"trust/{floors.trust_number}.json", ENVELOPE_CAP)
    if raw is None:
        raise Unavailable(
            "withheld", f"cannot go on: trust statement {floors.trust_number} cannot be had"
        )
    return _pinned(raw, anchor.fleet, floors.trust_number, floors.trust_digest)


def _pinned(raw: bytes, fleet: FleetId, number: int, digest: str | None) -> _Link:
    link = _guarded(raw, fleet, number)
    if link.digest != digest:
        raise Untrusted(
            "equivocation",
            f"cannot accept trust statement {number}: it is not the one known before",
        )
    return link


def read_pinned(raw: bytes, fleet: FleetId, number: int, digest: str) -> TrustStatement:
    """A statement whose number and digest are known from a better source, so without its signature.

    Raises:
        Untrusted: `equivocation`, `wrong-fleet`, `wrong-address`, or malformed.
    """
    return _pinned(raw, fleet, number, digest).statement


def _repaired(floors: Floors, statement: TrustStatement, device: DeviceId | None) -> Floors:
    for repair in statement.repairs:
        if not repair.devices or device in repair.devices:
            time = None if repair.time is None else parse_instant(repair.time)
            floors = floors.repaired(repair.roles, time)
    return floors


def check_transfer(
    statement: TrustStatement | None, device: DeviceId, to: FleetId, now: datetime
) -> None:
    """Whether the present owner signed `device` over to the fleet `to`.

    Args:
        statement: the newest that the device has accepted from its present owner.
        device: the device that is to be bound anew.
        to: the fleet of the new owner.
        now: as decided (never before the time floor).

    Raises:
        Untrusted: `already-bound`.
    """
    for transfer in () if statement is None else statement.transfers:
        if (
            device in transfer.devices
            and transfer.to == to
            and now <= parse_instant(transfer.until)
        ):
            return
    raise Untrusted(
        "already-bound",
        "cannot bind to another owner: the present one has not signed the device over"
        " ('allod device transfer')",
        device=device,
        to=to,
    )
