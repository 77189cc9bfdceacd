"""The provider's own registry; any registry of OCI artifacts would do. `registry.py DIRECTORY`.

Its address stands in `DIRECTORY/url` once it answers.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from allod.testing.registry_server import FLEET, registry_server

directory = Path(sys.argv[1])
with registry_server(directory) as running:
    (directory / "url").write_text(f"{running.url}/{FLEET}/acme", encoding="ascii")
    while True:
        time.sleep(3600)
