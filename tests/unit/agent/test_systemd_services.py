"""Units of systemd: what they let through, what they say, and which commands are given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from allod.agent.ports import ServiceUnit
from allod.agent.services.seccomp_log import privileges_tried
from allod.agent.services.systemd import SystemdServiceManager
from allod.agent.services.systemd_unit import (
    Places,
    unenforced,
    unit_name,
    unit_text,
    user_name,
)
from allod.errors import InvalidInput, Unavailable
from allod.testing.payloads import PACKAGE
from allod.testing.systemd import RecordedSystemd

STATE = Path("/var/lib/allod")
PLACES = Places(STATE, (STATE / "packages/x", STATE / "store/x"), ("/home", "/var"))
UNIT = ServiceUnit(
    package=PACKAGE,
    name="toaster",
    command=("/bin/sleep", "60"),
    environment={"A": 'b "c" %n $HOME'},
    directory=Path("/tmp"),
    data=Path("/tmp"),
    configuration=Path("/tmp"),
    access=frozenset(),
    stop_seconds=2.5,
)
ACCESS = [
    (),
    ("network.listen:tcp/8080",),
    ("network.listen:tcp/80", "network.listen:udp/53", "network.outbound"),
    ("network.outbound:192.0.2.7",),
    ("network.outbound:example.org",),
    ("microphone", "camera", "device:/dev/ttyS0"),
    ("path.read:/home/pi", "path.write:/srv/data"),
    ("privilege:CAP_SYS_TIME", "privilege:CAP_NET_RAW"),
    ("root", "path.write:/etc"),
]
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def text(*access: str, **fields: object) -> str:
    """The unit for this access."""
    return unit_text(replace(UNIT, access=frozenset(access), **fields), PLACES)  # type: ignore[arg-type]


def written(tmp_path: Path, content: str) -> Path:
    """The unit as a file, with a user that exists here."""
    file = tmp_path / unit_name(PACKAGE)
    name = user_name(PACKAGE)
    file.write_text(
        content.replace(f"User={name}", "User=daemon").replace(f"Group={name}", "Group=daemon")
    )
    return file


@needs_systemd
@pytest.mark.parametrize("complain", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_systemd_understands_every_unit(
    tmp_path: Path, access: tuple[str, ...], complain: bool
) -> None:
    """`systemd-analyze verify` finds nothing to say about any of them."""
    file = written(tmp_path, text(*access, complain=complain))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "allod-" in line]
    assert (done.returncode, said) == (0, [])


def exposure(file: Path) -> float:
    """What systemd-analyze makes of the sandbox: 0 is best, 10 is none."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"exposure level for .*: (\d+(?:\.\d+)?) ", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return float(found[1])


@needs_systemd
def test_the_sandbox_is_tight_and_opens_with_what_is_declared(tmp_path: Path) -> None:
    """By systemd's own measure: at most 1.0 without access, 3.0 with much, and more is more."""
    none = exposure(written(tmp_path, text()))
    listening = exposure(written(tmp_path, text("network.listen:tcp/8080")))
    much = exposure(written(tmp_path, text(*(name for some in ACCESS[:-2] for name in some))))
    assert none <= 1.0
    assert none < listening <= much <= 3.0


@pytest.mark.parametrize(
    ("access", "there", "absent"),
    [
        (
            (),
            ["PrivateNetwork=yes", "PrivateDevices=yes", "CapabilityBoundingSet="],
            ["SocketBind"],
        ),
        (
            ("network.listen:tcp/8080",),
            ["SocketBindAllow=tcp:8080", "SocketBindDeny=any"],
            ["PrivateNetwork", "CAP_NET_BIND_SERVICE"],
        ),
        (("network.listen:tcp/80",), ["AmbientCapabilities=CAP_NET_BIND_SERVICE"], []),
        (
            ("network.outbound:192.0.2.7",),
            ["IPAddressDeny=any", "IPAddressAllow=localhost 192.0.2.7", "SocketBindDeny=any"],
            [],
        ),
        (("network.outbound:example.org",), [], ["IPAddressDeny", "PrivateNetwork"]),
        (("microphone",), ["DeviceAllow=char-alsa rw", "DevicePolicy=closed"], ["PrivateDevices"]),
        (("device:/dev/ttyS0",), ["DeviceAllow=/dev/ttyS0 rw"], ["char-alsa", "video4linux"]),
        (
            ("path.read:/home/pi", "path.write:/srv/data"),
            ["BindReadOnlyPaths=-/home/pi", "BindPaths=-/srv/data", "TemporaryFileSystem=/home:ro"],
            [],
        ),
        (
            ("privilege:CAP_SYS_TIME",),
            ["CapabilityBoundingSet=CAP_SYS_TIME", "AmbientCapabilities=CAP_SYS_TIME"],
            ["ProtectClock", "SystemCallFilter"],
        ),
        (("root",), ["User=root", "NoNewPrivileges=yes", "PrivateNetwork=yes"], ["CAP_SYS_ADMIN"]),
    ],
)
def test_each_access_opens_its_own_door(
    access: tuple[str, ...], there: list[str], absent: list[str]
) -> None:
    """What is declared is let through, and nothing else with it."""
    lines = text(*access).splitlines()
    for line in there:
        assert line in lines
    for part in absent:
        assert not [line for line in lines if part in line]


