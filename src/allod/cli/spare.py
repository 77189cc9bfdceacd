"""Certificates from the owner's spare authority, which every device pins from the first day."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from allod.cli.certificates import authority, server_certificate
from allod.cli.fleet import LocalFleet
from allod.durable import make_directory, write_atomic
from allod.errors import Conflict, Unavailable
from allod.wire.codec import parse_instant


def certify_server(
    fleet: LocalFleet, out: Path, hosts: tuple[str, ...], *, at: datetime
) -> tuple[str, ...]:
    """Write chain, key and authority for the server into the new directory `out`.

    Returns:
        the hosts that the certificate names.

    Raises:
        Conflict: `exists`.
        Unavailable: `key-elsewhere`, `no-server`.
    """
    if out.exists():
        raise Conflict("exists", f"cannot write to {out}: it is there already")
    held = [r for r in fleet.keys.records("spare-ca") if r.file and r.state == "current"]
    key = fleet.keys.private(held[-1]) if held else None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise Unavailable("key-elsewhere", "cannot certify: the spare authority is not here")
    if fleet.settings.server is None:
        raise Unavailable("no-server", f"cannot certify: no server of {fleet.name} is set")
    own = urlsplit(fleet.settings.server.url).hostname or "localhost"
    names = hosts or tuple(dict.fromkeys((own, "localhost", "127.0.0.1")))
    spare = authority(
        key, name=f"Allod spare of {fleet.settings.name}", now=parse_instant(held[-1].created)
    )
    chain, private = server_certificate(spare, key, names, now=at)
    make_directory(out.absolute())
    for name, text in (("chain.pem", chain), ("key.pem", private), ("authority.pem", spare)):
        write_atomic(out / name, text.encode("ascii"))
    return names
