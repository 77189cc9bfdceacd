"""The files that entries of the authority log name, and the documents that those files list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from allod.audit.activity import Run
from allod.audit.authority import Checked, Named
from allod.audit.findings import Findings
from allod.audit.releases import Releases
from allod.cli.audit.source import Source
from allod.cli.audit.workers import Reader, Workers
from allod.domain.desired import StateDocument
from allod.domain.ids import sha256
from allod.errors import AllodError
from allod.trust.metadata import TARGETS_CAP, quote
from allod.wire.desired import STATE_CAP, decode_state

_FILES: Final = 64  #: of a job
_BYTES: Final = 8 * 1024 * 1024


@dataclass(slots=True)
class Documents:
    """Compares files with entries, and reads each version of each document once."""

    source: Source
    releases: Releases
    findings: Findings = field(default_factory=Findings)
    counts: dict[str, int] = field(default_factory=lambda: {"files": 0, "documents": 0})
    _newest: dict[str, str] = field(default_factory=dict)  #: path -> SHA-256

    def digests(self, named: Iterable[Named], staff: Workers) -> Iterator[tuple[Named, str | None]]:
        """Each file that is named, with the digest of what is served; None: nothing is."""
        batches: list[list[Named]] = []

        def jobs() -> Iterator[list[tuple[str, bytes | None]]]:
            for batch, files in self._batches(named):
                batches.append(batch)
                yield files

        for checked in staff.ordered(Reader.files, jobs()):
            yield from self._compared(batches.pop(0), checked)

    def _batches(
        self, named: Iterable[Named]
    ) -> Iterator[tuple[list[Named], list[tuple[str, bytes | None]]]]:
        batch: list[Named] = []
        files: list[tuple[str, bytes | None]] = []
        size = 0
        for one in named:
            data = self.source.file(one.path, TARGETS_CAP)
            batch.append(one)
            files.append((one.role, data))
            size += len(data or b"")
            if len(batch) >= _FILES or size > _BYTES:
                yield batch, files
                batch, files, size = [], [], 0
        if batch:
            yield batch, files

    def _compared(
        self, batch: Sequence[Named], checked: Sequence[Checked]
    ) -> Iterator[tuple[Named, str | None]]:
        for one, found in zip(batch, checked, strict=True):
            self.counts["files"] += found.digest is not None
            yield one, found.digest
            if found.digest == one.digest:
                for path, digest in found.documents:
                    if self._newest.get(path) != digest:
                        self._newest[path] = digest
                        self._document(one, path, digest)

    def _document(self, named: Named, path: str, digest: str) -> None:
        """A state document, as it stood in that version of the role's file."""
        directory, slash, name = path.rpartition("/")
        where = f"tuf/targets/{quote(f'{directory}{slash}{digest}.{name}', safe=b'/')}"
        data = self.source.file(where, STATE_CAP)
        if data is None:
            says = f"{named.role} version {named.version} lists it, and it is not served"
            self.findings.found("withheld", where, says, named.at)
            return
        if sha256(data) != f"sha256:{digest}":
            says = f"{named.role} version {named.version} lists another content"
            self.findings.found("mix-and-match", where, says, named.at)
            return
        self.counts["documents"] += 1
        try:
            document = decode_state(data)
        except AllodError:
            return  # devices refuse it, and say so
        said = f"{path} of {named.role} {named.version}"
        self.findings.take(self.releases.named(_orders(document), said))


def _orders(document: StateDocument) -> Iterator[Run]:
    for package, entry in document.packages.items():
        for order in entry.software.releases if entry.software is not None else ():
            yield Run(package, order.version, order.digest)
