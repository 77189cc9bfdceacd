"""Becoming an owner's device, and ceasing to be one (docs/spec/binding.md).

Everything is checked before anything is written. Then the whole intent is journalled, and from
there each step may be done again, so a power cut at any of them leaves a device that is unbound
(the journal was not yet there) or is bound at the next start:

    journal → identity → handed in (if online) → former owner's word gone → floors → record
            → bound → secret burnt

`bound` is the step at which the device has an owner. A device that has one takes no other until
the present one signed it over, with the root's threshold; `unbind` needs the machine at hand, is
declared by the next binding record, and ends the device's identity.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from allod import __version__, durable
from allod.agent.bound import Bound, clear_bound, load_bound, save_bound, tell_supervisor
from allod.agent.build import BUILD_TIME
from allod.agent.floors_store import FloorsStore
from allod.agent.identity import FileIdentityKey, forget_identity, load_identity, make_identity
from allod.agent.state_dir import StateDir
from allod.agent.twin import Damaged, TwinFile
from allod.domain.ids import DeviceId, FleetId, parse_fleet
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Unavailable, Untrusted
from allod.trust.binding import BINDING_CAP, make_binding
from allod.trust.device_view import fleet_document
from allod.trust.effects import Steps, drive
from allod.trust.invite import (
    INVITE_CAP,
    OpenedInvite,
    check_not_revoked,
    open_invite,
    root_wanted,
)
from allod.trust.metadata import ROOT_CAP
from allod.trust.repository import descend
from allod.trust.statements import CACHED, check_transfer, read_pinned
from allod.wire.binding import InviteFile
from allod.wire.codec import decode, encode, instant, parse_instant, parse_strict
from allod.wire.proposed import ProposedDelegation
from allod.wire.trust import FleetDocument, Location

if TYPE_CHECKING:
    from allod.agent.ports import Clock, Transport

#: Makes a transport to a fleet; with a key, it may ask for a read token.
Connect = Callable[[FleetId, Sequence[Location], FileIdentityKey | None, int], "Transport"]

_JOURNAL: Final = "journal"
_HISTORY: Final = "history"
_RECEIPT_CAP: Final = 256 * 1024
_RECORD: Final = "record.json"


class _Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The journal: all that the steps need, so that they need no network. Holds the secret."""

    what: str  #: "bind" or "unbind"
    at: str = ""
    invite: str = ""  #: base64 of the file form, with its root
    epoch: int = 1
    facts: dict[str, str] = {}
    device: str = ""  #: unbind: whose identity ends
    proposes: ProposedDelegation | None = None


