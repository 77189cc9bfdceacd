"""What the owner said of providers at a place of the log: whose signatures of channels count there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from allod.audit.reading import ChannelEntry
from allod.domain.ids import ProviderName, sha256
from allod.errors import InvalidInput
from allod.trust.channels import holders_of
from allod.trust.documents import DOCUMENT_CAP, provider_path
from allod.trust.effects import Need, Steps
from allod.trust.floors import Counted, channel_role
from allod.trust.holding import Holders, Holding
from allod.trust.metadata import TARGETS, withheld
from allod.wire.codec import decode
from allod.wire.trust import ProviderDocument

_KEPT: Final = 64  #: documents in memory


@dataclass(slots=True)
class Providers:
    """Reads the owner's documents about providers, as versions of `targets` list them."""

    _documents: dict[str, ProviderDocument] = field(default_factory=dict)  #: by their digest

    def holders(
        self, entry: ChannelEntry, reign: Counted | None, holding: Holding
    ) -> Steps[Holders | None]:
        """Who signs a channel's documents at this place; None: nobody.

        Raises:
            Untrusted: `mix-and-match`.
            Unavailable: `withheld`.
            InvalidInput: the owner's document cannot be read.
        """
        name, _, _ = entry.role.removeprefix(channel_role("")).partition("/")
        if reign is None:
            return None
        targets = yield from holding.file(TARGETS, reign)
        path = provider_path(ProviderName(name))
        info = targets.targets.get(path)
        if info is None:
            return None
        document = yield from self._document(path, info.hashes["sha256"])
        after = document.distrusted_after
        trusted = document.distrusted is None or (after is not None and entry.at <= after)
        return holders_of(document) if trusted and document.provider == name else None

    def _document(self, path: str, digest: str) -> Steps[ProviderDocument]:
        known = self._documents.get(digest)
        if known is not None:
            return known
        directory, _, name = path.rpartition("/")
        where = f"tuf/targets/{directory}/{digest}.{name}"
        data = yield Need(where, DOCUMENT_CAP)
        if data is None:
            raise withheld(where)
        if sha256(data) != f"sha256:{digest}":
            raise InvalidInput("bad-document", f"cannot read {where}: it is another document")
        found = decode(data, ProviderDocument, cap=DOCUMENT_CAP, what=path)
        if len(self._documents) >= _KEPT:
            self._documents.clear()
        self._documents[digest] = found
        return found
