"""The command itself: words that are not understood, closed streams, help, completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from allod import program

VERBS = [verb.name for verb in program.VERBS]


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "allod.program", *arguments],
        capture_output=True, text=True, timeout=60, **more,
    )  # type: ignore[call-overload]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["statu"], "did you mean 'status'?"),
        (["device", "lst"], "did you mean 'list'?"),
        (["keys", "rotat"], "did you mean 'rotate'?"),
        (["xyzzy"], "see 'allod --help'"),
        (["device", "xyzzy"], "see 'allod device --help'"),
        (["deploy"], "without SCOPE; see 'allod deploy --help'"),
        (["deploy", "kitchen"], "without WHAT"),
        (["configure", "kitchen", "toaster", "-f"], "--file needs a value"),
        (["undo", "soon"], "see 'allod undo --help'"),
        (["keys", "rotate", "crown"], 'Choose from: "root"'),
        (["status", "--frob"], "Unknown option: --frob"),
    ],
)
def test_misunderstood(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip is answered by the verb that was meant, or by where its help is."""
    assert program.main(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.endswith("[bad-arguments]\n")
    assert said.count("\n") == 1


def test_help_begins_with_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    """Who looks for the first step finds it first; what is nothing is not shown as a default."""
    assert program.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert said.index("─ Start") < said.index("─ Change") < said.index("─ Know")
    assert all(f" {name} " in said for name in VERBS)
    assert program.main(["device", "invite", "--help"]) == 0
    said = capsys.readouterr().out
    assert "[default: 7d]" in said
    assert "--empty" not in said
    assert "[default: ()]" not in said
    assert "[default: False]" not in said


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    """A command whose streams were closed does its work, and says nothing amiss."""
    line = f'exec "{sys.executable}" -m allod.program --help {closed}'
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=60,
        env={**os.environ, "ALLOD_HOME": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    """`allod … | head` ends without a word."""
    line = f'"{sys.executable}" -m allod.program completion bash | head -1'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
function=$(complete -p allod | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function allod "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path: Path) -> None:
    """The script works in a real bash: verbs, verbs of nouns, options, and choices."""
    script = tmp_path / "allod.bash"
    script.write_text(run("completion", "bash").stdout)

    def complete(*words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "-c", COMPLETE, "complete", script, "allod", *words],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return set(done.stdout.split())

    assert complete("d") == {"delegate", "delete", "deploy", "device"}
    assert complete("device", "in") == {"invite", "invites"}
    assert complete("deploy", "--at") == {"--at-restart"}
    assert complete("keys", "rotate", "t") == {"targets", "tls"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(shell: str, tmp_path: Path) -> None:
    """One command puts the script of each shell where it is found, with every verb in it."""
    done = run("completion", shell, "--install", env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "start a new shell.\n" in done.stdout
    assert ("compinit" in done.stdout) == (shell == "zsh")
    written = [path for path in tmp_path.rglob("*allod*") if path.is_file()]
    assert len(written) == 1
    text = written[0].read_text()
    assert all(name in text for name in VERBS)
    if shutil.which(shell) is not None:
        assert subprocess.run([shell, "-n", written[0]], check=False).returncode == 0