@dataclass(frozen=True, slots=True)
class Binder:
    """Binds the device whose state is in `state`. The caller holds its lock."""

    state: StateDir
    clock: Clock
    facts: Mapping[str, str]
    connect: Connect | None = None  #: None: offline
    proposes: ProposedDelegation | None = None  #: that the owner is shown, and no more

    def bind(self, data: bytes) -> Bound:
        """Take the invite `data` (its JSON).

        Raises:
            InvalidInput, Untrusted, Refused: the invite does not hold; see `trust.invite`.
            Conflict: `already-bound` to this very fleet.
            Untrusted: `already-bound` to another owner, who has not signed the device over.
            Unavailable: the invite's root cannot be had; the file form needs no network.
        """
        self.resume()
        now = self.clock.now()
        whole = self._with_root(data)
        opened = open_invite(whole, now, BUILD_TIME).value
        epoch = self._next_epoch(opened, now)
        if epoch == 1:
            # An attempt that the fleet refused may have used a key up; it names nobody yet.
            forget_identity(self.state.identity)
        facts = {**self.facts, **self._declared()}
        intent = _Intent(
            what="bind",
            at=instant(now),
            invite=base64.b64encode(whole).decode(),
            epoch=epoch,
            facts=facts,
            proposes=self.proposes,
        )
        TwinFile(self.state.binding, _JOURNAL).save(msgspec.json.encode(intent))
        return self._carry_out(intent, opened, online=self.connect is not None)

    def resume(self) -> Bound | None:
        """Bring to its end what a power cut interrupted; the owner that the device then has.

        Raises:
            Untrusted: `binding-damaged`.
        """
        intent = self._journalled()
        if intent is None:
            return load_bound(self.state)
        if intent.what == "unbind":
            self._end(intent)
            return None
        whole = base64.b64decode(intent.invite)
        opened = open_invite(whole, parse_instant(intent.at), BUILD_TIME).value
        return self._carry_out(intent, opened, online=False)

    def unbind(self) -> None:
        """End the binding from the machine itself: packages run on, the identity ends.

        Raises:
            Conflict: `not-bound`.
        """
        intent = self._journalled()
        if intent is None or intent.what != "unbind":
            device = self._own_device()
            if device is None:
                raise Conflict("not-bound", "cannot unbind: the device belongs to nobody")
            intent = _Intent(what="unbind", at=instant(self.clock.now()), device=device)
            TwinFile(self.state.binding, _JOURNAL).save(msgspec.json.encode(intent))
        self._end(intent)

    # ---------------------------------------------------------------- before anything is written

    def _with_root(self, data: bytes) -> bytes:
        """The file form: with the root that the invite names, fetched if it lacks it."""
        file = decode(data, InviteFile, cap=INVITE_CAP, what="the invite")
        if file.root is not None:
            return data
        path, _ = root_wanted(data)
        if self.connect is None:
            raise Unavailable(
                "root-needed",
                "cannot bind offline by a URL: use the invite's file, which has the fleet's root",
            )
        fleet, places = _claimed(data)
        root = self.connect(fleet, places, None, 0).get(path, cap=ROOT_CAP)
        if root is None:
            raise Unavailable(
                "root-needed", "cannot bind: no location has the root that the invite names"
            )
        return encode(msgspec.structs.replace(file, root=base64.b64encode(root).decode()))

    def _next_epoch(self, opened: OpenedInvite, now: datetime) -> int:
        """1 for a new identity; for one that was signed over, one more than before."""
        bound = load_bound(self.state)
        if bound is None:
            return 1
        if bound.fleet == opened.anchor.fleet:
            raise Conflict(
                "already-bound", f"cannot bind again: the device belongs to {bound.name!r} already"
            )
        store = FloorsStore(self.state)
        floors = store.load(bound.fleet)
        statement = None
        for raw in (store.read(CACHED), bound.anchor.trust):
            if raw is not None and floors.trust_digest is not None and statement is None:
                try:
                    statement = read_pinned(
                        raw, bound.fleet, floors.trust_number, floors.trust_digest
                    )
                except AllodError:
                    continue
        # attack 53: neither an invite nor a daily key takes a device from its owner.
        check_transfer(statement, bound.device, opened.anchor.fleet, max(now, floors.time))
        return max(bound.epoch, floors.epoch) + 1

    def _declared(self) -> dict[str, str]:
        """What the record says of bindings that were ended at the machine (attack 53)."""
        count = len(self._history())
        return {"binding.unbound-before": str(count)} if count else {}

    # ---------------------------------------------------------------- the steps, each repeatable

    def _carry_out(self, intent: _Intent, opened: OpenedInvite, *, online: bool) -> Bound:
        bound = load_bound(self.state)
        if bound is not None and bound.invite == opened.invite.id and bound.epoch == intent.epoch:
            self._burn()
            return bound
        key = make_identity(self.state.identity)
        record = make_binding(
            opened,
            key.signer,
            epoch=intent.epoch,
            at=parse_instant(intent.at),
            facts=intent.facts,
            agent=__version__,
            proposes=intent.proposes,
        )
        made = Bound(
            fleet=opened.anchor.fleet,
            name=opened.invite.name,
            device=key.device,
            epoch=intent.epoch,
            invite=opened.invite.id,
            groups=opened.groups,
            anchor=opened.anchor,
            locations=tuple(opened.invite.locations),
            at=intent.at,
        )
        if online and self.connect is not None:
            made = self._introduce(made, opened, key, record)
        self._forget_former()
        FloorsStore(self.state).begin(opened.floors.raised_epoch(intent.epoch))
        durable.write_atomic(self.state.binding / _RECORD, record)
        save_bound(self.state, made)
        tell_supervisor(self.state, made)
        self._burn()
        return made

    def _introduce(
        self, made: Bound, opened: OpenedInvite, key: FileIdentityKey, record: bytes
    ) -> Bound:
        """Hand the record in, and ask whether the owner took the invite back.

        A fleet that cannot be reached stops nothing; after a refusal the journal is burnt
        and the device is what it was.
        """
        if self.connect is None:
            raise RuntimeError("only an online binder introduces its device")
        try:
            transport = self.connect(made.fleet, made.locations, key, made.epoch)
            _check_receipt(transport.post("bindings", record))
            made = replace(made, handed_in=True)
            fleet = drive(
                _look(opened, key.device, self.clock.now()),
                lambda path, cap: transport.get(path, cap=cap),
                lambda _keep: None,
            )
            check_not_revoked(opened.invite, fleet)
        except Unavailable:
            return made
        except (Refused, Conflict, InvalidInput, Untrusted):
            self._burn()
            raise
        return made

    def _forget_former(self) -> None:
        """What a former owner left: their view, token, secrets and reports are not the next one's."""
        clear_bound(self.state)
        self.state.token.unlink(missing_ok=True)
        for room in (self.state.accepted, self.state.secrets, self.state.reports):
            _empty(room)

    def _burn(self) -> None:
        """Destroy the only copy of the invite's secret that this device made."""
        TwinFile(self.state.binding, _JOURNAL).remove()

    # ---------------------------------------------------------------- the end of a binding

    def _end(self, intent: _Intent) -> None:
        history = self._history()
        if intent.device not in {entry["device"] for entry in history}:
            history.append({"device": intent.device, "unbound": intent.at})
            TwinFile(self.state.binding, _HISTORY).save(msgspec.json.encode(history))
        self._forget_former()
        FloorsStore(self.state).clear()
        forget_identity(self.state.identity)
        durable.remove_file(self.state.binding / _RECORD)
        tell_supervisor(self.state, None)
        self._burn()

    def _own_device(self) -> str | None:
        """The device's id if it is bound; a damaged record or key still counts as bound."""
        try:
            bound = load_bound(self.state)
        except Untrusted:
            return "unknown"
        return None if bound is None else bound.device

    def _history(self) -> list[dict[str, str]]:
        content = TwinFile(self.state.binding, _HISTORY).load()
        if content is None:
            return []
        return msgspec.json.decode(content.data, type=list[dict[str, str]])

    def _journalled(self) -> _Intent | None:
        try:
            content = TwinFile(self.state.binding, _JOURNAL).load()
            return None if content is None else msgspec.json.decode(content.data, type=_Intent)
        except (Damaged, msgspec.DecodeError) as error:
            raise Untrusted(
                "binding-damaged",
                f"cannot go on with a binding: its journal in {self.state.binding} is damaged; "
                "'allod-agent unbind', and bind again",
            ) from error


