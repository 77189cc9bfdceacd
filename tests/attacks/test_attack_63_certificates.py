"""Attack 63, TLS part: certificates run out, or are lost with their CA."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from allod.agent.acceptance import accept
from allod.agent.bound import Bound
from allod.agent.transport import HttpTransport
from allod.domain.ids import FleetId
from allod.errors import Unavailable
from allod.testing.clock import StoppedClock
from allod.testing.link import SimulatedDevice
from allod.testing.local_server import Request, local_server, make_authority, server_context
from allod.testing.repository import RepositorySimulator
from allod.wire.trust import Location

FLEET = FleetId("f" * 64)
YEARS = timedelta(days=3650)
SPANS = {
    "expired for ten years": (2 * YEARS, -YEARS),
    "valid in ten years": (-YEARS, 2 * YEARS),
}


def ok(request: Request) -> None:
    request.answer(200, b"{}")


def look(url: str, *pins: str) -> bytes | None:
    places = [Location(url=url, pins=list(pins))]
    return HttpTransport(FLEET, places, StoppedClock()).get("tuf/timestamp.json", cap=100)


@pytest.mark.parametrize("span", SPANS)
def test_attack_63_validity_dates_do_not_cut_a_fleet_off(tmp_path: Path, span: str) -> None:
    """Server certificate, CA, or both, as seen by whatever the device's clock says."""
    age, left = SPANS[span]
    good, odd = make_authority("good"), make_authority("odd", age=age, left=left)
    contexts = [
        (good, server_context(good, tmp_path, age=age, left=left)),
        (odd, server_context(odd, tmp_path)),
        (odd, server_context(odd, tmp_path, age=age, left=left)),
    ]
    for authority, context in contexts:
        with local_server(ok, context) as server:
            assert look(server.url, authority.pem) == b"{}"


def test_attack_63_the_spare_ca_takes_over(tmp_path: Path) -> None:
    """The certificate is lost; the server gets one from the spare, which devices have pinned too."""
    present, spare, stranger = (make_authority(name) for name in ("present", "spare", "stranger"))
    with local_server(ok, server_context(spare, tmp_path)) as server:
        assert look(server.url, present.pem, spare.pem) == b"{}"
        with pytest.raises(Unavailable) as caught:
            look(server.url, present.pem, stranger.pem)
        assert caught.value.code == "bad-certificate"


def served(source: RepositorySimulator):
    def act(request: Request) -> None:
        found = source.get(request.path.removeprefix(f"/f/{source.anchor.fleet}/"), 1 << 20)
        request.answer(404) if found is None else request.answer(200, found)

    return act


def test_attack_63_new_pins_come_from_the_owners_document(tmp_path: Path) -> None:
    """Both CAs are lost. A mirror still stands; over it the owner's new pins reach the device."""
    source = RepositorySimulator()
    device = SimulatedDevice(tmp_path / "device", source)
    lost, new, mirror = (make_authority(name) for name in ("lost", "new", "mirror"))

    def through(bound: Bound, *known: Location):
        way = HttpTransport(bound.fleet, [*known, *bound.further], device.clock)
        return accept(way, device.state, device.clock, bound)

    with (
        local_server(served(source), server_context(new, tmp_path)) as main,
        local_server(served(source), server_context(mirror, tmp_path)) as other,
    ):
        bound = device.bind(source.invite())
        old = Location(url=main.url, pins=[lost.pem])
        assert through(bound, old).failure.code == "bad-certificate"
        source.set_fleet(locations=[Location(url=main.url, pins=[new.pem])])
        assert through(bound, old, Location(url=other.url, pins=[mirror.pem])).fresh
        before = len(main.requests)
        assert through(device.bound, old).fresh  # by the new pin, learned and kept
        assert len(main.requests) > before
