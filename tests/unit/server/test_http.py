"""The HTTP edge: who may read, what comes back, and what a bad request gets."""

from __future__ import annotations

import asyncio
import base64
import time

import pytest

from allod.domain.desired import StateDocument
from allod.domain.ids import GroupName, group_scope, sha256
from allod.errors import InvalidInput
from allod.server.http.ranges import parse_range
from allod.testing.asgi import ask, exchange
from allod.testing.repository import key_from
from allod.testing.server import ServerRig, upload_of
from allod.wire.api import NewToken
from allod.wire.codec import encode


@pytest.fixture
def app(rig: ServerRig):
    """The whole application."""
    return rig.application


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def problem(answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"].startswith("cannot ")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_device_binds_gets_a_token_and_reads(rig: ServerRig, app) -> None:
    """Binding, challenge, token, metadata, target, trust, report: all over HTTP."""
    device, base = rig.device(), f"/f/{rig.fleet}"
    binding = device.bind(rig.simulator.invite(), rig.clock.moment)
    assert ask(app, "POST", f"{base}/bindings", body=binding).json["surplus"] is False
    challenge = ask(app, "GET", f"{base}/devices/{device.id}/challenge").json["challenge"]
    answer = ask(
        app, "POST", f"{base}/devices/{device.id}/token", body=device.token_request(challenge)
    )
    headers = bearer(answer.json["token"])
    timestamp = ask(app, "GET", f"{base}/tuf/timestamp.json", headers=headers)
    assert timestamp.status == 200
    assert timestamp.headers["cache-control"] == "no-cache"
    again = {**headers, "if-none-match": timestamp.headers["etag"]}
    assert ask(app, "GET", f"{base}/tuf/timestamp.json", headers=again).status == 304
    metadata = ask(app, "GET", f"{base}/tuf/2.targets.json", headers=headers)
    assert metadata.body == rig.simulator.files["tuf/2.targets.json"]
    assert "immutable" in metadata.headers["cache-control"]
    statement = ask(app, "GET", f"{base}/trust/1.json", headers=headers)
    assert statement.body == rig.simulator.files["trust/1.json"]
    report = ask(app, "POST", f"{base}/devices/{device.id}/reports", body=device.report())
    assert report.json == {"sequence": 1, "duplicate": False}


@pytest.mark.parametrize(
    "path", ["tuf/timestamp.json", "tuf/2.targets.json", "trust/1.json", "news?after=0", "blobs/x"]
)
def test_nothing_is_read_without_a_token(rig: ServerRig, app, path: str) -> None:
    """What a fleet runs is nobody else's business."""
    problem(ask(app, "GET", f"/f/{rig.fleet}/{path}"), 401, "unauthenticated")
    headers = bearer("allod-read." + "x" * 80)
    problem(ask(app, "GET", f"/f/{rig.fleet}/{path}", headers=headers), 401, "unauthenticated")


def test_a_token_opens_its_own_fleet_only(rig: ServerRig, app, tmp_path) -> None:
    """A device of one fleet reads nothing of another on the same server."""
    token = rig.token(rig.bound())
    first = rig.fleet
    other = ServerRig.make(tmp_path / "other", name="other")
    other.server.close()
    for role in ("snapshot", "timestamp"):
        key = other.settings.layout.key(role).read_bytes()
        rig.settings.layout.key(role).write_bytes(key)
    rig.simulator = other.simulator
    rig.restart()
    rig.server.admit_fleet(rig.genesis())
    app = rig.application
    ok = ask(app, "GET", f"/f/{first}/tuf/timestamp.json", headers=bearer(token))
    assert ok.status == 200
    answer = ask(app, "GET", f"/f/{rig.fleet}/tuf/timestamp.json", headers=bearer(token))
    problem(answer, 401, "unauthenticated")
    problem(
        ask(app, "GET", f"/f/{rig.fleet}/news?after=1", headers=bearer(token)),
        401,
        "unauthenticated",
    )


def test_a_retired_devices_token_ends_also_on_the_hot_path(rig: ServerRig, app) -> None:
    """A token that the poll remembers stops counting when the owner retires the device."""
    from allod.domain.desired import DeviceRecord
    from allod.domain.ids import device_scope

    device = rig.bound()
    headers = bearer(rig.token(device))
    for _ in range(2):
        assert ask(app, "GET", f"/f/{rig.fleet}/news?after=1", headers=headers).status == 204
    document = StateDocument(
        rig.fleet, device_scope(device.id), {}, device=DeviceRecord(1, "retired")
    )
    rig.change(rig.simulator.set_state(document))
    for path in ("news?after=2", "tuf/timestamp.json"):
        answer = ask(app, "GET", f"/f/{rig.fleet}/{path}", headers=headers)
        problem(answer, 401, "unauthenticated")


def test_a_remembered_token_expires(rig: ServerRig, app) -> None:
    """The hot path looks at the time of the token, not only at its name."""
    headers = bearer(rig.token(rig.bound()))
    for _ in range(2):
        assert ask(app, "GET", f"/f/{rig.fleet}/news?after=1", headers=headers).status == 204
    rig.clock.pass_time(hours=25)
    answer = ask(app, "GET", f"/f/{rig.fleet}/news?after=1", headers=headers)
    problem(answer, 401, "unauthenticated")


def test_a_public_fleet_is_read_by_anybody_and_written_by_nobody(tmp_path) -> None:
    """A fleet that declares itself public needs no token for reads; its API still does."""
    rig = ServerRig.make(tmp_path / "server", public=True)
    app = rig.application
    assert ask(app, "GET", f"/f/{rig.fleet}/tuf/timestamp.json").status == 200
    problem(ask(app, "GET", f"/api/v1/fleets/{rig.fleet}"), 403, "forbidden")
    body = encode({"metadata": {}})
    answer = ask(app, "POST", f"/api/v1/fleets/{rig.fleet}/changes", body=body)
    problem(answer, 403, "forbidden")
    rig.server.close()


def test_news_waits_and_wakes(rig: ServerRig, app) -> None:
    """A long poll ends at once when something is published, and empty when its time is over."""
    headers = bearer(rig.token(rig.bound()))
    path = f"/f/{rig.fleet}/news"

    async def scene():
        waiting = asyncio.create_task(
            exchange(app, "GET", f"{path}?after=1&wait=30", headers=headers)
        )
        await asyncio.sleep(0.1)
        begin = time.monotonic()
        publication = rig.simulator.set_state(
            StateDocument(rig.fleet, group_scope(GroupName("kitchen")), {})
        )
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, rig.change, publication)
        answer = await waiting
        empty = await exchange(app, "GET", f"{path}?after=2&wait=0.05", headers=headers)
        behind = await exchange(app, "GET", f"{path}?after=99", headers=headers)
        return answer, time.monotonic() - begin, empty, behind

    answer, took, empty, behind = asyncio.run(scene())
    assert (answer.status, answer.json) == (200, {"news": 2})
    assert took < 5
    assert empty.status == 204
    # A device that saw a later counter (before a restore) learns the present one.
    assert behind.json == {"news": 2}


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=1&wait=nan", "after=1&wait=-1"])
def test_a_bad_query_is_said_so(rig: ServerRig, app, query: str) -> None:
    """Numbers that are none get a problem and no traceback."""
    headers = bearer(rig.token(rig.bound()))
    problem(ask(app, "GET", f"/f/{rig.fleet}/news?{query}", headers=headers), 422, "bad-query")


