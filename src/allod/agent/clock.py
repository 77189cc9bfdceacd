"""The machine's clock and its boot id: the only place of the agent that reads them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """Port `Clock` on this machine.

    Args:
        boot_id_file: whose content differs after every restart; containers without a kernel
            of their own name another than Linux's.
    """

    def __init__(self, boot_id_file: Path = BOOT_ID) -> None:
        self._boot_id_file = boot_id_file

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back while the machine runs."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))

    def boot_id(self) -> str:
        """The content of the boot id file; empty if there is none."""
        return read_boot_id(self._boot_id_file)


def read_boot_id(path: Path) -> str:
    """The boot id in `path`; empty if it can't be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()[:64]
    except OSError:
        return ""
