"""Making the next document of a channel, with the provider's keys on this machine.

What is published stays published: the next document has a higher sequence, and says of every
package what the one before said, unless it is named anew or dropped. The one before is taken from
where the new one goes, and only if one of this machine's own keys signed it: nobody else can slip
a package in. The sequence that was signed last is kept here, so that an older one that is shown
instead is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.cli.channel_places import ENVELOPE_CAP, Place
from allod.cli.fleet import home_directory
from allod.domain.delegation import Channel, ChannelRelease
from allod.domain.ids import ProviderName, Purl, package_name, parse_name, parse_provider
from allod.durable import make_directory, write_atomic
from allod.errors import Conflict, InvalidInput, Unavailable, Untrusted
from allod.wire.codec import Document, decode, encode
from allod.wire.envelope import CHANNEL

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

_CAP: Final = 64 * 1024


class Signed(Document, frozen=True, kw_only=True):
    """What this machine signed last of a channel."""

    sequence: int
    digest: str


@dataclass(frozen=True, slots=True)
class Named:
    """A release that the channel is to name."""

    package: Purl
    release: ChannelRelease


def parse_channel(text: str) -> tuple[ProviderName, str]:
    """A channel as users type it, `acme/stable`. Raises InvalidInput `bad-arguments`."""
    provider, slash, channel = text.partition("/")
    if not slash:
        raise InvalidInput(
            "bad-arguments", f"cannot read {text[:80]!r} as a channel: it is like acme/stable"
        )
    return parse_provider(provider), parse_name(channel, "a channel")


def last_signed(provider: str, channel: str) -> Signed | None:
    """What this machine signed last of a channel, if it signed any."""
    try:
        data = _memory(provider, channel).read_bytes()
    except FileNotFoundError:
        return None
    return decode(data, Signed, cap=_CAP, what="the memory of a channel")


def keep_signed(provider: str, channel: str, signed: Signed) -> None:
    """Remember it, before it is published anywhere."""
    path = _memory(provider, channel)
    make_directory(path.parent)
    write_atomic(path, encode(signed))


def _memory(provider: str, channel: str) -> Path:
    return home_directory() / "signer" / "channels" / provider / f"{channel}.json"


def previous(
    place: Place, provider: ProviderName, channel: str, signers: Sequence[Signer]
) -> Channel | None:
    """The document that the next one follows; None: it is the first.

    Raises:
        Untrusted: `auth`: another key signed what is there; `rollback`: an older one is shown.
        Unavailable: `channel-missing`: one was signed here, and is not there.
    """
    from allod.trust.dsse import verify_envelope
    from allod.wire.channel import decode_channel

    known = last_signed(provider, channel)
    what = f"the channel {provider}/{channel} of {place.name}"
    raw = place.document(provider, channel, None)
    if raw is None:
        if known is not None:
            raise Unavailable(
                "channel-missing",
                f"cannot find {what}: this machine signed sequence {known.sequence} of it; give "
                "--sequence to go on above it, naming every package again",
            )
        return None
    keys = [signer.public_key for signer in signers]
    payload = verify_envelope(raw, CHANNEL, keys, 1, ENVELOPE_CAP, what=what).value
    found = decode_channel(payload)
    if (found.provider, found.channel) != (provider, channel):
        raise Untrusted("wrong-channel", f"cannot go on from {what}: it is signed as another one")
    if known is not None and found.sequence < known.sequence:
        raise Untrusted(
            "rollback",
            f"cannot go on from {what}: it shows sequence {found.sequence}, and this machine "
            f"signed {known.sequence}",
        )
    return found


def following(
    before: Channel | None,
    provider: ProviderName,
    channel: str,
    named: Iterable[Named],
    *,
    drop: frozenset[Purl] = frozenset(),
    now: datetime,
    life: timedelta,
    sequence: int | None = None,
) -> Channel:
    """The next document.

    Raises:
        InvalidInput: `bad-arguments`, `not-in-channel`.
        Conflict: `old-sequence`.
    """
    had: Mapping[Purl, ChannelRelease] = {} if before is None else before.packages
    fresh = {one.package: one.release for one in named}
    for package in sorted(drop):
        if package not in had or package in fresh:
            raise InvalidInput(
                "not-in-channel",
                f"cannot drop {package}: the channel does not name it, or you name it anew",
            )
    after = 1 if before is None else before.sequence + 1
    if sequence is not None and sequence < after:
        raise Conflict(
            "old-sequence", f"cannot publish sequence {sequence}: the next one is {after}"
        )
    packages = {key: one for key, one in {**had, **fresh}.items() if key not in drop}
    if not packages and before is None:
        raise InvalidInput("bad-arguments", "cannot publish a channel that names no release")
    return Channel(provider, channel, sequence or after, now, now + life, packages)


def with_mends(named: Sequence[Named], texts: Sequence[str]) -> tuple[Named, ...]:
    """What releases mend besides what they say themselves, like `toaster=CVE-2026-1`."""
    more: dict[Purl, list[str]] = {}
    for text in texts:
        name, equals, flaw = text.partition("=")
        found = [one.package for one in named if name in {one.package, package_name(one.package)}]
        if not equals or not flaw.strip() or len(found) != 1:
            raise InvalidInput(
                "bad-arguments",
                f"cannot read {text[:80]!r}: it is like toaster=CVE-2026-1, of a release that you name",
            )
        more.setdefault(found[0], []).append(flaw.strip())
    return tuple(
        replace(one, release=replace(one.release, mends=_joined(one, more.get(one.package, []))))
        for one in named
    )


def _joined(named: Named, more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*named.release.mends, *more)))
