"""Who may do what, on every route, however the address is written."""

from __future__ import annotations

import pytest

from allod.domain.ids import FleetId
from allod.server.services.online import OnlineKeys
from allod.testing.asgi import ask
from allod.testing.server import ServerRig
from allod.wire.api import ENROLMENT_HEADER
from allod.wire.codec import encode

ROUTES = (
    ("GET", ""),
    ("GET", "/changes"),
    ("POST", "/changes"),
    ("POST", "/floors"),
    ("GET", "/alarms"),
    ("GET", "/devices"),
    ("GET", "/devices/{device}"),
    ("GET", "/devices/{device}/reports"),
    ("GET", "/devices/{device}/bindings"),
    ("GET", "/bindings"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/0123"),
    ("GET", "/proposals"),
    ("POST", "/proposals"),
    ("GET", "/proposals/c1"),
    ("POST", "/proposals/c1/approvals"),
    ("POST", "/proposals/c1/close"),
    ("GET", "/channels"),
    ("POST", "/channels"),
    ("GET", "/rollouts"),
    ("GET", "/rollouts/r1"),
    ("POST", "/rollouts/r1/pause"),
    ("POST", "/rollouts/r1/resume"),
)
BODIES = {
    "/floors": b'{"metadata":{}}',
    "/tokens": b'{"name":"ci","scopes":["admin"]}',
    "/changes": b"{}",
    "/proposals": b'{"type":"allod.proposal","format":1,"id":"c1","fleet":"","at":"","entries":[]}',
    "/proposals/c1/approvals": b'{"approval":{"payloadType":"","payload":"","signatures":[]}}',
    "/proposals/c1/close": b'{"state":"withdrawn"}',
    "/channels": b'{"document":""}',
    "/rollouts/r1/pause": b"{}",
    "/rollouts/r1/resume": b"{}",
}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def two(rig: ServerRig, tmp_path) -> tuple[ServerRig, ServerRig]:
    """Two fleets on one server: the second rig's own server stands for its owner only."""
    other = ServerRig.make(tmp_path / "other", name="other")
    admit(rig, other)
    return rig, other


def admit(rig: ServerRig, other: ServerRig) -> None:
    """Let the first server serve the other's fleet too, under the other's online keys."""
    owner, publications = other.simulator.owner, rig.server.publications
    mine = publications.keys
    publications.keys = OnlineKeys(owner.snapshot, owner.timestamp)
    rig.server.admit_fleet(other.genesis())
    publications.keys = mine


@pytest.mark.parametrize(("method", "tail"), ROUTES)
def test_every_route_asks_who_calls_and_for_which_fleet(two, method: str, tail: str) -> None:
    """Nobody, a device, and another fleet's owner get no answer from any route of the API."""
    rig, other = two
    app = rig.application
    device = rig.bound()
    path = f"/api/v1/fleets/{rig.fleet}{tail.format(device=device.id)}"
    body = BODIES.get(tail, b"") if method == "POST" else b""
    assert ask(app, method, path, body=body).status == 401
    reader = ask(app, method, path, body=body, headers=bearer(rig.token(device)))
    assert (reader.status, reader.json["code"]) == (403, "forbidden")
    stranger = other.signed(method, path, body)
    assert ask(app, method, path, body=body, headers=stranger).status == 401
    assert ask(app, method, path, body=body, headers=bearer("allod-api.made-up")).status == 401


@pytest.mark.parametrize("form", ["/api/v1//fleets/{}", "/api/v1/fleets//{}", "/api/v1/fleets/{}/"])
@pytest.mark.parametrize("tail", ["", "devices", "tokens", "changes"])
def test_another_spelling_of_an_address_opens_no_other_fleet(two, form: str, tail: str) -> None:
    """Doubled and trailing slashes do not blind the gate to the fleet that is asked for."""
    rig, other = two
    app = rig.application
    path = form.format(rig.fleet) + (f"/{tail}" if tail else "")
    assert ask(app, "GET", path, headers=other.signed("GET", path)).status in {401, 403, 404}


def test_a_principal_of_another_fleet_is_stopped_at_the_route_too(rig: ServerRig, app) -> None:
    """The routes compare the fleets themselves, should the gate ever be mistaken."""
    from allod.server.http.route_parts import PRINCIPAL
    from allod.server.services.access import ADMIN, ORDER, PROPOSE, PUBLISH, PUSH, READ, Principal

    inner = app._admin._inner

    async def as_another(scope, receive, send) -> None:
        scope[PRINCIPAL] = Principal(
            "person",
            "x",
            frozenset({READ, PUSH, ORDER, PROPOSE, PUBLISH, ADMIN}),
            FleetId("f" * 64),
        )
        await inner(scope, receive, send)

    for method, tail in ROUTES:
        body = BODIES.get(tail, b"") if method == "POST" else b""
        path = f"/api/v1/fleets/{rig.fleet}{tail.format(device='a' * 64)}"
        answer = ask(as_another, method, path, body=body)
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), path


@pytest.mark.parametrize("path", ["/api/v1/fleets/", "/api/v1//fleets", "/api/v1/fleets"])
def test_no_spelling_admits_a_fleet_without_the_secret(two, path: str) -> None:
    """A device's read token, an owner's key, or nothing at all: none of them admits a fleet."""
    rig, _ = two
    app, body = rig.application, encode(rig.genesis())
    for headers in (bearer(rig.token(rig.bound())), rig.signed("POST", path, body), {}):
        answer = ask(app, "POST", path, body=body, headers=headers)
        assert answer.status in {401, 404}, answer.body
    wrong = {ENROLMENT_HEADER: "guess"}
    assert ask(app, "POST", path, body=body, headers=wrong).status in {401, 404}


def test_the_operator_comes_to_fleets_that_are_there(rig: ServerRig, app) -> None:
    """The enrolment secret opens no fleet that the server does not have."""
    secret = rig.settings.layout.secret("enrolment").read_text().strip()
    headers = {ENROLMENT_HEADER: secret}
    path = f"/api/v1/fleets/{'0' * 64}/devices"
    assert ask(app, "GET", path, headers=headers).status == 404
    path = f"/api/v1/fleets/{rig.fleet}/tokens"
    assert ask(app, "GET", path, headers=headers).status == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_the_schema_is_read_and_not_written(rig: ServerRig, app, method: str) -> None:
    """The one address without a caller takes nothing."""
    answer = ask(app, method, "/api/v1/schema")
    assert answer.status == (200 if method == "GET" else 405 if method == "HEAD" else 401)


def test_a_device_reads_no_other_devices_document(rig: ServerRig, app) -> None:
    """What is configured for one device alone is no other device's business; the owner reads it."""
    from tests.unit.server.test_devices import record

    one, other = rig.bound("one"), rig.bound("other", invite="invite-2")
    record(rig, one)
    target = rig.simulator.draft().target(f"state/devices/{one.id}.json")
    assert target is not None
    path = f"/f/{rig.fleet}/tuf/targets/state/devices/{target.hashes['sha256']}.{one.id}.json"
    assert ask(app, "GET", path, headers=bearer(rig.token(one))).status == 200
    denied = ask(app, "GET", path, headers=bearer(rig.token(other)))
    assert (denied.status, denied.json["code"]) == (403, "forbidden")
    assert ask(app, "GET", path, headers=rig.signed("GET", path)).status == 200


@pytest.fixture
def app(rig: ServerRig):
    """The whole application."""
    return rig.application
