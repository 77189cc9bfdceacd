"""Secrets of the device: set here, kept here, never in a report, a log or a message.

    secrets/<package>/<name>    mode 0600, in directories of mode 0700

A package gets those that the owner's document grants it by name, and no others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from allod.agent.files import names_in
from allod.domain.ids import Purl, file_name, parse_name
from allod.durable import make_directory, remove_file, write_atomic
from allod.errors import InvalidInput

SECRET_CAP: Final = 64 * 1024
_TELLING: Final = 4  #: shorter ones are no secrets, and would blank out common words


class SecretStore:
    """The secrets below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _place(self, package: Purl, name: str) -> Path:
        return self._directory / file_name(package) / parse_name(name, "a secret's name")

    def set(self, package: Purl, name: str, value: bytes) -> None:
        """Keep `value` (UTF-8; one newline at its end is not part of it), durably.

        Raises:
            InvalidInput: `bad-name`, `bad-secret`.
        """
        text = value.removesuffix(b"\n")
        place = self._place(package, name)
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput(
                "bad-secret", f"cannot keep the secret {name}: it is not UTF-8"
            ) from None
        if not text or len(text) > SECRET_CAP or b"\0" in text:
            raise InvalidInput(
                "bad-secret",
                f"cannot keep the secret {name}: it has 1 to {SECRET_CAP} bytes and no NUL",
            )
        make_directory(place.parent)
        write_atomic(place, text)

    def remove(self, package: Purl, name: str) -> None:
        """Forget it; one that is not there is fine."""
        remove_file(self._place(package, name))

    def names(self, package: Purl) -> frozenset[str]:
        """The names of the package's secrets."""
        found = names_in(self._directory / file_name(package))
        return frozenset(name for name in found if not name.startswith("."))

    def redact(self, text: str) -> str:
        """`text` without any secret of this device in it, as whole or by line."""
        for package in names_in(self._directory):
            for name in names_in(self._directory / package):
                try:
                    value = (self._directory / package / name).read_bytes()[:SECRET_CAP].decode()
                except (OSError, UnicodeDecodeError):
                    continue
                for part in (value, *value.splitlines()):
                    if len(part) >= _TELLING:
                        text = text.replace(part, "[secret]")
        return text

    def granted(self, package: Purl, names: Iterable[str]) -> dict[str, str]:
        """The values of those among `names` that are there."""
        found = {}
        for name in names:
            try:
                fd = os.open(self._place(package, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            with os.fdopen(fd, "rb") as file:
                found[name] = file.read(SECRET_CAP).decode("utf-8")
        return found
