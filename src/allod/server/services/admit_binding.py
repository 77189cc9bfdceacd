"""Admit a device: its binding record is checked, counted and kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from allod.domain.ids import DeviceId, FleetId, sha256
from allod.errors import Conflict, Refused, Untrusted
from allod.server.events import AlarmRaised, Bound
from allod.server.ports import DeviceRow
from allod.server.services.alarms import Alarms
from allod.server.services.fleets import DOCUMENT_CAP, Fleets, FleetState, published_file
from allod.server.services.limits import Rate
from allod.server.services.logs import Logs
from allod.server.services.publication import Stores
from allod.server.services.refusals import Refusals
from allod.trust.anchor import check_root
from allod.trust.binding import BINDING_CAP, Binding, verify_binding
from allod.trust.dsse import payload_of
from allod.trust.invite import check_invite, check_not_revoked
from allod.trust.metadata import metadata_path
from allod.wire import log
from allod.wire.api import BindingEntry, BindingReceipt
from allod.wire.binding import BindingFile
from allod.wire.codec import decode, encode, instant, parse_instant

_SURPLUS_KEPT: Final = 100  #: records beyond an invite's uses: whoever holds it fills no disk
_ROOM_KIB: Final = 8192  #: records of one device in a day
_log = structlog.get_logger("allod.server.bindings")


class AdmitBinding:
    """The use case; one record at a time, so that uses are counted right."""

    def __init__(
        self,
        stores: Stores,
        fleets: Fleets,
        alarms: Alarms,
        rate: Rate,
        logs: Logs,
        refusals: Refusals,
    ) -> None:
        self._logs = logs
        self._refusals = refusals
        self._stores = stores
        self._fleets = fleets
        self._alarms = alarms
        self._rate = rate
        self._room = Rate(stores.clock, _ROOM_KIB, "KiB of records of a device", seconds=86_400)

    def __call__(self, fleet: FleetId, data: bytes, *, carried: bool = False) -> BindingReceipt:
        """Admit a binding record. When it returns, it is durable; the same again is fine.

        Args:
            fleet: whose door it came through.
            data: the binding file.
            carried: somebody whom the owner lets publish brought it, so that the invite may have
                expired on the way.

        Raises:
            InvalidInput: it can't be read.
            Untrusted: `auth`, `wrong-root`, `wrong-fleet`, `wrong-invite`, `wrong-device`.
            Refused: `invite-expired`, `invite-revoked`, `invite-surplus`, `retired-device`.
            Conflict: `epoch-taken`, `old-epoch`.
            Unavailable: `too-many`.
        """
        state = self._fleets.need(fleet)
        directory = self._stores.layout.fleet(fleet)

        def root(version: int) -> bytes | None:
            return published_file(directory, metadata_path("root", version), DOCUMENT_CAP)

        with self._refusals.of(fleet, "a binding record"):
            binding = verify_binding(data, root).value
            if binding.record.fleet != fleet:
                raise Untrusted(
                    "wrong-fleet", "cannot admit the device: its record is another fleet's"
                )
        # Counted once it is known to be real: what a stranger makes up takes nobody's place.
        self._rate.take(fleet)
        self._room.take(f"{fleet}/{binding.device}", len(data) // 1024 + 1)
        file = decode(data, BindingFile, cap=BINDING_CAP, what="the binding")
        with self._alarms.lock(fleet):
            known = self._stores.database.device(fleet, binding.device)
            # Whoever has an invite's secret can make up devices: it is the invite that is named.
            with self._refusals.of(
                fleet,
                "a binding record",
                f"invite {binding.invite.id}",
                sha256(payload_of(file.record)),
            ):
                again = self._again(state, binding, file, known)
                if again is not None:
                    return again
                self._check_invite(state, binding, file, carried=carried)
                return self._keep(state, binding, file)

    def _again(
        self, state: FleetState, binding: Binding, file: BindingFile, known: DeviceRow | None
    ) -> BindingReceipt | None:
        """The receipt of before, if this very record was admitted already."""
        record = binding.record
        kept = self._read(state.fleet, binding.device, record.epoch)
        if kept is not None and known is not None and known.epoch >= record.epoch:
            if kept.record.payload == file.record.payload:
                # A rebuild may know a record that a crash kept from the log.
                self._log_binding(state.fleet, binding, file)
                return BindingReceipt(
                    device=binding.device, epoch=record.epoch, surplus=kept.surplus
                )
            self._raise(
                state.fleet,
                "binding-forked",
                binding.device,
                f"two binding records of epoch {record.epoch} carry this device's signature",
            )
            raise Conflict(
                "epoch-taken",
                f"cannot admit the device: another record of epoch {record.epoch} is there",
                epoch=known.epoch,
            )
        if known is not None and known.epoch > record.epoch:
            raise Conflict(
                "old-epoch",
                f"cannot admit the device: it was bound again since (epoch {known.epoch})",
                epoch=known.epoch,
            )
        return None

    def _check_invite(
        self, state: FleetState, binding: Binding, file: BindingFile, *, carried: bool
    ) -> None:
        """Whether the invite counts here and now."""
        # Keys that a rotation took away invite nobody any more.
        newest = check_root(state.anchor.root)
        try:
            check_invite(file.invite, newest)
        except Untrusted as error:
            raise Untrusted(
                "auth",
                "cannot admit the device: its invite was signed by a key that was replaced since; "
                "make a new invite",
            ) from error
        check_not_revoked(binding.invite, state.document)
        expires = parse_instant(binding.invite.expires)
        moment: datetime = parse_instant(binding.record.at) if carried else self._stores.clock.now()
        if moment > expires:
            raise Refused(
                "invite-expired",
                f"cannot admit the device: its invite expired at {binding.invite.expires}",
            )
        if binding.device in state.retired:
            self._raise(
                state.fleet,
                "retired-device-returned",
                binding.device,
                "a device that the owner retired asks to be admitted",
            )
            raise Refused("retired-device", "cannot admit the device: its owner retired it")

    def _keep(self, state: FleetState, binding: Binding, file: BindingFile) -> BindingReceipt:
        fleet, record, invite = state.fleet, binding.record, binding.invite
        users = self._stores.database.uses(fleet, invite.id)
        surplus = binding.device not in users and len(users) >= invite.uses
        if surplus and self._stores.database.surplus(fleet, invite.id) >= _SURPLUS_KEPT:
            raise Refused(
                "invite-surplus",
                f"cannot admit the device: its invite was used up, and {_SURPLUS_KEPT} more came "
                "with it; make a new invite",
            )
        now = self._stores.clock.now().replace(microsecond=0)
        entry = BindingEntry(
            device=binding.device,
            epoch=record.epoch,
            received=instant(now),
            surplus=surplus,
            invite=file.invite,
            record=file.record,
        )
        path = self._stores.layout.fleet(fleet).binding(binding.device, record.epoch)
        self._stores.files.write(path, encode(entry))
        self._log_binding(fleet, binding, file)
        if surplus:
            self._raise(
                fleet,
                "invite-surplus",
                binding.device,
                f"the invite {invite.id} allows {invite.uses} devices; one more came with it",
            )
        self._stores.database.apply(bound_event(fleet, binding, entry))
        _log.info("device-bound", fleet=fleet, device=binding.device, surplus=surplus)
        return BindingReceipt(device=binding.device, epoch=record.epoch, surplus=surplus)

    def _log_binding(self, fleet: FleetId, binding: Binding, file: BindingFile) -> None:
        """An entry that is among the newest is not logged twice."""
        self._logs.record(
            fleet,
            log.BindingEntry(
                fleet=fleet,
                device=binding.device,
                epoch=binding.record.epoch,
                digest=sha256(payload_of(file.record)),
            ),
        )

    def _read(self, fleet: FleetId, device: DeviceId, epoch: int) -> BindingEntry | None:
        path = self._stores.layout.fleet(fleet).binding(device, epoch)
        try:
            return decode(path.read_bytes(), BindingEntry, cap=2 * BINDING_CAP, what=path.name)
        except FileNotFoundError:
            return None

    def _raise(self, fleet: FleetId, code: str, subject: str, says: str) -> None:
        self._alarms.raised(AlarmRaised(fleet, code, subject, says, self._stores.clock.now()))


def bound_event(fleet: FleetId, binding: Binding, entry: BindingEntry) -> Bound:
    """The event that a kept record tells of."""
    record = binding.record
    return Bound(
        fleet=fleet,
        device=binding.device,
        epoch=record.epoch,
        invite=binding.invite.id,
        groups=tuple(binding.invite.groups),
        key=encode(record.key).decode(),
        received=parse_instant(entry.received),
        surplus=entry.surplus,
        facts=record.facts,
        agent=record.agent,
    )


def binding_of(
    fleet: FleetId, entry: BindingEntry, roots: Callable[[int], bytes | None]
) -> Binding:
    """Verify a kept record again. Raises AllodError."""
    data = encode(BindingFile(invite=entry.invite, record=entry.record))
    binding = verify_binding(data, roots).value
    if binding.record.fleet != fleet:
        raise Untrusted("wrong-fleet", "cannot use the record: it is another fleet's")
    return binding
