"""What every blob store promises: whole under its digest or not there at all."""

from __future__ import annotations

import pytest

from allod.domain.ids import Digest, sha256
from allod.errors import Conflict, InvalidInput
from allod.server.blobs.directory import DirectoryBlobStore
from allod.testing.blobs import MemoryBlobStore

DATA = b"x" * 600_000 + b"end"
DIGEST = sha256(DATA)


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path):
    """Every adapter in turn."""
    return MemoryBlobStore() if request.param == "memory" else DirectoryBlobStore(tmp_path)


def whole(store, digest, **span) -> bytes:
    return b"".join(store.read(digest, **span))


def test_what_is_put_is_read(store) -> None:
    """A blob comes back byte for byte, as a whole and in part."""
    assert store.put(DIGEST, [DATA[:7], DATA[7:]]) == len(DATA)
    assert store.size(DIGEST) == len(DATA)
    assert whole(store, DIGEST) == DATA
    assert whole(store, DIGEST, offset=600_000) == b"end"
    assert whole(store, DIGEST, offset=599_999, length=2) == b"xe"
    assert list(store.digests()) == [DIGEST]


def test_putting_again_is_fine(store) -> None:
    """`put` is idempotent, and does not even read what it has."""
    store.put(DIGEST, [DATA])

    def unread():
        raise AssertionError("was read")
        yield b""

    assert store.put(DIGEST, unread()) == len(DATA)


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"!"])
def test_wrong_bytes_are_not_stored(store, data) -> None:
    """Truncated, lengthened or empty: refused, and nothing is left behind."""
    with pytest.raises(InvalidInput) as caught:
        store.put(DIGEST, [data])
    assert caught.value.code == "digest-mismatch"
    assert store.size(DIGEST) is None
    assert list(store.digests()) == []


def test_a_source_that_breaks_leaves_nothing(store) -> None:
    """A stream that ends with an error stores no blob."""

    def broken():
        yield DATA[:10]
        raise OSError("the line broke")

    with pytest.raises(OSError, match="line"):
        store.put(DIGEST, broken())
    assert store.size(DIGEST) is None


def test_what_is_not_there(store) -> None:
    """A missing blob has no size, cannot be read, and can be removed."""
    assert store.size(DIGEST) is None
    with pytest.raises(InvalidInput) as caught:
        store.read(DIGEST)
    assert caught.value.code == "not-found"
    store.remove(DIGEST)


def test_removing(store) -> None:
    """A removed blob is gone, and can be put again."""
    store.put(DIGEST, [DATA])
    store.remove(DIGEST)
    assert store.size(DIGEST) is None
    assert store.put(DIGEST, [DATA]) == len(DATA)


def test_an_upload_in_pieces(store) -> None:
    """Pieces in order become a blob when finished, and not before."""
    upload = store.begin()
    assert len(upload) == 32
    assert store.received(upload) == 0
    assert store.append(upload, DATA[:10], offset=0) == 10
    assert store.append(upload, DATA[10:], offset=10) == len(DATA)
    assert store.size(DIGEST) is None
    assert store.finish(upload, DIGEST) == len(DATA)
    assert whole(store, DIGEST) == DATA
    with pytest.raises(InvalidInput):
        store.received(upload)


def test_a_piece_at_the_wrong_place(store) -> None:
    """A hole or an overlap is refused, and the answer says where to go on."""
    upload = store.begin()
    store.append(upload, b"abc", offset=0)
    for offset in (0, 2, 4):
        with pytest.raises(Conflict) as caught:
            store.append(upload, b"d", offset=offset)
        assert caught.value.code == "wrong-offset"
        assert caught.value.details["received"] == 3


def test_an_upload_of_other_bytes(store) -> None:
    """An upload that does not have the digest it claims is refused and forgotten."""
    upload = store.begin()
    store.append(upload, b"abc", offset=0)
    with pytest.raises(InvalidInput) as caught:
        store.finish(upload, DIGEST)
    assert caught.value.code == "digest-mismatch"
    with pytest.raises(InvalidInput):
        store.received(upload)


def test_an_aborted_or_unknown_upload(store) -> None:
    """What was aborted, or never begun, is not found; aborting twice is fine."""
    upload = store.begin()
    store.abort(upload)
    store.abort(upload)
    for call in (
        lambda: store.received(upload),
        lambda: store.append(upload, b"x", offset=0),
        lambda: store.finish(upload, DIGEST),
        lambda: store.received("0" * 32),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.code == "not-found"


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha512:" + "0" * 64, "sha256:" + "A" * 64])
def test_only_digests_reach_the_disk(tmp_path, digest) -> None:
    """A text that is no digest never becomes a path."""
    with pytest.raises(InvalidInput):
        DirectoryBlobStore(tmp_path).size(Digest(digest))
    with pytest.raises(InvalidInput):
        DirectoryBlobStore(tmp_path).received("../" + "0" * 29)
