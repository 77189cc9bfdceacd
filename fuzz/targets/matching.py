"""Hostile records against parts that they are about: matched, grouped, and written out again."""

from __future__ import annotations

from datetime import UTC, datetime

from allod.advisories.advisory import Advisory
from allod.advisories.assessing import assess
from allod.advisories.component import Component
from allod.advisories.cyclonedx_vex import encode_vex
from allod.advisories.finding import Wares
from allod.advisories.names import normalise
from allod.advisories.orders import order_of
from allod.advisories.osv import decode_advisory
from allod.domain.sbom import SbomComponent
from allod.errors import InvalidInput
from allod.testing.advisories import MemoryAdvisories

PARTS = 40  #: that are asked about


def parts_of(record: Advisory) -> list[Component]:
    """What the record is about, at each end of its ranges: as `component_of` would make them."""
    found: list[Component] = []
    for affected in record.affected:
        ends = [event.version for each in affected.ranges for event in each.events]
        order = order_of(affected.ecosystem)
        for version in (*ends, *sorted(affected.versions)[:3], "1.0", "1:2.3-4"):
            try:
                if order is not None:
                    order.key(version)
            except InvalidInput:
                continue
            name = normalise(affected.ecosystem, affected.name)
            said = SbomComponent(affected.name, version)
            found.append(Component(affected.ecosystem, name, version, said))
    return found[:PARTS]


def target(data: bytes) -> None:
    """Each is found to have it or not, and the answer can be written as CycloneDX."""
    record = decode_advisory(data, source="s", file="f")
    parts = parts_of(record)
    found = assess(Wares(tuple(parts)), MemoryAdvisories([record]))
    encode_vex(found, at=datetime(2026, 1, 1, tzinfo=UTC))
