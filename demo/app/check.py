"""Health of the toaster: it answers within a second, on the port of its own configuration."""

import json
import sys
import urllib.request
from pathlib import Path

port = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["port"]
with urllib.request.urlopen(f"http://127.0.0.1:{int(port)}/", timeout=1) as answer:
    json.load(answer)
