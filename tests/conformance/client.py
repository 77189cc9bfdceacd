"""A client for theupdateframework/tuf-conformance that drives the agent's own trust code.

The suite is not part of this repository: fetch it beside the project and run

    pytest PATH/tuf_conformance --entrypoint "python tests/conformance/client.py"

Its protocol is the suite's CLIENT-CLI.md. The profile is plain TUF: no trust statements, no fleet
and role inside the metadata, and a rotation of online keys lowers their floors (TUF 5.3.11),
which in Allod a trust statement does by name.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import urllib3

from allod.domain.ids import FleetId
from allod.durable import write_atomic
from allod.errors import AllodError, Unavailable
from allod.trust.anchor import Anchor, check_root, first_floors
from allod.trust.effects import Keep, drive
from allod.trust.floors import decode_floors, encode_floors
from allod.trust.metadata import fleet_id, quote
from allod.trust.repository import PLAIN_TUF, descend

NOBODY = FleetId("0" * 64)  # whose root is not brought from version 1 on
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TARGET_CAP = 64 * 1024 * 1024


class Client:
    """One repository in one metadata directory."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.metadata_dir: Path = arguments.metadata_dir
        self.metadata_url: str = arguments.metadata_url or ""
        self.target_base_url: str = arguments.target_base_url or ""
        self.http = urllib3.PoolManager(retries=False, timeout=10.0)

    def init(self, trusted_root: Path) -> None:
        """Keep the root that was brought in person."""
        data = trusted_root.read_bytes()
        write_atomic(self.metadata_dir / "root.json", data)
        write_atomic(self.metadata_dir / "anchor", data)

    def get(self, path: str, cap: int) -> bytes | None:
        """Fetch what the trust code asks for, by plain HTTP."""
        room, _, name = path.partition("/")
        assert room == "tuf"
        if name.startswith("targets/"):
            url = self.target_base_url.rstrip("/") + "/" + name.removeprefix("targets/")
        else:
            url = self.metadata_url.rstrip("/") + "/" + name
        response = self.http.request("GET", url, preload_content=False)
        try:
            if response.status in {403, 404}:
                return None
            if response.status != 200:
                raise Unavailable("unreachable", f"cannot fetch {url}: status {response.status}")
            data = response.read(cap + 1)
        finally:
            response.release_conn()
        if len(data) > cap:
            raise Unavailable("too-large", f"cannot fetch {url}: more than {cap} bytes")
        return data

    def keep(self, keep: Keep) -> None:
        """Floors first, then the files."""
        write_atomic(self.metadata_dir / "floors", encode_floors(keep.floors))
        for name in keep.forget:
            (self.metadata_dir / name).unlink(missing_ok=True)
        for name, data in keep.files.items():
            write_atomic(self.metadata_dir / name, data)

    def run(self, targets: list[str], target_dir: Path | None) -> None:
        """Refresh, then download the targets in order."""
        root = (self.metadata_dir / "anchor").read_bytes()
        first = check_root(root).root.version == 1
        anchor = Anchor(fleet_id(root) if first else NOBODY, root)
        kept = self.metadata_dir / "floors"
        floors = decode_floors(kept.read_bytes()) if kept.exists() else first_floors(anchor, EPOCH)
        cached = {
            path.name: path.read_bytes()
            for path in self.metadata_dir.iterdir()
            if path.name not in {"anchor", "floors"}
        }
        now = datetime.now(UTC)
        repository = drive(
            descend(anchor, floors, cached, now, profile=PLAIN_TUF), self.get, self.keep
        )
        for name in targets:
            found = drive(repository.target(name, TARGET_CAP), self.get, self.keep)
            if found is None:
                raise Unavailable("not-found", f"cannot find {name}: no role has signed it")
            assert target_dir is not None
            file = target_dir / quote(name)
            if not file.exists() or file.read_bytes() != found.data:
                write_atomic(file, found.data)
            drive(repository.settle(), self.get, self.keep)


def main() -> int:
    """Run one command of the suite's protocol."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-url")
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    arguments = parser.parse_args()
    client = Client(arguments)
    try:
        if arguments.command == "init":
            client.init(arguments.trusted_root)
        elif arguments.command == "refresh":
            client.run([], None)
        else:
            client.run(arguments.target_name, arguments.target_dir)
    except (AllodError, urllib3.exceptions.HTTPError) as error:
        print(f"{getattr(error, 'code', 'transport')}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