def record_of(state: StateDir) -> bytes | None:
    """The binding record that is to be handed in, if the device has one."""
    try:
        with (state.binding / _RECORD).open("rb") as file:
            return file.read(BINDING_CAP)
    except FileNotFoundError:
        return None


def hand_in(state: StateDir, transport: Transport, bound: Bound) -> Bound:
    """Hand the binding record in, if nobody has it yet.

    Raises:
        Refused: the fleet does not want the device (revoked invite, too many uses).
        Conflict: it has another record of this device.
        Unavailable: not now.
    """
    record = record_of(state)
    if record is None or bound.handed_in:
        return bound
    receipt = transport.post("bindings", record)
    known = replace(bound, handed_in=True)
    save_bound(state, known)
    _check_receipt(receipt)
    return known


def _check_receipt(receipt: bytes) -> None:
    """A server that keeps the record, but lets the device in no further, says so (`surplus`).

    Raises:
        Refused: `invite-surplus`.
    """
    try:
        said = parse_strict(receipt, cap=_RECEIPT_CAP)
    except InvalidInput:
        return
    if isinstance(said, dict) and said.get("surplus") is True:
        raise Refused(
            "invite-surplus",
            "cannot join the fleet: the invite was used as often as it may be; "
            "ask the owner for a new one",
        )


def own_key(state: StateDir) -> FileIdentityKey:
    """The key of a bound device.

    Raises:
        Untrusted: `identity-damaged`.
    """
    key = load_identity(state.identity)
    if key is None:
        raise Untrusted(
            "identity-damaged",
            "cannot find the device's key; 'allod-agent unbind' and a new binding give it another",
        )
    return key


def _claimed(data: bytes) -> tuple[FleetId, list[Location]]:
    """Where an invite says that its fleet is: unverified, good for a look and for nothing else."""
    from allod.trust.dsse import payload_of
    from allod.wire.binding import Invite

    file = decode(data, InviteFile, cap=INVITE_CAP, what="the invite")
    invite = decode(payload_of(file.invite), Invite, cap=INVITE_CAP, what="the invite")
    return parse_fleet(invite.fleet), invite.locations


def _look(opened: OpenedInvite, device: DeviceId, now: datetime) -> Steps[FleetDocument]:
    repository = yield from descend(opened.anchor, opened.floors, {}, now, device=device)
    return (yield from fleet_document(repository))


def _empty(room: Path) -> None:
    for entry in list(room.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    durable.sync_directory(room)