def test_a_blob_in_ranges(rig: ServerRig, app) -> None:
    """A transfer that was cut goes on where it stopped; HEAD tells the size."""
    data = bytes(range(256)) * 4096
    digest = sha256(data)
    rig.server.stores.blobs(rig.fleet).put(digest, [data])
    headers = bearer(rig.token(rig.bound()))
    path = f"/f/{rig.fleet}/blobs/{digest}"
    whole = ask(app, "GET", path, headers=headers)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["content-length"] == str(len(data))
    rest = ask(app, "GET", path, headers={**headers, "range": "bytes=1000000-"})
    assert (rest.status, rest.body) == (206, data[1000000:])
    assert rest.headers["content-range"] == f"bytes 1000000-{len(data) - 1}/{len(data)}"
    stale = ask(app, "GET", path, headers={**headers, "range": "bytes=5-", "if-range": '"x"'})
    assert stale.status == 200
    head = ask(app, "HEAD", path, headers=headers)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(data)))
    beyond = ask(app, "GET", path, headers={**headers, "range": f"bytes={len(data)}-"})
    problem(beyond, 416, "range-not-satisfiable")
    missing = ask(app, "GET", f"/f/{rig.fleet}/blobs/sha256:{'0' * 64}", headers=headers)
    problem(missing, 404, "not-found")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 10)),
        ("bytes=-10", (90, 10)),
        ("bytes=-1000", (0, 100)),
        ("bytes=95-1000", (95, 5)),
        ("bytes=9-1", None),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=-", None),
    ],
)
def test_ranges(text: str, answer) -> None:
    """One range is honoured; several or unknown ones mean the whole."""
    assert parse_range(text, 100) == answer


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=-0"])
def test_ranges_beyond_the_end(text: str) -> None:
    """A range without a byte is refused."""
    with pytest.raises(InvalidInput):
        parse_range(text, 100)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/f/x/news", 404, "not-found"),
        ("GET", f"/f/{'0' * 64}/news", 404, "not-found"),
        ("GET", "/f/{fleet}", 404, "not-found"),
        ("POST", "/f/{fleet}/news", 405, "method-not-allowed"),
        ("GET", "/f/{fleet}/bindings", 405, "method-not-allowed"),
        ("GET", "/f/{fleet}/devices/x/challenge", 404, "not-found"),
        ("POST", "/f/{fleet}/devices/{device}/challenge", 405, "method-not-allowed"),
        ("GET", "/f/{fleet}/devices/{device}/other", 404, "not-found"),
        ("GET", "/api/v1/nothing", 401, "unauthenticated"),
    ],
)
def test_unknown_addresses(rig: ServerRig, app, method, path, status, code) -> None:
    """Every wrong address or verb gets a problem of the one table."""
    path = path.replace("{fleet}", rig.fleet).replace("{device}", "a" * 64)
    problem(ask(app, method, path), status, code)


