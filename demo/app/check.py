"""Health of the toaster: it answers within a second, at the address of its own configuration."""

import json
import sys
import urllib.request
from pathlib import Path

address = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["address"]
with urllib.request.urlopen(f"http://{address}:28080/", timeout=1) as answer:
    json.load(answer)
