"""What the machine says of itself: facts, unmanaged software, clock, restarts."""

from __future__ import annotations

import os
import sys
from datetime import UTC
from pathlib import Path

import pytest

from allod.agent import inventory
from allod.agent.clock import SystemClock
from allod.agent.facts import read_facts
from allod.agent.inventory import SystemHost, read_dpkg, read_pip
from allod.agent.restarters import CommandRestarter, SystemdRestarter
from allod.errors import Unavailable

STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Description: GNU shell
 Package: not a field
Version: 6.0

Package: gone
Status: deinstall ok config-files
Version: 1

Package: bad name!
Status: install ok installed
Version: 1

Package: curl
Status: install ok installed
Version: 1:7.88~rc1
Architecture: amd64"""


def test_dpkg_is_read_from_its_own_file(tmp_path: Path) -> None:
    """Installed packages only, first value of a field, no continuation lines, no bad names."""
    (tmp_path / "status").write_text(STATUS)
    found = [(p.name, p.version, p.architecture) for p in read_dpkg(tmp_path / "status")]
    assert found == [("bash", "5.2.15-2+b7", "amd64"), ("curl", "1:7.88~rc1", "amd64")]
    assert read_dpkg(tmp_path / "none") == []


def test_dpkg_names_the_source_where_it_differs(tmp_path: Path) -> None:
    """Advisories name source packages: their names and versions are read where they are others'."""
    text = "Package: {}\nStatus: install ok installed\nVersion: {}\nSource: {}\n\n"
    rows = [
        ("bash", "5.2.15-2+b7", "bash (5.2.15-2)"),
        ("libc6", "2.36-9", "glibc"),
        ("gcc", "4:12.2.0-3", "gcc-defaults (1.203)"),
        ("same", "1", "same (1)"),
        ("odd", "1", "Not A Name (2)"),
        ("evil", "1", "x (\x1b[31m)"),
    ]
    (tmp_path / "status").write_text("".join(text.format(*row) for row in rows))
    found = {p.name: (p.source, p.source_version) for p in read_dpkg(tmp_path / "status")}
    assert found == {
        "bash": ("", "5.2.15-2"),
        "libc6": ("glibc", ""),
        "gcc": ("gcc-defaults", "1.203"),
        "same": ("", ""),
        "odd": ("", ""),
        "evil": ("", ""),
    }


def test_what_dpkg_brought_is_told_apart(tmp_path: Path) -> None:
    """A Python package of the distribution is the distribution's to mend; without dpkg, nobody's."""
    for place in ("usr/lib/python3/dist-packages", "usr/local/lib/python3.11/dist-packages"):
        record = tmp_path / place / "waitress-2.1.1.dist-info/METADATA"
        record.parent.mkdir(parents=True)
        record.write_text("Name: waitress\nVersion: 2.1.1\n")
    assert [p.manager for p in read_pip(tmp_path)] == [""]
    status = tmp_path / inventory.DPKG_STATUS
    status.parent.mkdir(parents=True)
    status.write_text(STATUS)
    assert [p.manager for p in read_pip(tmp_path)] == ["", "dpkg"]


