"""Whether a release was built as the owner demands: by whom, from what, with what (step 9).

A provider's CI can be made to sign what another repository, branch or workflow built. Where the
owner's document about the provider has a policy, the provider's own signature is not enough: the
builder's signed word about this very digest has to fit it (attack 20).
"""

from __future__ import annotations

from dataclasses import dataclass

from allod.domain.ids import Digest
from allod.errors import Untrusted
from allod.trust.dsse import verify_envelope
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


def verify_provenance(
    envelope: bytes, policy: ProvenancePolicy, manifest: Digest
) -> Verified[Built]:
    """Check a builder's provenance of `manifest` against the owner's policy.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-digest`, `wrong-builder`, `wrong-source`,
            `wrong-ref`, `wrong-parameters`.
    """
    what = "the provenance"
    keys = [to_key(key) for key in policy.keys]
    verified = verify_envelope(envelope, IN_TOTO, keys, 1, 2 * PROVENANCE_CAP, what=what)
    statement = decode_provenance(verified.value)
    if not statement.is_slsa:
        raise Untrusted(
            "wrong-type", f"cannot accept {what}: it is {statement.predicate_type[:80]!r}"
        )
    if all(
        one.digest.get("sha256") != manifest.removeprefix("sha256:") for one in statement.subject
    ):
        raise Untrusted("wrong-digest", f"cannot accept {what}: it is of another release")
    builder = statement.predicate.run_details.builder.id
    if builder != policy.builder:
        raise Untrusted("wrong-builder", f"cannot accept {what}: it was built by {builder[:200]}")
    source, ref = _source(statement)
    if source != policy.source:
        raise Untrusted("wrong-source", f"cannot accept {what}: it was built from {source[:200]}")
    if not any(_fits(ref, allowed) for allowed in policy.refs):
        raise Untrusted("wrong-ref", f"cannot accept {what}: it was built from {ref[:200]!r}")
    _check_parameters(statement, policy)
    return seal(Built(builder, source, ref), verified.by)


def _source(statement: ProvenanceStatement) -> tuple[str, str]:
    """What was built: the first dependency, which is the source by SLSA's own builders."""
    first = next(iter(statement.predicate.build_definition.resolved_dependencies), None)
    source, at, ref = ("" if first is None else first.uri).rpartition("@")
    return (source, ref) if at else (ref, "")


def _fits(value: str, allowed: str) -> bool:
    return value.startswith(allowed[:-1]) if allowed.endswith("*") else value == allowed


def _check_parameters(statement: ProvenanceStatement, policy: ProvenancePolicy) -> None:
    """None that the owner did not name: what nobody looked at could have changed the build."""
    if policy.parameters is None:
        return
    found = leaves(statement.predicate.build_definition.external_parameters)
    for name in sorted({*found, *policy.parameters}):
        wanted = policy.parameters.get(name)
        if wanted is None or not _fits(found.get(name, ""), wanted) or name not in found:
            raise Untrusted(
                "wrong-parameters",
                f"cannot accept the provenance: the parameter {name[:120]} is "
                f"{found.get(name, 'missing')[:120]}",
            )
