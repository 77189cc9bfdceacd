"""The shell around steps 1 to 8 of docs/explanation/acceptance.md: what the owner says now, as far as it can be proved.

`trust.device_view` decides; this module fetches for it, makes durable what it wants kept before
it goes on, and stores what came out. Without network, or with a source that does not hold, the
view that was accepted last stands, with the reason as a finding for the report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from allod.agent.bound import Bound, save_bound, tell_supervisor, with_owner_word
from allod.agent.floors_store import FloorsStore
from allod.agent.transport import SILENT
from allod.agent.view import View, load_view, save_view
from allod.domain.ids import Scope
from allod.errors import AllodError, Unavailable, Untrusted
from allod.trust.device_view import DeviceBinding, DeviceView, accept_for_device
from allod.trust.effects import drive
from allod.trust.fork_evidence import EVIDENCE, alarm_of
from allod.trust.metadata import cached_target
from allod.wire.codec import instant
from allod.wire.report import Alarm, Refusal, TrustState
from allod.wire.trust import Location

if TYPE_CHECKING:
    from allod.agent.ports import Clock, Transport
    from allod.agent.state_dir import StateDir

_LOG: Final = logging.getLogger(__name__)

#: What another location cannot mend, since each was asked already. The first are no finding.
_EVERYWHERE: Final = SILENT | {"no-token", "unauthenticated", "not-admitted", "bad-certificate"}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How a look at the fleet ended."""

    view: View | None  #: what stands; None: nothing was ever accepted
    fresh: bool  #: it was proved in this run
    failure: AllodError | None = None  #: why not


def accept(transport: Transport, state: StateDir, clock: Clock, bound: Bound) -> Acceptance:
    """Look at the fleet through `transport` and make what is proved the view that stands.

    Several locations are tried in turn where one serves what does not hold.

    Raises:
        Untrusted: `floors-damaged`; nothing may change.
        OSError: the disk refused; the floors that were acknowledged stand.
    """
    store = FloorsStore(state)
    store.load(bound.fleet)
    failure: AllodError | None = None
    width = getattr(transport, "width", 1)
    for turn in range(width):
        if turn:
            transport.prefer(turn)  # type: ignore[attr-defined]
        try:
            found = _once(transport, store, clock, bound)
        except (Untrusted, Unavailable) as error:
            # Kept is the weightiest reason: a proof of tampering tells more than a silence.
            _LOG.warning("not accepted from location %d: %s (%s)", turn, error, error.code)
            if failure is None or isinstance(error, Untrusted):
                failure = error
            if error.code in _EVERYWHERE:
                break
            continue
        except AllodError as error:
            failure = error
            break
        return Acceptance(_stored(found, store, state, bound), fresh=True)
    return Acceptance(_standing(failure, store, state, clock), fresh=False, failure=failure)


def standing(state: StateDir, clock: Clock, bound: Bound) -> Acceptance:
    """The view that was accepted last, without looking anywhere.

    Raises:
        Untrusted: `floors-damaged`.
    """
    store = FloorsStore(state)
    store.load(bound.fleet)
    return Acceptance(_standing(None, store, state, clock), fresh=False)


def _once(transport: Transport, store: FloorsStore, clock: Clock, bound: Bound) -> DeviceView:
    binding = DeviceBinding(bound.device, bound.epoch, bound.groups, bound.accepted_groups)

    def get(path: str, cap: int) -> bytes | None:
        return transport.get(path, cap=cap)

    keep: Callable[..., None] = store.keep
    steps = accept_for_device(
        bound.anchor, store.load(bound.fleet), store.cached(), binding, clock.now()
    )
    return drive(steps, get, keep)


def _stored(found: DeviceView, store: FloorsStore, state: StateDir, bound: Bound) -> View:
    """Make the view durable: first what the device knows of itself, then the view."""
    anchors: tuple[Location, ...] = bound.anchors
    if found.statement is not None:
        anchors = tuple(found.statement.anchors)
    known = with_owner_word(
        bound, groups=found.own_groups, anchors=anchors, further=tuple(found.fleet.locations)
    )
    save_bound(state, known)
    tell_supervisor(state, known)
    floors = found.floors
    view = View(
        fleet_id=bound.fleet,
        device=bound.device,
        epoch=bound.epoch,
        fleet=found.fleet,
        groups=found.groups,
        documents=found.documents,
        authorities=found.authorities,
        raw=_raw(found, store),
        delegates=found.delegates,
        delegate_authorities=found.delegate_authorities,
        delegate_raw=_delegate_raw(found, store),
        gates=found.gates,
        witnessed=found.witnessed,
        providers=found.providers,
        withdrawn=found.withdrawn,
        trust=TrustState(
            root=floors.root_version,
            trust=floors.trust_number,
            roles=dict(floors.roles),
            time=instant(floors.time),
            logs=dict(floors.checkpoints),
            notes=dict(floors.notes),
        ),
        accepted_at=found.decided.astimezone(UTC),
        refusals=found.refusals,
        alarms=(*found.alarms, *store.alarms, *alarm_of(store.read(EVIDENCE))),
    )
    save_view(state.accepted, view)
    return view


def _raw(found: DeviceView, store: FloorsStore) -> dict[Scope, bytes]:
    """The signed bytes of each document that holds, from the cache that step 5 has just filled."""
    cached = store.cached()
    raw = {}
    for scope in found.authorities:
        raw[scope] = cached[cached_target(scope.target_path)]
    return raw


def _delegate_raw(found: DeviceView, store: FloorsStore) -> dict[tuple[str, Scope], bytes]:
    cached = store.cached()
    return {
        (name, scope): cached[cached_target(delegate.delegation.document_path(scope))]
        for name, delegate in found.delegates.items()
        for scope in delegate.documents
    }


def _standing(
    failure: AllodError | None, store: FloorsStore, state: StateDir, clock: Clock
) -> View | None:
    """What was accepted last, with why nothing newer was."""
    refusals: tuple[Refusal, ...] = ()
    alarms = list(store.alarms)
    try:
        view = load_view(state.accepted)
    except Untrusted as error:
        alarms.append(Alarm(code=error.code, says=error.message))
        view = None
    since = instant(max(clock.now(), datetime(1970, 1, 1, tzinfo=UTC)))
    if failure is not None and failure.code not in SILENT:
        refusals = (
            Refusal(code=failure.code, reasons=[failure.message], subject="fleet", since=since),
        )
        if isinstance(failure, Untrusted):
            alarms.append(Alarm(code=failure.code, says=failure.message, since=since))
    if view is None:
        return None
    alarms = [*view.alarms, *alarms, *alarm_of(store.read(EVIDENCE))]
    if failure is not None and failure.code == "stale":
        view = replace(view, trust=msgspec.structs.replace(view.trust, stale=True))
    return view.with_findings(refusals, tuple(alarms))
