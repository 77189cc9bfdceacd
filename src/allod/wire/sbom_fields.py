"""Fields of foreign bills of materials: read one by one, and what is wrong noted by its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from allod.domain.sbom import SbomComponent
from allod.errors import InvalidInput

MAX_COMPONENTS: Final = 200_000
MAX_FAULTS: Final = 1_000  #: that are told one by one
_LONGEST: Final = 4096


@dataclass(slots=True)
class Reading:
    """What was read of one document so far."""

    what: str
    components: dict[SbomComponent, None] = field(default_factory=dict)  #: in order, each once
    faults: list[str] = field(default_factory=list)
    seen: int = 0
    unsaid: int = 0  #: faults beyond those that are told

    def fault(self, place: str, why: str) -> None:
        """Note that the part at `place` could not be read."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(f"{place}: {why}")
        else:
            self.unsaid += 1

    def add(self, component: SbomComponent) -> None:
        """Take a component in; the same once."""
        self.components[component] = None

    def one_more(self) -> None:
        """Count a part. Raises InvalidInput `too-large` when there are too many."""
        self.seen += 1
        if self.seen > MAX_COMPONENTS:
            raise InvalidInput(
                "too-large", f"cannot read {self.what}: more than {MAX_COMPONENTS} components"
            )

    def text(self, value: dict[str, Any], key: str, place: str) -> str:
        """A string; absent or null is empty, anything else is a fault and empty."""
        said = value.get(key)
        if said is None:
            return ""
        if not isinstance(said, str):
            self.fault(f"{place}.{key}", "is no string")
            return ""
        if len(said) > _LONGEST:
            self.fault(f"{place}.{key}", f"is longer than {_LONGEST} characters")
            return ""
        return said.strip()

    def items(self, value: dict[str, Any], key: str, place: str) -> list[Any]:
        """A list; absent or null is empty, anything else is a fault and empty."""
        said = value.get(key)
        if said is None:
            return []
        if not isinstance(said, list):
            self.fault(f"{place}.{key}" if place else key, "is no list")
            return []
        return said

    def object(self, value: dict[str, Any], key: str, place: str = "") -> dict[str, Any]:
        """An object; absent or null is empty, anything else is a fault and empty."""
        said = value.get(key)
        if said is None:
            return {}
        if not isinstance(said, dict):
            self.fault(f"{place}.{key}" if place else key, "is no object")
            return {}
        return said

    def all_faults(self) -> tuple[str, ...]:
        """All faults, and how many more there are."""
        more = (f"and {self.unsaid} more",) if self.unsaid else ()
        return (*self.faults, *more)


def version_of(said: object, known: tuple[str, ...], what: str, family: str) -> str:
    """The version of a format. Raises InvalidInput `sbom-version` unless it is known."""
    if isinstance(said, str) and said in known:
        return said
    raise InvalidInput(
        "sbom-version",
        f"cannot read {what}: it is {family} {str(said)[:20]!r}, and known are {', '.join(known)}",
    )
