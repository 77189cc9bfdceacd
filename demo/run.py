"""The main job, with real processes: `make demo`.

A server, three devices and their owner, a provider of software, a stranger, a witness, and a thief
of the whole server. Every step is checked; the exit status is 0 only if all of it held.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo import acts, attacks, delegates, evidence, histories
from demo.stage import Failed, Stage, show

KEPT = Path(tempfile.gettempdir()) / "allod-demo"
PLAY = """
It goes on running. In a shell:

  export ALLOD_HOME={home} ALLOD_PASSPHRASE_FILE={passphrase} PATH={bin}:$PATH
  allod status
  allod device list
  allod configure bathroom toaster --show
  allod-agent status --state {device}
  curl {url}

{python} demo/run.py --stop ends it."""


ACTS = (
    *acts.ACTS, *attacks.ACTS, acts.undo, *histories.ACTS,
    evidence.learn, *delegates.ACTS, *evidence.ACTS, acts.finish,
)  # fmt: skip


def play(stage: Stage) -> None:
    """All acts, in order."""
    begun = time.monotonic()
    for number, act in enumerate(ACTS, 1):
        title, _, rest = (act.__doc__ or "").partition("\n")
        print(f"\n{number}. {title}", flush=True)
        if rest.strip():
            print("   " + "\n   ".join(line.strip() for line in rest.strip().splitlines()))
        act(stage)
    print(f"\nAll of it held, in {time.monotonic() - begun:.0f} seconds.")


def main() -> int:
    """Run the demonstration; 0: all of it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--stop", action="store_true", help="end what --keep left running")
    given = parser.parse_args()
    if given.stop or given.keep:
        Stage.end_kept(KEPT)
    if given.stop:
        return 0
    root = KEPT if given.keep else Path(tempfile.mkdtemp(prefix="allod-demo-"))
    stage = Stage(root)
    good = False
    try:
        play(stage)
        good = True
    except Failed as error:
        print(f"\nThis did not hold:\n{error}\n", file=sys.stderr)
        for log in sorted(root.rglob("*.log")):
            show(f"the end of {log.relative_to(root)}", log.read_text("utf-8", "replace")[-1500:])
    finally:
        if given.keep and good:
            stage.keep()
        else:
            stage.close()
            if good:
                shutil.rmtree(root)
    if given.keep and good:
        device = stage.devices["kitchen-1"]
        print(
            PLAY.format(
                home=stage.owner.home, passphrase=stage.owner.passphrase, bin=stage.bin,
                device=device.state, url=device.url, python=sys.executable,
            )
        )  # fmt: skip
    elif not good:
        print(f"Everything it left is in {root}", file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
