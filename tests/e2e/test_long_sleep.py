"""A device sleeps for 400 days: the agent's own transport against the server's own application."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.test_agent_meets_server import Bridge, Meeting

from allod.server.services.witnesses import add_witness
from allod.server.witness.directory import WitnessDirectory
from allod.server.witness.service import Witness
from allod.testing.local_server import Request, local_server
from allod.testing.server import ServerRig, upload_of
from allod.testing.server_logs import entries_of, named, naming, roles_in
from allod.tlog.asking import Heard
from allod.tlog.checkpoint import open_checkpoint, vouched
from allod.tlog.note import VerifierKey, parse_key
from allod.wire.api import ChangeUpload
from allod.wire.trust import Witnesses

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # litestar's own, to come
DAY = timedelta(days=1)
AGE = 24 * 3600


@dataclass
class Fleet:
    """A server with logs, a witness, and a device: all by one clock."""

    meeting: Meeting
    witness: Witness
    cosigner: VerifierKey
    asked: list[str] = field(default_factory=list)

    @property
    def rig(self) -> ServerRig:
        """The server."""
        return self.meeting.rig

    def post(self, url: str, body: bytes) -> Heard:
        """See `WitnessCalls`."""
        assert url
        answer = self.witness.add_checkpoint(body)
        return Heard(answer.status, answer.body)

    def pass_time(self, span: timedelta) -> None:
        """For all of them."""
        self.rig.clock.moment += span
        self.rig.simulator.now = self.rig.clock.moment
        self.meeting.device.clock.wall = self.rig.clock.moment

    def publish(self, groups: list[str]) -> None:
        """A change of fleet.json; what has lived half its life is signed anew with it."""
        simulator = self.rig.simulator
        renewed = simulator.draft()
        if renewed.renew(simulator.now):
            self.upload(simulator.publish(renewed))
        people = self.rig.server.fleets.need(self.rig.fleet).document.people
        self.upload(simulator.set_fleet(people=people, revoked_invites=groups))

    def upload(self, publication) -> None:
        """With the entries of its files."""
        upload = upload_of(publication, self.rig.base(publication))
        entries = entries_of(self.rig, upload.metadata, {})
        self.rig.server.publish(
            self.rig.fleet,
            ChangeUpload(
                base=upload.base, metadata=upload.metadata, targets=upload.targets, entries=entries
            ),
        )

    def cosigned(self) -> None:
        """Until the newest checkpoint is vouched for as of now."""
        self.rig.server.gather()
        log = named(self.rig)[0]
        files = self.rig.server.publications.logs.files(self.rig.fleet, "authority")
        for _ in range(2000):
            raw = files.published()
            assert raw is not None
            signed = open_checkpoint(raw, log.origin, [parse_key(log.key)])
            if vouched(signed, [self.cosigner]).as_of(1) == int(self.rig.clock.seconds()):
                return
            time.sleep(0.005)
        raise AssertionError("nobody vouches")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Bound, and then the owner named the logs and the witness."""
    rig = ServerRig.make(tmp_path / "server")
    place = WitnessDirectory(tmp_path / "witness")
    place.create("w.example", "127.0.0.1", 8448)
    for log in named(rig):
        place.add_log(log.origin, (parse_key(log.key),))
    cosigner = place.signer().key
    made = Fleet.__new__(Fleet)
    add_witness(rig.settings.layout, str(cosigner), "https://w.example")
    rig.restart(witness_calls=made)
    bridge = Bridge(rig.application)

    def act(request: Request) -> None:
        made.asked.append(request.path)
        bridge.act(request)

    with local_server(act) as server:
        meeting = Meeting(tmp_path, server.url, rig)
        made.__init__(meeting, Witness(place, place.signer(), rig.clock.seconds), cosigner)
        meeting.binder().bind(meeting.invite())
        terms = Witnesses(keys=[str(cosigner)], quorum=1, max_age_seconds=AGE)
        upload = naming(rig, witnesses=terms)
        rig.simulator.statements.extend(upload.trust.values())
        rig.server.publish(rig.fleet, upload)
        made.cosigned()
        yield made
    bridge.close()
    rig.server.close()


def test_a_device_that_slept_400_days_catches_up_over_the_log(fleet: Fleet) -> None:
    """Twenty changes later and past the life of every role but root: one look reads the log's tail,
    asks for few files, and the view is that of today.
    """
    meeting = fleet.meeting
    assert meeting.link().look().fresh
    size = len(roles_in(fleet.rig))
    for number in range(20):
        fleet.pass_time(20 * DAY)
        fleet.publish([f"change-{number}"])
    fleet.rig.server.refresh.all()
    fleet.cosigned()
    assert len(roles_in(fleet.rig)) >= size + 20
    fleet.asked.clear()
    found = meeting.link().look()
    assert found.failure is None
    assert found.fresh
    assert found.view.fleet.revoked_invites == ["change-19"]
    log = [path.partition("/log/")[2] for path in fleet.asked if "/log/" in path]
    assert len(log) <= 4, log
    # The newest, and those under which roles that it delegates to were signed anew; not all twenty.
    assert sum("targets.json" in path for path in fleet.asked) < 8
    fleet.asked.clear()
    assert meeting.link().look().fresh
    assert sum("/log/" in path for path in fleet.asked) == 1, "nothing is new but the checkpoint"


def test_a_server_that_withholds_the_newest_checkpoint_stops_change_only(fleet: Fleet) -> None:
    """It shows what was vouched for a day ago, beyond the greatest age: the device says `stale`, what
    it had stands; a newer one mends it.
    """
    meeting = fleet.meeting
    fleet.publish(["seen"])
    assert meeting.link().look().view.fleet.revoked_invites == ["seen"]
    fleet.pass_time(timedelta(seconds=AGE - 60))
    fleet.rig.server.refresh.all()
    assert meeting.link().look().fresh
    fleet.pass_time(timedelta(seconds=120))
    found = meeting.link().look()
    assert not found.fresh
    assert found.failure is not None
    assert found.failure.code == "stale"
    assert found.view.trust.stale
    assert found.view.fleet.revoked_invites == ["seen"]
    fleet.cosigned()
    assert meeting.link().look().fresh
