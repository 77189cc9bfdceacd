"""A small web service: says which waitress serves it, how brown it toasts, and whose kitchen it is in."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import waitress


def main() -> None:
    """Serve at the address that the configuration names."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer = {
        "waitress": version("waitress"),
        "browning": settings["browning"],
        "kitchen": settings.get("kitchen", ""),
        "token": bool(settings.get("token")),
    }

    def toast(_environment, start_response):  # noqa: ANN001, ANN202  (WSGI's own shape)
        body = json.dumps(answer).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    waitress.serve(toast, host=settings["address"], port=28080, threads=2, _quiet=True)


main()
