"""`allod.toml`: how people describe a release (docs/spec/release.md, "allod.toml").

It says the same as the config blob, in the words of its fields, plus where the payload lies.
What can be known by looking (sizes, digests, layers) never stands in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from allod.domain.ids import package_name, parse_name, parse_purl
from allod.domain.release import Kind, Release
from allod.errors import InvalidInput
from allod.wire.codec import parse_strict, shaped
from allod.wire.health import HealthWire
from allod.wire.release import (
    SCHEMA_CAP,
    ConfigurationWire,
    ConstraintWire,
    DataWire,
    InterruptsWire,
    ReleaseWire,
    ServiceWire,
    release_from_wire,
)

FILE: Final = "allod.toml"
CAP: Final = 1024 * 1024
ME: Final = "me"  #: the provider that every owner has


class _Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Root of the tables: closed, immutable."""


class ServiceTable(_Table, frozen=True, kw_only=True):
    """`[service]`."""

    command: list[str]
    name: str = ""  #: empty: the package's name
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    stop_seconds: float = 10.0


class ConfigurationTable(_Table, frozen=True, kw_only=True):
    """`[configuration]`; schema and default are tables, or names of JSON files beside the file."""

    schema: str | dict[str, Any]
    default: str | dict[str, Any] | None = None
    file: str = "config.json"
    apply: str = "restart"
    local: list[str] = msgspec.field(default_factory=list)


class InterruptsTable(_Table, frozen=True, kw_only=True):
    """`[interrupts]`."""

    what: str = ""
    seconds: int = 0


class PlatformTable(_Table, frozen=True, kw_only=True):
    """`[[platform]]`: one architecture of several, with a tree of its own."""

    architecture: str
    tree: str


class DescriptionFile(_Table, frozen=True, kw_only=True):
    """The whole file."""

    package: str
    version: str = ""
    provider: str = ME
    kind: str = "tree"
    tree: str = "."
    architecture: str = ""
    hardware: list[str] = msgspec.field(default_factory=list)
    access: list[str] = msgspec.field(default_factory=list)
    mends: list[str] = msgspec.field(default_factory=list)
    support_end: str = ""
    imported_by_owner: bool = False
    service: ServiceTable | None = None
    health: list[dict[str, Any]] = msgspec.field(default_factory=list)
    data: dict[str, Any] | None = None
    configuration: ConfigurationTable | None = None
    interrupts: InterruptsTable | None = None
    constraints: list[dict[str, Any]] = msgspec.field(default_factory=list)
    platform: list[PlatformTable] = msgspec.field(default_factory=list)
    sbom: str = ""  #: a file beside it; empty: made of the payload, where that can be done


@dataclass(frozen=True, slots=True)
class Payload:
    """One tree to ship, and for which architecture ("": any)."""

    tree: Path
    architecture: str


@dataclass(frozen=True, slots=True)
class Description:
    """A description that was read and checked."""

    release: Release  #: without layers and sizes
    payloads: tuple[Payload, ...]
    sbom: Path | None = None  #: the file that says what it is made of


def _bad(why: str) -> InvalidInput:
    return InvalidInput("bad-description", f"cannot use {FILE}: {why}")


def read_description(directory: Path, *, version: str | None = None) -> Description:
    """Read `allod.toml` of `directory`; `version` overrides what it says.

    Raises:
        InvalidInput: `no-release`, `no-description`, `bad-description` with line or field, or the code of the
            field at fault.
    """
    path = directory / FILE
    if not directory.is_dir():
        raise InvalidInput("no-release", f"cannot build {directory}: it is no directory")
    try:
        with path.open("rb") as file:
            raw = file.read(CAP + 1)
    except FileNotFoundError as error:
        raise InvalidInput(
            "no-description",
            f"cannot build {directory}: it has no {FILE}; 'allod release init {directory}' writes one",
        ) from error
    except OSError as error:
        raise _bad(error.strerror or "it cannot be read") from error
    if len(raw) > CAP:
        raise _bad(f"it is larger than {CAP} bytes")
    return parse_description(raw, directory, version=version)


def parse_description(raw: bytes, directory: Path, *, version: str | None = None) -> Description:
    """Check the bytes of a description; paths in it are relative to `directory`.

    Raises:
        InvalidInput: as `read_description`.
    """
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(str(error)) from error
    described = _convert(table, DescriptionFile, "")
    said = version or described.version
    if not said:
        raise _bad("it has no version; add 'version = \"1.0\"' or give --version")
    package = parse_purl(described.package)
    release = release_from_wire(
        ReleaseWire(
            name=package_name(package),
            version=said,
            purl=package,
            provider=described.provider,
            kind=_choice(described.kind, Kind, "kind"),
            service=_service(described.service, package_name(package)),
            health=_health(described.health),
            access=described.access,
            constraints=_list(described.constraints, ConstraintWire, "constraints"),
            data=None if described.data is None else _data(described.data),
            configuration=_configuration(described.configuration, directory),
            hardware=described.hardware,
            architecture=described.architecture,
            interrupts=_interrupts(described.interrupts),
            mends=described.mends,
            support_end=described.support_end,
            imported_by_owner=described.imported_by_owner,
        )
    )
    check_configuration(release)
    sbom = _inside(directory, described.sbom, "sbom") if described.sbom else None
    return Description(release, _payloads(described, directory), sbom)


