"""`allod delegate list` and `show`: who may decide on what, and which devices know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allod.cli.delegate_grant import rooted
from allod.cli.delegate_revoke import window_words
from allod.cli.delegate_words import delegation_data, end_of, words
from allod.cli.delegations import find, people_of, role_keys
from allod.cli.options import OPTIONS, Options
from allod.cli.picture import Picture, take
from allod.cli.scopes import show_scope, touched
from allod.domain.handover import managed_by
from allod.errors import InvalidInput
from allod.wire.codec import parse_instant
from allod.wire.delegation import decode_delegation, delegation_path

if TYPE_CHECKING:
    from allod.cli.changes import Standing
    from allod.cli.past import Past, PastChange, Touch
    from allod.domain.delegation import Delegation


def list_(*, options: Options = OPTIONS) -> None:
    """Show the delegations: who decides on what, where, and until when."""
    picture = take(options.open(), reports=False, reading=True)
    rows, data = [], []
    for name, delegation in sorted(picture.base.delegations.items()):
        end = end_of(delegation)
        over = end is not None and parse_instant(end) <= picture.now
        rows.append(
            (
                name,
                _decides(picture, delegation),
                ", ".join(delegation.packages),
                ", ".join(show_scope(one, picture.devices) for one in sorted(delegation.scopes)),
                "; ".join(term.says for term in delegation.terms),
                "over" if over else end or "",
            )
        )
        data.append({**delegation_data(delegation), "over": over})
    options.output.table(
        {"delegations": data},
        ("delegation", "decides", "packages", "where", "terms", "until"),
        rows,
        empty="No delegations: you decide on everything ('allod delegate grant' makes one).",
    )


def _decides(picture: Picture, delegation: Delegation) -> str:
    if delegation.follow is not None:
        return f"the channel {delegation.follow}"
    known = role_keys(picture.base, delegation.id)
    if known is None:
        return "nobody: it has no key"
    threshold, keys = known
    names = ", ".join(key[:8] for key in keys)
    return f"the key {names}" if len(keys) == 1 else f"{threshold} of the keys {names}"


def show(name: str, *, options: Options = OPTIONS) -> None:
    """Show one delegation: what it allows, what it decides on, which devices know how it stands.

    Args:
        name: Which; also one that was revoked.
        options: Options of every verb.
    """
    from allod.cli.past import Past
    from allod.cli.status import changes_of

    picture = take(options.open(), reading=True)
    past = Past(picture)
    live = picture.base.delegations.get(name)
    last = _last_change(past, name)
    if live is None and last is None:
        find(picture.base, name)  # says which there are
    delegation = live or _former(past, last, name)
    standing = None if last is None else changes_of(picture, [last.change])[0]
    where = _where(picture, delegation, standing)
    data = {
        **delegation_data(delegation, rooted(picture, delegation)),
        "revoked": live is None,
        "keys": None if live is None else _keys_data(picture, name),
        "people": [one.name for one in people_of(picture.base, name)] if live else [],
        "manages": {
            str(scope): list(managed_by(document, name))
            for scope, document in sorted(picture.base.states.items())
            if managed_by(document, name)
        },
        "change": None if last is None else last.change.number,
        **where.data(),
    }
    lines = list(_head(picture, delegation, live is None))
    lines += list(where.lines(delegation, last, revoked=live is None))
    options.output.result(data, "\n".join(lines))


def _head(picture: Picture, delegation: Delegation, revoked: bool) -> tuple[str, ...]:
    if revoked:
        return (f"{delegation.id} is revoked: its packages are yours, what runs goes on running.",)
    known = role_keys(picture.base, delegation.id)
    keys = None if known is None else (known[0], len(known[1]))
    root = rooted(picture, delegation)
    about = (f"  {delegation.about}",) if delegation.about else ()
    return (*about, *words(delegation, picture.devices, keys=keys, root=root))


def _keys_data(picture: Picture, name: str) -> dict[str, Any] | None:
    known = role_keys(picture.base, name)
    return None if known is None else {"threshold": known[0], "keys": list(known[1])}


@dataclass(frozen=True, slots=True)
class _Last:
    """The change that a delegation last stood or fell by."""

    change: PastChange
    touch: Touch


def _last_change(past: Past, name: str) -> _Last | None:
    path = delegation_path(name)
    found = [
        _Last(change, touch)
        for change in past.changes
        for touch in change.touches
        if touch.path == path
    ]
    return found[-1] if found else None


def _former(past: Past, last: _Last | None, name: str) -> Delegation:
    """A delegation that was revoked, as it last stood."""
    info = None if last is None else last.touch.before or last.touch.after
    data = None if info is None else past.content(delegation_path(name), info)
    if data is None:
        raise InvalidInput("unknown-delegation", f"cannot find the delegation {name[:80]!r}")
    return decode_delegation(data)[1]


@dataclass(frozen=True, slots=True)
class _Where:
    """Which of the devices that a delegation concerns know how it stands now."""

    standing: Standing | None
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    unknown: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "force": None if self.standing is None else self.standing.force,
            "devices": {
                "know": list(self.seen),
                "notYet": list(self.unseen),
                "unknown": list(self.unknown),
            },
        }

    def lines(self, delegation: Delegation, last: _Last | None, *, revoked: bool) -> list[str]:
        """For people."""
        if self.standing is None or last is None:
            return []
        what = "revoked" if revoked else "as it is"
        number = "" if last.change.number is None else f" since change {last.change.number}"
        total = len(self.seen) + len(self.unseen) + len(self.unknown)
        known = f"{len(self.seen)} of {total} devices know it"
        lines = [f"{what}{number}: {self.standing.force_says}; {known}"]
        lines += [f"  not yet: {one}" for one in self.unseen]
        lines += [f"  unknown (no report, or one in doubt): {one}" for one in self.unknown]
        if revoked and (self.unseen or self.unknown):
            lines.append(
                f"  on those its word counts until they learn of it; {window_words(delegation)}"
            )
        return lines


def _where(picture: Picture, delegation: Delegation, standing: Standing | None) -> _Where:
    if standing is None:
        return _Where(None, (), (), ())
    names = {
        member.shown for scope in delegation.scopes for member in touched(scope, picture.devices)
    }
    return _Where(
        standing,
        tuple(one for one in standing.seen if one in names),
        tuple(one for one in standing.unseen if one in names),
        tuple(one for one in standing.unknown if one in names),
    )
