"""A provider's channel: one document for all who follow it (docs/spec/channel.md).

DSSE with payload type `CHANNEL`, by the provider's keys; whole in an entry of the authority log.
"""

from __future__ import annotations

from typing import Final, Literal

from allod.domain import delegation as domain
from allod.domain import ids
from allod.errors import InvalidInput
from allod.wire.codec import Document, decode, encode, instant, parse_instant

CHANNEL_CAP: Final = 48 * 1024  #: of the payload: with base64 and signatures it fits a log entry
_MOST_FLAWS: Final = 100


class ChannelRelease(Document, kw_only=True, frozen=True):
    """The release of one package."""

    version: str
    digest: str
    mends: list[str] = []


class ChannelDocument(Document, kw_only=True, frozen=True):
    """The payload. It carries provider and channel, and no fleet."""

    type: Literal["allod.channel"] = "allod.channel"
    format: Literal[1] = 1
    provider: str
    channel: str
    sequence: int
    at: str
    expires: str
    packages: dict[str, ChannelRelease] = {}


def channel_path(provider: str, channel: str, sequence: int) -> str:
    """Where a fleet's server has it, relative to `/f/<fleet>/`."""
    return f"channels/{provider}/{channel}/{sequence}.json"


def latest_path(provider: str, channel: str) -> str:
    """Where a fleet's server has the newest document once more, for fleets without a log."""
    return f"channels/{provider}/{channel}/latest.json"


def checkpoint_path(provider: str, channel: str, sequence: int) -> str:
    """Where a fleet's server keeps the first witnessed checkpoint after a document's entry."""
    return f"channels/{provider}/{channel}/{sequence}.checkpoint"


def decode_channel(payload: bytes, *, cap: int = CHANNEL_CAP) -> domain.Channel:
    """Read a channel's document; its signature was checked.

    Args:
        payload: what was signed.
        cap: its greatest length.

    Raises:
        InvalidInput: it cannot be read.
    """
    wire = decode(payload, ChannelDocument, cap=cap, what="a channel")
    if not 0 < wire.sequence < 2**53:
        raise InvalidInput("bad-document", f"cannot read a channel: sequence {wire.sequence}")
    return domain.Channel(
        provider=ids.parse_provider(wire.provider),
        channel=ids.parse_name(wire.channel, "a channel"),
        sequence=wire.sequence,
        at=parse_instant(wire.at),
        expires=parse_instant(wire.expires),
        packages={ids.parse_purl(key): _release(one) for key, one in wire.packages.items()},
    )


def _release(wire: ChannelRelease) -> domain.ChannelRelease:
    if len(wire.mends) > _MOST_FLAWS or not all(flaw.isprintable() for flaw in wire.mends):
        raise InvalidInput("bad-document", "cannot read a channel: what a release mends is no list")
    return domain.ChannelRelease(
        ids.parse_version(wire.version), ids.parse_digest(wire.digest), tuple(wire.mends)
    )


def encode_channel(channel: domain.Channel, *, cap: int = CHANNEL_CAP) -> bytes:
    """The payload to sign. Raises InvalidInput."""
    payload = encode(
        ChannelDocument(
            provider=channel.provider,
            channel=channel.channel,
            sequence=channel.sequence,
            at=instant(channel.at),
            expires=instant(channel.expires),
            packages={
                str(key): ChannelRelease(
                    version=one.version, digest=one.digest, mends=list(one.mends)
                )
                for key, one in sorted(channel.packages.items())
            },
        )
    )
    decode_channel(payload, cap=cap)
    return payload
