"""After a restore: learn where the floors are, and go on above them (attack 62).

A backup is older than what devices have seen. The owner's program brings the newest signed files
that it verified; devices' reports say how far snapshot and timestamp had come. Until the owner has
spoken nothing else is published. What devices say raises versions by a bounded step only, so that
one lying device cannot use them up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import structlog

from allod.domain.ids import FleetId, sha256
from allod.errors import InvalidInput
from allod.server.services.check import take_apart
from allod.server.services.fleets import FleetState
from allod.server.services.publication import Publications, fleet_event
from allod.server.services.publish import Publish
from allod.server.services.refresh import resigned
from allod.tlog.checkpoint import open_checkpoint
from allod.tlog.note import parse_key
from allod.trust.anchor import check_root
from allod.trust.metadata import SNAPSHOT, TIMESTAMP, read, tuf_rules
from allod.wire.api import ChangeReceipt, ChangeUpload, FloorsUpload
from allod.wire.codec import encode
from allod.wire.report import TrustState

_STEP: Final = 100_000  #: publications beyond the backup that devices are believed
_ONLINE: Final = (SNAPSHOT, TIMESTAMP)
_log = structlog.get_logger("allod.server.floors")


class LearnFloors:
    """The use case."""

    def __init__(self, publications: Publications, publish: Publish) -> None:
        self._publications = publications
        self._publish = publish

    def __call__(self, fleet: FleetId, upload: FloorsUpload) -> ChangeReceipt:
        """Take over the newest files that the owner has, and publish above every floor.

        Raises:
            InvalidInput: a file can't be read.
            Untrusted: a file is not signed by whom it should be.
        """
        publications = self._publications
        with publications.lock(fleet):
            publications.recover(fleet)
            state = publications.fleets.need(fleet)
            self._check_logs(state, upload)
            above = self._above(state, upload)
            change = _newer(state, upload)
            if change.metadata or change.trust:
                parts = take_apart(change)
                pending = self._publish.prepare(
                    state, change, parts, "restore", sha256(encode(upload)), above=above
                )
            else:
                pending = resigned(
                    publications,
                    state,
                    "restore",
                    snapshot_above=above[SNAPSHOT],
                    timestamp_above=above[TIMESTAMP],
                )
            after = publications.carry_out(pending)
            publications.stores.files.remove(publications.directory(fleet).restored)
            after = replace(after, restored=False)
            publications.stores.database.apply(fleet_event(after))
            publications.fleets.put(replace(publications.fleets.need(fleet), restored=False))
            _log.info("floors-learnt", fleet=fleet, versions=after.versions)
            return ChangeReceipt(fleet=fleet, news=after.news, versions=after.versions)

    def seen(self, fleet: FleetId, trust: TrustState) -> None:
        """A device reports its floors; matters only after a restore."""
        state = self._publications.fleets.get(fleet)
        if state is None or not state.restored:
            return
        with self._publications.lock(fleet):
            state = self._publications.fleets.need(fleet)
            published = state.versions
            above = {
                role: min(trust.roles.get(role, 0), published[role] + _STEP) for role in _ONLINE
            }
            if all(above[role] <= published[role] for role in _ONLINE):
                return
            pending = resigned(
                self._publications,
                state,
                "restore",
                snapshot_above=above[SNAPSHOT],
                timestamp_above=above[TIMESTAMP],
            )
            self._publications.carry_out(pending)
            _log.info("floors-raised", fleet=fleet, above=above)

    def _check_logs(self, state: FleetState, upload: FloorsUpload) -> None:
        """A log that its owner has seen more of came back from a backup, whoever brought it back."""
        logs = self._publications.logs
        for log in state.statement.logs if state.statement is not None else ():
            told = upload.logs.get(log.origin)
            served = None if told is None else logs.reader(state.fleet, log.origin).published()
            if told is None or served is None:
                continue
            theirs, ours = (
                open_checkpoint(raw, log.origin, [parse_key(log.key)]) for raw in (told, served)
            )
            if theirs.size > ours.size or (theirs.size == ours.size and theirs.root != ours.root):
                logs.give_up(state.fleet, log.origin)

    def _above(self, state: FleetState, upload: FloorsUpload) -> dict[str, int]:
        """Versions of the online roles that were seen: proved by our own keys, or told by the owner."""
        root = check_root(state.anchor.root).root
        # A version without the file that proves it counts a bounded step only: whoever may publish
        # must not be able to use the numbers up.
        above = {
            role: min(upload.versions.get(role, 0), state.versions[role] + _STEP)
            for role in _ONLINE
        }
        for name, data in upload.metadata.items():
            role = name.removesuffix(".json").rpartition(".")[2]
            if role in _ONLINE:
                metadata = read(data, role)
                with tuf_rules(role):
                    root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
                above[role] = max(above[role], metadata.signed.version)
        if max(above.values()) > 2**62:
            raise InvalidInput(
                "bad-versions", "cannot go on above these versions: they are too high"
            )
        return above


def _newer(state: FleetState, upload: FloorsUpload) -> ChangeUpload:
    """What of the upload is not published yet."""
    published = state.versions
    metadata = {}
    for name, data in upload.metadata.items():
        number, _, rest = name.partition(".")
        role = rest.removesuffix(".json")
        if role not in _ONLINE and number.isdecimal() and int(number) > published.get(role, 0):
            metadata[name] = data
    trust = {
        number: data
        for number, data in upload.trust.items()
        if number.isdecimal() and int(number) > state.floors.trust_number
    }
    targets = dict(upload.targets) if metadata else {}
    return ChangeUpload(metadata=metadata, targets=targets, trust=trust, blobs=upload.blobs)
