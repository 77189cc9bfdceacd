"""Where documents of channels stand in the authority log, as far as they counted when they were read.

A document counts if it is signed as the owner then said of its provider, and its sequence is
higher than that of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from allod.errors import AllodError
from allod.trust.channels import holders_of, read_channel
from allod.trust.dsse import good_signatures, payload_of
from allod.trust.floors import channel_role
from allod.wire.trust import ProviderDocument

if TYPE_CHECKING:
    from allod.cli.refresh import View
    from allod.trust.accepted import Repository
    from allod.wire.envelope import Envelope


def new_documents(
    view: View, repository: Repository, newest: Mapping[str, int]
) -> Iterator[tuple[str, int, int]]:
    """Role, sequence and index of every document that counts among the entries just read.

    Args:
        view: the newest verified state, which says who the providers are.
        repository: that has read the log on.
        newest: role of a channel -> the sequence that counted last.
    """
    tail = repository.tail
    if tail is None:
        return
    for name, entries in sorted(tail.channels.items()):
        provider = _provider(view, name.partition("/")[0])
        if provider is None:
            continue
        role = channel_role(name)
        last = newest.get(role, 0)
        for index, envelope in entries:
            sequence = _sequence(envelope, provider, name)
            after = provider.distrusted_after
            if sequence is None or sequence <= last or (after is not None and index > after):
                continue
            last = sequence
            yield role, sequence, index


def _provider(view: View, name: str) -> ProviderDocument | None:
    try:
        return view.document(f"providers/{name}.json", ProviderDocument)
    except AllodError:
        return None


def _sequence(envelope: Envelope, provider: ProviderDocument, name: str) -> int | None:
    """The sequence of a document that its provider signed; None: they did not."""
    try:
        holders = holders_of(provider)
        signed = frozenset(good_signatures(envelope, payload_of(envelope), holders.keys))
        channel = read_channel(envelope).channel
        theirs = f"{channel.provider}/{channel.channel}" == name
        return channel.sequence if theirs and holders.enough(signed) else None
    except AllodError:
        return None
