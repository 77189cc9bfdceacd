"""The config blob of a release: goes round, is closed, and believes nothing of its provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from allod.domain.ids import parse_provider, parse_purl, parse_version, sha256
from allod.domain.release import (
    Apply,
    ConfigurationSpec,
    Constraint,
    Data,
    HealthCheck,
    Kind,
    Layer,
    ProbeKind,
    Release,
    Service,
)
from allod.errors import InvalidInput
from allod.wire import oci
from allod.wire.release import CONFIG_CAP, MAX_CHECKS, SCHEMA_CAP, decode_release, encode_release

LAYERS = (Layer(sha256(b"layer"), 5, oci.TREE_LAYER),)
FULL = Release(
    package=parse_purl("pkg:generic/acme/toaster"),
    version=parse_version("2.1.2"),
    provider=parse_provider("acme"),
    kind=Kind.TREE,
    service=Service(
        "toaster",
        ("/usr/bin/env", "python3", "{tree}/toaster.py", "--data={data}"),
        (("CONFIG", "{config}/toaster.json"), ("LANG", "C.UTF-8")),
        20.0,
    ),
    health=(
        HealthCheck(ProbeKind.RUNNING, hold=2.0),
        HealthCheck(ProbeKind.HTTP, url="http://127.0.0.1:8080/health?x=1", contains="2.1.2"),
        HealthCheck(ProbeKind.TCP, address="[::1]:8080"),
        HealthCheck(ProbeKind.COMMAND, command=("{tree}/check", "{config}")),
    ),
    access=frozenset({"network.listen:tcp/8080", "camera"}),
    constraints=(Constraint("fuse-7", "burns fuse 7: older firmware never boots again"),),
    data=Data(3, (2, 3), snapshot=False),
    configuration=ConfigurationSpec(
        {"type": "object", "$defs": {"x": {}}, "properties": {"a": {"$ref": "#/$defs/x"}}},
        "toaster.json",
        Apply.RELOAD,
        ("/brightness", "/a~1b"),
        {"a": 1},
    ),
    hardware=("raspberrypi,4-model-b",),
    architecture="aarch64",
    interrupts="toasting",
    interrupts_seconds=20,
    mends=("CVE-2022-31015", "GHSA-abcd"),
    support_end="2027-01-31",
    imported_by_owner=True,
    installed_size=123_456,
    layers=LAYERS,
)


def changed(**fields: object) -> bytes:
    """The full release's blob with some fields replaced; None removes one."""
    value = msgspec.json.decode(encode_release(FULL)) | fields
    return msgspec.json.encode({key: part for key, part in value.items() if part is not None})


def service(**fields: object) -> dict[str, Any]:
    """A service table."""
    return {"name": "toaster", "command": ["run"], **fields}


def test_a_release_goes_round() -> None:
    """What is written is read back equal, with the layers of the manifest."""
    blob = encode_release(FULL)
    assert decode_release(blob, LAYERS) == FULL
    assert decode_release(blob, LAYERS).layers == LAYERS


