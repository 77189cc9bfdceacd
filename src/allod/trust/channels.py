"""A provider's channel, checked under what the owner says of the provider (docs/spec/channel.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from securesystemslib.signer import Signer

from allod.domain.delegation import Channel, Follow
from allod.domain.ids import Digest, parse_name, parse_provider, sha256
from allod.errors import InvalidInput, Refused, Untrusted
from allod.trust.dsse import decode_envelope, make_envelope, payload_of, verify
from allod.trust.holding import Holders
from allod.trust.keys import to_key
from allod.trust.verified import Verified, seal
from allod.wire.channel import decode_channel, encode_channel
from allod.wire.codec import encode
from allod.wire.envelope import CHANNEL, Envelope
from allod.wire.trust import ProviderDocument

ENVELOPE_CAP: Final = 0xFFFF  #: of an entry of the log, which it has to fit into


@dataclass(frozen=True, slots=True)
class SignedChannel:
    """A channel's document, and the digest of what was signed."""

    channel: Channel
    digest: Digest


def holders_of(provider: ProviderDocument) -> Holders:
    """Who signs for the provider. Raises InvalidInput."""
    return Holders(tuple(to_key(key) for key in provider.keys), provider.threshold)


class _Named(msgspec.Struct):
    provider: str
    channel: str


def channel_name(payload: bytes) -> str:
    """Which channel's a document says to be, as `provider/channel`; nothing else of it is read.

    Raises:
        InvalidInput: it does not say.
    """
    try:
        said = msgspec.json.decode(payload, type=_Named)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput("bad-document", f"cannot read a channel: {error}") from error
    return f"{parse_provider(said.provider)}/{parse_name(said.channel, 'a channel')}"


def read_channel(envelope: Envelope) -> SignedChannel:
    """Read a channel's document, unverified: to know which channel's it says to be.

    Raises:
        InvalidInput: it cannot be read.
    """
    payload = payload_of(envelope)
    return SignedChannel(decode_channel(payload), sha256(payload))


def verify_channel(
    raw: bytes, provider: ProviderDocument, follow: Follow | None = None
) -> Verified[SignedChannel]:
    """Check that a provider signed this document, of this channel; what is not theirs falls away.

    Expiry is not judged here: it is a term of every change (`Channel.term`).

    Args:
        raw: the envelope.
        provider: the owner's document about the provider: keys, threshold, namespaces.
        follow: the channel that is followed; None: any of this provider.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-provider`, `wrong-channel`.
        Refused: `provider-distrusted`, where the owner trusts no word of the provider any more.
    """
    what = f"the channel {follow or provider.provider}"
    require_trusted(provider, what)
    envelope = decode_envelope(raw, cap=ENVELOPE_CAP, what=what)
    holders = holders_of(provider)
    verified = verify(envelope, CHANNEL, holders.keys, holders.threshold, what=what)
    channel = decode_channel(verified.value)
    check_channel(channel, provider, follow)
    return seal(SignedChannel(spoken_for(channel, provider), sha256(verified.value)), verified.by)


def require_trusted(provider: ProviderDocument, what: str) -> None:
    """A provider of whom the owner trusts no word at all is not followed.

    Raises:
        Refused: `provider-distrusted`.
    """
    if provider.distrusted is not None and provider.distrusted_after is None:
        raise Refused(
            "provider-distrusted",
            f"cannot follow {what}: the owner distrusts this provider",
            reasons=(provider.distrusted,),
        )


def check_channel(channel: Channel, provider: ProviderDocument, follow: Follow | None) -> None:
    """The address of a channel whose signatures are good.

    Raises:
        Untrusted: `wrong-provider`, `wrong-channel`.
    """
    what = f"the channel {follow or provider.provider}"
    if channel.provider != provider.provider:
        raise Untrusted("wrong-provider", f"cannot accept {what}: it names {channel.provider}")
    if follow is not None and (channel.provider, channel.channel) != (
        follow.provider,
        follow.channel,
    ):
        raise Untrusted("wrong-channel", f"cannot accept {what}: it is signed as another channel")


def spoken_for(channel: Channel, provider: ProviderDocument) -> Channel:
    """The channel with those packages alone that this owner lets the provider speak for.

    A channel is one for all who follow it, and not every owner grants the same namespaces (18).
    """
    packages = {
        package: release
        for package, release in channel.packages.items()
        if any(package.startswith(prefix) for prefix in provider.namespaces)
    }
    return replace(channel, packages=packages)


def make_channel(channel: Channel, signers: Sequence[Signer]) -> bytes:
    """Sign a channel's document with the provider's keys.

    Raises:
        InvalidInput: it cannot be written, or is too large for an entry of a log.
    """
    payload = encode_channel(channel)
    envelope = make_envelope(
        payload, CHANNEL, sorted(signers, key=lambda one: one.public_key.keyid)
    )
    raw = encode(envelope)
    decode_envelope(raw, cap=ENVELOPE_CAP, what="a channel")
    return raw
