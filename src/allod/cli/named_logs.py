"""How the owner names logs and witnesses in a trust statement. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from allod.cli.log_entries import newest_of
from allod.cli.phrases import parse_span
from allod.domain.ids import FleetId, sha256
from allod.errors import Conflict, InvalidInput, Refused
from allod.tlog.checkpoint import Checkpoint
from allod.tlog.merkle import EMPTY_ROOT
from allod.tlog.note import Kind, VerifierKey, parse_key
from allod.wire.envelope import PublicKey
from allod.wire.log import ACTIVITY, AUTHORITY, log_origin
from allod.wire.trust import Log, TrustStatement, Witnesses

NAMES: Final = (AUTHORITY, ACTIVITY)
MAX_AGE: Final = 86_400  #: seconds: how long ago witnesses may have vouched, unless said otherwise


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness as the owner names it."""

    key: VerifierKey
    url: str  #: where the fleet's server asks it; empty: it knows


def first_logs(fleet: FleetId, key: PublicKey) -> list[Log]:
    """Both logs of a fleet, by the key that its server offers."""
    return [_log(fleet, name, 1, key, follows=None) for name in NAMES]


def followed(statement: TrustStatement, names: Sequence[str], key: PublicKey) -> list[Log]:
    """All logs of the statement, and for each of `names` one that succeeds the newest.

    Raises:
        InvalidInput: `no-log`.
    """
    fleet = FleetId(statement.fleet)
    logs = list(statement.logs)
    for name in names:
        newest = newest_of(statement, name)
        if newest is None:
            raise InvalidInput(
                "no-log",
                f"cannot let a log succeed: the fleet has no log {name}; "
                "run 'allod trust log begin'",
            )
        number = _number(newest.origin) + 1
        logs.append(_log(fleet, name, number, key, follows=newest.origin))
    return logs


def parse_witness(text: str) -> Witness:
    """`VKEY` or `VKEY=URL`.

    Raises:
        InvalidInput: `bad-key`, `bad-url`.
    """
    vkey, separator, url = text.partition("=http")
    key = parse_key(vkey)
    if key.kind is not Kind.COSIGNATURE:
        raise InvalidInput("bad-key", f"cannot use {key.name} as a witness: it is the key of a log")
    return Witness(key, f"http{url}".rstrip("/") if separator else "")


def first_witnesses(
    named: Sequence[Witness], quorum: int | None, age: str | None
) -> Witnesses | None:
    """The terms of a fleet that begins; None: it has no witnesses.

    Raises:
        InvalidInput: `bad-arguments`, `bad-quorum`, `bad-span`.
    """
    if not named:
        if quorum is not None or age is not None:
            raise InvalidInput(
                "bad-arguments", "cannot ask for a quorum of no witnesses: give --witness"
            )
        return None
    keys = list(dict.fromkeys(str(one.key) for one in named))
    seconds = MAX_AGE if age is None else age_of(age)
    return check_terms(
        Witnesses(
            keys=keys,
            quorum=len(_public(keys)) if quorum is None else quorum,
            max_age_seconds=seconds,
        )
    )


def age_of(text: str) -> int:
    """The greatest age of what witnesses vouch for, in seconds. Raises InvalidInput `bad-span`."""
    seconds = int(parse_span(text).total_seconds())
    if seconds < 1:
        raise InvalidInput("bad-span", "cannot ask for an age of nothing: give one like 1h or 7d")
    return seconds


def with_witness(terms: Witnesses | None, key: VerifierKey) -> Witnesses:
    """One witness more; the quorum stays, the first witness makes it 1.

    Raises:
        Conflict: `exists`.
    """
    text = str(key)
    if terms is None:
        return Witnesses(keys=[text], quorum=1, max_age_seconds=MAX_AGE)
    if key.public in _public(terms.keys):
        raise Conflict("exists", f"cannot add {key.name}: it is a witness of the fleet already")
    return msgspec.structs.replace(terms, keys=[*terms.keys, text])


def without_witness(terms: Witnesses | None, wanted: str) -> Witnesses | None:
    """One witness less, by its key or its name; without the last one the fleet has none.

    Raises:
        InvalidInput: `not-found`, `which-witness`.
        Refused: `below-quorum`.
    """
    keys = [] if terms is None else list(terms.keys)
    gone = [key for key in keys if wanted in {key, parse_key(key).name}]
    if terms is None or not gone:
        raise InvalidInput(
            "not-found", f"cannot remove {wanted[:80]}: it is no witness of the fleet"
        )
    if len(gone) > 1:
        raise InvalidInput(
            "which-witness", f"cannot tell which {wanted[:80]} you mean: give its whole key"
        )
    left = [key for key in keys if key not in gone]
    if not left:
        return None
    if len(_public(left)) < terms.quorum:
        raise Refused(
            "below-quorum",
            f"cannot remove {parse_key(gone[0]).name}: {terms.quorum} witnesses have to vouch, and "
            f"{len(_public(left))} would be left; first run 'allod trust witness quorum "
            f"{len(_public(left))}', or add another witness",
        )
    return msgspec.structs.replace(terms, keys=left)


def check_terms(terms: Witnesses) -> Witnesses:
    """Terms that can be met. Raises InvalidInput `bad-quorum`."""
    count = len(_public(terms.keys))
    if not 1 <= terms.quorum <= count:
        raise InvalidInput(
            "bad-quorum",
            f"cannot ask for {terms.quorum} of {count} witnesses: a quorum is from 1 to {count}; "
            "'allod trust witness add' names another",
        )
    return terms


def need_terms(terms: Witnesses | None) -> Witnesses:
    """The terms of a fleet with witnesses. Raises InvalidInput `no-witnesses`."""
    if terms is None:
        raise InvalidInput(
            "no-witnesses",
            "cannot change the terms of witnesses: the fleet has none; "
            "run 'allod trust witness add'",
        )
    return terms


def _public(keys: Sequence[str]) -> set[bytes]:
    return {parse_key(key).public for key in keys}


def _log(fleet: FleetId, name: str, number: int, key: PublicKey, *, follows: str | None) -> Log:
    kind: Literal["authority", "activity"] = "authority" if name == AUTHORITY else "activity"
    origin = log_origin(fleet, kind, number)
    public = bytes.fromhex(key.keyval.public)
    return Log(
        name=kind,
        origin=origin,
        key=str(VerifierKey(origin, Kind.ED25519, public)),
        genesis=sha256(Checkpoint(origin, 0, EMPTY_ROOT).text.encode()),
        follows=follows,
    )


def _number(origin: str) -> int:
    last = origin.rpartition("/")[2]
    return int(last) if last.isdecimal() else 1
