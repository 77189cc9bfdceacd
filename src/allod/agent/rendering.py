"""Configurations as files: made from document, facts and secrets, and measured later.

    activations/<n>/config/<file>      what the service reads, mode 0600
    activations/<n>/config/.record     what was written: salted digests, so that nothing in it, and
                                       nothing in a report, gives a secret away

Port `Renderer` of the engine.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from allod.agent.engine_ports import ConfigurationCheck, Sheet
from allod.agent.files import names_in
from allod.agent.secrets import SecretStore
from allod.domain import configuration
from allod.domain.ids import Digest, sha256
from allod.domain.release import ConfigurationSpec
from allod.durable import sync_directory, write_atomic
from allod.errors import AllodError, InvalidInput
from allod.wire.codec import parse_strict

RECORD: Final = ".record"
#: What says that a file is gone, or lost on the disk; other failures pass and are tried again.
_NOT_THERE: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EIO}
)
FILE_CAP: Final = 4 * 1024 * 1024


class FileRenderer:
    """Writes configurations into the directories of activations.

    Args:
        facts: reads the device's facts when they are needed.
        secrets: the device's secrets.
    """

    def __init__(self, facts: Callable[[], Mapping[str, str]], secrets: SecretStore) -> None:
        self._facts = facts
        self._secrets = secrets

    def check(self, sheet: Sheet) -> None:
        """Whether it could be rendered here.

        Raises:
            InvalidInput: `bad-configuration`, `write-only-value`, `unknown-fact`,
                `missing-secret`, `secret-not-granted`, `not-configurable`.
        """
        self._filled(sheet)

    def render(self, sheet: Sheet, directory: Path, earlier: Path | None) -> None:
        """Write it into `directory`, durably; what users changed in `earlier` goes along.

        Raises:
            InvalidInput: as `check`.
        """
        spec = sheet.release.configuration
        document = self._filled(sheet)
        if spec is None or document is None:
            return
        salt = secrets.token_hex(16)
        marks = {
            pointer: configuration.value_mark(document, pointer, salt) for pointer in spec.local
        }
        written = self._with_local(spec, document, earlier)
        data = json.dumps(written, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        record = {
            "file": spec.file,
            "salt": salt,
            "fixed": _fixed(written, spec.local, salt),
            "local": marks,
            "sheet": _sheet_mark(sheet),
        }
        write_atomic(directory / spec.file, data)
        write_atomic(directory / RECORD, json.dumps(record, sort_keys=True).encode())
        for name in names_in(directory):
            if name not in {spec.file, RECORD}:
                (directory / name).unlink()
        sync_directory(directory)

    def measure(self, sheet: Sheet, directory: Path) -> ConfigurationCheck:
        """Compare what stands in `directory` with what was written for this sheet."""
        try:
            return self._compare(sheet, directory)
        except OSError as error:
            says = f"unreadable: {error.strerror}"
            return ConfigurationCheck(ok=False, digest=sha256(b""), changed=(says,))

    @staticmethod
    def _compare(sheet: Sheet, directory: Path) -> ConfigurationCheck:
        spec = sheet.release.configuration
        names = names_in(directory)
        if spec is None or (sheet.document is None and spec.default is None):
            return ConfigurationCheck(
                ok=not names, digest=sha256(b""), changed=tuple(sorted(names))[:100]
            )
        record = _record(directory)
        if record is None or record.get("file") != spec.file:
            return ConfigurationCheck(ok=False, digest=sha256(b""), changed=(RECORD,))
        changed = [name for name in names if name not in {spec.file, RECORD}]
        if record.get("sheet") != _sheet_mark(sheet):
            changed.append(RECORD)
        current = _current(directory / spec.file)
        salt = str(record.get("salt", ""))
        fixed = "" if current is None else _fixed(current, spec.local, salt)
        if fixed != record.get("fixed"):
            changed.append(spec.file)
        marks = record.get("local")
        local = (
            configuration.local_changes(marks, current, spec.local, salt)
            if current is not None and isinstance(marks, dict)
            else ()
        )
        return ConfigurationCheck(
            ok=not changed,
            digest=Digest(f"sha256:{fixed}") if fixed else sha256(b""),
            changed=tuple(sorted(changed))[:100],
            local=local,
        )

    def _filled(self, sheet: Sheet) -> dict[str, Any] | None:
        """The document with everything filled in, checked before and after; None: no configuration."""
        spec = sheet.release.configuration
        if spec is None:
            if sheet.document is not None:
                raise InvalidInput(
                    "not-configurable",
                    f"cannot configure {sheet.package}: release {sheet.release.version} takes no "
                    "configuration",
                )
            return None
        document = read_document(sheet.document) if sheet.document is not None else spec.default
        if document is None:
            return None
        configuration.validate(document, spec.schema)
        named = configuration.references(document).secrets & sheet.secrets
        known = self._secrets.granted(sheet.package, named)
        filled: dict[str, Any] = configuration.substitute(
            document, self._facts(), known, sheet.secrets
        )
        configuration.validate(filled, spec.schema, filled=True)
        return filled

    @staticmethod
    def _with_local(
        spec: ConfigurationSpec, document: dict[str, Any], earlier: Path | None
    ) -> dict[str, Any]:
        """Carry over what users changed, unless the result would not fit the schema."""
        record = None if earlier is None else _record(earlier)
        if earlier is None or record is None or not spec.local:
            return document
        current = _current(earlier / str(record.get("file", "")))
        marks = record.get("local")
        if current is None or not isinstance(marks, dict):
            return document
        changed = configuration.local_changes(
            marks, current, spec.local, str(record.get("salt", ""))
        )
        for pointer in changed:
            merged = configuration.merge_local(document, current, (pointer,))
            with contextlib.suppress(InvalidInput):
                configuration.validate(merged, spec.schema, filled=True)
                document = merged
        return document


def read_document(data: bytes) -> dict[str, Any]:
    """Parse a configuration document. Raises InvalidInput `bad-configuration`."""
    try:
        value = parse_strict(data, cap=configuration.DOCUMENT_CAP, what="the configuration")
    except AllodError as error:
        raise InvalidInput("bad-configuration", error.message) from error
    if not isinstance(value, dict):
        raise InvalidInput(
            "bad-configuration", "cannot read the configuration: it is no JSON object"
        )
    return value


def _sheet_mark(sheet: Sheet) -> str:
    """Which document of which release was written; the document is no secret."""
    document = b"" if sheet.document is None else sheet.document
    return hashlib.sha256(f"{sheet.release.version}\0".encode() + document).hexdigest()


def _fixed(document: Any, local: tuple[str, ...], salt: str) -> str:
    rest = configuration.canonical(configuration.fixed_part(document, local))
    return hashlib.sha256(salt.encode() + b"\0" + rest).hexdigest()


def _record(directory: Path) -> dict[str, Any] | None:
    value = _current(directory / RECORD)
    return value if isinstance(value, dict) else None


def _current(path: Path) -> Any:
    """The JSON value in a regular file that only its owner may write; None if it is no such."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022:
            return None
        try:
            return parse_strict(file.read(FILE_CAP), cap=FILE_CAP)
        except AllodError:
            return None
