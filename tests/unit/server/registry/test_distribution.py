"""The MUSTs of the OCI distribution specification 1.1, one by one, against the running registry."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from allod.domain.ids import sha256
from allod.server.registry.ports import Action
from allod.testing.registry_server import FLEET, RunningRegistry, TokenGate, registry_server
from allod.wire import oci
from allod.wire.httpsig import sign_request
from allod.wire.oci import Descriptor, Index, Manifest

REPO = f"/v2/{FLEET}/acme/thing"
MISSING = "sha256:" + "0" * 64
STREAM = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """One registry for the module; each test brings content of its own."""
    with registry_server(tmp_path_factory.mktemp("registry")) as running:
        yield running
        assert running.failures == []


@pytest.fixture
def http(server: RunningRegistry) -> Iterator[httpx2.Client]:
    """A plain HTTP client of it."""
    with httpx2.Client(base_url=server.url, timeout=20) as client:
        yield client


def push_blob(http: httpx2.Client, data: bytes, repo: str = REPO) -> str:
    """Push a blob with one POST and one PUT."""
    digest = sha256(data)
    where = http.post(f"{repo}/blobs/uploads/").headers["location"]
    answer = http.put(where, params={"digest": digest}, content=data, headers=STREAM)
    assert answer.status_code == 201
    return digest


def manifest_of(http: httpx2.Client, text: str, repo: str = REPO, **more: object) -> bytes:
    """Push a config and a layer, and give a manifest about them."""
    config, layer = b'{"of":"%s"}' % text.encode(), text.encode()
    push_blob(http, config, repo)
    push_blob(http, layer, repo)
    return oci.encode_document(
        Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            config=Descriptor(
                media_type="application/vnd.test.config", digest=sha256(config), size=len(config)
            ),
            layers=[
                Descriptor(media_type="application/vnd.test", digest=sha256(layer), size=len(layer))
            ],
            **more,
        )
    )


def put_manifest(
    http: httpx2.Client, reference: str, raw: bytes, kind: str = oci.MANIFEST, repo: str = REPO
) -> httpx2.Response:
    """PUT a manifest."""
    return http.put(f"{repo}/manifests/{reference}", content=raw, headers={"content-type": kind})


def code_of(answer: httpx2.Response) -> str:
    """OCI's code of an error answer, whose form is a MUST of its own."""
    first = answer.json()["errors"][0]
    assert answer.headers["content-type"] == "application/json"
    assert first["message"].startswith("cannot ")
    return str(first["code"])


def test_the_endpoint_that_tells_support(http: httpx2.Client) -> None:
    """end-1: GET /v2/ answers 200."""
    assert http.get("/v2/").status_code == 200


def test_a_blob_comes_back_as_it_was(http: httpx2.Client) -> None:
    """end-2: GET gives the bytes, HEAD the same fields without them."""
    digest = push_blob(http, b"hello blob")
    got, head = http.get(f"{REPO}/blobs/{digest}"), http.head(f"{REPO}/blobs/{digest}")
    assert (got.status_code, got.content) == (200, b"hello blob")
    assert got.headers["docker-content-digest"] == digest
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")


