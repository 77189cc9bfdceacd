"""What a delegation would have allowed over its channel's past, as far as that can be had here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from allod.cli.channel_places import FleetPlace, Place, newest_sequence, place_at
from allod.domain.condition import moment
from allod.domain.delegation import Channel, Delegation
from allod.domain.hindsight import Fate, Would, asked, hindsight
from allod.domain.ids import Digest, Purl, package_name
from allod.domain.release import Release
from allod.errors import AllodError
from allod.trust.channels import verify_channel

if TYPE_CHECKING:
    from allod.cli.picture import Picture

_MOST: Final = 50  #: documents of the past that are looked at, the newest


def past_words(picture: Picture, delegation: Delegation) -> tuple[str, ...]:
    """Lines for the preview; none for a delegate who gives orders."""
    if delegation.follow is None:
        return ()
    past = read_past(picture, delegation)
    if not past:
        return (f"Nothing is known here of the past of {delegation.follow}.",)
    terms = tuple(
        term
        for scope in sorted(delegation.scopes)
        if (document := picture.base.state(scope)) is not None
        for term in document.terms
    )
    found = hindsight(
        delegation, past, lambda package, digest: _describe(picture, delegation, package, digest),
        terms=terms,
    )  # fmt: skip
    return tuple(_lines(delegation, past, found))


def _lines(
    delegation: Delegation, past: tuple[Channel, ...], found: tuple[Would, ...]
) -> Iterator[str]:
    span = f"since {moment(min(one.at for one in past))} ({len(past)} documents)"
    if not found:
        yield f"The past of {delegation.follow}, {span}, names none of these packages."
        return
    yield f"Over the past of {delegation.follow}, {span}, this would have"
    for one in found:
        yield f"  {_fate(one)}"
    if asked(delegation):
        others = "; ".join(term.says for term in asked(delegation))
        yield f"  each time besides: {others}"


def _fate(one: Would) -> str:
    what = f"{package_name(one.package)} {one.version}"
    match one.fate:
        case Fate.BEGAN:
            return f"begun with {what}, taken as what ran"
        case Fate.RUN:
            at = "" if one.at is None else moment(one.at)
            return f"run {what} on {at} (published {moment(one.published)})"
        case Fate.OVERTAKEN:
            return f"not come to {what}: a newer one was there first"
        case Fate.UNKNOWN:
            return f"(what {what} was cannot be read any more)"
        case Fate.REFUSED:
            return f"refused {what}: {'; '.join(one.reasons)}"


def read_past(picture: Picture, delegation: Delegation) -> tuple[Channel, ...]:
    """The channel's documents that can be had and that its provider signed, oldest first.

    They only tell a story: what cannot be had or is not the provider's is left out.
    """
    follow = delegation.follow
    if follow is None:
        return ()
    places: list[Place] = [FleetPlace(picture.fleet)]
    if follow.source:
        places.append(place_at(follow.source))
    found: dict[int, Channel] = {}
    for place in places:
        try:
            newest = newest_sequence(place, follow.provider, follow.channel)
        except AllodError:
            continue
        for sequence in range(max(1, newest - _MOST + 1), newest + 1):
            if sequence not in found:
                channel = _read(picture, delegation, place, sequence)
                if channel is not None:
                    found[sequence] = channel
    return tuple(found[sequence] for sequence in sorted(found))


def _read(picture: Picture, delegation: Delegation, place: Place, sequence: int) -> Channel | None:
    follow = delegation.follow
    if follow is None:
        return None
    try:
        raw = place.document(follow.provider, follow.channel, sequence)
        provider = picture.base.providers.get(follow.provider)
        if raw is None or provider is None:
            return None
        channel = verify_channel(raw, provider, follow).value.channel
    except AllodError:
        return None
    return channel if channel.sequence == sequence else None


def _describe(
    picture: Picture, delegation: Delegation, package: Purl, digest: Digest
) -> Release | None:
    follow = delegation.follow
    if follow is None:
        return None
    try:
        return picture.catalog.release(follow.provider, package, digest)
    except AllodError:
        return None
