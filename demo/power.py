"""A machine's power: what its restart command runs. Everything on it ends at once; it starts again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.stage import Device


def main() -> None:
    """Restart the machine in the directory that is given, from a process that outlives it."""
    directory, address = Path(sys.argv[1]), sys.argv[2]
    if os.fork() == 0:
        os.setsid()
        device = Device(directory.name, directory, address)
        device.cut_power()
        device.boot()


main()
