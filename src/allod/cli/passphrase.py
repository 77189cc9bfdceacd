"""Where the passphrase of a key store comes from: a file, or the terminal, asked once."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from allod.errors import InvalidInput

VARIABLE: Final = "ALLOD_PASSPHRASE_FILE"
_SHORTEST: Final = 8


@dataclass(slots=True)
class Passphrase:
    """The passphrase of one key store.

    Args:
        file: where it stands in its first line; without one the environment's
            `ALLOD_PASSPHRASE_FILE` is read, else the terminal is asked.
    """

    file: Path | None = None
    _known: bytes | None = field(default=None, repr=False)

    @classmethod
    def given(cls, text: str) -> Passphrase:
        """A passphrase that is known already."""
        return cls(_known=text.encode())

    def read(self) -> bytes:
        """The passphrase, asked for at most once.

        Raises:
            InvalidInput: `no-passphrase`, neither a file nor a terminal is there.
        """
        if self._known is None:
            self._known = self._from_file() or _ask("Passphrase of your keys: ")
        return self._known

    def choose(self) -> bytes:
        """A new passphrase: typed twice, or read from the file.

        Raises:
            InvalidInput: `no-passphrase`, `weak-passphrase`, `passphrases-differ`.
        """
        if self._known is None:
            known = self._from_file()
            if known is None:
                known = _ask("Choose a passphrase for your keys: ")
                if known != _ask("Once more: "):
                    raise InvalidInput(
                        "passphrases-differ", "cannot use the passphrase: it was typed differently"
                    )
            self._known = known
        if len(self._known) < _SHORTEST:
            self._known = None
            raise InvalidInput(
                "weak-passphrase",
                f"cannot use the passphrase: it needs at least {_SHORTEST} characters",
            )
        return self._known

    def _from_file(self) -> bytes | None:
        path = self.file or os.environ.get(VARIABLE)
        if not path:
            return None
        try:
            lines = Path(path).read_bytes().splitlines()
        except OSError as error:
            raise InvalidInput(
                "no-passphrase", f"cannot read the passphrase from {path}: {error.strerror}"
            ) from error
        if not lines or not lines[0]:
            raise InvalidInput(
                "no-passphrase", f"cannot read a passphrase from {path}: it is empty"
            )
        return lines[0]


def _ask(question: str) -> bytes:
    if not sys.stdin.isatty():
        raise InvalidInput(
            "no-passphrase",
            f"cannot ask for the passphrase: there is no terminal; give --passphrase-file or {VARIABLE}",
        )
    return getpass.getpass(question).encode()
