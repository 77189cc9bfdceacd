"""Records of the OSV schema (docs/reference/advisories.md)."""

from __future__ import annotations

from allod.advisories.osv import decode_advisory
from allod.advisories.tables import pack_affected, pack_record, unpack_affected, unpack_record


def target(data: bytes) -> None:
    """What is read goes into rows of the store, and comes out the same."""
    said = decode_advisory(data, source="s", file="f")
    kept = unpack_record(
        pack_record(said), name=said.id, source="s", withdrawn=said.withdrawn, file="f"
    )
    affected = tuple(
        unpack_affected(pack_affected(one), one.ecosystem, one.name, one.place)
        for one in said.affected
    )
    if affected != said.affected or kept.aliases != said.aliases:
        raise RuntimeError("a record changes in the store")
