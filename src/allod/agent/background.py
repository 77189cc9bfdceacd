"""Work that disturbs nobody: in a thread of its own, at idle priority for processor and disk.

On Linux both priorities belong to the thread. One without privileges may lower its own and never
raise it again, so the thread ends with the work.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import threading
from collections.abc import Callable
from typing import Final

_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "armv6l": 314, "riscv64": 30}
_WHO_PROCESS: Final = 1
_IDLE: Final = 3 << 13
_NICEST: Final = 19


def run_idle(work: Callable[[], None]) -> None:
    """Do `work` at idle priority and wait for it; what it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            _lower()
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            raised.append(error)

    thread = threading.Thread(target=run, name="background")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _lower() -> None:
    """Lower the priorities of this thread, as far as the system lets us."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICEST)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).syscall(number, _WHO_PROCESS, 0, _IDLE)
