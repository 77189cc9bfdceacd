"""Whether a release was built as the owner demands: by whom, from what, with what (step 9).

A provider's CI can be made to sign what another repository, branch or workflow built. Where the
owner's document about the provider has a policy, the provider's own signature is not enough: the
builder's signed word about this very digest has to fit it (attack 20).
"""

from __future__ import annotations

from dataclasses import dataclass

from allod.domain.ids import Digest
from allod.errors import Untrusted
from allod.trust.dsse import verify_foreign
from allod.trust.keys import to_key
from allod.trust.verified import Verified, seal
from allod.wire.envelope import IN_TOTO
from allod.wire.provenance import PROVENANCE_CAP, ProvenanceStatement, decode_provenance, leaves
from allod.wire.trust import ProvenancePolicy


@dataclass(frozen=True, slots=True)
class Built:
    """How a release was built, by a builder's word that fits the owner's policy."""

    builder: str
    source: str
    ref: str
    level: int = 0  #: SLSA build level that the owner takes the builder to keep


def verify_provenance(
    envelope: bytes, policy: ProvenancePolicy, manifest: Digest
) -> Verified[Built]:
    """Check a builder's provenance of `manifest` against the owner's policy.

    Only SLSA provenance v1 under a plain key of the policy counts here; all else is for a
    verifier to look at (docs/spec/evidence.md).

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-digest`, `wrong-builder`, `wrong-level`,
            `wrong-source`, `wrong-ref`, `wrong-parameters`.
    """
    what = "the provenance"
    keys = [to_key(key) for key in policy.keys]
    verified = verify_foreign(envelope, IN_TOTO, keys, 1, cap=2 * PROVENANCE_CAP, what=what)
    statement = decode_provenance(verified.value)
    if not statement.is_slsa:
        raise Untrusted(
            "wrong-type", f"cannot accept {what}: it is {statement.predicate_type[:80]!r}"
        )
    if all(
        one.digest.get("sha256") != manifest.removeprefix("sha256:") for one in statement.subject
    ):
        raise Untrusted("wrong-digest", f"cannot accept {what}: it is of another release")
    source, ref = _source(statement)
    claimed = Built(statement.predicate.run_details.builder.id, source, ref)
    parameters = statement.predicate.build_definition.external_parameters
    return seal(check_built(claimed, parameters, policy), verified.by)


def check_built(claimed: Built, parameters: object, policy: ProvenancePolicy) -> Built:
    """Compare what a builder says with the policy; whether it is the builder is checked before.

    The one place where builder, level, source, ref and parameters are judged: devices, servers
    and verifiers ask here. The level is the owner's, whatever the provenance claims.

    Raises:
        Untrusted: `wrong-builder`, `wrong-level`, `wrong-source`, `wrong-ref`,
            `wrong-parameters`.
    """
    what = "the provenance"
    levels = [one.level for one in policy.builders if fits(claimed.builder, one.id)]
    if not levels:
        raise Untrusted(
            "wrong-builder", f"cannot accept {what}: it was built by {claimed.builder[:200]}"
        )
    if min(levels) < policy.level:
        raise Untrusted(
            "wrong-level",
            f"cannot accept {what}: {claimed.builder[:200]} keeps SLSA build level {min(levels)}, "
            f"and {policy.level} is the least",
        )
    if claimed.source not in policy.sources:
        raise Untrusted(
            "wrong-source", f"cannot accept {what}: it was built from {claimed.source[:200]}"
        )
    if not any(fits(claimed.ref, allowed) for allowed in policy.refs):
        raise Untrusted(
            "wrong-ref", f"cannot accept {what}: it was built from {claimed.ref[:200]!r}"
        )
    _check_parameters(parameters, policy)
    return Built(claimed.builder, claimed.source, claimed.ref, min(levels))


def _source(statement: ProvenanceStatement) -> tuple[str, str]:
    """What was built: the first dependency, which is the source by SLSA's own builders."""
    first = next(iter(statement.predicate.build_definition.resolved_dependencies), None)
    source, at, ref = ("" if first is None else first.uri).rpartition("@")
    return (source, ref) if at else (ref, "")


def fits(value: str, allowed: str) -> bool:
    """Whether a value is what is allowed: that very one, or one that begins so ("*" at the end)."""
    return value.startswith(allowed[:-1]) if allowed.endswith("*") else value == allowed


def _check_parameters(parameters: object, policy: ProvenancePolicy) -> None:
    """None that the owner did not name: what nobody looked at could have changed the build."""
    if policy.parameters is None:
        return
    found = leaves(parameters)
    for name in sorted({*found, *policy.parameters}):
        wanted = policy.parameters.get(name)
        if wanted is None or not fits(found.get(name, ""), wanted) or name not in found:
            raise Untrusted(
                "wrong-parameters",
                f"cannot accept the provenance: the parameter {name[:120]} is "
                f"{found.get(name, 'missing')[:120]}",
            )
