"""Configurations as files: what is written, what is measured, what users may change."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from allod.agent.engine_ports import Sheet
from allod.agent.rendering import FileRenderer
from allod.agent.secrets import SecretStore
from allod.domain.release import ConfigurationSpec
from allod.errors import InvalidInput
from allod.testing.payloads import PACKAGE, payload

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 7},
        "volume": {"type": "integer"},
        "key": {"writeOnly": True},
    },
    "additionalProperties": False,
}
SPEC = ConfigurationSpec(SCHEMA, file="toaster.json", local=("/volume",), default={"volume": 1})
RELEASE = payload(configuration=SPEC).release
DOCUMENT = {"name": "{device.name}", "volume": 3, "key": "secret:door"}


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    """A store with one secret of the package."""
    store = SecretStore(tmp_path / "secrets")
    store.set(PACKAGE, "door", b"open sesame\n")
    return store


@pytest.fixture
def renderer(secrets: SecretStore) -> FileRenderer:
    """A renderer of a device called kitchen."""
    return FileRenderer(lambda: {"device.name": "kitchen"}, secrets)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The configuration directory of an activation."""
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


def sheet(
    document: Any = DOCUMENT, *, granted: tuple[str, ...] = ("door",), release: Any = RELEASE
) -> Sheet:
    """One configuration."""
    data = None if document is None else json.dumps(document).encode()
    return Sheet(PACKAGE, release, data, frozenset(granted))


def read(place: Path) -> Any:
    """What the service would read."""
    return json.loads((place / "toaster.json").read_bytes())


def test_facts_and_secrets_stand_in_a_private_file(renderer: FileRenderer, place: Path) -> None:
    """The file holds the filled-in document, readable by nobody else; it measures whole."""
    renderer.render(sheet(), place, None)
    assert read(place) == {"name": "kitchen", "volume": 3, "key": "open sesame"}
    assert (place / "toaster.json").stat().st_mode & 0o777 == 0o600
    found = renderer.measure(sheet(), place)
    assert (found.ok, found.changed, found.local) == (True, (), ())


def test_nothing_but_the_file_itself_gives_the_secret_away(
    renderer: FileRenderer, place: Path
) -> None:
    """Neither the record nor what is measured holds the secret or a plain digest over it."""
    renderer.render(sheet(), place, None)
    first = renderer.measure(sheet(), place).digest
    assert b"sesame" not in (place / ".record").read_bytes()
    renderer.render(sheet(), place, None)
    assert renderer.measure(sheet(), place).digest != first, "digests are salted"


def test_the_default_holds_while_nothing_is_configured(renderer: FileRenderer, place: Path) -> None:
    """Without a document the release's default is written."""
    renderer.render(sheet(None), place, None)
    assert read(place) == {"volume": 1}
    assert renderer.measure(sheet(None), place).ok


def test_a_release_without_configuration_has_an_empty_directory(
    renderer: FileRenderer, place: Path
) -> None:
    """Nothing is written; anything found there is drift; a document for it is refused."""
    bare = payload().release
    renderer.render(sheet(None, release=bare), place, None)
    assert os.listdir(place) == []
    assert renderer.measure(sheet(None, release=bare), place).ok
    (place / "x").write_text("x")
    assert renderer.measure(sheet(None, release=bare), place).changed == ("x",)
    with pytest.raises(InvalidInput) as caught:
        renderer.check(sheet({}, release=bare))
    assert caught.value.code == "not-configurable"


def users_write(place: Path, **values: Any) -> None:
    """Somebody edits the file."""
    document = read(place) | values
    (place / "toaster.json").write_text(json.dumps(document))


def test_a_local_change_is_reported_kept_and_no_drift(
    renderer: FileRenderer, place: Path, tmp_path: Path
) -> None:
    """What users may change is told, and goes along into the next activation and a healing."""
    renderer.render(sheet(), place, None)
    users_write(place, volume=9)
    found = renderer.measure(sheet(), place)
    assert (found.ok, found.local) == (True, ("/volume",))
    (tmp_path / "next").mkdir()
    new = sheet(DOCUMENT | {"name": "hall", "volume": 4})
    renderer.render(new, tmp_path / "next", place)
    assert read(tmp_path / "next") == {"name": "hall", "volume": 9, "key": "open sesame"}
    assert renderer.measure(new, tmp_path / "next").local == ("/volume",)
    renderer.render(sheet(), place, place)
    assert read(place)["volume"] == 9


