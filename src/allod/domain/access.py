"""What a release needs of its device, as a set of flat names that can be compared and accepted.

The grammar (docs/spec/release.md, "Access"):

    network.listen:tcp/8080   network.outbound   network.outbound:HOST
    microphone   camera   device:/dev/NAME   privilege:CAP_NAME   root
    path.read:/ABSOLUTE   path.write:/ABSOLUTE

What is not declared is denied where the service manager can deny it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from allod.errors import InvalidInput

_PATH: Final = r"/(?:[A-Za-z0-9_.@+-]+(?:/[A-Za-z0-9_.@+-]+)*)?"
_LAST_PORT: Final = 65_535
_FORMS: Final = tuple(
    re.compile(form, re.ASCII)
    for form in (
        r"network\.listen:(?:tcp|udp)/[1-9][0-9]{0,4}",
        r"network\.outbound(?::[A-Za-z0-9.-]{1,253})?",
        r"microphone|camera|root",
        r"device:/dev/[A-Za-z0-9_./-]+",
        r"privilege:CAP_[A-Z_]+",
        rf"path\.(?:read|write):{_PATH}",
    )
)


def parse_access(names: Iterable[str]) -> frozenset[str]:
    """Check the names against the grammar. Raises InvalidInput `bad-access`."""
    known = frozenset(names)
    for name in known:
        if ".." in name or not any(form.fullmatch(name) for form in _FORMS):
            raise InvalidInput("bad-access", f"cannot read the access {name[:80]!r}", access=name)
        port = name.rpartition("/")[2] if name.startswith("network.listen:") else "1"
        if int(port) > _LAST_PORT:
            raise InvalidInput("bad-access", f"cannot listen on port {port}", access=name)
    return known


def new_access(running: frozenset[str], wanted: frozenset[str]) -> frozenset[str]:
    """What `wanted` needs that `running` did not have (a bare grant covers its narrow forms)."""
    covered = {name for name in wanted if name.partition(":")[0] in running}
    return wanted - running - covered
