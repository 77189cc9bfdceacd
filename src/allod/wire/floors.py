"""The durable form of the trust floors (docs/spec/trust.md, "Floors")."""

from __future__ import annotations

from typing import Literal

from allod.wire.codec import Document


class CountedFile(Document, kw_only=True, frozen=True):
    """The newest entry of the authority log that counts for a role."""

    index: int
    version: int
    digest: str
    by: list[str]


class PassedFile(Document, kw_only=True, frozen=True):
    """Entries of a role that were read and not judged."""

    first: int
    under: str = ""


class FloorsFile(Document, kw_only=True, frozen=True):
    """What a device or an owner's machine must never go below."""

    type: Literal["allod.floors"] = "allod.floors"
    format: Literal[1] = 1
    fleet: str
    root_version: int
    root_digest: str
    trust_number: int
    trust_digest: str | None
    roles: dict[str, int]
    digests: dict[str, str]
    time: str
    epoch: int
    logs: dict[str, str] = {}
    counted: dict[str, CountedFile] = {}
    counted_log: str = ""
    channels: dict[str, CountedFile] = {}
    seen: dict[str, str] = {}
    passed: dict[str, PassedFile] = {}
