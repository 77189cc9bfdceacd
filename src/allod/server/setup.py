"""`server init`: makes the server's directory. Repeating it mends a half-made one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from securesystemslib.signer import CryptoSigner

from allod import durable
from allod.errors import Conflict, InvalidInput
from allod.server import keys, tls
from allod.server.layout import ServerDirectory
from allod.server.settings import LogsIn, Settings, load_settings, save_settings
from allod.wire.api import ServerOffer
from allod.wire.codec import encode


def hosts_of(url: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The names and addresses that the certificate is to hold, without repetition.

    Raises:
        InvalidInput: `bad-url`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path.strip("/"):
        raise InvalidInput(
            "bad-url",
            f"cannot use {url[:200]!r} as the server's address: it is like https://host:port",
        )
    return tuple(dict.fromkeys([parts.hostname, *more, "localhost", "127.0.0.1"]))


def initialise(
    directory: Path,
    *,
    url: str,
    now: datetime,
    hosts: Sequence[str] = (),
    address: str = "127.0.0.1",
    port: int | None = None,
    logs: LogsIn | None = None,
) -> Settings:
    """Make keys, secrets, certificates, settings and the offer; what exists already stays.

    Args:
        directory: where the server is to live.
        url: how devices and owners reach the server; `http://` only for tests and public fleets.
        now: the beginning of the certificates.
        hosts: further names of the server, for its certificate.
        address: where it listens.
        port: where it listens; by default that of `url`.
        logs: where the fleets' logs are kept; a directory, unless it was chosen before.

    Raises:
        InvalidInput: `bad-url`.
        Conflict: `exists`: the logs of its fleets are kept elsewhere.
    """
    url = url.rstrip("/")
    names = hosts_of(url, hosts)
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    settings = Settings(
        directory,
        url,
        address,
        port if port is not None else parts.port or (443 if secure else 80),
        secure,
        _logs_in(directory, logs),
    )
    layout = settings.layout
    durable.make_directory(directory)
    durable.make_directory(layout.inbox)
    durable.make_directory(directory / "fleets")
    keys.create_keys(layout)
    if secure and not layout.tls("ca.pem").exists():
        authority, authority_key = tls.make_authority(f"Allod server {names[0]}", now)
        durable.make_directory(layout.tls("ca.key").parent)
        durable.write_atomic(layout.tls("ca.key"), authority_key)
        chain, key = tls.make_certificate(authority, authority_key, names, now)
        tls.install_certificate(layout, authority, chain, key)
    write_offer(settings)
    save_settings(settings)
    return settings


def _logs_in(directory: Path, wanted: LogsIn | None) -> LogsIn:
    """Where logs are kept: what a log holds is nowhere else, so that it stays where it began."""
    layout = ServerDirectory(directory)
    before: LogsIn = "directory"
    if layout.settings.is_file():
        before = load_settings(directory).logs
    if wanted not in {None, before} and layout.fleets():
        raise Conflict(
            "exists",
            f"cannot keep logs by {wanted!r}: this server has fleets, whose logs are kept by "
            f"{before!r}; make another server",
        )
    return wanted or before


def write_offer(settings: Settings) -> ServerOffer:
    """Write `offer.json` from what is in the directory."""
    layout = settings.layout
    offer = ServerOffer(
        url=settings.url,
        ca=layout.tls("ca.pem").read_text("ascii") if settings.tls else "",
        snapshot=keys.public_key(_newest(layout, "snapshot")),
        timestamp=keys.public_key(_newest(layout, "timestamp")),
        gate=keys.public_key(keys.load_signer(layout, "gate")),
        log=keys.public_key(_newest(layout, keys.LOG)) if layout.key(keys.LOG).is_file() else None,
        enrolment=keys.load_secrets(layout).enrolment,
    )
    durable.write_atomic(layout.offer, encode(offer))
    return offer


def _newest(layout: ServerDirectory, role: str) -> CryptoSigner:
    """The key that a root made from now on should name."""
    return keys.load_waiting(layout, role) or keys.load_signer(layout, role)


def offer_new_keys(settings: Settings) -> ServerOffer:
    """Make new online keys and offer them; the old ones sign until a fleet's root names the new."""
    keys.make_waiting(settings.layout)
    return write_offer(settings)
