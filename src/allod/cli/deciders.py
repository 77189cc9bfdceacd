"""Who else decides than the owner, with what they said: documents of delegates, and channels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from allod.domain.delegation import Channel, Delegate
from allod.errors import AllodError
from allod.trust.approvals import approved_state
from allod.trust.channels import ENVELOPE_CAP, verify_channel
from allod.wire.channel import latest_path

if TYPE_CHECKING:
    from allod.cli.documents import Base
    from allod.domain.delegation import Follow


def deciders(base: Base) -> dict[str, Delegate]:
    """The delegations, each with what a device would take for its word.

    A channel is taken as the server shows it newest, by its provider's signature; that it counts in
    the log is proved on each device. One that cannot be had or is not good says nothing.
    """
    found = {name: Delegate(one) for name, one in base.delegations.items()}
    for (name, scope), document in base.delegated.items():
        if name in found:
            counted = approved_state(document, base.fleet_document)
            documents = {**found[name].documents, scope: counted}
            found[name] = replace(found[name], documents=documents)
    for name, one in found.items():
        if one.delegation.follow is not None:
            found[name] = replace(one, channel=_newest(base, one.delegation.follow))
    return found


def _newest(base: Base, follow: Follow) -> Channel | None:
    provider = base.providers.get(follow.provider)
    if provider is None:
        return None
    path = latest_path(follow.provider, follow.channel)
    try:
        raw = base.fleet.client.file(path, cap=ENVELOPE_CAP)
        return None if raw is None else verify_channel(raw, provider, follow).value.channel
    except AllodError:
        return None  # devices refuse it just so, and say why
