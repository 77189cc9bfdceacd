"""Health checks, as they stand in releases and in the owner's documents."""

from __future__ import annotations

from typing import Final

from allod.domain.release import HealthCheck, ProbeKind
from allod.errors import InvalidInput
from allod.wire.codec import Document


class HealthWire(Document, kw_only=True, frozen=True):
    """One check; fields that its kind does not use stay away."""

    kind: ProbeKind
    within: float = 30.0
    hold: float = 0.0
    timeout: float = 5.0
    every: float = 1.0
    url: str = ""
    status: int = 200
    contains: str = ""
    address: str = ""
    command: list[str] = []


_DAY: Final = 86_400.0
_LEAST: Final = 0.01
_NEEDS: Final = {ProbeKind.HTTP: "url", ProbeKind.TCP: "address", ProbeKind.COMMAND: "command"}


def health_from_wire(wire: HealthWire) -> HealthCheck:
    """Check and take over. Raises InvalidInput `bad-health`."""
    needed = _NEEDS.get(wire.kind)
    if needed is not None and not getattr(wire, needed):
        raise InvalidInput(
            "bad-health", f"cannot use a health check of kind {wire.kind} without {needed!r}"
        )
    for name in ("within", "hold", "timeout", "every"):
        value = getattr(wire, name)
        if not 0 <= value <= _DAY or (name in {"timeout", "every"} and value < _LEAST):
            raise InvalidInput(
                "bad-health", f"cannot use {name} = {value}: it is 0 to 86400 seconds"
            )
    return HealthCheck(
        wire.kind,
        wire.within,
        wire.hold,
        wire.timeout,
        wire.every,
        wire.url,
        wire.status,
        wire.contains,
        wire.address,
        tuple(wire.command),
    )


def health_to_wire(check: HealthCheck) -> HealthWire:
    """The inverse of `health_from_wire`."""
    return HealthWire(
        kind=check.kind,
        within=check.within,
        hold=check.hold,
        timeout=check.timeout,
        every=check.every,
        url=check.url,
        status=check.status,
        contains=check.contains,
        address=check.address,
        command=list(check.command),
    )
