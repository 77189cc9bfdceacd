"""Delegations that devices propose when they are bound: shown, filled in, never taken silently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allod.cli.options import OPTIONS, Options
from allod.cli.phrases import choices
from allod.cli.picture import Picture, take
from allod.domain.condition import Term, Verb
from allod.domain.delegation import Delegation, Follow
from allod.domain.ids import device_scope, parse_provider
from allod.domain.reported import Member
from allod.errors import InvalidInput
from allod.trust.keys import key_id
from allod.wire.codec import encode
from allod.wire.terms import terms_from_wire
from allod.wire.trust import ProviderDocument

if TYPE_CHECKING:
    from allod.wire.proposed import ProposedDelegation


@dataclass(frozen=True, slots=True)
class Proposed:
    """What one device proposes."""

    member: Member
    wire: ProposedDelegation

    @property
    def follow(self) -> Follow:
        """The channel."""
        follow = self.wire.follow
        return Follow(parse_provider(follow.provider), follow.channel, follow.source)

    @property
    def terms(self) -> tuple[Term, ...]:
        """What it would be held to."""
        return terms_from_wire(self.wire.terms)

    def delegation(self, name: str) -> Delegation:
        """As it is proposed, for this device alone; the owner may say more."""
        return Delegation(
            id=name,
            scopes=frozenset({device_scope(self.member.device)}),
            packages=tuple(self.wire.packages),
            verbs=frozenset({Verb.TRANSFER, Verb.INSTALL, Verb.ACTIVATE}),
            terms=self.terms,
            follow=self.follow,
            about=self.wire.about,
        )

    def provider_document(self, picture: Picture) -> bytes | None:
        """The document that names its provider; None: the owner names them already."""
        name = self.follow.provider
        if name in picture.base.providers:
            return None
        theirs = self.wire.provider
        return encode(
            ProviderDocument(
                fleet=picture.base.fleet_id,
                provider=name,
                keys=theirs.keys,
                threshold=theirs.threshold,
                namespaces=sorted(theirs.namespaces),
                access=theirs.access,
            )
        )

    def words(self, picture: Picture) -> Iterator[str]:
        """What must be looked at before it is signed."""
        name = self.follow.provider
        ids = {key_id(key) for key in self.wire.provider.keys}
        known = picture.base.providers.get(name)
        yield f"proposed by {self.member.shown} when it was bound: nobody's word until you sign"
        if known is None:
            shown = ", ".join(sorted(ids))
            yield (
                f"! it names the provider {name} anew, who speaks for "
                f"{', '.join(self.wire.provider.namespaces)}: compare their key with them: {shown}"
            )
        elif {key_id(key) for key in known.keys} != ids:
            yield f"! the device knows other keys of {name} than you name; yours hold"


def proposed_by(picture: Picture, text: str) -> Proposed:
    """The proposal of one device. Raises InvalidInput `unknown-device`, `no-proposal`."""
    from allod.cli.scopes import find_device

    member = find_device(text, picture.devices)
    for one in all_proposed(picture):
        if one.member.device == member.device:
            return one
    known = [one.member.shown for one in all_proposed(picture)]
    raise InvalidInput(
        "no-proposal",
        f"cannot take a proposal of {member.shown}: it made none; there are some of: {choices(known)}",
    )


def all_proposed(picture: Picture) -> tuple[Proposed, ...]:
    """What devices in use propose, by their binding records."""
    return tuple(
        Proposed(device.member, device.binding.record.proposes)
        for device in picture.members.devices
        if device.binding.record.proposes is not None
        and not device.member.retired
        and not device.member.surplus
    )


def proposals(*, options: Options = OPTIONS) -> None:
    """Show the delegations that devices proposed when they were bound."""
    picture = take(options.open(), reports=False, reading=True)
    rows, data = [], []
    for one in all_proposed(picture):
        by = following(picture.base.delegations.values(), one)
        terms = "; ".join(term.says for term in one.terms)
        packages = ", ".join(one.wire.packages)
        rows.append((one.member.shown, str(one.follow), packages, terms, by or "not granted"))
        data.append(
            {
                "device": one.member.device,
                "label": one.member.label,
                "follow": str(one.follow),
                "source": one.follow.source,
                "packages": one.wire.packages,
                "terms": [term.says for term in one.terms],
                "keys": [key_id(key) for key in one.wire.provider.keys],
                "about": one.wire.about,
                "granted": by,
            }
        )
    options.output.table(
        {"proposals": data},
        ("device", "channel", "packages", "terms", "delegation"),
        rows,
        empty="No device proposes a delegation.",
    )
    if any(one["granted"] is None for one in data):
        options.output.say("Grant one: allod delegate grant NAME --proposed DEVICE --group GROUP")


def following(delegations: Iterable[Delegation], one: Proposed) -> str | None:
    """The delegation that follows that channel for the device already."""
    for delegation in delegations:
        follow = delegation.follow
        same = follow is not None and str(follow) == str(one.follow)
        if same and delegation.scopes & set(one.member.scopes):
            return delegation.id
    return None