def test_the_agents_own_state_is_hidden_from_services() -> None:
    """Keys and secrets of others are out of reach; the package's own parts are read-only."""
    lines = text().splitlines()
    assert f"TemporaryFileSystem={STATE}:ro" in lines
    assert [line for line in lines if line.startswith("BindReadOnlyPaths=")] == [
        f"BindReadOnlyPaths={STATE}/packages/x",
        f"BindReadOnlyPaths={STATE}/store/x",
    ]


def test_what_can_not_be_enforced_is_said() -> None:
    """Names of hosts, the microphone and others: the report says what stays open."""
    assert unenforced(UNIT) == (
        "files below /usr, /etc and /run that every user may read stay readable",
    )
    names = ("network.outbound:example.org", "microphone", "network.listen:tcp/80")
    said = " ".join(unenforced(replace(UNIT, access=frozenset(names))))
    assert "example.org" in said
    assert "play sound" in said
    assert "can also open connections" in said
    assert unenforced(replace(UNIT, complain=True)) == ("in complain mode nothing is denied",)


def test_words_can_not_break_out_of_the_unit() -> None:
    """Quotes, specifiers and line ends in words or paths do not become settings."""
    lines = text(command=("/bin/echo", 'a "b" %h \\ $X')).splitlines()
    assert 'ExecStart=:"/bin/echo" "a \\"b\\" %%h \\\\ $X"' in lines
    with pytest.raises(InvalidInput):
        text(command=("/bin/echo", "x\nUser=root"))
    with pytest.raises(InvalidInput):
        text(data=Path("/tmp/a b"))
    assert "\nUser=root" not in text(name="x\nUser=root")


def test_names_of_units_tell_packages_apart() -> None:
    """Slashes and dashes do not collide."""
    names = {unit_name(name) for name in ("pkg:generic/a/b", "pkg:generic/a-b", "pkg:generic-a/b")}  # type: ignore[arg-type]
    assert len(names) == 3
    assert unit_name(PACKAGE) == "allod-generic-acme-toaster.service"


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedSystemd:
    """A systemctl that records."""
    return RecordedSystemd.install(tmp_path / "programs", tmp_path / "units")


@pytest.fixture
def manager(tmp_path: Path, recorded: RecordedSystemd) -> SystemdServiceManager:
    """A manager over the recorder."""
    return SystemdServiceManager(
        tmp_path / "state",
        units=recorded.units,
        sysusers=tmp_path / "users",
        programs=str(recorded.programs),
    )


def test_starting_writes_enables_and_restarts_once(
    manager: SystemdServiceManager, recorded: RecordedSystemd, tmp_path: Path
) -> None:
    """The unit is there before systemd is told; the same again is no command at all."""
    unit = replace(UNIT, data=None)
    manager.start(unit)
    name = unit_name(PACKAGE)
    assert recorded.said() == ["daemon-reload", f"enable {name}", f"restart {name}"]
    assert (recorded.units / name).stat().st_mode & 0o777 == 0o644
    assert recorded.said("systemd-sysusers") == [
        str(tmp_path / "users" / f"{user_name(PACKAGE)}.conf")
    ]
    manager.start(unit)
    assert len(recorded.said()) == 3
    manager.start(replace(unit, stop_seconds=5))
    assert recorded.said()[3:] == recorded.said()[:3]
    manager.reload(PACKAGE)
    manager.stop(PACKAGE)
    manager.stop(PACKAGE)
    assert recorded.said()[6:] == [f"reload {name}", f"disable --now {name}", "daemon-reload"]
    assert os.listdir(recorded.units) == []


def test_a_configuration_is_readable_for_its_service_and_nobody_else(
    manager: SystemdServiceManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays the agent's; the group of the service may read it; links are not followed."""
    place = tmp_path / "config"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "config.json").chmod(0o600)
    (place / ".record").write_text("{}")
    (place / ".record").chmod(0o600)
    monkeypatch.setattr(
        "allod.agent.services.systemd._ids", lambda user: (os.geteuid(), os.getegid())
    )
    manager.start(replace(UNIT, data=None, configuration=place))
    assert (place / "config.json").stat().st_mode & 0o777 == 0o640
    assert (place / ".record").stat().st_mode & 0o777 == 0o600
    (place / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        manager.start(replace(UNIT, data=None, configuration=place, name="other"))


def test_a_silent_systemd_is_unavailable(tmp_path: Path) -> None:
    """Without systemctl nothing is claimed to run."""
    manager = SystemdServiceManager(
        tmp_path, units=tmp_path / "units", sysusers=tmp_path / "users", programs="/nowhere"
    )
    with pytest.raises(Unavailable) as caught:
        manager.start(replace(UNIT, access=frozenset({"root"})))
    assert caught.value.code == "service-not-started"


def test_privileges_that_were_tried_are_read_from_the_kernels_log() -> None:
    """Only lines of the package's own user, and only known calls, become names."""
    line = (
        "audit: type=1326 audit(1.2:3): auid=4294967295 uid={uid} gid=9 ses=1 subj=unconfined "
        'pid=7 comm="t" exe="/x" sig=0 arch={arch} syscall={call} compat=0 ip=0x7f code=0x7ffc0000'
    )
    lines = [
        line.format(uid=998, arch="c000003e", call=169),
        line.format(uid=998, arch="c00000b7", call=112),
        line.format(uid=0, arch="c000003e", call=165),
        line.format(uid=998, arch="c000003e", call=1),
        "unrelated",
    ]
    assert privileges_tried(lines, 998) == {"privilege:CAP_SYS_BOOT", "privilege:CAP_SYS_TIME"}