@pytest.mark.parametrize(
    "name", ["tuf/../../../secrets/token", "tuf/%2e%2e/x", "tuf/targets/..", "trust/0.json", "tuf/"]
)
def test_no_way_out_of_the_directory(rig: ServerRig, app, name: str) -> None:
    """Whatever the path says, only published files are served."""
    headers = bearer(rig.token(rig.bound()))
    problem(ask(app, "GET", f"/f/{rig.fleet}/{name}", headers=headers), 404, "not-found")


def test_bodies_have_caps(rig: ServerRig, app) -> None:
    """Too much is refused before it is read, and while it comes if it lied about its length."""
    path = f"/f/{rig.fleet}/devices/{'a' * 64}/token"
    big = b"x" * 20_000
    problem(ask(app, "POST", path, body=big), 413, "too-large")
    lying = ask(app, "POST", path, body=big, headers={"content-length": "5"}, pieces=10)
    problem(lying, 413, "too-large")
    bad = ask(app, "POST", path, body=b"x", headers={"content-length": "1e3"})
    problem(bad, 422, "bad-length")


def test_a_slow_body_is_given_up(rig: ServerRig) -> None:
    """A client that drips its body is cut off; it holds no thread meanwhile."""
    from dataclasses import replace

    rig.settings = replace(rig.settings, body_seconds=0.05)
    rig.restart()
    app = rig.application

    async def scene():
        said = []

        async def receive():
            await asyncio.sleep(10)

        async def send(message):
            said.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/f/{rig.fleet}/bindings",
            "query_string": b"",
            "headers": [],
        }
        await app(scope, receive, send)
        return said[0]["status"]

    assert asyncio.run(scene()) == 503


