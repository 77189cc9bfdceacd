"""First descriptions: what is guessed from a directory, a unit file and a wheel."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from allod.errors import Conflict, InvalidInput
from allod.packaging.build import build_directory
from allod.packaging.description import read_description
from allod.packaging.draft import draft_directory, name_like, write_draft
from allod.packaging.unit_file import draft_unit, parse_unit
from allod.packaging.wheel import draft_wheel, read_wheel


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"main.py": ""}, ["/usr/bin/env", "python3", "-B", "{tree}/main.py"]),
        (
            {"toaster.py": "", "other.py": ""},
            ["/usr/bin/env", "python3", "-B", "{tree}/toaster.py"],
        ),
        ({"only.py": ""}, ["/usr/bin/env", "python3", "-B", "{tree}/only.py"]),
        ({"run": "#!/bin/sh", "main.py": ""}, ["{tree}/run"]),
        ({"bin/toaster": "#!/bin/sh"}, ["{tree}/bin/toaster"]),
        (
            {"package.json": '{"main": "srv.js"}', "srv.js": ""},
            ["/usr/bin/env", "node", "{tree}/srv.js"],
        ),
        ({"a.txt": "", "the-binary": "#!"}, ["{tree}/the-binary"]),
        ({"a.txt": ""}, None),
    ],
)
def test_an_obvious_command_is_found(
    tmp_path: Path, files: dict[str, str], command: list[str] | None
) -> None:
    """What a person would try first is what is guessed; what is not obvious is left open."""
    root = tmp_path / "Toaster"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    draft = draft_directory(root)
    assert draft.table["package"] == "pkg:generic/me/toaster"
    assert draft.table.get("service", {}).get("command") == command
    write_draft(draft, root)
    assert build_directory(root).release.version == "0.1.0"


def test_the_project_says_name_and_version(tmp_path: Path) -> None:
    """What pyproject.toml says wins over the directory's name; a schema is taken along."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "Hot_Toaster"\nversion = "3.2"\n')
    (tmp_path / "main.py").write_text("")
    (tmp_path / "config.schema.json").write_text('{"type": "object"}')
    draft = draft_directory(tmp_path)
    write_draft(draft, tmp_path)
    release = read_description(tmp_path).release
    assert (release.package, release.version) == ("pkg:generic/me/hot_toaster", "3.2")
    assert release.configuration is not None


def test_a_description_is_not_overwritten(tmp_path: Path) -> None:
    """What a person wrote stays, unless they say otherwise."""
    (tmp_path / "allod.toml").write_text("mine")
    with pytest.raises(Conflict):
        write_draft(draft_directory(tmp_path, name="x"), tmp_path)
    assert (tmp_path / "allod.toml").read_text() == "mine"
    write_draft(draft_directory(tmp_path, name="x"), tmp_path, overwrite=True)
    assert read_description(tmp_path).release.package == "pkg:generic/me/x"


@pytest.mark.parametrize(
    ("text", "name"),
    [("My App", "my-app"), ("..", "app"), ("Ünïx", "n-x"), ("-a-", "a"), ("a..b", "a-b")],
)
def test_any_directory_gets_a_name(text: str, name: str) -> None:
    """Whatever a directory is called, its name becomes one that is allowed."""
    assert name_like(text) == name


UNIT = """
[Unit]
Description=Makes toast
# a comment
[Service]
Environment=OLD=1
Environment=
Environment=PORT=8080 "GREETING=good \\
  morning"
ExecStart=-/opt/toaster/bin/toast --config=/opt/toaster/etc/x.conf --rate=50%%
ExecStartPre=/bin/mkdir -p /x
User=toast
StateDirectory=toaster
TimeoutStopSec=2min
AmbientCapabilities=CAP_NET_BIND_SERVICE
DeviceAllow=/dev/video0 rw
DeviceAllow=/dev/ttyUSB0 rw
ReadWritePaths=/var/spool/toast -/var/maybe
ReadOnlyPaths=/etc/ssl/weird path*
[Install]
WantedBy=multi-user.target
"""


