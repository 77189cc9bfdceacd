"""The transport over real HTTP(S) servers on this machine, well-behaved and otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from allod.agent.transport import HttpTransport, merged, server_path
from allod.agent.transport_http import Limits
from allod.domain.ids import FleetId
from allod.errors import AllodError, Conflict, InvalidInput, Refused, Unavailable
from allod.testing.clock import StoppedClock
from allod.testing.local_server import (
    LocalServer,
    Request,
    local_server,
    make_authority,
    serve_directory,
    server_context,
)
from allod.wire.trust import Location

FLEET = FleetId("f" * 64)
QUICK = Limits(connect=1, silence=0.4, headers=0.6, whole=1.0, window=0.3, rate=1024)


def transport(*servers: LocalServer, pins: tuple[str, ...] = (), **options: int) -> HttpTransport:
    """A transport over the servers, in order."""
    places = [Location(url=server.url, pins=list(pins)) for server in servers]
    return HttpTransport(FLEET, places, StoppedClock(), limits=QUICK, **options)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A served directory with one metadata file and one blob."""
    room = tmp_path / "f" / FLEET / "tuf"
    room.mkdir(parents=True)
    (room / "timestamp.json").write_bytes(b"{}")
    blob = tmp_path / "v2" / FLEET / "me" / "toaster" / "blobs"
    blob.mkdir(parents=True)
    (blob / "sha256:aa").write_bytes(bytes(range(256)) * 4096)
    return tmp_path


BLOB = f"v2/{FLEET}/me/toaster/blobs/sha256:aa"


def test_a_file_comes_whole_and_a_missing_one_is_none(files: Path) -> None:
    """200 gives the bytes, 404 gives None, over one kept-alive connection."""
    with local_server(serve_directory(files)) as server:
        way = transport(server)
        assert way.get("tuf/timestamp.json", cap=10) == b"{}"
        assert way.get("tuf/9.root.json", cap=10) is None
        assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_cap_is_held_before_the_body_is_read(files: Path) -> None:
    """One byte above the cap is refused; exactly the cap is taken."""
    with local_server(serve_directory(files)) as server:
        way = transport(server)
        assert way.get("tuf/timestamp.json", cap=2) == b"{}"
        with pytest.raises(Unavailable) as caught:
            way.get("tuf/timestamp.json", cap=1)
        assert caught.value.code == "too-large"


def test_a_body_without_a_stated_length_is_refused() -> None:
    """Chunked framing, which could be dripped for ever, is not taken."""

    def act(request: Request) -> None:
        request.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")

    with local_server(act) as server, pytest.raises(Unavailable) as caught:
        transport(server).get("tuf/timestamp.json", cap=10)
    assert caught.value.code == "no-length"


def test_a_mirror_stands_in_for_a_location_that_is_down(files: Path) -> None:
    """A refused connection costs nothing but a try of the next one."""
    with local_server(serve_directory(files)) as gone:
        pass
    with local_server(serve_directory(files)) as server:
        way = transport(gone, server)
        assert way.get("tuf/timestamp.json", cap=10) == b"{}"
        assert way.get("tuf/9.root.json", cap=10) is None


def test_a_file_that_only_a_mirror_has_is_found(files: Path) -> None:
    """A 404 of one location is not the word of all."""
    with (
        local_server(lambda r: r.answer(404)) as first,
        local_server(serve_directory(files)) as second,
    ):
        assert transport(first, second).get("tuf/timestamp.json", cap=10) == b"{}"


def failing_stream(server: LocalServer, offset: int) -> Unavailable:
    """What a transfer ends with."""
    way = transport(server)
    with pytest.raises(Unavailable) as caught, way.stream(BLOB, offset=offset) as pieces:
        b"".join(pieces)
    return caught.value


def test_stream_goes_on_from_an_offset(files: Path) -> None:
    """A resumed transfer asks only for what is missing."""
    data = (files / BLOB).read_bytes()
    with local_server(serve_directory(files)) as server:
        with transport(server).stream(BLOB, offset=1000) as pieces:
            assert b"".join(pieces) == data[1000:]
        assert server.requests[0].headers["range"] == "bytes=1000-"


def test_stream_skips_where_a_server_knows_no_ranges(files: Path) -> None:
    """A 200 to a range request is the whole file; what is there already is not given again."""
    data = (files / BLOB).read_bytes()
    act = lambda r: r.answer(200, data)  # noqa: E731
    with local_server(act) as server, transport(server).stream(BLOB, offset=100_001) as pieces:
        assert b"".join(pieces) == data[100_001:]


def test_stream_refuses_another_range_than_it_asked_for(files: Path) -> None:
    """A 206 that starts elsewhere would shift the file's bytes."""
    act = lambda r: r.answer(206, b"x" * 10, Content_Range="bytes 5-14/15")  # noqa: E731
    with local_server(act) as server:
        caught = failing_stream(server, 7)
    assert caught.code == "bad-range"


