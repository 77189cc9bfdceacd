"""Sign snapshot and timestamp anew before they expire, so that devices see that nothing is hidden."""

from __future__ import annotations

from datetime import timedelta

import structlog

from allod.domain.ids import FleetId
from allod.errors import AllodError
from allod.server.services.fleets import FleetState
from allod.server.services.online import sign_online
from allod.server.services.publication import Pending, Publications
from allod.server.services.publish import make_pending
from allod.server.services.records import Kind, make_record

_log = structlog.get_logger("allod.server.refresh")


class Refresh:
    """The use case."""

    def __init__(self, publications: Publications) -> None:
        self._publications = publications

    def __call__(self, fleet: FleetId) -> bool:
        """Refresh a fleet if half of the timestamp's life is over; whether it was."""
        publications = self._publications
        with publications.lock(fleet):
            publications.recover(fleet)
            state = publications.fleets.need(fleet)
            half: timedelta = publications.keys.timestamp_life / 2
            if state.online.expires - publications.stores.clock.now() > half:
                return False
            publications.carry_out(resigned(publications, state, "refresh"))
            return True

    def all(self) -> None:
        """Refresh every fleet; one that cannot be does not stop the others."""
        for state in self._publications.fleets.all():
            try:
                self(state.fleet)
            except (AllodError, OSError) as error:
                _log.error("refresh-failed", fleet=state.fleet, exc_info=error)


def resigned(
    publications: Publications,
    state: FleetState,
    kind: Kind,
    *,
    snapshot_above: int = 0,
    timestamp_above: int = 0,
) -> Pending:
    """The same state under a new snapshot and timestamp, above the published and given versions."""
    now = publications.stores.clock.now()
    online = sign_online(
        publications.keys.under(state.anchor.root),
        now,
        previous=state.online,
        changed={},
        snapshot_above=snapshot_above,
        timestamp_above=timestamp_above,
    )
    roles = {**state.versions, **online.versions}
    record = make_record(state.news, state.fleet, kind, now, roles=roles)
    return make_pending(record, {}, {}, online)