def test_a_unit_becomes_a_release(tmp_path: Path) -> None:
    """Command, environment, stop time and sandbox settings arrive; what has no counterpart is said."""
    path = tmp_path / "Toaster.service"
    path.write_text(UNIT)
    draft = draft_unit(path, root="/opt/toaster/")
    write_draft(draft, tmp_path)
    release = read_description(tmp_path).release
    assert release.service is not None
    assert release.service.command == (
        "{tree}/bin/toast",
        "--config={tree}/etc/x.conf",
        "--rate=50%",
    )
    assert release.service.environment == (("GREETING", "good    morning"), ("PORT", "8080"))
    assert release.service.stop_seconds == 120
    assert release.access == {
        "network.outbound",
        "privilege:CAP_NET_BIND_SERVICE",
        "camera",
        "device:/dev/ttyUSB0",
        "path.write:/var/spool/toast",
        "path.write:/var/maybe",
        "path.read:/etc/ssl/weird",
    }
    assert release.data is not None
    assert release.interrupts == "Makes toast"
    assert any("ExecStartPre" in note for note in draft.notes)


@pytest.mark.parametrize(
    ("lines", "access"),
    [
        ("ExecStart=/x", {"root", "network.outbound"}),
        ("ExecStart=/x\nDynamicUser=yes\nPrivateNetwork=true", set()),
        ("ExecStart=/x\nUser=u\nRestrictAddressFamilies=AF_UNIX", set()),
        ("ExecStart=/x\nUser=u\nRestrictAddressFamilies=~AF_INET AF_INET6", set()),
        ("ExecStart=/x\nUser=u\nRestrictAddressFamilies=~AF_INET", {"network.outbound"}),
        ("ExecStart=/x\nUser=u\nRestrictAddressFamilies=AF_INET AF_UNIX", {"network.outbound"}),
    ],
)
def test_what_a_unit_does_not_forbid_is_access(
    tmp_path: Path, lines: str, access: set[str]
) -> None:
    """A unit without a sandbox needs much; one with a sandbox needs little."""
    path = tmp_path / "x.service"
    path.write_text("[Service]\n" + lines)
    assert set(draft_unit(path).table.get("access", ())) == access


@pytest.mark.parametrize(
    "text",
    [
        "[Service]\n",
        "[Service]\nExecStart=/x\nExecStart=/y\n",
        "[Service]\nExecStart=/x %i\n",
        "[Service]\nExecStart=/x $HOME\n",
        "[Service]\nExecStart=/x 'open\n",
        "nonsense\n",
        "key=value\n",
    ],
)
def test_a_unit_that_cannot_be_understood_is_refused(tmp_path: Path, text: str) -> None:
    """Better no draft than a wrong one."""
    path = tmp_path / "x.service"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        draft_unit(path)
    assert caught.value.code == "bad-unit"


def test_an_empty_value_clears() -> None:
    """As systemd has it: 'Key=' forgets what came before."""
    assert parse_unit("[S]\nA=1\nA=\nA=2\n")["S"]["A"] == ["2"]


