"""The recovery key on paper: five short lines, each with a checksum of its own.

    1  7K2M 9QXA 0FJD PT3W

A line is 16 characters of Crockford's base32 (no I, L, O, U; case does not matter): eight bytes
and a checksum of two over line number and bytes. Lines 1 to 4 are the seed of an Ed25519 key,
line 5 is the beginning of its key id, so that a wrong sheet is noticed before it is used.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.durable import make_directory, write_atomic
from allod.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import Signer

LINES: Final = 5
_BYTES: Final = 8
_CHARACTERS: Final = 16
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ: Final = {
    **{char: value for value, char in enumerate(_ALPHABET)},
    **{char.lower(): value for value, char in enumerate(_ALPHABET)},
    **dict.fromkeys("oO", 0),
    **dict.fromkeys("iIlL", 1),
}
_TRIES: Final = 5


def paper_lines(key: Ed25519PrivateKey) -> tuple[str, ...]:
    """The lines to write down, without their numbers."""
    data = key.private_bytes_raw() + _key_id(key)[:_BYTES]
    return tuple(
        _encode(number, data[at : at + _BYTES])
        for number, at in enumerate(range(0, len(data), _BYTES), start=1)
    )


def read_line(number: int, text: str) -> bytes:
    """The eight bytes of one line; spaces, dashes and a leading number are ignored.

    Raises:
        InvalidInput: `bad-paper`, with the line's number.
    """
    kept = text.replace("-", " ").split()
    if kept and kept[0] == str(number) and len("".join(kept)) > _CHARACTERS:
        kept = kept[1:]
    joined = "".join(kept)
    values = [_READ.get(char) for char in joined]
    if len(joined) != _CHARACTERS or None in values:
        raise InvalidInput(
            "bad-paper",
            f"cannot read line {number}: it is {_CHARACTERS} letters and digits in groups of four",
            line=number,
        )
    whole = 0
    for value in values:
        whole = whole << 5 | (value or 0)
    raw = whole.to_bytes(_BYTES + 2, "big")
    if raw[_BYTES:] != _checksum(number, raw[:_BYTES]):
        raise InvalidInput(
            "bad-paper", f"cannot read line {number}: a character is wrong; look again", line=number
        )
    return raw[:_BYTES]


def read_paper(lines: Iterable[str]) -> Ed25519PrivateKey:
    """The key that stands on the paper.

    Raises:
        InvalidInput: `bad-paper`.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    given = [line for line in lines if line.strip()]
    if len(given) != LINES:
        raise InvalidInput("bad-paper", f"cannot read the recovery key: it has {LINES} lines")
    data = b"".join(read_line(number, line) for number, line in enumerate(given, start=1))
    key = Ed25519PrivateKey.from_private_bytes(data[: 4 * _BYTES])
    if _key_id(key)[:_BYTES] != data[4 * _BYTES :]:
        raise InvalidInput(
            "bad-paper", "cannot read the recovery key: its lines do not fit together"
        )
    return key


def sheet(key: Ed25519PrivateKey, *, fleet: str, name: str) -> str:
    """The text of the sheet."""
    numbered = "\n".join(f"    {n}  {line}" for n, line in enumerate(paper_lines(key), start=1))
    return (
        f"Allod recovery key of the fleet '{name}'\n"
        f"fleet {fleet}\n\n{numbered}\n\n"
        "Whoever holds this sheet can take over the fleet. Keep it apart from your computer.\n"
        "To use it: allod keys restore --paper\n"
    )


def lines_of_sheet(text: str) -> tuple[str, ...]:
    """The five lines of a sheet's text."""
    return tuple(
        line.strip()
        for line in text.splitlines()
        if line[:4] == "    " and line.strip()[:1] in {"1", "2", "3", "4", "5"}
    )


def check_read_back(key: Ed25519PrivateKey, read: Ed25519PrivateKey) -> None:
    """What was read back must be what was written. Raises Refused `paper-differs`."""
    if key.private_bytes_raw() != read.private_bytes_raw():
        raise Refused("paper-differs", "cannot go on: this is the recovery key of another fleet")


def write_sheet(path: Path, text: str) -> Ed25519PrivateKey:
    """Write the sheet to a file and read it back from there."""
    make_directory(path.absolute().parent)
    write_atomic(path.absolute(), text.encode())
    return read_sheet(path)


def read_sheet(path: Path) -> Ed25519PrivateKey:
    """The key on a sheet in a file. Raises InvalidInput `bad-paper`."""
    return read_paper(lines_of_sheet(_text_of(path)))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(
            "bad-paper", f"cannot read the recovery key from {path}: {why}"
        ) from error


def fleet_of_sheet(path: Path) -> str:
    """The fleet's id as it stands on a sheet. Raises InvalidInput `bad-paper`."""
    for line in _text_of(path).splitlines():
        if line.startswith("fleet "):
            return line.removeprefix("fleet ").strip()
    raise InvalidInput("bad-paper", f"cannot find the fleet's number in {path}: give --id")


def type_paper(ask: Callable[[str], str] | None = None) -> Ed25519PrivateKey:
    """Have the five lines typed in; a wrong line is asked for again.

    Raises:
        InvalidInput: `bad-paper`, after too many tries, or `no-terminal`.
    """
    if ask is None:
        if not sys.stdin.isatty():
            raise InvalidInput(
                "no-terminal",
                "cannot ask for the recovery key: there is no terminal; give --recovery-file",
            )
        ask = _terminal
    typed: list[str] = []
    tries = 0
    while len(typed) < LINES:
        line = ask(f"Line {len(typed) + 1}: ")
        try:
            read_line(len(typed) + 1, line)
        except InvalidInput as error:
            tries += 1
            if tries == _TRIES:
                raise
            sys.stderr.write(f"{error}\n")
            continue
        typed.append(line)
    return read_paper(typed)


def paper_signer(path: Path | None) -> Signer:
    """A signer with the recovery key, from a file or typed in. Raises InvalidInput `bad-paper`."""
    from securesystemslib.signer import CryptoSigner

    return CryptoSigner(read_sheet(path) if path is not None else type_paper())


def _terminal(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise InvalidInput("no-terminal", "cannot go on: the recovery key was not typed in")
    return line


def _key_id(key: Ed25519PrivateKey) -> bytes:
    from allod.cli.keystore import public_key

    return bytes.fromhex(public_key(key).keyid)


def _checksum(number: int, data: bytes) -> bytes:
    return hashlib.sha256(b"allod-paper" + bytes([number]) + data).digest()[:2]


def _encode(number: int, data: bytes) -> str:
    whole = int.from_bytes(data + _checksum(number, data), "big")
    text = "".join(_ALPHABET[whole >> shift & 31] for shift in range(75, -1, -5))
    return " ".join(text[at : at + 4] for at in range(0, _CHARACTERS, 4))
