"""Every failure that a user, a peer or a device can meet, with a stable code.

One root, five branches. A branch says what the caller may do about it:

* `InvalidInput`: mend what was given; nothing was changed.
* `Refused`: a rule forbids it; the reasons are carried along.
* `Conflict`: somebody was faster, or the thing exists already; look again and repeat.
* `Untrusted`: what came in does not carry the authority that it needs; never retried.
* `Unavailable`: something needed cannot be reached or has no room now; may be retried.

Bugs are not in this tree: they stay `RuntimeError` and friends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Branch:
    """How one branch shows outside: HTTP status (RFC 9457) and exit status."""

    title: str
    http: int
    exit: int


class AllodError(Exception):
    """Root of all expected failures.

    Args:
        code: stable, kebab-case name of the failure (documented in docs/reference/errors.md).
        message: starts with "cannot …", names the thing, and says what would mend it.
        details: machine-readable values; JSON-compatible.
    """

    branch: ClassVar[Branch] = Branch("Failed", 500, 1)

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message

    @property
    def http_status(self) -> int:
        """The HTTP status under which a server answers with this failure."""
        return HTTP_STATUS.get(self.code, self.branch.http)

    @property
    def exit_status(self) -> int:
        """The exit status of a command that fails so."""
        return self.branch.exit

    @property
    def page(self) -> str:
        """The documentation page and anchor that explain the code."""
        return f"reference/errors.html#{self.code}"


class InvalidInput(AllodError):
    """What was given cannot be read or makes no sense."""

    branch = Branch("Invalid input", 422, 2)


class Refused(AllodError):
    """A rule forbids it.

    Args:
        reasons: one short sentence a rule that said no, most important first.
    """

    branch = Branch("Refused", 403, 3)

    def __init__(
        self, code: str, message: str, *, reasons: tuple[str, ...] = (), **details: object
    ) -> None:
        super().__init__(code, message, **details)
        self.reasons = reasons


class Conflict(AllodError):
    """It collides with what is there."""

    branch = Branch("Conflict", 409, 4)


class Untrusted(AllodError):
    """What came in does not carry the authority that it needs. Never retried as it is."""

    branch = Branch("Untrusted", 422, 5)


class Unavailable(AllodError):
    """Something needed cannot be had now. May be retried."""

    branch = Branch("Unavailable", 503, 6)


#: Codes whose HTTP status differs from that of their branch.
HTTP_STATUS: dict[str, int] = {
    "bad-request": 400,
    "not-found": 404,
    "unauthenticated": 401,
    "too-large": 413,
    "wrong-content-type": 415,
    "method-not-allowed": 405,
    "range-not-satisfiable": 416,
    "too-many": 429,
}