def test_a_hostile_dpkg_file_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless lines and endless packages end at the caps."""
    monkeypatch.setattr(inventory, "MAX_PACKAGES", 10)
    many = "".join(
        f"Package: p{n}\nStatus: install ok installed\nVersion: 1\n\n" for n in range(50)
    )
    (tmp_path / "status").write_bytes(b"Package: " + b"x" * 300_000 + b"\n\n" + many.encode())
    assert len(read_dpkg(tmp_path / "status")) == 10


def test_pip_is_read_without_running_anything(tmp_path: Path) -> None:
    """Names are normalised; egg-info files and directories count; broken records are left out."""
    site = tmp_path / "usr/lib/python3/dist-packages"
    local = tmp_path / "usr/local/lib/python3.11/dist-packages"
    for place, text in {
        site
        / "Foo_Bar-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 1.0\n\nName: no",
        local / "old.egg-info/PKG-INFO": "Name: old\nVersion: 2\n",
        local / "broken-1.dist-info/METADATA": "Name: \nVersion: 1\n",
        local / "evil.py": "raise SystemExit",
    }.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (local / "flat.egg-info").write_text("Name: flat\nVersion: 3\n")
    (local / "empty.dist-info").mkdir()
    found = [(p.name, p.version) for p in read_pip(tmp_path)]
    assert found == [("flat", "3"), ("foo-bar", "1.0"), ("old", "2")]


def test_this_machine_can_be_read() -> None:
    """The real databases of the machine that runs the tests are understood."""
    host = SystemHost()
    names = {package.name for package in host.software().dpkg}
    if Path("/var/lib/dpkg/status").exists():
        assert "dpkg" in names
    assert host.fitness().architecture == os.uname().machine
    assert host.uptime() > 0


def test_facts_come_from_the_machine_and_settings_overrule(tmp_path: Path) -> None:
    """Device tree before firmware tables; overrides win, may add, and must be named well."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    dmi = tmp_path / "sys/class/dmi/id"
    dmi.mkdir(parents=True)
    (dmi / "sys_vendor").write_text("ACME Inc.\n")
    (dmi / "product_name").write_text("Toaster 3000\n")
    facts = read_facts(root=tmp_path)
    assert facts["device.hardware"] == "acme-inc.,toaster-3000 toaster-3000"
    assert (facts["os.id"], facts["os.version"], facts["os"]) == ("debian", "12", "debian-12")
    assert read_facts({"os.id": "acme", "os.version": ""}, root=tmp_path)["os"] == "acme"
    assert facts["device.name"] == facts["device.hostname"] == os.uname().nodename
    tree = tmp_path / "sys/firmware/devicetree/base"
    tree.mkdir(parents=True)
    (tree / "compatible").write_bytes(b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    given = {"device.name": "hall\n\x1b[31m", "site.floor": "3", "Bad": "x", "nodot": "x"}
    facts = read_facts(given, root=tmp_path)
    assert facts["device.hardware"] == "raspberrypi,4-model-b brcm,bcm2711"
    assert facts["device.name"] == "hall[31m"
    assert facts["site.floor"] == "3"
    assert not {"Bad", "nodot"} & facts.keys()
    assert SystemHost({"device.hardware": "a b"}).fitness().hardware == {"a", "b"}


def test_the_boot_id_is_that_of_the_file(tmp_path: Path) -> None:
    """Containers name their own; a missing file is an empty id."""
    (tmp_path / "boot").write_text("one\n")
    clock = SystemClock(tmp_path / "boot")
    assert clock.boot_id() == "one"
    assert SystemClock(tmp_path / "none").boot_id() == ""
    assert clock.now().tzinfo is UTC
    begin = clock.monotonic()
    clock.sleep(-1)
    assert clock.monotonic() >= begin


def test_a_restart_is_begun_by_the_command_with_its_reason(tmp_path: Path) -> None:
    """The command gets the reason and no other environment; its failure is told."""
    code = f"import os;open({str(tmp_path / 'done')!r},'w').write(os.environ['ALLOD_REASON'])"
    CommandRestarter([sys.executable, "-S", "-c", code]).restart("new kernel")
    assert (tmp_path / "done").read_text() == "new kernel"
    failing = (["/bin/sh", "-c", "echo no >&2; exit 3"], ["/nowhere"], ["/bin/sleep", "9"])
    for command in failing:
        with pytest.raises(Unavailable) as caught:
            CommandRestarter(command, timeout=0.2).restart("x")
        assert caught.value.code == "restart-failed"


def test_systemd_is_asked_to_reboot(tmp_path: Path) -> None:
    """The command line, recorded by a program that stands for systemctl."""
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/said\n')
    program.chmod(0o755)
    SystemdRestarter(str(program)).restart("x")
    assert (tmp_path / "said").read_text() == "--no-block reboot\n"
