"""A release: one version of one package, as its provider describes it (docs/spec/release.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from allod.domain.ids import Digest, ProviderName, Purl, Version


class Kind(StrEnum):
    """How a release is installed."""

    TREE = "tree"


class ProbeKind(StrEnum):
    """How health is probed."""

    RUNNING = "running"
    HTTP = "http"
    TCP = "tcp"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One condition that must come true within `within` seconds and hold for `hold` seconds."""

    kind: ProbeKind
    within: float = 30.0  #: seconds after activation by which it must have come true
    hold: float = 0.0  #: seconds for which it must then stay true
    timeout: float = 5.0  #: seconds for a single attempt
    every: float = 1.0  #: seconds between attempts
    url: str = ""  #: http: on the device itself
    status: int = 200  #: http: the status that means healthy
    contains: str = ""  #: http: text that the first 64 KiB of the body must hold
    address: str = ""  #: tcp: "host:port"
    command: tuple[str, ...] = ()  #: command: exit status 0 means healthy


@dataclass(frozen=True, slots=True)
class Service:
    """The process that a release runs."""

    name: str
    #: the program is relative to the tree unless absolute; may use {tree}, {config}, {data}
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    stop_seconds: float = 10.0  #: between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True)
class Constraint:
    """Something that limits the owner once the release is active; accepted by `id` or refused."""

    id: str
    says: str


@dataclass(frozen=True, slots=True)
class Data:
    """What the release keeps between its versions, in the package's data directory."""

    schema: int = 1  #: the schema that this release writes
    reads: tuple[int, ...] = (1,)  #: the schemas that it can read
    snapshot: bool = True  #: whether a copy may be taken before activation


class Apply(StrEnum):
    """How a new configuration reaches a running service."""

    RESTART = "restart"
    RELOAD = "reload"  #: SIGHUP


@dataclass(frozen=True, slots=True)
class ConfigurationSpec:
    """What may be configured, and how."""

    schema: dict[str, Any]  #: JSON Schema 2020-12 of the document
    file: str = "config.json"  #: its name below {config}
    apply: Apply = Apply.RESTART
    local: tuple[str, ...] = ()  #: JSON pointers that users of the device may change
    default: dict[str, Any] | None = None  #: what holds while the owner configured nothing


@dataclass(frozen=True, slots=True)
class Layer:
    """One payload blob of a release."""

    digest: Digest
    size: int  #: bytes, as transferred
    media_type: str


@dataclass(frozen=True, slots=True)
class Release:
    """What the config blob of a release says; `layers` come from the manifest around it."""

    package: Purl
    version: Version
    provider: ProviderName
    kind: Kind
    service: Service | None = None
    health: tuple[HealthCheck, ...] = ()
    access: frozenset[str] = frozenset()
    constraints: tuple[Constraint, ...] = ()
    data: Data | None = None
    configuration: ConfigurationSpec | None = None
    hardware: tuple[str, ...] = ()  #: compatible hardware; empty: any
    architecture: str = ""  #: as `uname -m`; empty: any
    interrupts: str = ""  #: what activation interrupts, in words
    interrupts_seconds: int = 0
    mends: tuple[str, ...] = ()  #: advisories, as the provider states
    support_end: str = ""  #: date, YYYY-MM-DD
    imported_by_owner: bool = False
    installed_size: int = 0  #: bytes once unpacked; caps the unpacking
    layers: tuple[Layer, ...] = field(default=(), compare=False)


def reads_data_of(release: Release, written_schema: int) -> bool:
    """Whether `release` can read data written under `written_schema`."""
    return release.data is None or written_schema in release.data.reads


def is_one_way(running: Release, wanted: Release) -> bool:
    """Whether going to `wanted` can't be taken back with its data (docs/spec/release.md).

    It can if what runs now reads the new schema, or if a snapshot is taken before.
    """
    if wanted.data is None:
        return False
    return not (reads_data_of(running, wanted.data.schema) or wanted.data.snapshot)
