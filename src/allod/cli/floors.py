"""`allod server floors`: after a restore, bring the server what is newer than its backup.

Devices have seen more than the backup holds. The owner's machine has verified the newest files,
and kept them; from these the server goes on above every floor (attack 62).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allod.cli.options import OPTIONS, Options
from allod.errors import InvalidInput

_ROOM: Final = 36 * 1024 * 1024  #: bytes of blobs in one upload, which is JSON of at most 64 MiB

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.wire.api import FloorsUpload


def floors(*, options: Options = OPTIONS) -> None:
    """Tell a server that was restored from a backup where the fleet stands.

    Args:
        options: Options of every verb.
    """
    import msgspec

    from allod.cli.mending import view_to_mend
    from allod.wire.api import ChangeReceipt

    fleet = options.open()
    upload = known(fleet)
    left = fleet.history("blobs").keys() - upload.blobs.keys()
    if left:
        options.output.say(
            f"! {len(left)} large files, SBOMs of devices on record, have no room in one upload; where "
            "the server lacks one, retire its device and import it again."
        )
    receipt = fleet.client.post("floors", upload, ChangeReceipt)
    statement = view_to_mend(fleet, options, tell=False).repository.statement
    said, then = "The server is up to date again; the fleet goes on.", None
    if statement is not None and statement.logs:
        # What came back from a backup is older than what readers may have seen: it would fork.
        then = "allod trust log succeed"
        said = (
            "The server is up to date again. It does not go on with the logs of its backup, which "
            f"readers may have seen more of: run '{then}', then the fleet goes on."
        )
    options.output.result({**msgspec.to_builtins(receipt), "then": then}, said)


def known(fleet: LocalFleet) -> FloorsUpload:
    """The newest files that were verified here: roles with targets, roots, statements, blobs."""
    from allod.tlog.known import parse_known
    from allod.trust.metadata import TIMESTAMP, cache_name, cached_target, read
    from allod.wire.api import FloorsUpload

    cached, held = fleet.cached(), fleet.floors
    metadata = dict(fleet.history("roots"))
    targets: dict[str, bytes] = {}
    for role in held.roles:
        data = cached.get(cache_name(role))
        if data is None:
            continue
        signed = read(data, role).signed
        name = f"{role}.json" if role == TIMESTAMP else f"{signed.version}.{role}.json"
        metadata[name] = data
        for path in getattr(signed, "targets", {}):
            content = cached.get(cached_target(path))
            if content is not None:
                targets[path] = content
    if not metadata:
        raise InvalidInput("no-anchor", f"cannot tell where {fleet.name} stands: nothing is cached")
    statements = {name.removesuffix(".json"): data for name, data in fleet.history("trust").items()}
    return FloorsUpload(
        metadata=metadata,
        targets=targets,
        trust=statements,
        blobs=_blobs(fleet),
        versions=dict(held.roles),
        logs={
            origin: parse_known(known.encode()).signed.encode()
            for origin, known in held.logs.items()
        },
    )


def _blobs(fleet: LocalFleet) -> dict[str, bytes]:
    """As many as one upload has room for: what devices need is small, and goes first."""
    found: dict[str, bytes] = {}
    room = _ROOM
    for name, data in sorted(fleet.history("blobs").items(), key=lambda one: (len(one[1]), one[0])):
        room -= len(data)
        if room < 0:
            break
        found[name] = data
    return found