def _health(values: list[dict[str, Any]]) -> list[HealthWire]:
    return [_convert(one, HealthWire, f"health[{place}]") for place, one in enumerate(values)]


def _list(values: list[dict[str, Any]], type_: type[Any], field: str) -> list[Any]:
    return [_convert(one, type_, f"{field}[{place}]") for place, one in enumerate(values)]


def _data(value: dict[str, Any]) -> DataWire:
    """A schema can be read by the release that writes it, if nothing else is said."""
    schema = value.get("schema", 1)
    return _convert({"reads": [schema], **value}, DataWire, "data")  # type: ignore[no-any-return]


def _convert(value: Any, type_: type[Any], field: str) -> Any:
    try:
        return shaped(value, type_)
    except (msgspec.ValidationError, ValueError) as error:
        text, _, place = str(error).partition(" - at `$")
        at = (field + place.rstrip("`")).lstrip(".")
        raise _bad(f"{at}: {text}" if at else text) from error


def _choice(value: str, kinds: type[Kind], field: str) -> Kind:
    try:
        return kinds(value)
    except ValueError as error:
        known = ", ".join(kinds)
        raise _bad(f"{field}: {value[:40]!r} is none of: {known}") from error


def _service(table: ServiceTable | None, name: str) -> ServiceWire | None:
    if table is None:
        return None
    return ServiceWire(
        name=table.name or name,
        command=table.command,
        environment=table.environment,
        stop_seconds=table.stop_seconds,
    )


def _interrupts(table: InterruptsTable | None) -> InterruptsWire | None:
    return None if table is None else InterruptsWire(what=table.what, seconds=table.seconds)


def _configuration(table: ConfigurationTable | None, directory: Path) -> ConfigurationWire | None:
    if table is None:
        return None
    value = {
        "schema": _json(table.schema, directory, "configuration.schema"),
        "default": _json(table.default, directory, "configuration.default"),
        "file": table.file,
        "apply": table.apply,
        "local": table.local,
    }
    return _convert(value, ConfigurationWire, "configuration")  # type: ignore[no-any-return]


def _inside(directory: Path, name: str, field: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _bad(f"{field}: {name[:80]!r} leads out of the directory")
    return directory / path


def _json(value: str | dict[str, Any] | None, directory: Path, field: str) -> Any:
    if not isinstance(value, str):
        return value
    path = _inside(directory, value, field)
    try:
        with path.open("rb") as file:
            raw = file.read(SCHEMA_CAP + 1)
    except OSError as error:
        raise _bad(f"{field}: {value[:80]!r}: {error.strerror}") from error
    return parse_strict(raw, cap=SCHEMA_CAP, what=f"{field} ({value[:80]})")


def _payloads(described: DescriptionFile, directory: Path) -> tuple[Payload, ...]:
    if not described.platform:
        return (Payload(_inside(directory, described.tree, "tree"), described.architecture),)
    if described.architecture or described.tree != ".":
        raise _bad("either [[platform]] or 'tree' and 'architecture', not both")
    names = [parse_name(one.architecture, "an architecture") for one in described.platform]
    if len(set(names)) != len(names):
        raise _bad("platform: one architecture stands twice")
    return tuple(
        Payload(_inside(directory, one.tree, "platform.tree"), one.architecture)
        for one in described.platform
    )


def check_configuration(release: Release) -> None:
    """Check that the schema is one, and that the default obeys it.

    Raises:
        InvalidInput: `bad-schema` or `bad-default`.
    """
    spec = release.configuration
    if spec is None:
        return
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    try:
        Draft202012Validator.check_schema(spec.schema)
    except SchemaError as error:
        raise InvalidInput(
            "bad-schema",
            f"cannot use the configuration's schema: {error.message[:300]} (at {error.json_path})",
        ) from error
    if spec.default is None:
        return
    validator = Draft202012Validator(spec.schema, registry=Registry())
    fault = next(iter(validator.iter_errors(spec.default)), None)
    if fault is not None:
        raise InvalidInput(
            "bad-default",
            f"cannot use the configuration's default: {fault.message[:300]} (at {fault.json_path})",
        )


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_description(table: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """A description as TOML: plain values first, then tables, then arrays of tables.

    `comments` stand at its top, a line each.
    """
    lines = [f"# {comment}" if comment else "#" for comment in comments]
    lines += _table_lines(table, "")
    return "\n".join(lines).strip("\n") + "\n"


def _table_lines(table: Mapping[str, Any], prefix: str) -> list[str]:
    plain, tables = [], []
    for key, value in table.items():
        if value is None:
            continue
        name = prefix + _key(key)
        if isinstance(value, dict) and value:
            inner = _table_lines(value, name + ".")
            own = inner and not inner[0].startswith("\n[")
            tables += [f"\n[{name}]", *inner] if own else inner
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for one in value:
                tables += [f"\n[[{name}]]", *_table_lines(one, name + ".")]
        else:
            plain.append(f"{_key(key)} = {_value(value)}")
    return plain + tables


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return "{" + pairs + "}"
    text = "".join(
        _ESCAPES.get(char, char if char >= " " and char != "\x7f" else f"\\u{ord(char):04x}")
        for char in str(value)
    )
    return f'"{text}"'