def test_too_many_at_once_are_turned_away(rig: ServerRig) -> None:
    """Beyond its connections the server says so at once, and goes on for the others."""
    from dataclasses import replace

    rig.settings = replace(rig.settings, connections=1)
    rig.restart()
    app = rig.application
    headers = bearer(rig.token(rig.bound()))

    async def scene():
        path = f"/f/{rig.fleet}/news?after=1&wait=0.3"
        first = asyncio.create_task(exchange(app, "GET", path, headers=headers))
        await asyncio.sleep(0.05)
        second = await exchange(app, "GET", "/health")
        return (await first).status, second

    first, second = asyncio.run(scene())
    assert first == 204
    problem(second, 429, "too-many")
    assert ask(app, "GET", "/health").status == 200


def test_a_bug_tells_nothing(rig: ServerRig, app, monkeypatch) -> None:
    """An unexpected failure is a problem without a trace of the code."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(type(rig.server.read_tokens), "challenge", broken)
    answer = ask(app, "GET", f"/f/{rig.fleet}/devices/{'a' * 64}/challenge")
    problem(answer, 500, "internal")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body


def api(rig: ServerRig, app, method: str, path: str, body: bytes = b"", key=None):
    path, _, query = path.partition("?")
    full = f"/api/v1{path}"
    headers = rig.signed(method, full, body, query=query, key=key)
    return ask(app, method, full + (f"?{query}" if query else ""), body=body, headers=headers)


def test_a_change_over_the_api(rig: ServerRig, app) -> None:
    """A signed upload is published; what it changed can be listed."""
    publication = rig.simulator.set_state(
        StateDocument(rig.fleet, group_scope(GroupName("kitchen")), {})
    )
    body = encode(upload_of(publication, rig.base(publication)))
    answer = api(rig, app, "POST", f"/fleets/{rig.fleet}/changes", body)
    assert (answer.status, answer.json["news"]) == (201, 2)
    late = api(rig, app, "POST", f"/fleets/{rig.fleet}/changes", encode({"base": {"targets": 1}}))
    problem(late, 409, "out-of-date")
    listed = api(rig, app, "GET", f"/fleets/{rig.fleet}/changes?after=1").json["changes"]
    assert [entry["targets"] for entry in listed] == [["state/groups/kitchen.json"]]
    shown = api(rig, app, "GET", f"/fleets/{rig.fleet}").json
    assert (shown["news"], shown["name"], shown["restored"]) == (2, "home", False)
    assert api(rig, app, "GET", "/fleets").json["fleets"][0]["fleet"] == rig.fleet


def test_a_request_counts_once(rig: ServerRig, app) -> None:
    """A signed request that is played again is refused, also after a restart if it changed something."""
    path = f"/api/v1/fleets/{rig.fleet}/tokens"
    body = encode(NewToken(name="ci", scopes=["read"]))
    headers = rig.signed("POST", path, body)
    assert ask(app, "POST", path, body=body, headers=headers).status == 201
    problem(ask(app, "POST", path, body=body, headers=headers), 422, "replayed")
    rig.restart()
    problem(ask(rig.application, "POST", path, body=body, headers=headers), 422, "replayed")
    rig.clock.pass_time(minutes=10)
    again = ask(rig.application, "POST", path, body=body, headers=headers)
    problem(again, 422, "signature-too-old")


def test_a_signature_covers_the_body(rig: ServerRig, app) -> None:
    """Another body under the same signature is refused."""
    path = f"/api/v1/fleets/{rig.fleet}/tokens"
    headers = rig.signed("POST", path, b'{"name":"ci","scopes":["read"]}')
    other = b'{"name":"ci","scopes":["admin"]}'
    problem(ask(app, "POST", path, body=other, headers=headers), 422, "bad-signature")


def test_a_strangers_key_is_nobody(rig: ServerRig, app) -> None:
    """A signature by a key that the owner did not list opens nothing."""
    answer = api(rig, app, "GET", f"/fleets/{rig.fleet}", key=key_from("stranger"))
    problem(answer, 401, "unauthenticated")


def test_roles_and_scopes(rig: ServerRig, app) -> None:
    """Each right is needed where it is needed: a reading token publishes nothing."""
    tokens = {
        scope: rig.server.api_tokens.issue(rig.fleet, NewToken(name=scope, scopes=[scope])).token
        for scope in ("read", "push", "publish", "admin")
    }
    base = f"/api/v1/fleets/{rig.fleet}"

    def status(scope: str, method: str, path: str, body: bytes = b"") -> int:
        return ask(app, method, base + path, body=body, headers=bearer(tokens[scope])).status

    assert status("read", "GET", "/devices") == 200
    assert status("push", "GET", "/devices") == 403
    assert status("read", "POST", "/changes", b"{}") == 403
    assert status("publish", "POST", "/changes", b"{}") == 422
    assert status("publish", "GET", "/tokens") == 403
    assert status("admin", "GET", "/tokens") == 200
    password = base64.b64encode(f"ci:{tokens['read']}".encode()).decode()
    basic = ask(app, "GET", base + "/alarms", headers={"authorization": f"Basic {password}"})
    assert basic.status == 200


def test_a_token_is_made_listed_and_revoked(rig: ServerRig, app) -> None:
    """A token works until it is revoked or over; its secret is shown once and kept nowhere."""
    path = f"/fleets/{rig.fleet}/tokens"
    made = api(rig, app, "POST", path, encode(NewToken(name="ci", scopes=["read"], days=1))).json
    secret = made["token"]
    files = [file.read_text() for file in rig.directory.rglob("tokens/*.json")]
    assert len(files) == 1
    assert secret not in files[0]
    headers = bearer(secret)
    assert ask(app, "GET", f"/api/v1/fleets/{rig.fleet}", headers=headers).status == 200
    rig.clock.pass_time(hours=25)
    problem(ask(app, "GET", f"/api/v1/fleets/{rig.fleet}", headers=headers), 401, "unauthenticated")
    rig.clock.pass_time(hours=-25)
    assert api(rig, app, "DELETE", f"{path}/{made['info']['id']}").status == 204
    problem(ask(app, "GET", f"/api/v1/fleets/{rig.fleet}", headers=headers), 401, "unauthenticated")
    problem(api(rig, app, "DELETE", f"{path}/{made['info']['id']}"), 404, "not-found")
    bad = api(rig, app, "POST", path, encode(NewToken(name="ci", scopes=["read"], days=9999)))
    problem(bad, 422, "bad-token")


def test_admission_needs_the_secret_of_the_offer(rig: ServerRig, app) -> None:
    """Without the secret no fleet is admitted, and nothing of the body is read."""
    for headers in ({}, {"allod-enrolment": "guess"}):
        answer = ask(app, "POST", "/api/v1/fleets", body=b"{", headers=headers)
        problem(answer, 401, "unauthenticated")
    secret = rig.settings.layout.secret("enrolment").read_text()
    answer = ask(
        app,
        "POST",
        "/api/v1/fleets",
        body=encode(rig.genesis()),
        headers={"allod-enrolment": secret},
    )
    assert (answer.status, answer.json["fleet"]) == (201, rig.fleet)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"base":1}', b'{"unknown":{}}', b"\xff"])
def test_a_body_that_is_no_upload(rig: ServerRig, app, body: bytes) -> None:
    """Bodies that do not fit are a problem with status 4xx."""
    answer = api(rig, app, "POST", f"/fleets/{rig.fleet}/changes", body)
    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_schema_is_there(app) -> None:
    """The OpenAPI document is served to anybody, in version 3.1."""
    answer = ask(app, "GET", "/api/v1/schema/openapi.json")
    assert answer.status == 200
    assert answer.json["openapi"].startswith("3.1")
    assert "/api/v1/fleets/{fleet}/changes" in answer.json["paths"]
