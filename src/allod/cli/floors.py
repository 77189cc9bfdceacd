"""`allod server floors`: after a restore, bring the server what is newer than its backup.

Devices have seen more than the backup holds. The owner's machine has verified the newest files,
and kept them; from these the server goes on above every floor (attack 62).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allod.cli.options import OPTIONS, Options
from allod.errors import InvalidInput

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet
    from allod.wire.api import FloorsUpload


def floors(*, options: Options = OPTIONS) -> None:
    """Tell a server that was restored from a backup where the fleet stands.

    Args:
        options: Options of every verb.
    """
    from allod.cli.refresh import refresh
    from allod.wire.api import ChangeReceipt

    fleet = options.open()
    receipt = fleet.client.post("floors", known(fleet), ChangeReceipt)
    refresh(fleet)
    options.output.result(receipt, "The server is up to date again; the fleet goes on.")


def known(fleet: LocalFleet) -> FloorsUpload:
    """The newest files that were verified here: roles with targets, roots, statements, blobs."""
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
        blobs=fleet.history("blobs"),
        versions=dict(held.roles),
    )
