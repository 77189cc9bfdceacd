"""Options that say what a delegate, or the owner by their own wish, is held to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from allod.cli.phrases import parse_moment, parse_span, parse_window
from allod.domain import terms
from allod.domain.access import parse_access
from allod.domain.condition import Term
from allod.domain.ids import parse_name
from allod.domain.terms import PROVIDER, VersionRule
from allod.errors import InvalidInput

_RATE: Final = re.compile(r"(?P<count>[1-9]\d{0,3})/(?P<span>\S+)", re.ASCII)
_APPROVALS: Final = re.compile(r"(?P<kind>[^=\s]+)=(?P<count>[1-9]\d{0,2})", re.ASCII)
_SAME: Final = "same"  #: no access that what runs does not have


@Parameter(name="*")
@dataclass(frozen=True)
class TermOptions:
    """What it is held to.

    Args:
        only: Only security fixes, or only patches of the same minor version.
        evidence: Who says that a release mends a flaw: 'provider' (unless given), or a source of
            advisories; several times.
        access: 'same': no access that what runs does not have (unless given); else names of new
            access that is allowed, like network.outbound; several times.
        soak: How long a release has to be known before it runs, like 24h.
        window: When what runs may change (UTC), like sun:02:00+2h or 'sat,sun 22:00-06:00'.
        rate: How often what runs of a package may change, like 2/1d.
        approvals: How many people of a kind have to approve, like qa=1; several times.
        consent: Somebody at the device has to agree.
        lease: The word counts only while the log was witnessed so recently, like 7d.
        until: When it ends: 2027-01-31, +90d.
    """

    only: Literal["security", "same-minor"] | None = None
    evidence: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    soak: str | None = None
    window: tuple[str, ...] = ()
    rate: str | None = None
    approvals: tuple[str, ...] = ()
    consent: Annotated[bool, Parameter(negative="")] = False
    lease: str | None = None
    until: str | None = None

    def terms(self, now: datetime) -> tuple[Term, ...]:
        """The terms, in the order in which they are shown.

        Raises:
            InvalidInput: `bad-arguments`, `bad-span`, `bad-window`, `bad-time`, `bad-access`.
        """
        found = [
            self._versions(),
            self._access(),
            None if self.soak is None else terms.Soak(_seconds(self.soak, "--soak")),
            terms.Windows(tuple(map(parse_window, self.window))) if self.window else None,
            None if self.rate is None else parse_rate(self.rate),
            parse_approvals(self.approvals) if self.approvals else None,
            terms.Consent() if self.consent else None,
            None if self.lease is None else terms.Lease(_seconds(self.lease, "--lease")),
            None if self.until is None else parse_until(self.until, now),
        ]
        return tuple(term for term in found if term is not None)

    def _access(self) -> Term | None:
        if not self.access or self.access == (_SAME,):
            return None  # nothing new is what holds anyway
        if _SAME in self.access:
            raise InvalidInput("bad-arguments", "cannot allow both 'same' and new access")
        return terms.NewAccess(parse_access(self.access))

    def _versions(self) -> Term | None:
        if self.evidence and self.only != "security":
            raise InvalidInput("bad-arguments", "cannot use --evidence without --only security")
        if self.only is None:
            return None
        if self.only == "same-minor":
            return terms.Versions(VersionRule.SAME_MINOR)
        sources = frozenset(parse_name(one, "a source of evidence") for one in self.evidence)
        return terms.Versions(VersionRule.SECURITY, sources or frozenset({PROVIDER}))


NO_TERMS: Final = TermOptions()


def parse_rate(text: str) -> terms.Rate:
    """At most so many in a span, like `2/1d`. Raises InvalidInput `bad-arguments`, `bad-span`."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise InvalidInput("bad-arguments", f"cannot read {text[:40]!r} as a rate: it is like 2/1d")
    return terms.Rate(int(match["count"]), _seconds(match["span"], "--rate"))


def parse_approvals(texts: tuple[str, ...]) -> terms.Approvals:
    """So many of each kind, like `qa=1`, `operations=2`. Raises InvalidInput `bad-arguments`."""
    needed: dict[str, int] = {}
    for text in (part for one in texts for part in one.split(",")):
        match = _APPROVALS.fullmatch(text)
        if match is None or match["kind"] in needed:
            raise InvalidInput(
                "bad-arguments",
                f"cannot read {text[:40]!r} as approvals: they are like qa=1, each kind once",
            )
        needed[parse_name(match["kind"], "a kind of approval")] = int(match["count"])
    return terms.Approvals(tuple(sorted(needed.items())))


def parse_until(text: str, now: datetime) -> terms.Until:
    """An end that is still to come. Raises InvalidInput `bad-time`."""
    at = parse_moment(text, now)
    if at <= now:
        raise InvalidInput("bad-time", f"cannot end it at {text}: that is over")
    return terms.Until(at)


def _seconds(text: str, option: str) -> int:
    seconds = int(parse_span(text).total_seconds())
    if seconds <= 0:
        raise InvalidInput("bad-span", f"cannot use {text!r} for {option}: it is longer than 0")
    return seconds
