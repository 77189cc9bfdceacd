"""Where a channel's documents are: a fleet's server, a directory, somebody's OCI registry.

None of them is believed: a document counts by its provider's signature. A directory has the same
files as a fleet's server, `channels/PROVIDER/CHANNEL/SEQUENCE.json`, so that it can go on a stick.
A registry has the newest under the channel's name as tag, and each under `NAME.N<sequence>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from allod.cli.registry_files import RegistryFiles
from allod.durable import make_directory, write_atomic
from allod.errors import AllodError, Conflict, InvalidInput, Untrusted
from allod.wire import oci
from allod.wire.api import ChannelReceipt, ChannelUpload
from allod.wire.channel import channel_path, latest_path

if TYPE_CHECKING:
    from allod.cli.fleet import LocalFleet

ENVELOPE_CAP: Final = 0xFFFF  #: of a document: it has to fit into an entry of a log


class Place(Protocol):
    """Somewhere that has the documents of channels."""

    @property
    def name(self) -> str:
        """How it is called in messages."""
        ...

    def document(self, provider: str, channel: str, sequence: int | None) -> bytes | None:
        """The document of that sequence, or the newest; None: there is none. Unverified."""
        ...

    def put(self, provider: str, channel: str, sequence: int, document: bytes) -> None:
        """Publish a document there, durably."""
        ...


@dataclass(frozen=True, slots=True)
class FleetPlace:
    """The server of a fleet, which takes documents of channels that its owner follows."""

    fleet: LocalFleet

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"the server of {self.fleet.name}"

    def document(self, provider: str, channel: str, sequence: int | None) -> bytes | None:
        """The document of that sequence, or the newest."""
        path = latest_path(provider, channel)
        if sequence is not None:
            path = channel_path(provider, channel, sequence)
        return self.fleet.client.file(path, cap=ENVELOPE_CAP)

    def put(self, provider: str, channel: str, sequence: int, document: bytes) -> None:
        """Hand a document in. Raises what the server refuses it with."""
        receipt = self.fleet.client.post(
            "channels", ChannelUpload(document=document), ChannelReceipt
        )
        if (receipt.provider, receipt.channel, receipt.sequence) != (provider, channel, sequence):
            raise Untrusted(
                "wrong-channel", "cannot tell what the server took: it names another document"
            )


@dataclass(frozen=True, slots=True)
class DirectoryPlace:
    """A directory, for sticks and for web servers."""

    directory: Path

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return str(self.directory)

    def document(self, provider: str, channel: str, sequence: int | None) -> bytes | None:
        """The document of that sequence, or the newest."""
        path = latest_path(provider, channel)
        if sequence is not None:
            path = channel_path(provider, channel, sequence)
        try:
            data = (self.directory / path).read_bytes()
        except FileNotFoundError:
            return None
        if len(data) > ENVELOPE_CAP:
            raise InvalidInput("too-large", f"cannot read {path}: it is too large for a channel")
        return data

    def put(self, provider: str, channel: str, sequence: int, document: bytes) -> None:
        """Write the document, then that it is the newest. Raises Conflict `exists`."""
        target = self.directory / channel_path(provider, channel, sequence)
        if target.exists() and target.read_bytes() != document:
            raise Conflict("exists", f"cannot write {target}: another document is there")
        make_directory(target.parent, mode=0o755)
        write_atomic(target, document, mode=0o644)
        write_atomic(target.with_name("latest.json"), document, mode=0o644)


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """An OCI registry: the repository `channels` below a provider's address."""

    files: RegistryFiles

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return self.files.address

    def document(self, provider: str, channel: str, sequence: int | None) -> bytes | None:  # noqa: ARG002 — the port's
        """The document under the channel's tag, or under that of its sequence."""
        tag = channel if sequence is None else _tag(channel, sequence)
        raw = self.files.manifest(tag)
        if raw is None:
            return None
        layer = oci.channel_layer(oci.decode_manifest(raw), what=f"the channel {channel}")
        if layer.size > ENVELOPE_CAP:
            raise InvalidInput("too-large", f"cannot read {channel}: it is too large for a channel")
        return self.files.blob(layer.digest, layer.size)

    def put(self, provider: str, channel: str, sequence: int, document: bytes) -> None:  # noqa: ARG002 — the port's
        """Push the document, under its own tag first."""
        manifest = oci.channel_manifest(document)
        raw = oci.encode_document(manifest)
        self.files.push_blob(document)
        self.files.push_blob(oci.EMPTY_BLOB)
        for tag in (_tag(channel, sequence), channel):
            self.files.push_manifest(tag, raw)


def _tag(channel: str, sequence: int) -> str:
    """A tag that is no channel's name: those are in lower case."""
    return f"{channel}.N{sequence}"


def place_at(text: str, login: Path | None = None) -> Place:
    """A place by what a user types: a directory, or the address of a registry.

    Args:
        text: `https://host/path` (or `http://` on this machine), or a directory.
        login: a file with `user:password` in its first line.

    Raises:
        InvalidInput: `bad-arguments`.
    """
    if "://" in text:
        return RegistryPlace(RegistryFiles.at(text, oci.CHANNELS, login))
    if login is not None:
        raise InvalidInput("bad-arguments", "cannot log in to a directory")
    return DirectoryPlace(Path(text))


def newest_sequence(place: Place, provider: str, channel: str) -> int:
    """The sequence that the place says is its newest; 0: it has none, or none that can be read."""
    from allod.trust.channels import read_channel
    from allod.trust.dsse import decode_envelope

    raw = place.document(provider, channel, None)
    if raw is None:
        return 0
    try:
        return read_channel(decode_envelope(raw, cap=ENVELOPE_CAP)).channel.sequence
    except AllodError:
        return 0
