"""What a signature would mean, read back from the bytes that it would stand under (attack 9).

Nothing that the editing code believed to have done comes in here: only the files of before, all
verified, and the files that are about to be signed. Whatever differs between the two is shown:
documents by what they say, all else field by field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile, Targets

from allod.domain.desired import OWNER, StateDocument
from allod.domain.difference import differences
from allod.domain.ids import FleetId, Scope, parse_name, parse_scope
from allod.domain.said import Difference
from allod.errors import Untrusted
from allod.trust.metadata import ADDRESS, TARGETS, read
from allod.wire.codec import parse_strict
from allod.wire.desired import STATE_CAP, decode_state

DELEGATION: Final = "delegation-"  #: how roles of delegates begin
OldTarget = Callable[[str], bytes | None]
States = dict[Scope, StateDocument]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the bytes say: every difference, and the documents that differ, before and after."""

    differences: tuple[Difference, ...]
    before: Mapping[Scope, StateDocument]
    after: Mapping[Scope, StateDocument]


def read_back(
    fleet: FleetId,
    before: Mapping[str, bytes],
    metadata: Mapping[str, bytes],
    targets: Mapping[str, bytes],
    old_target: OldTarget,
) -> Reading:
    """Everything that signing `metadata` would change.

    Args:
        fleet: whose documents they are to be.
        before: role -> verified file, as it is now.
        metadata: role -> file that is about to be signed.
        targets: path -> content of every target that the new files name and the old do not.
        old_target: the verified content of a target as it is now.

    Raises:
        Untrusted: `not-what-was-meant`, if the files do not fit together: a target that is not
            the one whose digest is signed, a version that skips, another fleet's address.
    """
    found: list[Difference] = []
    states: tuple[States, States] = ({}, {})
    seen: set[str] = set()
    for role in sorted(metadata):
        old = read(before[role], role).signed if role in before else None
        new = read(metadata[role], role).signed
        if not isinstance(new, Targets):
            raise _unfit(f"{role} is not for the owner's daily key to sign")
        if new.version != (old.version if old is not None else 0) + 1:
            raise _unfit(f"the version of {role} is not the next one")
        found.extend(_role(role, old, new))
        for path in sorted(_changed(old, new)):
            seen.add(path)
            was = old_target(path) if old is not None and path in old.targets else None
            becomes = _content(new.targets.get(path), path, targets)
            found.extend(_target(fleet, path, was, becomes, states))
    surplus = targets.keys() - seen
    if surplus:
        raise _unfit(f"{min(surplus)} is to be uploaded, and nothing signed names it")
    return Reading((*differences(*states), *found), *states)


def _unfit(why: str) -> Untrusted:
    return Untrusted("not-what-was-meant", f"cannot sign this change: {why}")


def _changed(old: Targets | None, new: Targets) -> frozenset[str]:
    had = {} if old is None else old.targets
    return frozenset(
        path for path in had.keys() | new.targets.keys() if had.get(path) != new.targets.get(path)
    )


def _content(info: TargetFile | None, path: str, targets: Mapping[str, bytes]) -> bytes | None:
    if info is None:
        return None
    data = targets.get(path)
    if data is None:
        raise _unfit(f"the content of {path} is missing")
    try:
        info.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise _unfit(f"{path} is not the document whose digest would be signed") from error
    return data


def _target(
    fleet: FleetId,
    path: str,
    was: bytes | None,
    becomes: bytes | None,
    states: tuple[States, States],
) -> Iterator[Difference]:
    place = place_of(path)
    if place is not None:
        author, scope = place
        for data, side in zip((was, becomes), states, strict=True):
            if data is not None:
                if scope in side:
                    raise _unfit(f"two parties speak for {scope} in it")
                side[scope] = read_state(data, fleet, scope, author)
        return
    old, new = (
        None if data is None else parse_strict(data, cap=STATE_CAP, what=path)
        for data in (was, becomes)
    )
    if isinstance(new, dict) and new.get("fleet") != fleet:
        raise _unfit(f"{path} is another fleet's")
    if old is None:
        yield Difference(path, "file-new", f"{path} is new")
    if new is None:
        yield Difference(path, "file-gone", f"{path} is gone")
    yield from json_differences(path, old, new)


