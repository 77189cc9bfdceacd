"""What is known of what runs: which flaws are reported, which release mends them, who built it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from demo.acts import source, wheel
from demo.builder import SOURCE, Builder
from demo.stage import Failed, Stage, wait_for

ADVISORIES = Path(__file__).resolve().parent / "advisories"
FLAW = "CVE-2022-31015"
NAMES = {FLAW, "PYSEC-2022-205", "GHSA-f5x9-8jwc-25rw"}
BUILDER = "https://builds.example/trusted"


def learn(stage: Stage) -> None:
    """The owner takes in advisories, from a directory: no device, no network, nobody is asked.

    All three toasters run on waitress 2.1.1: one flaw, under three names, is one line.
    """
    stage.owner.run(
        "advisories", "import", ADVISORIES, "--source", "pypa", "--licence", "CC-BY-4.0", tell=True
    )
    stage.owner.run("vulnerabilities", tell=True)
    found = flaws(stage)
    names = {name for one in found for name in (one["id"], *one["aliases"])}
    if names != NAMES:
        raise Failed(f"found is {found}")
    if not any("2.1.2" in str(one["releases"]) for one in found):
        raise Failed(f"no release is said to mend it: {found}")
    if not all(name in str(found) for name in stage.devices):
        raise Failed(f"not all who run it are named: {found}")


def flaws(stage: Stage) -> list[dict[str, Any]]:
    """The flaws of what runs anywhere, by the owner's own look."""
    return [dict(one) for one in stage.owner.ask("vulnerabilities")["findings"]]


def built(stage: Stage) -> None:
    """From now on a release counts only if that builder built it, from that source.

    The release that mends the flaw was: its provenance is laid beside it.
    """
    trusted = stage.builder = Builder.new(BUILDER)
    key = trusted.publish_key(stage.root / "builder.pub")
    stage.owner.run(
        "provider", "built", "acme", "--builder", BUILDER, "--key", key, "--source", SOURCE,
        "--ref", "refs/tags/v*", "--any-parameters", "--yes", tell=True,
    )  # fmt: skip
    attest(stage, stage.provider.home / "toaster-2.1.2", "2.1.2", trusted)
    stage.owner.run("release", "verify", "toaster@2.1.2", tell=True)


def attest(stage: Stage, directory: Path, version: str, builder: Builder, code: str = "") -> None:
    """The builder signs what it built; the owner takes it in, or refuses."""
    layout = directory / ".allod" / "release"
    release = stage.provider.ask("release", "inspect", layout)
    envelope = stage.provider.home / f"{version}.intoto.jsonl"
    envelope.write_bytes(builder.provenance(release["digest"], f"refs/tags/v{version}"))
    stage.provider.run("release", "provenance", layout, envelope)
    stage.owner.run("release", "push", layout, code=code)


def mend(stage: Stage) -> None:
    """2.1.2 for the bathroom: the preview says which flaw it mends and who built it; it is gone.

    The kitchen has it by its provider's channel.
    """
    stage.owner.run(
        "deploy", "bathroom", "toaster@2.1.2", "--accept", "network.listen:tcp/28080", "--yes",
        tell=True,
    )  # fmt: skip
    stage.all_serve("bathroom-1", waitress="2.1.2")
    wait_for("the flaw is gone", lambda: not flaws(stage))
    stage.owner.run("vulnerabilities", tell=True)


def elsewhere(stage: Stage) -> None:
    """The next one has good provenance, signed and whole: by another builder. Refused.

    It is one of the same company, under the same key: what builds there is not all the same.
    """
    version = "2.1.7"
    directory = source(stage, version, wheel(stage, "2.1.2"))
    stage.provider.run("release", "sign", directory, "--version", version)
    rented = replace(stage.builder, id="https://builds.example/rented")
    attest(stage, directory, version, rented, "wrong-builder")


ACTS: tuple[Callable[[Stage], None], ...] = (built, mend, elsewhere)  # `learn` comes earlier
