"""What an auditor needs on a stick: the logs whole, and all that they name.

It is found by auditing: what an audit reads from the server is put on the stick as it is read, so
an audit of the stick finds whatever it needs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from allod.cli.audit.run import Audit
from allod.cli.audit.source import ServerSource, Source, binding_path, report_path
from allod.cli.audit.state import AuditDirectory
from allod.domain.ids import sha256
from allod.trust.dsse import decode_envelope, payload_of
from allod.trust.metadata import ROOT, SNAPSHOT, TIMESTAMP, metadata_path
from allod.wire.codec import encode

if TYPE_CHECKING:
    from allod.audit.activity import Place
    from allod.cli.picture import Picture
    from allod.wire.api import BindingEntry

Put = Callable[[str, bytes], None]


@dataclass(slots=True)
class Copying:
    """A source that keeps what it gives.

    Args:
        source: where from.
        put: keeps a file, by its address below the fleet.
        pinned: files of the moment at which the stick was begun; others keep them.
    """

    source: Source
    put: Put
    pinned: Mapping[str, bytes | None]
    last: dict[str, bytes] = field(default_factory=dict)  #: to be kept after what they name

    @property
    def name(self) -> str:
        """See the port."""
        return self.source.name

    def file(self, path: str, cap: int) -> bytes | None:
        """See the port."""
        if path in self.pinned:
            return self.pinned[path]
        data = self.source.file(path, cap)
        if data is not None and path.endswith("/checkpoint"):
            self.last[path] = data
        elif data is not None:
            self.put(path, data)
        return data

    def bindings(self) -> Iterator[BindingEntry]:
        """See the port."""
        for entry in self.source.bindings():
            self.put(binding_path(entry.device, entry.epoch), encode(entry))
            yield entry

    def reports(self, place: Place, after: int) -> Iterator[tuple[int, bytes]]:
        """See the port."""
        for sequence, raw in self.source.reports(place, after):
            digest = sha256(payload_of(decode_envelope(raw, cap=len(raw))))
            self.put(report_path(place.device, place.epoch, sequence, digest), raw)
            yield sequence, raw


def put_evidence(
    picture: Picture, put: Put, checkpoint: Mapping[str, bytes], progress: Callable[[int], None]
) -> int:
    """Put the logs and all that they name on a stick.

    Args:
        picture: of the moment at which the stick was begun.
        put: keeps a file, by its address below the fleet.
        checkpoint: of the authority log at that moment, by its address; others keep it.
        progress: called with numbers of what was read.

    Returns:
        How many findings an audit of it has.
    """
    view = picture.base.view
    repository = view.repository
    pinned: dict[str, bytes | None] = {
        **checkpoint,
        metadata_path(ROOT, repository.root.version + 1): None,
        metadata_path(TIMESTAMP, None): repository.files[TIMESTAMP],
        metadata_path(SNAPSHOT, view.versions[SNAPSHOT]): repository.files[SNAPSHOT],
    }
    copying = Copying(ServerSource(picture.fleet.client), put, pinned)
    with tempfile.TemporaryDirectory() as name:
        place = AuditDirectory(Path(name), picture.base.fleet_id)
        result = Audit(
            copying,
            picture.base.fleet_id,
            place,
            place.load(),
            repository.floors,
            picture.now,
            progress,
        ).run()
    for path, data in copying.last.items():
        put(path, data)
    return len(result.findings)