def compare(fleet: FleetId, pairs: Mapping[str, tuple[bytes | None, bytes | None]]) -> Reading:
    """What differs between two contents of each path, both verified before.

    Raises:
        Untrusted, InvalidInput: as `read_back`.
    """
    states: tuple[States, States] = ({}, {})
    found: list[Difference] = []
    for path, (was, becomes) in sorted(pairs.items()):
        found.extend(_target(fleet, path, was, becomes, states))
    return Reading((*differences(*states), *found), *states)


def place_of(path: str) -> tuple[str, Scope] | None:
    """Whose document of desired state stands at a target path, and for which scope.

    Returns:
        None, if it is no place of such a document.

    Raises:
        InvalidInput: it looks like one, and is none.
    """
    room, _, rest = path.partition("/")
    author = OWNER
    if room == "by":
        author, _, rest = rest.partition("/")
        parse_name(author, "a delegation's id")
    elif room != "state":
        return None
    return author, parse_scope(rest.removesuffix(".json"))


def path_of(author: str, scope: Scope) -> str:
    """The inverse of `place_of`."""
    if author == OWNER:
        return scope.target_path
    return f"by/{author}/{scope.kind}/{scope.name}.json"


def read_state(data: bytes, fleet: FleetId, scope: Scope, author: str = OWNER) -> StateDocument:
    """A document of desired state at its own address.

    Raises:
        InvalidInput: it cannot be read.
        Untrusted: `wrong-scope`, `wrong-fleet`, `wrong-delegation`: it stands where it does not
            belong.
    """
    document = decode_state(data)
    if document.author != author:
        raise Untrusted(
            "wrong-delegation",
            f"cannot use the document of {author} for {scope}: it is {document.author}'s",
        )
    if document.scope != scope:
        raise Untrusted("wrong-scope", f"cannot use {scope}: its document is {document.scope}'s")
    if document.fleet != fleet:
        raise Untrusted("wrong-fleet", f"cannot use {scope}: its document is another fleet's")
    return document


def _role(role: str, old: Targets | None, new: Targets) -> Iterator[Difference]:
    """What a role's file says beside its targets: life, keys and delegations."""
    name = f"the owner's {'list' if role == TARGETS else role}"
    if role.startswith(DELEGATION):
        name = f"the list of {role.removeprefix(DELEGATION)}"
    before = None if old is None else old.expires
    if before is None or new.expires < before:
        says = f"{name} is good until {new.expires:%Y-%m-%d}"
        yield Difference(role, "expires", says, after=f"{new.expires:%Y-%m-%dT%H:%M:%SZ}")
    second = _outside(new.to_dict())
    first = _blank(role, second) if old is None else _outside(old.to_dict())
    yield from json_differences(role, first, second)


def _blank(role: str, new: dict[str, Any]) -> dict[str, Any]:
    """What a role's first file says that is no news: its kind and its own address."""
    address = new.get(ADDRESS)
    fleet = address.get("fleet") if isinstance(address, dict) else None
    return {
        "_type": "targets",
        "spec_version": new.get("spec_version"),
        ADDRESS: {"fleet": fleet, "role": role},
    }


def _outside(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: part for key, part in value.items() if key not in {"targets", "version", "expires"}
    }


def json_differences(subject: str, old: Any, new: Any, path: str = "") -> Iterator[Difference]:
    """Field by field, two JSON values; nothing if they are equal."""
    if _exact(old) == _exact(new):
        return
    if isinstance(old, dict | None) and isinstance(new, dict | None) and (old or new):
        first, second = old or {}, new or {}
        for key in sorted(first.keys() | second.keys()):
            yield from json_differences(
                subject, first.get(key), second.get(key), f"{path}.{key}" if path else key
            )
        return
    if isinstance(old, list) and isinstance(new, list):
        had, has = {_exact(item): item for item in old}, {_exact(item): item for item in new}
        for item in (had[key] for key in had if key not in has):
            yield _field(subject, path, item, None)
        for item in (has[key] for key in has if key not in had):
            yield _field(subject, path, None, item)
        if had.keys() != has.keys():
            return
    yield _field(subject, path, old, new)


def _exact(value: Any) -> str:
    """One text a value: 1, 1.0 and true are three."""
    return json.dumps(value, sort_keys=True)


_SHOWN = 200


def _field(subject: str, path: str, old: Any, new: Any) -> Difference:
    before, after = (None if value is None else _text(value) for value in (old, new))
    name = path or subject
    if before is None:
        says = f"{name}: {after}"
    elif after is None:
        says = f"{name}: no longer {before}"
    else:
        says = f"{name}: {before} → {after}"
    return Difference(subject, "field", says, before=before, after=after, path=path)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