def test_a_local_change_that_breaks_the_schema_is_not_carried_over(
    renderer: FileRenderer, place: Path, tmp_path: Path
) -> None:
    """A user's nonsense does not follow into a new activation."""
    renderer.render(sheet(), place, None)
    users_write(place, volume="loud")
    (tmp_path / "next").mkdir()
    renderer.render(sheet(), tmp_path / "next", place)
    assert read(tmp_path / "next")["volume"] == 3


@pytest.mark.parametrize(
    "kind", ["value", "extra file", "gone", "garbage", "link", "record", "exposed"]
)
def test_every_other_change_is_drift_and_is_healed(
    renderer: FileRenderer, place: Path, kind: str
) -> None:
    """Changed, added, missing, replaced by a link or opened to others: found, and put right."""
    renderer.render(sheet(), place, None)
    file = place / "toaster.json"
    if kind == "value":
        users_write(place, name="mine")
    elif kind == "extra file":
        (place / "more.json").write_text("{}")
    elif kind == "gone":
        file.unlink()
    elif kind == "garbage":
        file.write_bytes(b"{")
    elif kind == "link":
        file.rename(place.parent / "elsewhere")
        file.symlink_to(place.parent / "elsewhere")
    elif kind == "record":
        (place / ".record").write_bytes(b"torn")
    else:
        file.chmod(0o666)
    assert not renderer.measure(sheet(), place).ok
    renderer.render(sheet(), place, place)
    assert renderer.measure(sheet(), place).ok
    assert read(place) == {"name": "kitchen", "volume": 3, "key": "open sesame"}


def test_the_file_of_another_document_is_drift(renderer: FileRenderer, place: Path) -> None:
    """What was written for one document does not count for another."""
    renderer.render(sheet(), place, None)
    assert not renderer.measure(sheet(DOCUMENT | {"volume": 4}), place).ok


@pytest.mark.parametrize(
    ("document", "granted", "code"),
    [
        ({"volume": "x"}, (), "bad-configuration"),
        ({"key": "plain"}, (), "write-only-value"),
        ({"name": "{device.unheard-of}"}, (), "unknown-fact"),
        ({"key": "secret:door"}, (), "secret-not-granted"),
        ({"key": "secret:window"}, ("window",), "missing-secret"),
        ({"name": "{device.name}s"}, (), "bad-configuration"),
    ],
)
def test_what_can_not_be_rendered_is_said_before_anything_is_written(
    renderer: FileRenderer, place: Path, document: Any, granted: tuple[str, ...], code: str
) -> None:
    """check() and render() refuse alike, and leave the directory alone."""
    for attempt in (
        lambda: renderer.check(sheet(document, granted=granted)),
        lambda: renderer.render(sheet(document, granted=granted), place, None),
    ):
        with pytest.raises(InvalidInput) as caught:
            attempt()
        assert caught.value.code == code
    assert os.listdir(place) == []


@pytest.mark.parametrize("data", [b"[]", b'{"a":1,"a":2}', b"{", b'{"a":NaN}'])
def test_a_document_that_is_no_strict_object_is_refused(
    renderer: FileRenderer, data: bytes
) -> None:
    """Ambiguous or broken JSON never becomes a configuration."""
    with pytest.raises(InvalidInput) as caught:
        renderer.check(Sheet(PACKAGE, RELEASE, data, frozenset()))
    assert caught.value.code == "bad-configuration"


def test_secrets_stay_private_and_belong_to_one_package(
    secrets: SecretStore, tmp_path: Path
) -> None:
    """Modes, removal, what is refused, and that another package sees nothing."""
    file = tmp_path / "secrets/generic~acme~toaster/door"
    assert file.read_bytes() == b"open sesame"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    other = "pkg:generic/acme/kettle"
    assert secrets.granted(other, ["door"]) == {}  # type: ignore[arg-type]
    assert secrets.names(PACKAGE) == {"door"}
    for bad in (b"", b"\xff", b"a\0b", b"x" * 70_000):
        with pytest.raises(InvalidInput) as caught:
            secrets.set(PACKAGE, "door", bad)
        assert caught.value.code == "bad-secret"
    with pytest.raises(InvalidInput):
        secrets.set(PACKAGE, "../door", b"x")
    secrets.remove(PACKAGE, "door")
    secrets.remove(PACKAGE, "door")
    assert secrets.granted(PACKAGE, ["door"]) == {}