def test_stream_resumes_at_a_mirror_after_a_cut(files: Path) -> None:
    """Half from one location, the rest from the other, each byte once."""
    data = (files / BLOB).read_bytes()

    def half(request: Request) -> None:
        request.answer(200, data[: len(data) // 2], length=len(data))

    with local_server(half) as first, local_server(serve_directory(files)) as second:
        with transport(first, second).stream(BLOB) as pieces:
            assert b"".join(pieces) == data
        assert second.requests[0].headers["range"] == f"bytes={len(data) // 2}-"


def test_a_file_asked_for_again_is_asked_elsewhere(files: Path) -> None:
    """When a digest did not hold, the same location is not asked first once more."""
    with (
        local_server(lambda r: r.answer(200, b"bad")) as first,
        local_server(serve_directory(files)) as second,
    ):
        way = transport(first, second)
        with way.stream(BLOB) as pieces:
            assert b"".join(pieces) == b"bad"
        with way.stream(BLOB) as pieces:
            assert b"".join(pieces) == (files / BLOB).read_bytes()


def test_a_missing_blob_is_said_to_be_missing() -> None:
    """Every location says 404: `not-found`, without waiting for anything."""
    with local_server(lambda r: r.answer(404)) as server:
        caught = failing_stream(server, 0)
    assert caught.code == "not-found"


def test_bandwidth_is_capped(files: Path) -> None:
    """1 MiB at 512 KiB a second takes two seconds (of waiting that is asked for)."""
    with local_server(serve_directory(files)) as server:
        ticks = StoppedClock()
        way = HttpTransport(
            FLEET, [Location(url=server.url)], ticks, limits=Limits(), bandwidth=512 * 1024
        )
        with way.stream(BLOB) as pieces:
            assert sum(map(len, pieces)) == 1024 * 1024
        assert 1.7 < sum(ticks.slept) < 2.3


def test_a_statement_is_handed_in_and_its_answers_are_told_apart() -> None:
    """Taken, refused with the server's own code, in conflict, or to be tried again."""
    answers = {
        "/ok": (201, b"done"),
        "/stale": (409, json.dumps({"code": "out-of-date", "detail": "older"}).encode()),
        "/bad": (422, b"<html>"),
        "/down": (503, b""),
        "/gone": (404, b""),
    }

    def act(request: Request) -> None:
        status, body = answers[request.path.removeprefix(f"/f/{FLEET}")]
        request.answer(status, body)

    with local_server(act) as server:
        way = transport(server)
        assert way.post("ok", b"{}") == b"done"
        for path, kind, code in [
            ("stale", Conflict, "out-of-date"),
            ("bad", Refused, "http-422"),
            ("down", Unavailable, "unreachable"),
            ("gone", Unavailable, "not-found"),
        ]:
            with pytest.raises(AllodError) as caught:
                way.post(path, b"{}")
            assert (type(caught.value), caught.value.code) == (kind, code)
        assert server.asked(f"/f/{FLEET}/bad") == 1


@pytest.mark.parametrize(
    "path", ["../x", "tuf/../../x", "tuf//x", "a?b", "a b", "", "tuf/./x", "a\r\nb"]
)
def test_paths_cannot_leave_the_fleet(path: str) -> None:
    """Nothing but plain relative paths ever becomes a request."""
    with pytest.raises(InvalidInput):
        server_path(FLEET, path)


def test_locations_merge_their_pins_and_odd_ones_are_left_out() -> None:
    """New pins of a known location are added; file:, user names and queries are no locations."""
    places = [
        Location(url="https://a.example:8443/", pins=["one"]),
        Location(url="file:///etc/passwd"),
        Location(url="https://user@b.example"),
        Location(url="https://b.example?x=1"),
        Location(url="gopher://b.example"),
        Location(url="https://a.example:8443", pins=["one", "two"]),
        Location(url="http://[::1]:8080/allod"),
    ]
    assert merged(places) == {
        "https://a.example:8443": ("one", "two"),
        "http://[::1]:8080/allod": (),
    }


def test_tls_with_a_pinned_authority(files: Path, tmp_path: Path) -> None:
    """The pinned CA certifies the server, whatever the host is called."""
    ours = make_authority("ours")
    with local_server(serve_directory(files), server_context(ours, tmp_path)) as server:
        assert transport(server, pins=(ours.pem,)).get("tuf/timestamp.json", cap=9) == b"{}"


def test_tls_refuses_every_other_authority(files: Path, tmp_path: Path) -> None:
    """Neither another CA nor the system's count where a location is pinned."""
    ours, theirs = make_authority("ours"), make_authority("theirs")
    with local_server(serve_directory(files), server_context(theirs, tmp_path)) as server:
        for pins in ((ours.pem,), ()):
            with pytest.raises(Unavailable) as caught:
                transport(server, pins=pins).get("tuf/timestamp.json", cap=9)
            assert caught.value.code == "bad-certificate"
    assert not server.requests