def test_a_minimal_release_goes_round_and_is_canonical() -> None:
    """Absent and empty are the same, and the same release is always the same bytes."""
    small = Release(FULL.package, FULL.version, FULL.provider, Kind.TREE, layers=LAYERS)
    blob = encode_release(small)
    assert decode_release(blob, LAYERS) == small
    assert encode_release(decode_release(blob, LAYERS)) == blob
    assert b"health" not in blob


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("an unknown field", {"postInstall": "rm -rf /"}, "bad-document"),
    ("another format", {"format": 2}, "bad-document"),
    ("no format", {"format": None}, "bad-document"),
    ("another type", {"type": "allod.state"}, "bad-document"),
    ("an unknown kind", {"kind": "magic"}, "bad-document"),
    ("a name that is not the package's", {"name": "kettle"}, "bad-release"),
    ("a package with a version", {"purl": "pkg:generic/acme/toaster@1"}, "bad-package"),
    ("a version with a slash", {"version": "1/2"}, "bad-version"),
    ("a provider with a slash", {"provider": "a/b"}, "bad-provider"),
    ("an unknown placeholder", {"service": service(command=["run", "{secret}"])}, "bad-release"),
    ("a half placeholder", {"service": service(command=["run", "{tree"])}, "bad-release"),
    ("a placeholder of Python", {"service": service(command=["{tree.__class__}"])}, "bad-release"),
    ("a program outside its tree", {"service": service(command=["../../bin/sh"])}, "bad-release"),
    ("no program", {"service": service(command=[])}, "bad-release"),
    (
        "a newline in an argument",
        {"service": service(command=["run", "a\nExecStart=x"])},
        "bad-release",
    ),
    ("too many arguments", {"service": service(command=["run"] * 257)}, "bad-release"),
    ("a loader's variable", {"service": service(environment={"LD_PRELOAD": "x"})}, "bad-release"),
    ("a variable with '='", {"service": service(environment={"A=B": "x"})}, "bad-release"),
    (
        "a control character in a value",
        {"service": service(environment={"A": "x\n"})},
        "bad-release",
    ),
    ("a stop that never ends", {"service": service(stopSeconds=86_400)}, "bad-release"),
    ("a service's name with a slash", {"service": service(name="a/b")}, "bad-name"),
    ("too many checks", {"health": [{"kind": "running"}] * (MAX_CHECKS + 1)}, "bad-release"),
    (
        "a check of a server elsewhere",
        {"health": [{"kind": "http", "url": "http://169.254.169.254/"}]},
        "bad-health",
    ),
    (
        "a check with credentials",
        {"health": [{"kind": "http", "url": "http://127.0.0.1@evil/"}]},
        "bad-health",
    ),
    (
        "a check of a file",
        {"health": [{"kind": "http", "url": "file:///etc/shadow"}]},
        "bad-health",
    ),
    (
        "a check of a port elsewhere",
        {"health": [{"kind": "tcp", "address": "10.0.0.1:22"}]},
        "bad-health",
    ),
    ("a check without its field", {"health": [{"kind": "command"}]}, "bad-health"),
    (
        "a status that is none",
        {"health": [{"kind": "http", "url": "http://localhost/", "status": 7}]},
        "bad-health",
    ),
    ("an unknown access", {"access": ["everything"]}, "bad-access"),
    ("a constraint twice", {"constraints": [{"id": "a", "says": "x"}] * 2}, "bad-release"),
    ("data that it can't read itself", {"data": {"schema": 2, "reads": [1]}}, "bad-release"),
    ("a schema of data below 1", {"data": {"schema": 0, "reads": [0]}}, "bad-release"),
    (
        "a schema that refers elsewhere",
        {"configuration": {"schema": {"$ref": "https://evil/x"}}},
        "bad-release",
    ),
    (
        "a schema that refers deep down",
        {"configuration": {"schema": {"anyOf": [{"items": {"$dynamicRef": "file:///x"}}]}}},
        "bad-release",
    ),
    (
        "another dialect",
        {"configuration": {"schema": {"$schema": "http://json-schema.org/draft-04/schema#"}}},
        "bad-release",
    ),
    ("a huge schema", {"configuration": {"schema": {"title": "x" * SCHEMA_CAP}}}, "bad-release"),
    (
        "a configuration file elsewhere",
        {"configuration": {"schema": {}, "file": "../x"}},
        "bad-release",
    ),
    (
        "a local path that is none",
        {"configuration": {"schema": {}, "local": ["a.b"]}},
        "bad-release",
    ),
    ("an impossible day", {"supportEnd": "2027-02-30"}, "bad-release"),
    ("a negative size", {"installedSize": -1}, "bad-release"),
    ("an advisory with a space", {"mends": ["CVE 1"]}, "bad-release"),
    ("a check of a service that is not there", {"service": None}, "bad-release"),
    ("escape sequences in words", {"interrupts": {"what": "\x1b[2J"}}, "bad-release"),
    ("an endless interruption", {"interrupts": {"what": "x", "seconds": 10**9}}, "bad-release"),
]


@pytest.mark.parametrize(
    ("fields", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object], code: str) -> None:
    """Each of these is refused by name, before anything of the release is used."""
    with pytest.raises(InvalidInput) as caught:
        decode_release(changed(**fields), LAYERS)
    assert caught.value.code == code
    assert caught.value.message.startswith("cannot ")


@pytest.mark.parametrize(
    "layers",
    [
        (),
        (*LAYERS, *LAYERS),
        (replace(LAYERS[0], media_type="application/vnd.docker.image.rootfs.diff.tar.gzip"),),
    ],
    ids=["none", "twice", "of another type"],
)
def test_layers_are_those_of_the_kind(layers: tuple[Layer, ...]) -> None:
    """A tree comes in tree layers, each once, and in at least one."""
    with pytest.raises(InvalidInput) as caught:
        decode_release(encode_release(FULL), layers)
    assert caught.value.code == "bad-release"


def test_a_large_blob_is_not_even_parsed() -> None:
    """The cap holds before the parser sees the bytes."""
    with pytest.raises(InvalidInput) as caught:
        decode_release(b"[" * (CONFIG_CAP + 1), LAYERS)
    assert caught.value.code == "too-large"


def test_a_property_may_be_called_ref() -> None:
    """A schema for documents that themselves have a field '$ref' is no reference."""
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}}}
    blob = changed(configuration={"schema": schema})
    spec = decode_release(blob, LAYERS).configuration
    assert spec is not None
    assert spec.schema == schema


@pytest.mark.parametrize(
    "make",
    [
        lambda blob: blob + b" {}",
        lambda blob: blob.replace(b'"format":1', b'"format":1,"format":1'),
    ],
)
def test_ambiguous_json_is_refused(make: Callable[[bytes], bytes]) -> None:
    """Duplicate keys and trailing text mean two things to two parsers (attack 51)."""
    with pytest.raises(InvalidInput) as caught:
        decode_release(make(encode_release(FULL)), LAYERS)
    assert caught.value.code == "bad-json"
