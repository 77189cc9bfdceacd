"""Tables of devices that others control (docs/how-to/foreign-devices.md)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from allod.cli.device_records import Row, rows_of_table


def target(data: bytes) -> None:
    """Read the table."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(data)
        file.flush()
        list(rows_of_table(Path(file.name), Row("", vendor="Acme")))