@pytest.mark.parametrize(
    ("wanted", "status", "body", "range_"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
    ],
)
def test_ranges(
    http: httpx2.Client, wanted: str, status: int, body: bytes, range_: str | None
) -> None:
    """Ranges as in RFC 9110; one that is not understood is ignored."""
    digest = push_blob(http, b"0123456789")
    answer = http.get(f"{REPO}/blobs/{digest}", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers.get("content-range") == range_


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_beyond_the_end(http: httpx2.Client, wanted: str) -> None:
    """A range that starts behind the last byte: 416."""
    digest = push_blob(http, b"0123456789")
    assert http.get(f"{REPO}/blobs/{digest}", headers={"range": wanted}).status_code == 416


def test_if_range_and_if_none_match(http: httpx2.Client) -> None:
    """A resumed download of other content starts anew; known content is not sent again."""
    digest = push_blob(http, b"0123456789")
    path = f"{REPO}/blobs/{digest}"
    same = http.get(path, headers={"range": "bytes=8-", "if-range": f'"{digest}"'})
    other = http.get(path, headers={"range": "bytes=8-", "if-range": f'"{MISSING}"'})
    known = http.get(path, headers={"if-none-match": f'"{digest}"'})
    assert [same.status_code, other.status_code, known.status_code] == [206, 200, 304]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{REPO}/blobs/{MISSING}", 404, "BLOB_UNKNOWN"),
        ("GET", f"{REPO}/blobs/sha256:short", 400, "DIGEST_INVALID"),
        ("GET", f"{REPO}/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        ("GET", f"{REPO}/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"{REPO}/manifests/{MISSING}", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"{REPO}/manifests/.hidden", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"{REPO}/manifests/..", 404, "NAME_INVALID"),
        ("GET", f"/v2/{FLEET}/acme/nothing/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", f"{REPO}/tags/list?n=x", 400, "UNSUPPORTED"),
        ("GET", f"{REPO}/tags/list?n=1&n=2", 400, "UNSUPPORTED"),
        ("GET", f"{REPO}/blobs/uploads/{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", f"{REPO}/blobs/uploads/{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", f"{REPO}/blobs/uploads/{'0' * 32}?digest={MISSING}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", f"{REPO}/manifests/x", 400, "MANIFEST_INVALID"),
        ("DELETE", f"{REPO}/manifests/x", 405, "UNSUPPORTED"),
        ("DELETE", f"{REPO}/blobs/{MISSING}", 405, "UNSUPPORTED"),
        ("GET", f"/v2/{FLEET}/UPPER/case/tags/list", 404, "NAME_INVALID"),
        ("GET", f"/v2/{FLEET}/too/many/parts/tags/list", 404, "NAME_INVALID"),
        ("GET", "/v2/nofleet/acme/thing/tags/list", 404, "NAME_INVALID"),
        ("GET", f"/v2/{'0' * 64}/acme/thing/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", f"{REPO}/referrers/nothing", 400, "DIGEST_INVALID"),
    ],
)
def test_errors(http: httpx2.Client, method: str, path: str, status: int, code: str) -> None:
    """Each failure has the status and the code of the specification."""
    push_blob(http, b"x")
    put_manifest(http, "there", manifest_of(http, "there"))
    answer = http.request(method, path)
    assert (answer.status_code, code_of(answer)) == (status, code)


def test_monolithic_post(http: httpx2.Client) -> None:
    """end-4b: the whole blob with the POST."""
    data = b"all at once"
    answer = http.post(
        f"{REPO}/blobs/uploads/", params={"digest": sha256(data)}, content=data, headers=STREAM
    )
    assert answer.status_code == 201
    assert http.get(answer.headers["location"]).content == data


def test_chunks_in_order(http: httpx2.Client) -> None:
    """end-5, end-6, end-13: chunks, the state in between, and the last one with the PUT."""
    data = bytes(range(256)) * 40
    where = http.post(f"{REPO}/blobs/uploads/").headers["location"]
    for start, end in ((0, 4000), (4000, 9000)):
        headers = STREAM | {"content-range": f"{start}-{end - 1}"}
        answer = http.patch(where, content=data[start:end], headers=headers)
        assert (answer.status_code, answer.headers["range"]) == (202, f"0-{end - 1}")
        where = answer.headers["location"]
        status = http.get(where)
        assert (status.status_code, status.headers["range"]) == (204, f"0-{end - 1}")
    done = http.put(where, params={"digest": sha256(data)}, content=data[9000:], headers=STREAM)
    assert (done.status_code, done.headers["docker-content-digest"]) == (201, sha256(data))
    assert http.get(done.headers["location"]).content == data
    assert http.get(where).status_code == 404


