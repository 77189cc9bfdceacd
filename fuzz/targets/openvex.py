"""OpenVEX documents (docs/reference/advisories.md)."""

from __future__ import annotations

from allod.advisories.openvex import decode_vex
from allod.advisories.tables import pack_statement, unpack_statement


def target(data: bytes) -> None:
    """What is read goes into rows of the store, and comes out the same."""
    for one in decode_vex(data, source="s", file="f"):
        if unpack_statement(pack_statement(one), "s") != one:
            raise RuntimeError("a statement changes in the store")
