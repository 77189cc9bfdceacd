"""How many flaws there are of each severity, for `allod status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from allod.cli.vulnerabilities.known import advisories, anything_known
from allod.errors import AllodError

if TYPE_CHECKING:
    from allod.advisories.finding import Level
    from allod.cli.picture import Picture
    from allod.domain.ids import Scope
    from allod.domain.sbom import Sbom


@dataclass(frozen=True, slots=True)
class FlawCount:
    """What is known of what runs, in numbers."""

    counts: Mapping[Level, int] = field(default_factory=dict)  #: level -> different flaws
    exploited: int = 0
    devices: int = 0  #: that have any
    unknown: int = 0  #: parts of which nothing can be known
    unseen: int = 0  #: things whose parts are not known
    trouble: str = ""  #: why nothing could be looked up

    def data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "counts": {str(level): count for level, count in self.counts.items()},
            "exploited": self.exploited,
            "devices": self.devices,
            "unknown": self.unknown,
            "unseen": self.unseen,
            "trouble": self.trouble,
        }

    def says(self) -> str:
        """One line for people."""
        from allod.cli.vulnerabilities.words import levels_say

        if self.trouble:
            return f"! flaws: {self.trouble}"
        counted = levels_say(self.counts)
        dark = ""
        if self.unknown or self.unseen:
            parts = f"{self.unknown} parts" if self.unknown != 1 else "1 part"
            dark = f"; nothing is known of {parts}"
            dark += f" and {self.unseen} more things" if self.unseen else ""
        if not counted:
            return f"· flaws: none is known{dark}"
        exploited = f", {self.exploited} known to be exploited" if self.exploited else ""
        where = "1 device" if self.devices == 1 else f"{self.devices} devices"
        return f"! flaws: {counted} on {where}{exploited}{dark} ('allod vulnerabilities')"


def count_flaws(picture: Picture, scope: Scope | None = None) -> FlawCount | None:
    """Count the flaws of what runs on all devices, or where a scope speaks.

    Returns:
        None where no advisories were ever imported.
    """
    if not anything_known():
        return None
    from allod.cli.vulnerabilities.found import look_at
    from allod.cli.vulnerabilities.running import Fleet

    try:
        with advisories() as known:
            looked = look_at(Fleet(picture, fetch=False).running(scope), known)
    except AllodError as error:  # the rest of the status does not hang on it
        return FlawCount(trouble=error.message)
    counting = [line for line in looked.lines if line.finding.counts]
    return FlawCount(
        looked.by_level,
        len({one.finding.id for one in counting if one.finding.exploited is not None}),
        len({place.device for one in counting for place in one.places}),
        len(looked.unknown) + sum(looked.unasked.values()),
        len(looked.running.blind),
    )


def flaws_say(sbom: Sbom) -> str:
    """What is known of an SBOM, in a sentence; empty where no advisories were ever imported."""
    if not anything_known():
        return ""
    from allod.cli.vulnerabilities.files import ware_of_sbom
    from allod.cli.vulnerabilities.found import look_at
    from allod.cli.vulnerabilities.ware import alone
    from allod.cli.vulnerabilities.words import summary_lines

    try:
        with advisories() as known:
            looked = look_at(alone(ware_of_sbom("it", sbom, "it")), known)
    except AllodError as error:
        return f"Its flaws are not known: {error.message}"
    return " ".join(summary_lines(looked))
