"""When this agent was built: no honest clock shows less (the first time floor, docs/explanation/acceptance.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

BUILD_TIME: Final = datetime(2026, 10, 1, tzinfo=UTC)
