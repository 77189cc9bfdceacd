"""The owner's keys on disk: sealed, checked, and following what the repository names."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from allod.cli.keystore import KeyStore
from allod.cli.passphrase import Passphrase
from allod.errors import Conflict, InvalidInput, Refused, Unavailable

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    """An empty store under the passphrase 'correct horse'."""
    made = KeyStore(tmp_path / "keys", Passphrase.given("correct horse"))
    made.create()
    return made


def reopened(store: KeyStore, passphrase: str = "correct horse") -> KeyStore:
    """The same directory, opened by a new process."""
    return KeyStore(store.directory, Passphrase.given(passphrase))


def test_a_signer_comes_back_from_disk(store: KeyStore) -> None:
    """A key made today signs tomorrow, under the same key id."""
    made = store.generate("targets", now=NOW)
    (signer,) = reopened(store).signers("targets")
    assert signer.public_key.keyid == made.id
    signer.public_key.verify_signature(signer.sign(b"words"), b"words")


def test_files_are_sealed_and_private(store: KeyStore) -> None:
    """No file can be read by others, and none holds the seed in the clear."""
    record = store.generate("root", now=NOW)
    key = store.private(record)
    seed = key.private_bytes_raw()  # type: ignore[union-attr]
    for path in store.directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert seed not in path.read_bytes()
    assert store.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_opens_the_file(store: KeyStore, tmp_path: Path) -> None:
    """The owner needs no Allod to get at their own key: stock openssl reads the file."""
    record = store.generate("root", now=NOW)
    assert record.file is not None
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    done = subprocess.run(
        ["openssl", "pkey", "-in", store.directory / record.file, "-passin", f"file:{secret}",
         "-pubout", "-outform", "DER"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout[-32:].hex() == record.public.keyval.public


def test_wrong_passphrase_is_said_plainly(store: KeyStore) -> None:
    """A wrong passphrase is refused as such, and is not called a damaged file."""
    store.generate("targets", now=NOW)
    with pytest.raises(Refused, match="passphrase") as caught:
        reopened(store, "wrong horse").signers("targets")
    assert caught.value.code == "wrong-passphrase"


def test_a_wrong_passphrase_that_leaves_a_good_padding_is_one_too(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in 256 does; the bytes are no key then, and the file is not damaged for that."""
    store.generate("targets", now=NOW)

    def garbage(*_: object) -> None:
        raise ValueError("Could not deserialize key data")

    monkeypatch.setattr("allod.cli.pkcs8.load_pem_private_key", garbage)
    with pytest.raises(Refused) as caught:
        reopened(store, "wrong horse").signers("targets")
    assert caught.value.code == "wrong-passphrase"


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "swap"])
def test_damaged_file_is_said_plainly(store: KeyStore, damage: str) -> None:
    """A flipped byte, a cut, a missing or another key's file: 'damaged', with the way out."""
    record, other = store.generate("targets", now=NOW), store.generate("root", now=NOW)
    assert record.file is not None
    assert other.file is not None
    path = store.directory / record.file
    data = path.read_bytes()
    if damage == "flip":
        path.write_bytes(data[:80] + bytes([data[80] ^ 1]) + data[81:])
    elif damage == "truncate":
        path.write_bytes(data[:40])
    elif damage == "swap":
        path.write_bytes((store.directory / other.file).read_bytes())
    else:
        path.unlink()
    with pytest.raises(InvalidInput, match="keys restore") as caught:
        reopened(store).signers("targets")
    assert caught.value.code == "damaged-key"


def test_damaged_index_is_an_error_and_no_empty_store(store: KeyStore) -> None:
    """A damaged index never reads as 'no keys'."""
    store.generate("targets", now=NOW)
    (store.directory / "index.json").write_bytes(b"{}")
    with pytest.raises(InvalidInput):
        reopened(store).records()


def test_rotation_follows_the_repository(store: KeyStore) -> None:
    """A next key becomes current once named, and the old one retires: whatever came between."""
    old = store.generate("targets", now=NOW)
    new = store.generate("targets", now=NOW, state="next")
    store.reconcile({"targets": [old.id]})
    assert [s.public_key.keyid for s in store.signers("targets")] == [old.id]
    store.reconcile({"targets": [new.id]})
    assert [s.public_key.keyid for s in store.signers("targets")] == [new.id]
    assert {r.id: r.state for r in store.records()} == {old.id: "retired", new.id: "current"}
    store.reconcile({"targets": ["00" * 32]})
    assert store.record(new.id).state == "current", "foreign keys must not retire ours"


def test_key_held_elsewhere_cannot_sign(store: KeyStore) -> None:
    """The public half of the paper key is known here, but asks for the paper to sign."""
    record = store.generate("root", now=NOW)
    public = store.signer(record).public_key
    store.forget(record.id)
    noted = store.add_public("root", public, now=NOW, note="on paper")
    with pytest.raises(Unavailable, match="on paper"):
        store.private(noted)
    with pytest.raises(Unavailable) as caught:
        store.signers("root")
    assert caught.value.code == "key-elsewhere"


def test_a_store_is_never_made_over_another(store: KeyStore) -> None:
    """`create` cannot lose keys that are there."""
    with pytest.raises(Conflict):
        reopened(store).create()


def test_weak_passphrase_is_refused(tmp_path: Path) -> None:
    """Fewer than eight characters protect nothing."""
    with pytest.raises(InvalidInput) as caught:
        KeyStore(tmp_path, Passphrase.given("short")).create()
    assert caught.value.code == "weak-passphrase"


def test_passphrase_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line of the file that option or environment name; a missing file is an error."""
    path = tmp_path / "p"
    path.write_text("correct horse\nrest\n")
    monkeypatch.setenv("ALLOD_PASSPHRASE_FILE", str(path))
    assert Passphrase().read() == b"correct horse"
    assert Passphrase(path).choose() == b"correct horse"
    with pytest.raises(InvalidInput) as caught:
        Passphrase(tmp_path / "none").read()
    assert caught.value.code == "no-passphrase"


def test_bad_role_is_refused(store: KeyStore) -> None:
    """A role stands in a file name: its grammar is closed."""
    with pytest.raises(InvalidInput):
        store.generate("provider:../x", now=NOW)
