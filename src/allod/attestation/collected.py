"""All attestations of one release together: whether one of them is what the owner demands.

A bad one beside a good one does no harm: anybody who can write to a registry can lay one there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from allod.attestation.cosign import examine_layer
from allod.attestation.envelope import PlainKey
from allod.attestation.policy import NO_DEMANDS, Demands
from allod.attestation.verdict import Examined
from allod.errors import Unavailable, Untrusted

if TYPE_CHECKING:
    from allod.attestation.roots import TrustRoot


@dataclass(frozen=True, slots=True)
class Lying:
    """One attestation, as it lies beside a release or in a file; nothing of it is verified."""

    where: str  #: in words
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)  #: of its layer
    artifact_type: str = ""  #: of the referrer that it is in


@dataclass(frozen=True, slots=True)
class Looking:
    """With what attestations are looked at."""

    now: datetime
    keys: tuple[PlainKey, ...] = ()
    trust_root: TrustRoot | None = None
    demands: Demands = NO_DEMANDS

    def examine(self, one: Lying, artifact_digests: Mapping[str, str]) -> Examined:
        """Look at one."""
        return examine_layer(
            one.content,
            one.annotations,
            artifact_digests=artifact_digests,
            keys=self.keys,
            trust_root=self.trust_root,
            policy=self.demands,
            now=self.now,
        )


def provenance_among(examined: Sequence[Examined]) -> Examined:
    """The provenance that holds in every step.

    Raises:
        Unavailable: `nothing-attested`: there is none.
        Untrusted: the fault of the one that came furthest, with its code.
    """
    return _of_kind(examined, "provenance", _is_provenance)


def statement_among(examined: Sequence[Examined], predicate_type: str) -> Examined:
    """The statement of a kind that holds in every step; raises as `provenance_among`."""
    return _of_kind(
        examined, predicate_type, lambda one: one.attested.predicate_type == predicate_type
    )


def any_among(examined: Sequence[Examined]) -> Examined:
    """Whatever holds in every step; raises as `provenance_among`."""
    return _of_kind(examined, "an attestation", lambda _: True)


def _is_provenance(one: Examined) -> bool:
    statement = one.attested.statement
    return statement is not None and statement.is_provenance


def _of_kind(examined: Sequence[Examined], kind: str, fits: Callable[[Examined], bool]) -> Examined:
    found = [one for one in examined if fits(one)]
    good = next((one for one in found if one.good), None)
    if good is not None:
        return good
    # One whose signature fails says nothing of itself: it may be what is looked for.
    silent = [one for one in examined if one.attested.statement is None]
    failed = [one for one in (*found, *silent) if one.failed is not None]
    if failed:
        furthest = max(failed, key=lambda one: one.failed.number if one.failed else 0)
        fault = furthest.failed
        if fault is not None:
            raise Untrusted(fault.code or "auth", fault.says)
    lacking = next((one.missing[0] for one in (*found, *silent) if one.missing), None)
    why = lacking.says if lacking is not None else f"cannot find {kind[:200]} of it"
    raise Unavailable("nothing-attested", why)
