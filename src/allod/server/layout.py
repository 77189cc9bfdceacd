"""Where everything lies in the server's directory.

::

    settings.json  offer.json  lock
    keys/{snapshot,timestamp,gate,log}.pem  secrets/{token,challenge,enrolment}  tls/…
    witnesses.json               who is asked to cosign the logs
    inbox/                       genesis uploads and binding records, admitted at start
    database.sqlite              the projection
    fleets/<fleet>/tuf/…         what devices read, by the names they ask for
    fleets/<fleet>/trust/<N>.json
    fleets/<fleet>/blobs/…       content-addressed
    fleets/<fleet>/bindings/<device>/<epoch>.json
    fleets/<fleet>/reports/<device>/<epoch>-<sequence>-<digest>.json
    fleets/<fleet>/log/<name>/…  checkpoint and tiles of a log; of a successor: log/<name>/<N>/…
    fleets/<fleet>/sequencers/<name>/<N>/…  what its sequencer keeps for itself
    fleets/<fleet>/publications/<news>.json
    fleets/<fleet>/tokens/<id>.json
    fleets/<fleet>/alarms/…      what cannot be found out again from the other files
    fleets/<fleet>/channels/<provider>/<channel>/{<sequence>.json,<sequence>.checkpoint,latest.json}
    fleets/<fleet>/proposals/<id>.json
    fleets/<fleet>/gates/<rollout>/<stage>.json
    fleets/<fleet>/rollouts/<rollout>.json  pauses and halts
    fleets/<fleet>/pending.json  a publication that is decided and not yet wholly in place
    fleets/<fleet>/restored.json restored from a backup; the floors are not known yet
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from allod.domain.ids import DeviceId, FleetId, parse_fleet
from allod.errors import InvalidInput
from allod.wire.gate import gate_path

#: Metadata files: "root" alone has no bare name; "timestamp" alone has no number.
_METADATA: Final = re.compile(r"(?:[1-9][0-9]{0,18}\.[a-z0-9][a-z0-9._-]{0,127}|timestamp)\.json")
_TARGET: Final = re.compile(
    r"targets/(?:[a-z0-9][a-z0-9._-]{0,127}/){0,4}[0-9a-f]{64}\.[a-z0-9][a-z0-9._-]{0,127}"
)
_TARGET_PATH: Final = re.compile(
    r"(?:[a-z0-9][a-z0-9._-]{0,127}/){0,4}[a-z0-9][a-z0-9._-]{0,127}\.json"
)
_TRUST: Final = re.compile(r"[1-9][0-9]{0,8}")
_CHANNEL: Final = re.compile(
    r"(?:[a-z0-9][a-z0-9._-]{0,62}/){2}(?:latest\.json|[1-9][0-9]{0,15}\.(?:json|checkpoint))"
)
_GATE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}/(?:0|[1-9][0-9]?)\.json")


def is_metadata_name(name: str) -> bool:
    """Whether `name` can be a metadata file, such as `4.targets.json`."""
    return ".." not in name and _METADATA.fullmatch(name) is not None


def is_target_path(path: str) -> bool:
    """Whether `path` can be a target of a fleet, such as `state/groups/kitchen.json`."""
    return ".." not in path and _TARGET_PATH.fullmatch(path) is not None


def is_trust_number(text: str) -> bool:
    """Whether `text` numbers a trust statement."""
    return _TRUST.fullmatch(text) is not None


def target_file(path: str, sha256: str) -> str:
    """The name of a target's file under consistent snapshots, relative to `tuf/`."""
    directory, slash, name = path.rpartition("/")
    return f"targets/{directory}{slash}{sha256}.{name}"


@dataclass(frozen=True, slots=True)
class FleetDirectory:
    """The files of one fleet."""

    root: Path

    def served(self, path: str) -> Path | None:
        """The file behind an address relative to `/f/<fleet>/`; None where there can be none."""
        room, _, name = path.partition("/")
        if ".." in name:
            return None
        if room == "tuf" and (_METADATA.fullmatch(name) or _TARGET.fullmatch(name)):
            return self.root / "tuf" / name
        if room == "trust" and name.endswith(".json") and is_trust_number(name[:-5]):
            return self.root / "trust" / name
        if room == "channels" and _CHANNEL.fullmatch(name):
            return self.root / "channels" / name
        if room == "gates" and _GATE.fullmatch(name):
            return self.root / "gates" / name
        return None

    def binding(self, device: DeviceId, epoch: int) -> Path:
        """A binding record."""
        return self.root / "bindings" / device / f"{epoch}.json"

    def report(self, device: DeviceId, epoch: int, sequence: int, digest: str) -> Path:
        """A report; `digest` is that of its payload."""
        name = f"{epoch}-{sequence:019d}-{digest.removeprefix('sha256:')[:16]}.json"
        return self.root / "reports" / device / name

    def gate(self, rollout: str, stage: int) -> Path:
        """The gate of a rollout's stage."""
        return self.root / gate_path(rollout, stage)

    def rollout(self, rollout: str) -> Path:
        """What the controller keeps of a rollout."""
        return self.root / "rollouts" / f"{rollout}.json"

    def log(self, place: str) -> Path:
        """What is served of a log; `place` is `authority`, or `authority/2`."""
        return self.root / "log" / place

    def sequencer(self, place: str) -> Path:
        """What the sequencer of a log keeps for itself."""
        name, _, number = place.partition("/")
        return self.root / "sequencers" / name / (number or "1")

    @property
    def pending(self) -> Path:
        """A publication that is decided and not yet wholly in place."""
        return self.root / "pending.json"

    @property
    def restored(self) -> Path:
        """Says that the fleet was restored and the floors are not known yet."""
        return self.root / "restored.json"

    def publication(self, news: int) -> Path:
        """The record of one publication."""
        return self.root / "publications" / f"{news:012d}.json"


@dataclass(frozen=True, slots=True)
class ServerDirectory:
    """The server's directory."""

    root: Path

    @property
    def settings(self) -> Path:
        """What `server init` was told."""
        return self.root / "settings.json"

    @property
    def offer(self) -> Path:
        """What `allod init` needs."""
        return self.root / "offer.json"

    @property
    def witnesses(self) -> Path:
        """The witnesses that are asked to cosign its logs."""
        return self.root / "witnesses.json"

    @property
    def database(self) -> Path:
        """The projection."""
        return self.root / "database.sqlite"

    @property
    def logs_database(self) -> Path:
        """The fleets' logs, if they are kept in a database; it cannot be made again."""
        return self.root / "logs.sqlite"

    @property
    def inbox(self) -> Path:
        """Genesis uploads that are admitted at start."""
        return self.root / "inbox"

    @property
    def lock(self) -> Path:
        """Held while a process serves or rewrites this directory."""
        return self.root / "lock"

    def key(self, name: str) -> Path:
        """An online key."""
        return self.root / "keys" / f"{name}.pem"

    def secret(self, name: str) -> Path:
        """A secret."""
        return self.root / "secrets" / name

    def tls(self, name: str) -> Path:
        """A certificate or its key."""
        return self.root / "tls" / name

    def fleet(self, fleet: FleetId) -> FleetDirectory:
        """One fleet."""
        return FleetDirectory(self.root / "fleets" / fleet)

    def fleets(self) -> tuple[FleetId, ...]:
        """The fleets that have a directory here."""
        found = []
        directory = self.root / "fleets"
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            try:
                found.append(parse_fleet(path.name))
            except InvalidInput:
                continue
        return tuple(found)