def wheel(
    directory: Path,
    name: str = "toaster",
    *,
    files: dict[str, str] | None = None,
    tag: str = "py3-none-any",
    metadata: str = "",
    entries: str = "",
    lie: bool = False,
) -> Path:
    """Write a wheel."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-1.5-{tag}.whl"
    info = f"{name}-1.5.dist-info"
    content = {
        **(
            files
            if files is not None
            else {f"{name}/__init__.py": "def main():\n    print('toast')\n"}
        ),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n{metadata}\n",
        f"{info}/entry_points.txt": entries,
    }
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)
            told = b"lie" if lie else text.encode()
            digest = base64.urlsafe_b64encode(hashlib.sha256(told).digest()).decode().rstrip("=")
            rows.append(f"{file},sha256={digest},{len(text)}\n")
        archive.writestr(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")
    return path


def test_a_wheel_with_its_dependency_runs(tmp_path: Path) -> None:
    """Unpacked beside each other, the entry point finds its dependency, with nothing installed."""
    made = wheel(
        tmp_path,
        files={
            "toaster/__init__.py": "from my_bread import slice_\nclass cli:\n    @staticmethod\n    def main():\n        print('toast of', slice_())\n"
        },
        metadata="Requires-Dist: my.bread>=1\nRequires-Dist: docs; extra == 'doc'\nRequires-Dist: tomli; python_version < '3.11'\n",
        entries="[console_scripts]\ntoast-it = toaster:cli.main\n",
    )
    wheel(tmp_path / "deps", "my_bread", files={"my_bread.py": "def slice_():\n    return 'rye'\n"})
    tree = tmp_path / "tree"
    draft = draft_wheel(made, tree, dependencies=tmp_path / "deps")
    write_draft(draft, tree)
    release = build_directory(tree).release
    assert (release.package, release.version) == ("pkg:generic/me/toaster", "1.5")
    assert release.service is not None
    assert release.service.command[-1] == "{tree}/bin/toast-it"
    assert any("tomli" in note for note in draft.notes)
    run = subprocess.run(
        [sys.executable, "-I", tree / "bin" / "toast-it"], capture_output=True, text=True
    )
    assert (run.stdout, run.returncode) == ("toast of rye\n", 0)
    assert not list(tree.rglob("*.pyc"))


def test_a_missing_dependency_is_named(tmp_path: Path) -> None:
    """A release that could not start on the device is not made."""
    made = wheel(tmp_path, metadata="Requires-Dist: bread (>=1)\n")
    with pytest.raises(InvalidInput) as caught:
        draft_wheel(made, tmp_path / "tree")
    assert caught.value.code == "missing-dependency"
    assert "bread" in caught.value.message
    assert not (tmp_path / "tree").exists()


def test_which_script_starts_must_be_clear(tmp_path: Path) -> None:
    """Of several scripts the one of the project's name is taken, or the user says."""
    entries = "[console_scripts]\na = toaster:a\nb = toaster:b\n"
    made = wheel(tmp_path, entries=entries)
    with pytest.raises(InvalidInput) as caught:
        draft_wheel(made, tmp_path / "tree")
    assert caught.value.code == "which-entry"
    draft = draft_wheel(made, tmp_path / "tree", entry="b")
    assert draft.table["service"]["command"][-1] == "{tree}/bin/b"
    named = wheel(tmp_path / "n", entries=entries + "toaster = toaster:main\n")
    assert (
        draft_wheel(named, tmp_path / "t2").table["service"]["command"][-1] == "{tree}/bin/toaster"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"tag": "cp311-cp311-linux_x86_64"},
        {"tag": "py3-none-linux_x86_64"},
        {"lie": True},
        {"files": {"../evil.py": ""}},
        {"files": {"/etc/evil.py": ""}},
        {"files": {"toaster-1.5.data/scripts/evil": ""}},
        {"files": {"toaster-1.5.data/data/etc/evil": ""}},
        {"files": {"a-1.dist-info/METADATA": ""}},
    ],
    ids=["compiled", "platform", "record", "dots", "absolute", "scripts", "data", "two dist-infos"],
)
def test_a_wheel_that_does_more_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    """Compiled code, files outside of Python's packages, and altered files do not pass."""
    made = wheel(tmp_path / "w", **options)
    with pytest.raises(InvalidInput) as caught:
        draft_wheel(made, tmp_path / "tree")
    assert caught.value.code == "bad-wheel"
    assert not (tmp_path / "evil.py").exists()


def test_two_versions_of_a_dependency_are_refused(tmp_path: Path) -> None:
    """Which one would run must not depend on the order of a directory."""
    wheel(tmp_path / "deps", "bread")
    other = wheel(tmp_path / "x", "bread")
    other.rename(tmp_path / "deps" / "bread-1.6-py3-none-any.whl")
    made = wheel(tmp_path, metadata="Requires-Dist: bread\n")
    with pytest.raises(InvalidInput) as caught:
        draft_wheel(made, tmp_path / "tree", dependencies=tmp_path / "deps")
    assert caught.value.code == "two-versions"


def test_a_name_that_lies_is_refused(tmp_path: Path) -> None:
    """The file name and METADATA must speak of the same project."""
    made = wheel(tmp_path).rename(tmp_path / "kettle-1.5-py3-none-any.whl")
    with pytest.raises(InvalidInput) as caught:
        read_wheel(made)
    assert caught.value.code == "bad-wheel"
