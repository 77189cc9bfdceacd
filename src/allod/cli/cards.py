"""Files that go from one machine to another so that somebody may act in a fleet.

A *card* goes to the owner: the public halves of the keys of somebody who is to be a delegate. A
*join file* comes back: where the fleet is, and what the owner's machine has verified of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from allod.cli.fleet import home_directory
from allod.cli.keystore import KeyStore
from allod.domain.desired import OWNER
from allod.domain.ids import parse_name
from allod.errors import InvalidInput
from allod.wire.codec import Document, decode
from allod.wire.envelope import PublicKey
from allod.wire.trust import Location

if TYPE_CHECKING:
    from allod.cli.passphrase import Passphrase

_CAP: Final = 16 * 1024 * 1024


class DelegateCard(Document, frozen=True, kw_only=True):
    """Who is to be a delegate: what they sign orders with, and what they speak to servers with."""

    type: Literal["allod.delegate-card"] = "allod.delegate-card"
    format: Literal[1] = 1
    name: str
    role: PublicKey
    api: PublicKey


class JoinFile(Document, frozen=True, kw_only=True):
    """What somebody else's machine needs to act in a fleet. It holds no secret."""

    type: Literal["allod.join"] = "allod.join"
    format: Literal[1] = 1
    fleet: str
    name: str
    people: dict[str, str]  #: id of an API key -> its name in the fleet
    delegation: str | None = None
    profile: Literal["home", "production"] = "home"
    server: Location
    root: bytes
    trust: bytes | None = None
    floors: bytes


def delegation_role(delegation: str) -> str:
    """The TUF role of a delegate who gives orders, and of their key in a store."""
    return f"delegation-{delegation}"


def parse_delegate(text: str) -> str:
    """What a delegation is called. Raises InvalidInput `bad-name`; the owner is no delegate."""
    name = parse_name(text, "a delegation's id")
    if name == OWNER:
        raise InvalidInput(
            "bad-name", f"cannot call a delegation {name}: that stands for you; take another name"
        )
    return name


def read_card(path: Path) -> DelegateCard:
    """A delegate's card. Raises InvalidInput `no-file`, `bad-key`, or it cannot be read."""
    data = _bytes(path)
    if b'"allod.person-card"' in data:
        raise InvalidInput(
            "bad-key",
            f"cannot let the holder of {path} give orders: it is a card of somebody who approves "
            "('allod people add'); a delegate makes theirs with 'allod delegate key'",
        )
    card = decode(data, DelegateCard, cap=_CAP, what=f"the card {path}")
    parse_name(card.name, "a delegate's name")
    return card


def read_join_file(path: Path) -> JoinFile:
    """A join file. Raises InvalidInput `no-file`, or it cannot be read."""
    data = _bytes(path)
    if b'"allod.delegate-card"' in data or b'"allod.person-card"' in data:
        raise InvalidInput(
            "bad-document",
            f"cannot join by {path}: it is a card, which goes to the fleet's owner; they give you a "
            "file of 'allod delegate join-file' for it",
        )
    return decode(data, JoinFile, cap=_CAP, what=f"the join file {path}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("no-file", f"cannot read {path}: {error.strerror}") from error


def delegate_store(name: str, passphrase: Passphrase) -> KeyStore:
    """Where this machine keeps the keys of a delegate that it made; it need not exist."""
    place = home_directory() / "delegates" / parse_name(name, "a delegate's name")
    return KeyStore(place / "keys", passphrase)


def own_stores(passphrase: Passphrase) -> Iterator[KeyStore]:
    """The stores of this machine whose keys belong to no fleet yet."""
    home = home_directory()
    for place in (*sorted((home / "delegates").glob("*")), home / "person"):
        if (place / "keys" / "index.json").exists():
            yield KeyStore(place / "keys", passphrase)
