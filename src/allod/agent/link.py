"""A bound device's connection to its fleet: locations, token, binding record, acceptance."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.agent.acceptance import Acceptance, accept
from allod.agent.binding import Connect, hand_in, own_key
from allod.agent.bound import Bound, save_bound
from allod.agent.identity import FileIdentityKey
from allod.agent.state_dir import StateDir
from allod.agent.tokens import Tokens
from allod.agent.transport import HttpTransport
from allod.agent.transport_stick import StickTransport
from allod.domain.ids import FleetId
from allod.errors import AllodError, Conflict, Refused
from allod.wire.report import Alarm
from allod.wire.trust import Location

if TYPE_CHECKING:
    from allod.agent.ports import Clock, Transport

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Link:
    """What one run of the agent has of its fleet."""

    state: StateDir
    clock: Clock
    bound: Bound
    key: FileIdentityKey
    transport: Transport
    on_stick: bool

    def look(self) -> Acceptance:
        """Hand in the binding record where it is wanted, then accept what the owner says now.

        Raises:
            Untrusted: `floors-damaged`; nothing may change.
        """
        refusal = self._introduce()
        found = accept(self.transport, self.state, self.clock, self.bound)
        if found.failure is not None and found.failure.code in {"no-token", "not-admitted"}:
            # A server that was restored from a backup may never have heard of this device.
            self.bound = replace(self.bound, handed_in=False)
            save_bound(self.state, self.bound)
            refusal = self._introduce()
            if refusal is None:
                found = accept(self.transport, self.state, self.clock, self.bound)
        if refusal is not None and found.view is not None:
            alarm = Alarm(code=refusal.code, says=refusal.message)
            view = found.view.with_findings(found.view.refusals, (*found.view.alarms, alarm))
            found = replace(found, view=view)
        return found

    def _introduce(self) -> AllodError | None:
        """The refusal, if the fleet does not want the device."""
        bound = replace(self.bound, handed_in=False) if self.on_stick else self.bound
        try:
            known = hand_in(self.state, self.transport, bound)
        except (Refused, Conflict) as error:
            _LOG.warning("%s", error)
            return error
        except AllodError as error:
            _LOG.info("%s", error)
            return None
        if not self.on_stick:
            self.bound = known
        return None


def open_link(
    state: StateDir,
    clock: Clock,
    bound: Bound,
    *,
    stick: Path | None = None,
    bandwidth: int | None = None,
) -> Link:
    """Connect a bound device, over the network or to a stick.

    Raises:
        Untrusted: `identity-damaged`.
        Unavailable: `no-location`.
    """
    key = own_key(state)
    transport: Transport
    if stick is not None:
        transport = StickTransport(bound.fleet, stick)
    else:
        tokens = Tokens(state.token, bound.fleet, bound.device, bound.epoch, key)
        transport = HttpTransport(
            bound.fleet, bound.places, clock, tokens=tokens, bandwidth=bandwidth
        )
    return Link(state, clock, bound, key, transport, stick is not None)


def connector(state: StateDir, clock: Clock) -> Connect:
    """`binding.Connect` over HTTP(S)."""

    def connect(
        fleet: FleetId, places: Sequence[Location], key: FileIdentityKey | None, epoch: int
    ) -> Transport:
        tokens = None
        if key is not None:
            tokens = Tokens(state.token, fleet, key.device, epoch, key)
        return HttpTransport(fleet, places, clock, tokens=tokens)

    return connect