def test_a_stream_without_length(http: httpx2.Client) -> None:
    """A PATCH without Content-Range, in HTTP chunks."""
    data = b"streamed" * 1000
    where = http.post(f"{REPO}/blobs/uploads/").headers["location"]
    answer = http.patch(where, content=iter([data[:5000], data[5000:]]), headers=STREAM)
    assert answer.status_code == 202
    assert http.put(where, params={"digest": sha256(data)}).status_code == 201


@pytest.mark.parametrize("said", ["5-9", "1-2"])
def test_a_chunk_out_of_order(http: httpx2.Client, said: str) -> None:
    """A chunk that does not start where the last one ended: 416, and how much is there."""
    where = http.post(f"{REPO}/blobs/uploads/").headers["location"]
    http.patch(where, content=b"012", headers=STREAM | {"content-range": "0-2"})
    answer = http.patch(where, content=b"xxxxx", headers=STREAM | {"content-range": said})
    assert (answer.status_code, answer.headers["range"]) == (416, "0-2")
    assert http.put(where, params={"digest": sha256(b"012")}).status_code == 201


def test_a_chunk_that_is_not_as_long_as_it_says(http: httpx2.Client) -> None:
    """Range and bytes must agree."""
    where = http.post(f"{REPO}/blobs/uploads/").headers["location"]
    answer = http.patch(where, content=b"012", headers=STREAM | {"content-range": "0-9"})
    assert (answer.status_code, code_of(answer)) == (400, "BLOB_UPLOAD_INVALID")


def test_a_wrong_digest_stores_nothing(http: httpx2.Client) -> None:
    """What does not have the digest that was promised is thrown away."""
    wrong = sha256(b"promised")
    where = http.post(f"{REPO}/blobs/uploads/").headers["location"]
    answer = http.put(where, params={"digest": wrong}, content=b"sent", headers=STREAM)
    assert (answer.status_code, code_of(answer)) == (400, "DIGEST_INVALID")
    assert http.head(f"{REPO}/blobs/{wrong}").status_code == 404
    assert http.head(f"{REPO}/blobs/{sha256(b'sent')}").status_code == 404


def test_an_upload_can_be_given_up(http: httpx2.Client) -> None:
    """DELETE of an upload: it is gone."""
    where = http.post(f"{REPO}/blobs/uploads/").headers["location"]
    assert http.delete(where).status_code == 204
    assert http.get(where).status_code == 404


def test_a_mount_is_created_or_becomes_an_upload(http: httpx2.Client) -> None:
    """end-11: 201 if the blob is there, 202 and an upload if not."""
    digest = push_blob(http, b"to be mounted")
    other = f"/v2/{FLEET}/acme/other"
    params = {"mount": digest, "from": f"{FLEET}/acme/thing"}
    mounted = http.post(f"{other}/blobs/uploads/", params=params)
    assert mounted.status_code == 201
    assert http.get(mounted.headers["location"]).content == b"to be mounted"
    answer = http.post(f"{other}/blobs/uploads/", params=params | {"mount": MISSING})
    assert answer.status_code == 202
    assert "/blobs/uploads/" in answer.headers["location"]


def test_manifests_by_tag_and_digest(http: httpx2.Client) -> None:
    """end-3, end-7: the exact bytes and type come back, by either name; HEAD agrees."""
    raw = manifest_of(http, "manifest")[:-1] + b', "x.test": 1 }\n'
    answer = put_manifest(http, "v1", raw)
    assert (answer.status_code, answer.headers["docker-content-digest"]) == (201, sha256(raw))
    for reference in ("v1", sha256(raw)):
        got = http.get(f"{REPO}/manifests/{reference}")
        head = http.head(f"{REPO}/manifests/{reference}")
        assert (got.content, got.headers["content-type"]) == (raw, oci.MANIFEST)
        assert head.headers["content-length"] == str(len(raw))
        assert head.headers["docker-content-digest"] == sha256(raw)


def test_a_manifest_belongs_to_its_repository(http: httpx2.Client) -> None:
    """What was pushed to one repository is not in another."""
    raw = manifest_of(http, "own")
    put_manifest(http, "own", raw)
    assert http.get(f"/v2/{FLEET}/acme/other/manifests/{sha256(raw)}").status_code == 404


