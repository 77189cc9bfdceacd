"""What was found out about an attestation: numbered checks, and what it says if they hold.

Nothing that an attestation says is told before its signature held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from allod.attestation.statement import Statement, Subject
from allod.errors import AllodError, Unavailable


@dataclass(frozen=True, slots=True)
class Claims:
    """What a certificate says of the run that signed; empty where it does not say.

    The certificate authority took it from the issuer's token: whoever runs a workflow can write
    anything into a statement, and nothing into this.
    """

    workflow: str = ""  #: the workflow that signed, with its ref
    source: str = ""  #: repository
    ref: str = ""
    revision: str = ""
    trigger: str = ""
    runner: str = ""  #: "github-hosted" or "self-hosted"


@dataclass(frozen=True, slots=True)
class Check:
    """One step, and whether it held."""

    number: int
    name: str
    ok: bool | None  #: None: what it needs is missing
    says: str
    code: str = ""  #: of the failure (docs/reference/errors.md)


@dataclass(frozen=True, slots=True)
class Attested:
    """What an attestation says, by signatures that held; empty where it says nothing."""

    statement: Statement | None = None  #: None: a bare signature over the artifact
    keys: tuple[str, ...] = ()  #: SHA-256 of the keys (SubjectPublicKeyInfo) that signed
    identity: str = ""  #: whom the certificate was given to
    issuer: str = ""  #: who told the certificate authority so
    claims: Claims = Claims()
    logged_at: datetime | None = None
    time_from: str = ""  #: "transparency log" or "timestamp authority"
    log: str = ""  #: origin of the transparency log
    log_index: int | None = None
    level: int = 0  #: SLSA build level, as the owner has it of the builder, or a summary says

    @property
    def predicate_type(self) -> str:
        """What kind of statement it is."""
        return "" if self.statement is None else self.statement.predicate_type

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What it speaks about."""
        return () if self.statement is None else self.statement.subjects

    @property
    def builder(self) -> str:
        """Who built, by provenance."""
        return "" if self.statement is None else self.statement.built.builder

    @property
    def source(self) -> str:
        """Repository that was built from, without the ref."""
        return "" if self.statement is None else self.statement.built.source

    @property
    def revision(self) -> str:
        """Commit that was built from."""
        return "" if self.statement is None else self.statement.built.revision

    @property
    def ref(self) -> str:
        """Branch or tag that was built from."""
        return "" if self.statement is None else self.statement.built.ref

    @property
    def build_type(self) -> str:
        """How it was built."""
        return "" if self.statement is None else self.statement.built.build_type


@dataclass(frozen=True, slots=True)
class Examined:
    """One attestation, looked at."""

    checks: tuple[Check, ...]
    attested: Attested

    @property
    def failed(self) -> Check | None:
        """The first check that did not hold."""
        return next((one for one in self.checks if one.ok is False), None)

    @property
    def missing(self) -> tuple[Check, ...]:
        """Checks that something was missing for."""
        return tuple(one for one in self.checks if one.ok is None)

    @property
    def good(self) -> bool:
        """Whether all of it held, and nothing was missing."""
        return all(one.ok for one in self.checks)


@dataclass(slots=True)
class Steps:
    """Checks as they are done, in their order."""

    done: list[Check] = field(default_factory=list)

    def check(self, name: str, act: Callable[[], str]) -> bool:
        """Do one check, which says what holds or raises why not; True if it held."""
        try:
            self.said(name, act(), ok=True)
        except AllodError as error:
            missing = isinstance(error, Unavailable)
            self.said(name, error.message, ok=None if missing else False, code=error.code)
            return False
        return True

    def said(self, name: str, says: str, *, ok: bool | None, code: str = "") -> None:
        """Write down a check that was done elsewhere."""
        self.done.append(Check(len(self.done) + 1, name, ok, says, code))
