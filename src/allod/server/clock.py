"""The only place where the server reads the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements `allod.server.ports.Clock`."""

    def now(self) -> datetime:
        """See the port."""
        return datetime.now(UTC)

    def seconds(self) -> float:
        """See the port."""
        return time.time()
