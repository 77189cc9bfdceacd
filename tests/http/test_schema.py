"""The administration API against its own OpenAPI document, by Schemathesis, in this process.

Whatever the document allows, and much that it does not: the answer is of a documented status, of
a documented type and shape, and never a failure of the server.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from allod.server.services.limits import Rate
from allod.testing.asgi import Answer, ask
from allod.testing.server import ServerRig
from allod.wire.api import ENROLMENT_HEADER, NewToken

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class World:
    """A server with a fleet, a device with reports, and a token that may do everything."""

    def __init__(self, rig: ServerRig) -> None:
        self.rig = rig
        rig.server.publish._rate = Rate(rig.clock, 1_000_000, "changes")
        rig.server.proposals._rate = Rate(rig.clock, 1_000_000, "proposals")
        device = rig.bound()
        for _ in range(3):
            rig.server.receive_report(rig.fleet, device.id, device.report())
        rig.bound("surplus")
        self.device = device.id
        wanted = NewToken(name="tests", scopes=["admin"])
        self.token = rig.server.api_tokens.issue(rig.fleet, wanted).token
        self.secret = rig.settings.layout.secret("enrolment").read_text().strip()
        self.app = rig.application
        self.document = ask(self.app, "GET", "/api/v1/schema").json

    def headers(self, method: str, template: str) -> dict[str, str]:
        if (method, template) == ("POST", "/api/v1/fleets"):
            return {ENROLMENT_HEADER: self.secret}
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    """Shared: nothing that the tests may do breaks it for the next."""
    rig = ServerRig.make(tmp_path_factory.mktemp("http") / "server")
    yield World(rig)
    rig.server.close()


def operations(world: World):
    schema = schemathesis.openapi.from_asgi(
        "/api/v1/schema", world.app, config=SchemathesisConfig()
    )
    return [result.ok() for result in schema.get_all_operations()]


def send(world: World, case, own: bool) -> None:
    """Send a case, at the world's own fleet and device if `own`, and check the answer."""
    if own:
        values = {"fleet": world.rig.fleet, "device": world.device}
        case.path_parameters = {
            name: values.get(name, value) for name, value in (case.path_parameters or {}).items()
        }
    headers = world.headers(case.method, case.path)
    case.call_and_validate(checks=CHECKS, headers=headers)


NAMES = (
    "GET /api/v1/fleets",
    "POST /api/v1/fleets",
    "GET /api/v1/fleets/{fleet}",
    "POST /api/v1/fleets/{fleet}/changes",
    "GET /api/v1/fleets/{fleet}/changes",
    "POST /api/v1/fleets/{fleet}/floors",
    "GET /api/v1/fleets/{fleet}/alarms",
    "GET /api/v1/fleets/{fleet}/devices",
    "GET /api/v1/fleets/{fleet}/devices/{device}",
    "GET /api/v1/fleets/{fleet}/devices/{device}/reports",
    "GET /api/v1/fleets/{fleet}/devices/{device}/bindings",
    "GET /api/v1/fleets/{fleet}/bindings",
    "GET /api/v1/fleets/{fleet}/recorded",
    "GET /api/v1/fleets/{fleet}/tokens",
    "POST /api/v1/fleets/{fleet}/tokens",
    "DELETE /api/v1/fleets/{fleet}/tokens/{token}",
    "GET /api/v1/fleets/{fleet}/proposals",
    "POST /api/v1/fleets/{fleet}/proposals",
    "GET /api/v1/fleets/{fleet}/proposals/{proposal}",
    "POST /api/v1/fleets/{fleet}/proposals/{proposal}/approvals",
    "POST /api/v1/fleets/{fleet}/proposals/{proposal}/close",
    "GET /api/v1/fleets/{fleet}/channels",
    "POST /api/v1/fleets/{fleet}/channels",
    "GET /api/v1/fleets/{fleet}/rollouts",
    "GET /api/v1/fleets/{fleet}/rollouts/{rollout}",
    "POST /api/v1/fleets/{fleet}/rollouts/{rollout}/pause",
    "POST /api/v1/fleets/{fleet}/rollouts/{rollout}/resume",
)


