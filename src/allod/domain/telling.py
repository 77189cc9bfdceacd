"""What a plan has to tell besides what it does: what waits, what was refused, what failed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from allod.domain.actions import Waiting
from allod.domain.decision import let_through
from allod.domain.desired import ReleaseOrder
from allod.domain.ids import Digest, Purl
from allod.domain.judgement import Finding
from allod.domain.permission import Standing
from allod.domain.targets import Target


class Telling:
    """Gathers it while a plan is made."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.refusals: list[Finding] = []
        self.failed: dict[Purl, list[Digest]] = {}

    def wait(
        self,
        package: Purl,
        what: str,
        order: ReleaseOrder | None,
        why: str,
        until: datetime | None = None,
    ) -> None:
        """Something has to come true first."""
        version, digest = ("", None) if order is None else (order.version, order.digest)
        self.waiting.append(Waiting(package, what, version, digest, why, until))

    def wait_for_terms(
        self, target: Target, what: str, attempt: str, standings: Iterable[Standing]
    ) -> None:
        """For which terms it is too early, and until when if time alone will tell."""
        reasons = list(dict.fromkeys(one for standing in standings for one in standing.waits))
        order = target.order
        self.waiting.append(
            Waiting(
                target.wanted.package,
                what,
                "" if order is None else order.version,
                None if order is None else order.digest,
                "; ".join(dict.fromkeys(f"{one.code}: {one.says}" for one in reasons)),
                let_through(reasons),
                tuple(dict.fromkeys(one.code for one in reasons)),
                attempt,
            )
        )

    def has_failed(self, target: Target, attempt: str, now: datetime) -> bool:
        """Whether this very attempt failed and it is not time to try again."""
        for failure in target.has.failed:
            if failure.attempt != attempt:
                continue
            self.failed.setdefault(target.wanted.package, []).append(failure.digest)
            if failure.retry_at is None or now < failure.retry_at:
                waits = "a newer order" if failure.retry_at is None else "the next try"
                self.waiting.append(
                    Waiting(
                        target.wanted.package,
                        "activate",
                        digest=failure.digest,
                        waits_for=f"{waits}; it failed: {failure.reason}",
                        until=failure.retry_at,
                    )
                )
                return True
        return False
