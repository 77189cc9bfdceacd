"""Options of verbs that say when and how far: now, at the next restart, in a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter

from allod.domain.desired import When
from allod.errors import InvalidInput


@Parameter(name="*")
@dataclass(frozen=True)
class Schedule:
    """When it takes effect.

    Args:
        now: As soon as the device knows of it (unless said otherwise).
        at_restart: At the device's next restart.
        in_window: In the next window of the group or device.
    """

    now: Annotated[bool, Parameter(negative="")] = False
    at_restart: Annotated[bool, Parameter(negative="")] = False
    in_window: Annotated[bool, Parameter(negative="")] = False

    @property
    def when(self) -> When:
        """What stands in the document. Raises InvalidInput `bad-arguments`."""
        if self.now + self.at_restart + self.in_window > 1:
            raise InvalidInput(
                "bad-arguments",
                "cannot do it at two times: give one of --now, --at-restart, --in-window",
            )
        if self.at_restart:
            return When.RESTART
        return When.WINDOW if self.in_window else When.NOW


AT_ONCE: Final = Schedule()