def test_a_tag_of_an_artifact_can_move(http: httpx2.Client) -> None:
    """Tags of what is no release behave as everywhere."""
    first, second = manifest_of(http, "one"), manifest_of(http, "two")
    put_manifest(http, "moves", first)
    assert put_manifest(http, "moves", second).status_code == 201
    assert http.get(f"{REPO}/manifests/moves").content == second


BAD_MANIFESTS = {
    "no json": (b"{", oci.MANIFEST, 400, "MANIFEST_INVALID"),
    "type differs": (b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % oci.INDEX.encode(), oci.MANIFEST, 400, "MANIFEST_INVALID"),
    "unknown type": (b'{"schemaVersion":2,"manifests":[]}', "text/plain", 400, "MANIFEST_INVALID"),
    "twice a key": (b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}', oci.INDEX, 400, "MANIFEST_INVALID"),
    "too large": (b" " * (oci.MANIFEST_CAP + 1), oci.MANIFEST, 413, "SIZE_INVALID"),
    "unknown blob": (
        oci.encode_document(
            Manifest(schema_version=2, config=Descriptor(media_type="x/y", digest=MISSING, size=1), layers=[])
        ),
        oci.MANIFEST, 404, "MANIFEST_BLOB_UNKNOWN",
    ),
    "unknown manifest": (
        oci.encode_document(
            Index(schema_version=2, manifests=[Descriptor(media_type=oci.MANIFEST, digest=MISSING, size=1)])
        ),
        oci.INDEX, 404, "MANIFEST_BLOB_UNKNOWN",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_bad_manifest_is_refused(http: httpx2.Client, name: str) -> None:
    """Nothing is held that could not be pulled whole."""
    raw, kind, status, code = BAD_MANIFESTS[name]
    answer = put_manifest(http, "bad", raw, kind)
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert http.get(f"{REPO}/manifests/bad").status_code == 404


def test_a_manifest_under_a_wrong_digest(http: httpx2.Client) -> None:
    """PUT by digest checks the digest, and a size that is not the blob's is noticed."""
    raw = manifest_of(http, "wrong")
    assert code_of(put_manifest(http, MISSING, raw)) == "DIGEST_INVALID"
    value = msgspec.json.decode(raw)
    value["layers"][0]["size"] += 1
    assert code_of(put_manifest(http, "size", msgspec.json.encode(value))) == "MANIFEST_INVALID"


def test_tags_are_listed_in_order_and_in_pages(http: httpx2.Client) -> None:
    """end-8: lexical order, n, last, and a link to the next page."""
    repo = f"/v2/{FLEET}/acme/pages"
    raw = manifest_of(http, "page", repo)
    for tag in ("b", "a", "d", "c", "B"):
        assert put_manifest(http, tag, raw, repo=repo).status_code == 201
    assert http.get(f"{repo}/tags/list").json()["tags"] == ["B", "a", "b", "c", "d"]
    found, path = [], f"{repo}/tags/list?n=2"
    while path:
        answer = http.get(path)
        assert len(answer.json()["tags"]) <= 2
        found += answer.json()["tags"]
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if link else ""
    assert found == ["B", "a", "b", "c", "d"]
    assert http.get(f"{repo}/tags/list?n=0").json()["tags"] == []
    assert http.get(f"{repo}/tags/list?last=b").json()["tags"] == ["c", "d"]


def test_referrers(http: httpx2.Client) -> None:
    """end-12: what names a subject is found by it, filtered by type, also before the subject is there."""
    subject = manifest_of(http, "subject")
    about = Descriptor(media_type=oci.MANIFEST, digest=sha256(subject), size=len(subject))
    path = f"{REPO}/referrers/{sha256(subject)}"
    empty = http.get(path)
    assert (empty.status_code, empty.headers["content-type"]) == (200, oci.INDEX)
    assert empty.json()["manifests"] == []
    sbom = manifest_of(
        http, "sbom", subject=about, artifact_type="application/sbom", annotations={"a": "b"}
    )
    plain = manifest_of(http, "plain", subject=about)
    for raw in (sbom, plain):
        answer = put_manifest(http, sha256(raw), raw)
        assert answer.headers["oci-subject"] == sha256(subject)
    listed = {one["digest"]: one for one in http.get(path).json()["manifests"]}
    assert listed[sha256(sbom)]["artifactType"] == "application/sbom"
    assert listed[sha256(sbom)]["annotations"] == {"a": "b"}
    assert listed[sha256(plain)]["artifactType"] == "application/vnd.test.config"
    filtered = http.get(path, params={"artifactType": "application/sbom"})
    assert [one["digest"] for one in filtered.json()["manifests"]] == [sha256(sbom)]
    assert filtered.headers["oci-filters-applied"] == "artifactType"


def test_the_fleet_lists_its_repositories(http: httpx2.Client) -> None:
    """One catalogue a fleet, in pages."""
    for name in ("cat-a", "cat-b"):
        repo = f"/v2/{FLEET}/acme/{name}"
        put_manifest(http, "v", manifest_of(http, name, repo), repo=repo)
    known = http.get(f"/v2/{FLEET}/_catalog").json()["repositories"]
    assert {"acme/cat-a", "acme/cat-b"} <= set(known)
    page = http.get(f"/v2/{FLEET}/_catalog", params={"n": 1, "last": "acme/cat-a"})
    assert page.json()["repositories"] == ["acme/cat-b"]


def test_who_may_do_what(tmp_path: Path) -> None:
    """Without a token 401 with a challenge; with one that reads, pushing is 403 (Bearer and Basic)."""
    gate = TokenGate({"reads": frozenset({Action.PULL}), "writes": frozenset(Action)})
    with registry_server(tmp_path, gate) as running, httpx2.Client(base_url=running.url) as http:
        for path in ("/v2/", f"{REPO}/blobs/{MISSING}"):
            answer = http.get(path)
            assert (answer.status_code, code_of(answer)) == (401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"].startswith("Basic ")
        basic = "Basic " + base64.b64encode(b"anybody:reads").decode()
        for secret in ("Bearer reads", basic):
            http.headers["authorization"] = secret
            assert http.get("/v2/").status_code == 200
            assert http.get(f"{REPO}/blobs/{MISSING}").status_code == 404
            for method, path in (
                ("POST", f"{REPO}/blobs/uploads/"),
                ("GET", f"{REPO}/blobs/uploads/{'0' * 32}"),
                ("PUT", f"{REPO}/manifests/x"),
                ("DELETE", f"{REPO}/manifests/x"),
            ):
                assert code_of(http.request(method, path)) == "DENIED"
        http.headers["authorization"] = "Bearer writes"
        assert http.post(f"{REPO}/blobs/uploads/").status_code == 202


def test_a_signed_body_is_the_one_that_was_signed(tmp_path: Path) -> None:
    """Bytes that were exchanged on the way are refused, and the upload that got them is gone."""
    gate = TokenGate(signed=True)
    with registry_server(tmp_path, gate) as running, httpx2.Client(base_url=running.url) as http:

        def signed(method: str, path: str, body: bytes) -> dict[str, str]:
            digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
            return sign_request(
                method,
                path,
                "",
                digest,
                key_id="k",
                created=1,
                nonce="n" * 16,
                sign=lambda _: b"s" * 64,
            )

        where = http.post(f"{REPO}/blobs/uploads/").headers["location"]
        good = http.patch(where, content=b"mine", headers=STREAM | signed("PATCH", where, b"mine"))
        assert good.status_code == 202
        bad = http.patch(where, content=b"evil", headers=STREAM | signed("PATCH", where, b"mine"))
        assert (bad.status_code, code_of(bad)) == (401, "UNAUTHORIZED")
        assert http.get(where).status_code == 404
