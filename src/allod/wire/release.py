"""The config blob of a release (docs/spec/release.md): closed, capped, canonical.

The provider wrote it, so nothing in it is believed before it was checked here: commands hold no
placeholder but the three that exist, health is probed on the device itself and nowhere else, a
schema refers to nothing outside of itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Final, Literal

import msgspec

from allod.domain import ids, release
from allod.domain.access import parse_access
from allod.domain.release import Apply, HealthCheck, Kind, Layer, ProbeKind, Release
from allod.errors import InvalidInput
from allod.wire import oci
from allod.wire.codec import Document, decode, encode
from allod.wire.health import HealthWire, health_from_wire, health_to_wire

CONFIG_CAP: Final = 1024 * 1024  #: bytes of a config blob
SCHEMA_CAP: Final = 256 * 1024  #: bytes of a configuration schema, and of a default
MAX_CHECKS: Final = 16
MAX_ARGUMENTS: Final = 256
MAX_ARGUMENT: Final = 4096  #: characters of an argument, a variable, a URL
MAX_NAMES: Final = 256  #: entries of any list of names
MAX_STOP: Final = 3600  #: seconds
MAX_TEXT: Final = 1000  #: characters of anything said in words
MAX_INSTALLED: Final = 1 << 40  #: bytes

PLACEHOLDERS: Final = ("{tree}", "{config}", "{data}")
_PLACED: Final = re.compile("|".join(re.escape(name) for name in PLACEHOLDERS))
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,126}", re.ASCII)
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/@,-]{0,127}", re.ASCII)
_LOCAL: Final = r"(?:127\.0\.0\.1|localhost|\[::1\])"
_LOCAL_ADDRESS: Final = re.compile(rf"{_LOCAL}:[1-9][0-9]{{0,4}}", re.ASCII)
_LOCAL_URL: Final = re.compile(rf"https?://{_LOCAL}(?::[1-9][0-9]{{0,4}})?(?:/[!-~]*)?", re.ASCII)
#: Variables of the loader and of the agent: a service does not get them from its release.
_RESERVED: Final = re.compile(r"LD_[A-Z_]+|ALLOD_[A-Z_]+", re.ASCII)


class ServiceWire(Document, frozen=True, kw_only=True):
    """The process to run."""

    name: str
    command: list[str]
    environment: dict[str, str] = {}
    stop_seconds: float = 10.0


class ConstraintWire(Document, frozen=True, kw_only=True):
    """A limit that the release puts on the owner."""

    id: str
    says: str


class DataWire(Document, frozen=True, kw_only=True):
    """What it keeps."""

    schema: int = 1
    reads: list[int] = msgspec.field(default_factory=lambda: [1])
    snapshot: bool = True


class ConfigurationWire(Document, frozen=True, kw_only=True):
    """What may be configured."""

    schema: dict[str, Any]
    file: str = "config.json"
    apply: Apply = Apply.RESTART
    local: list[str] = []
    default: dict[str, Any] | None = None


class InterruptsWire(Document, frozen=True, kw_only=True):
    """What activation interrupts, in words, and for how long at most."""

    what: str
    seconds: int = 0


class ReleaseWire(Document, frozen=True, kw_only=True):
    """The config blob."""

    type: Literal["allod.release"] = "allod.release"
    format: Literal[1] = 1
    name: str
    version: str
    purl: str
    provider: str
    kind: Kind
    installed_size: int = 0
    service: ServiceWire | None = None
    health: list[HealthWire] = []
    access: list[str] = []
    constraints: list[ConstraintWire] = []
    data: DataWire | None = None
    configuration: ConfigurationWire | None = None
    hardware: list[str] = []
    architecture: str = ""
    interrupts: InterruptsWire | None = None
    mends: list[str] = []
    support_end: str = ""
    imported_by_owner: bool = False


def decode_release(config: bytes, layers: Sequence[Layer]) -> Release:
    """Read a config blob and set it beside the layers of its manifest.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-document`, `bad-release`, or the code of the
            field at fault (`bad-package`, `bad-version`, `bad-access`, `bad-health`, …).
    """
    wire = decode(config, ReleaseWire, cap=CONFIG_CAP, what="the release's description")
    _check_layers(wire.kind, tuple(layers))
    return release_from_wire(wire, tuple(layers))


def release_from_wire(wire: ReleaseWire, layers: tuple[Layer, ...] = ()) -> Release:
    """Check every field (but not the layers) and take over. Raises as `decode_release`."""
    package = ids.parse_purl(wire.purl)
    if wire.name != ids.package_name(package):
        raise _bad(f"its name {wire.name[:80]!r} is not the last part of {package}")
    if not 0 <= wire.installed_size <= MAX_INSTALLED:
        raise _bad(f"an installed size of {wire.installed_size} bytes")
    interrupts = wire.interrupts or InterruptsWire(what="")
    if not 0 <= interrupts.seconds <= 7 * 86_400:
        raise _bad(f"an interruption of {interrupts.seconds} seconds")
    known = Release(
        package=package,
        version=ids.parse_version(wire.version),
        provider=ids.parse_provider(wire.provider),
        kind=wire.kind,
        service=None if wire.service is None else _service(wire.service),
        health=_health(wire.health),
        access=parse_access(_names(wire.access, "accesses")),
        constraints=_constraints(wire.constraints),
        data=None if wire.data is None else _data(wire.data),
        configuration=None if wire.configuration is None else _configuration(wire.configuration),
        hardware=_words(wire.hardware, "hardware"),
        architecture="" if not wire.architecture else _architecture(wire.architecture),
        interrupts=_text(interrupts.what, "what it interrupts"),
        interrupts_seconds=interrupts.seconds,
        mends=_words(wire.mends, "an advisory"),
        support_end=_day(wire.support_end),
        imported_by_owner=wire.imported_by_owner,
        installed_size=wire.installed_size,
        layers=layers,
    )
    if known.service is None and any(check.kind is ProbeKind.RUNNING for check in known.health):
        raise _bad("it asks whether its service runs, and has none")
    return known


def encode_release(known: Release) -> bytes:
    """The config blob; the same release is always the same bytes. Layers stand in the manifest."""
    value = msgspec.to_builtins(release_to_wire(known))
    absent: tuple[object, ...] = (None, [], "", False, 0)
    return encode({key: part for key, part in value.items() if part not in absent})


def release_to_wire(known: Release) -> ReleaseWire:
    """The inverse of `release_from_wire`."""
    said = known.interrupts or known.interrupts_seconds
    return ReleaseWire(
        name=ids.package_name(known.package),
        version=known.version,
        purl=known.package,
        provider=known.provider,
        kind=known.kind,
        installed_size=known.installed_size,
        service=None
        if known.service is None
        else ServiceWire(
            name=known.service.name,
            command=list(known.service.command),
            environment=dict(known.service.environment),
            stop_seconds=known.service.stop_seconds,
        ),
        health=[health_to_wire(check) for check in known.health],
        access=sorted(known.access),
        constraints=[ConstraintWire(id=one.id, says=one.says) for one in known.constraints],
        data=None
        if known.data is None
        else DataWire(
            schema=known.data.schema, reads=list(known.data.reads), snapshot=known.data.snapshot
        ),
        configuration=None
        if known.configuration is None
        else ConfigurationWire(
            schema=known.configuration.schema,
            file=known.configuration.file,
            apply=known.configuration.apply,
            local=list(known.configuration.local),
            default=known.configuration.default,
        ),
        hardware=list(known.hardware),
        architecture=known.architecture,
        interrupts=InterruptsWire(what=known.interrupts, seconds=known.interrupts_seconds)
        if said
        else None,
        mends=list(known.mends),
        support_end=known.support_end,
        imported_by_owner=known.imported_by_owner,
    )


def _bad(why: str) -> InvalidInput:
    return InvalidInput("bad-release", f"cannot use the release: {why}")


def _names(values: Sequence[str], what: str) -> Sequence[str]:
    if len(values) > MAX_NAMES:
        raise _bad(f"more than {MAX_NAMES} {what}")
    return values


def _text(value: str, what: str) -> str:
    if len(value) > MAX_TEXT or _CONTROL.search(value):
        raise _bad(f"{what} is longer than {MAX_TEXT} characters or holds control characters")
    return value


def _words(values: Sequence[str], what: str) -> tuple[str, ...]:
    for value in _names(values, "entries"):
        if _WORD.fullmatch(value) is None:
            raise _bad(f"{value[:80]!r} is no name of {what}")
    return tuple(values)


def _day(value: str) -> str:
    try:
        fits = not value or date.fromisoformat(value).isoformat() == value
    except ValueError:
        fits = False
    if not fits:
        raise _bad(f"{value[:20]!r} is no day like 2027-01-31")
    return value


def _argument(value: str, what: str) -> str:
    if len(value) > MAX_ARGUMENT or _CONTROL.search(value):
        raise _bad(f"{what} is longer than {MAX_ARGUMENT} characters or holds control characters")
    if set("{}") & set(_PLACED.sub("", value)):
        raise _bad(f"{what} {value[:80]!r} may hold no braces but {', '.join(PLACEHOLDERS)}")
    return value


def _command(values: Sequence[str], what: str) -> tuple[str, ...]:
    if not 1 <= len(values) <= MAX_ARGUMENTS or not values[0]:
        raise _bad(f"{what} has 1 to {MAX_ARGUMENTS} words, the first of which is the program")
    program = values[0]
    if ".." in program.split("/"):
        raise _bad(f"{what} {program[:80]!r} leaves its tree")
    return tuple(_argument(value, what) for value in values)


def _architecture(value: str) -> str:
    return ids.parse_name(value, "an architecture")


def _service(wire: ServiceWire) -> release.Service:
    if len(wire.environment) > MAX_NAMES or not 0 < wire.stop_seconds <= MAX_STOP:
        raise _bad(f"more than {MAX_NAMES} variables, or more than an hour to stop")
    for name in wire.environment:
        if _VARIABLE.fullmatch(name) is None or _RESERVED.fullmatch(name) is not None:
            raise _bad(f"its service may not set the variable {name[:80]!r}")
    return release.Service(
        ids.parse_name(wire.name, "a service's name"),
        _command(wire.command, "the command of its service"),
        tuple(sorted((name, _argument(text, name)) for name, text in wire.environment.items())),
        wire.stop_seconds,
    )


def _health(values: Sequence[HealthWire]) -> tuple[HealthCheck, ...]:
    if len(values) > MAX_CHECKS:
        raise _bad(f"more than {MAX_CHECKS} health checks")
    checks = tuple(health_from_wire(value) for value in values)
    for check in checks:
        if check.kind is ProbeKind.HTTP:
            _check_url(check)
        elif check.kind is ProbeKind.TCP:
            if _LOCAL_ADDRESS.fullmatch(check.address) is None:
                raise _bad_health(f"{check.address[:80]!r} is no address like 127.0.0.1:8080")
        elif check.kind is ProbeKind.COMMAND:
            _command(check.command, "the command of a health check")
    return checks


def _check_url(check: HealthCheck) -> None:
    if _LOCAL_URL.fullmatch(_argument(check.url, "the URL of a health check")) is None:
        raise _bad_health(f"{check.url[:80]!r} is no URL like http://127.0.0.1:8080/ of the device")
    if check.status not in range(100, 600):
        raise _bad_health(f"{check.status} is no HTTP status")
    _text(check.contains, "the text that a health check looks for")


def _bad_health(why: str) -> InvalidInput:
    return InvalidInput("bad-health", f"cannot use the release's health check: {why}")


def _constraints(values: Sequence[ConstraintWire]) -> tuple[release.Constraint, ...]:
    if len(values) > MAX_NAMES or len({value.id for value in values}) != len(values):
        raise _bad(f"more than {MAX_NAMES} constraints, or one of them twice")
    return tuple(
        release.Constraint(
            ids.parse_name(value.id, "a constraint's id"), _text(value.says, "a constraint")
        )
        for value in values
    )


def _data(wire: DataWire) -> release.Data:
    reads = tuple(wire.reads)
    if len(reads) > MAX_NAMES or not all(0 < number < 1 << 31 for number in (wire.schema, *reads)):
        raise _bad("schemas of data are numbers from 1 on")
    if wire.schema not in reads:
        raise _bad(f"it cannot read the data that it writes itself (schema {wire.schema})")
    return release.Data(wire.schema, reads, wire.snapshot)


def _references(value: Any) -> Iterator[tuple[str, object]]:
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            for key in ("$ref", "$dynamicRef", "$schema"):
                if key in part:
                    yield key, part[key]
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _configuration(wire: ConfigurationWire) -> release.ConfigurationSpec:
    if len(encode(wire.schema)) > SCHEMA_CAP or len(encode(wire.default)) > SCHEMA_CAP:
        raise _bad(f"its configuration's schema or default is larger than {SCHEMA_CAP} bytes")
    for key, value in _references(wire.schema):
        if isinstance(value, dict):  # a property that happens to be called so
            continue
        if key == "$schema" and value != _DIALECT:
            raise _bad(f"its configuration's schema is not of {_DIALECT}")
        if key != "$schema" and not str(value).startswith("#"):
            raise _bad(
                f"its configuration's schema refers to {str(value)[:80]!r} outside of itself"
            )
    if _FILE.fullmatch(wire.file) is None:
        raise _bad(f"its configuration's file {wire.file[:80]!r} is no plain name")
    for pointer in _names(wire.local, "local paths"):
        if _POINTER.fullmatch(pointer) is None or len(pointer) > MAX_TEXT:
            raise _bad(f"{pointer[:80]!r} is no JSON pointer")
    return release.ConfigurationSpec(
        wire.schema, wire.file, wire.apply, tuple(wire.local), wire.default
    )


_LAYER_TYPES: Final = {Kind.TREE: oci.TREE_LAYER}


def _check_layers(kind: Kind, layers: tuple[Layer, ...]) -> None:
    if not 1 <= len(layers) <= oci.MAX_LAYERS or len({one.digest for one in layers}) != len(layers):
        raise _bad(f"it has 1 to {oci.MAX_LAYERS} layers, each once")
    for layer in layers:
        if layer.media_type != _LAYER_TYPES[kind]:
            raise _bad(f"a layer of kind {kind} is not of type {layer.media_type[:80]!r}")