def test_the_document_names_every_route(world: World) -> None:
    """No route is left out of the tests below, and each says that it may answer with a problem."""
    assert {one.label for one in operations(world)} == set(NAMES)
    for path in world.document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_document_allows(world: World, name: str) -> None:
    """Requests that fit the document: documented answers."""
    operation = next(one for one in operations(world) if one.label == name)

    @EXAMPLES
    @given(case=operation.as_strategy(), own=st.sampled_from([True, True, False]))
    def run(case, own: bool) -> None:
        send(world, case, own)

    run()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "GET /api/v1/fleets"])
def test_what_the_document_forbids(world: World, name: str) -> None:
    """Requests that break the document: documented answers too."""
    operation = next(one for one in operations(world) if one.label == name)
    negative = schemathesis.GenerationMode.NEGATIVE

    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=negative), own=st.booleans())
    def run(case, own: bool) -> None:
        send(world, case, own)

    run()


def problem(answer: Answer, status: int, code: str) -> None:
    """RFC 9457: the type says where to read on, and status and code agree."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json
    assert (said["status"], said["code"]) == (status, code)
    assert said["type"].endswith(f"#{code}")
    assert said["detail"].startswith("cannot ")
    assert {"title", "reasons", "details"} <= said.keys()


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/x-msgpack",
        "application/jsonx",
        "",
    ],
)
def test_only_json_is_read(world: World, kind: str) -> None:
    """A body of another type is refused as such, and is not guessed at."""
    path = f"/api/v1/fleets/{world.rig.fleet}/tokens"
    headers = {**world.headers("POST", path), "content-type": kind}
    body = b'{"name":"x","scopes":["read"]}'
    problem(ask(world.app, "POST", path, body=body, headers=headers), 415, "wrong-content-type")
    headers["content-type"] = "Application/JSON; charset=utf-8"
    assert ask(world.app, "POST", path, body=body, headers=headers).status == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[" * 100_000, 422, "bad-json"),
        (b'{"change":' + b"[" * 100_000, 422, "bad-json"),
        (b'{"base":{"a":1,"a":2}}', 422, "bad-json"),
        (b'{"base":{"a":1e999}}', 400, "bad-request"),
        (b'{"base":{"a":NaN}}', 422, "bad-json"),
        (b'{"base":{"a":' + b"9" * 30_000 + b"}}", 422, "bad-json"),
        (b"\xff\xfe", 422, "bad-json"),
        (b"{}{}", 422, "bad-json"),
        (b"null", 400, "bad-request"),
        (b'{"metadata":{"1.root.json":"!"}}', 400, "bad-request"),
        (b'{"unknown":1}', 400, "bad-request"),
        (b"", 400, "bad-request"),
        (b"{}", 422, "empty-change"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_bodies_that_are_none(world: World, body: bytes, status: int, code: str) -> None:
    """Each kind of bad body has its stable code."""
    path = f"/api/v1/fleets/{world.rig.fleet}/changes"
    answer = ask(world.app, "POST", path, body=body, headers=world.headers("POST", path))
    problem(answer, status, code)


CLIMBING = [
    "..",
    "../../settings.json",
    "..%2f..%2fsettings.json",
    "%2e%2e/%2e%2e/keys/snapshot.pem",
    "....//",
    "/etc/passwd",
    "a\x00b",
    "a/../../b",
    "\\..\\..",
    "sha256:../../../etc/passwd",
    "sha256:" + "0" * 63 + "/",
    "1.root.json/../../../pending.json",
]


@pytest.mark.parametrize("climb", CLIMBING)
def test_no_parameter_of_a_path_climbs(world: World, climb: str) -> None:
    """Every place of every address that takes a name: no file outside, no failure, a 4xx."""
    rig = world.rig
    reader = {"authorization": f"Bearer {world.token}"}
    fleet, device = rig.fleet, world.device
    for path in (
        f"/f/{climb}/tuf/timestamp.json",
        f"/f/{fleet}/{climb}",
        f"/f/{fleet}/tuf/{climb}",
        f"/f/{fleet}/tuf/targets/{climb}",
        f"/f/{fleet}/tuf/targets/state/groups/{climb}",
        f"/f/{fleet}/trust/{climb}",
        f"/f/{fleet}/blobs/{climb}",
        f"/f/{fleet}/channels/{climb}",
        f"/f/{fleet}/channels/acme/stable/{climb}",
        f"/api/v1/fleets/{fleet}/proposals/{climb}",
        f"/f/{fleet}/devices/{climb}/challenge",
        f"/f/{fleet}/devices/{device}/{climb}",
        f"/api/v1/{climb}",
        f"/api/v1/fleets/{climb}",
        f"/api/v1/fleets/{fleet}/{climb}",
        f"/api/v1/fleets/{fleet}/devices/{climb}",
        f"/api/v1/fleets/{fleet}/devices/{climb}/reports",
        f"/api/v1/schema/{climb}",
        f"/v2/{climb}/me/toaster/tags/list",
        f"/v2/{fleet}/{climb}/toaster/tags/list",
        f"/v2/{fleet}/me/{climb}/tags/list",
        f"/v2/{fleet}/me/toaster/manifests/{climb}",
        f"/v2/{fleet}/me/toaster/blobs/{climb}",
        f"/v2/{fleet}/me/toaster/blobs/uploads/{climb}",
        f"/v2/{fleet}/me/toaster/referrers/{climb}",
    ):
        answer = ask(world.app, "GET", path, headers=reader)
        assert 400 <= answer.status < 500, (path, answer.status, answer.body[:200])
        assert b"PRIVATE KEY" not in answer.body
    for path in (
        f"/api/v1/fleets/{fleet}/tokens/{climb}",
        f"/v2/{fleet}/me/toaster/blobs/uploads/{climb}",
    ):
        assert 400 <= ask(world.app, "DELETE", path, headers=reader).status < 500
    for path in (f"/f/{fleet}/devices/{climb}/reports", f"/f/{fleet}/devices/{climb}/token"):
        assert 400 <= ask(world.app, "POST", path, body=b"{}").status < 500


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer \x00",
        "Basic !!!",
        "Basic Og==",
        "Digest x",
        "Bearer allod-read.a.b.c",
        "Bearer allod-read." + "0" * 64 + "." + "0" * 64 + ".99999999999999999999.x",
        "Bearer allod-read." + "0" * 64 + "." + "0" * 64 + ".nan.x",
        "Bearer " + "\xe9" * 100,
        "Bearer " + "a" * 60_000,
    ],
)
def test_bad_tokens(world: World, value: str) -> None:
    """Whatever stands in Authorization: 401 with a hint, everywhere."""
    fleet = world.rig.fleet
    for path in (f"/f/{fleet}/tuf/timestamp.json", f"/f/{fleet}/news", f"/api/v1/fleets/{fleet}"):
        answer = ask(world.app, "GET", path, headers={"authorization": value})
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    path = f"/v2/{fleet}/me/toaster/tags/list"
    assert ask(world.app, "GET", path, headers={"authorization": value}).status == 401


@pytest.mark.parametrize(
    ("path", "cap"),
    [
        ("/f/{fleet}/bindings", 4 * 1024 * 1024),
        ("/f/{fleet}/devices/{device}/token", 16 * 1024),
        ("/f/{fleet}/devices/{device}/reports", 1024 * 1024 * 4 // 3 + 4096),
        ("/api/v1/fleets/{fleet}/tokens", 64 * 1024),
        ("/api/v1/fleets/{fleet}/proposals", 8 * 1024 * 1024),
        ("/api/v1/fleets/{fleet}/proposals/c1/approvals", 64 * 1024),
        ("/api/v1/fleets/{fleet}/channels", 4 * 0xFFFF),
        ("/api/v1/fleets/{fleet}/changes", 64 * 1024 * 1024),
        ("/api/v1/fleets/{fleet}/floors", 64 * 1024 * 1024),
        ("/api/v1/fleets", 64 * 1024 * 1024),
    ],
)
def test_every_body_has_a_cap(world: World, path: str, cap: int) -> None:
    """One byte more than the cap is refused by its declaration alone, without a byte being read;
    so are lengths that are none.
    """
    target = path.format(fleet=world.rig.fleet, device=world.device)
    for length, status, code in (
        (str(cap + 1), 413, "too-large"),
        ("9" * 30, 422, "bad-length"),
        ("-1", 422, "bad-length"),
    ):
        headers = {**world.headers("POST", path), "content-length": length}
        if path.startswith("/f/"):
            headers.pop("Authorization", None)
        problem(ask(world.app, "POST", target, headers=headers), status, code)
