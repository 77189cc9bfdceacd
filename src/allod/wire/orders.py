"""Orders: what is wanted of a package's software and configuration (docs/spec/desired-state.md)."""

from __future__ import annotations

from allod.domain import desired, ids
from allod.domain.desired import Level, When
from allod.errors import InvalidInput
from allod.wire.codec import Document


class ReleaseOrder(Document, kw_only=True, frozen=True):
    """One release of a package's list."""

    provider: str
    version: str
    digest: str
    level: Level
    when: When = When.NOW


class Software(Document, kw_only=True, frozen=True):
    """Who manages the software; the list is read only if it is the owner."""

    manager: str = desired.OWNER
    releases: list[ReleaseOrder] = []


class Configuration(Document, kw_only=True, frozen=True):
    """Who manages the configuration, and the document that is to hold."""

    manager: str = desired.OWNER
    digest: str | None = None
    size: int = 0
    media_type: str = "application/json"
    when: When = When.NOW


def _manager(value: str) -> str:
    return value if value == desired.OWNER else ids.parse_name(value, "a delegation's id")


def software_from_wire(key: str, wire: Software) -> desired.Software:
    """Who manages the software of `key`, and the list. Raises InvalidInput."""
    orders = tuple(
        desired.ReleaseOrder(
            ids.parse_provider(order.provider),
            ids.parse_version(order.version),
            ids.parse_digest(order.digest),
            order.level,
            order.when,
        )
        for order in wire.releases
    )
    software = desired.Software(_manager(wire.manager), orders)
    if sum(order.level is Level.ACTIVE for order in orders) > 1:
        raise InvalidInput("two-active", f"cannot have two active releases of {key}")
    if len({order.digest for order in orders}) != len(orders):
        raise InvalidInput("bad-document", f"cannot name one release of {key} twice")
    if orders and (ids.is_pattern(key) or software.manager != desired.OWNER):
        raise InvalidInput(
            "bad-document",
            f"cannot list releases for {key}: only the owner does, by exact name",
        )
    return software


def software_to_wire(software: desired.Software) -> Software:
    """The inverse of `software_from_wire`."""
    return Software(
        manager=software.manager,
        releases=[
            ReleaseOrder(
                provider=order.provider,
                version=order.version,
                digest=order.digest,
                level=order.level,
                when=order.when,
            )
            for order in software.releases
        ],
    )


def configuration_from_wire(wire: Configuration) -> desired.ConfigurationOrder:
    """Who manages the configuration, and which document. Raises InvalidInput."""
    return desired.ConfigurationOrder(
        _manager(wire.manager),
        None if wire.digest is None else ids.parse_digest(wire.digest),
        wire.size,
        wire.media_type,
        wire.when,
    )


def configuration_to_wire(order: desired.ConfigurationOrder) -> Configuration:
    """The inverse of `configuration_from_wire`."""
    return Configuration(
        manager=order.manager,
        digest=order.digest,
        size=order.size,
        media_type=order.media_type,
        when=order.when,
    )
