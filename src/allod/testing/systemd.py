"""A systemctl that records what it is told and keeps the state of units in files.

It knows the few verbs that the agent uses. It proves which commands are given, not what systemd
makes of them: that is checked with `systemd-analyze`, and on a real system.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_SYSTEMCTL = """\
#!/bin/sh
printf '%s\\n' "$*" >>{here}/systemctl.log
verb=$1
for unit in "$@"; do :; done
case "$verb" in
  start|restart) test -f "{units}/$unit" || exit 5; echo active >"{here}/$unit.state" ;;
  stop) rm -f "{here}/$unit.state" ;;
  disable) rm -f "{here}/$unit.state" ;;
  show)
    unit=$2
    if [ -f "{here}/$unit.state" ]; then echo ActiveState=active; echo SubState=running
    else echo ActiveState=inactive; echo SubState=dead; fi
    echo NRestarts=0; echo Result=success; echo ControlGroup= ;;
esac
"""
_RECORDER = """\
#!/bin/sh
printf '%s\\n' "$*" >>{here}/{name}.log
"""


@dataclass(frozen=True, slots=True)
class RecordedSystemd:
    """Programs in a directory, and the directory of unit files that they look at."""

    programs: Path
    units: Path

    @classmethod
    def install(cls, programs: Path, units: Path) -> RecordedSystemd:
        """Write the programs."""
        programs.mkdir(parents=True, exist_ok=True)
        units.mkdir(parents=True, exist_ok=True)
        texts = {"systemctl": _SYSTEMCTL.format(here=programs, units=units)}
        for name in ("systemd-sysusers", "journalctl"):
            texts[name] = _RECORDER.format(here=programs, name=name)
        for name, text in texts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        return cls(programs, units)

    def said(self, program: str = "systemctl") -> list[str]:
        """The command lines so far, without the questions."""
        log = self.programs / f"{program}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if not line.startswith("show ")]
