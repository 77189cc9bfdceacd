"""What an owner demands of an attestation, compared with what it says (attack 20).

A good signature by the wrong builder, or over a build of the wrong repository, is worth nothing.
What the certificate says of the run that signed counts beside what the statement says: whoever
runs a workflow can write anything into a statement, and nothing into a certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from allod.attestation.envelope import PlainKey, key_of
from allod.attestation.verdict import Attested, Steps
from allod.errors import Untrusted
from allod.trust.provenance import Built, check_built, fits
from allod.wire.trust import ProvenancePolicy

_SAID: Final = 300
_WORKFLOW: Final = "/.github/workflows/"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose Sigstore certificates count."""

    issuer: str  #: who tells the certificate authority; empty: anybody
    subject: str  #: an address or URI; one that ends in "*" is a prefix


@dataclass(frozen=True, slots=True)
class Demands:
    """What has to hold."""

    #: Id (one that ends in "*" is a prefix) -> SLSA build level that it is trusted for.
    builders: tuple[tuple[str, int], ...] = ()
    keys: tuple[PlainKey, ...] = ()
    identities: tuple[Identity, ...] = ()
    sources: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()  #: one that ends in "*" is a prefix
    parameters: dict[str, str] | None = None  #: all external parameters
    level: int = 0  #: the least SLSA build level
    attestations: tuple[str, ...] = ()  #: predicate types that have to be there
    owner: ProvenancePolicy | None = None  #: what it was made of; then what is empty lets nothing

    @property
    def closed(self) -> bool:
        """Whether a list that is empty lets nothing through; otherwise nobody looks there."""
        return self.owner is not None


NO_DEMANDS: Final = Demands()


def demands_of(policy: ProvenancePolicy) -> Demands:
    """An owner's policy: what it does not allow is not allowed. Raises InvalidInput `bad-key`."""
    return Demands(
        builders=tuple((one.id, one.level) for one in policy.builders),
        keys=tuple(key_of(key) for key in policy.keys),
        identities=tuple(Identity(one.issuer, one.subject) for one in policy.identities),
        sources=tuple(policy.sources),
        refs=tuple(policy.refs),
        parameters=policy.parameters,
        level=policy.level,
        attestations=tuple(policy.attestations),
        owner=policy,
    )


def same_source(one: str, other: str) -> bool:
    """Whether two URIs name the same repository: `git+` and `.git` say nothing about which."""
    return _plain(one) == _plain(other)


def _among(source: str, sources: tuple[str, ...]) -> bool:
    return any(same_source(source, one) for one in sources)


def _plain(uri: str) -> str:
    return uri.removeprefix("git+").rstrip("/").removesuffix(".git")


def signer_is_meant(attested: Attested, demands: Demands) -> str:
    """Check whose certificate signed.

    Raises:
        Untrusted: `wrong-identity`.
    """
    says = f"{attested.identity} by {attested.issuer or 'no issuer'}"
    for one in demands.identities:
        issuer = not one.issuer or one.issuer == attested.issuer
        if issuer and attested.identity and fits(attested.identity, one.subject):
            return says
    raise Untrusted("wrong-identity", f"cannot trust the signer: it is {says[:_SAID]}")


def check_demands(steps: Steps, attested: Attested, demands: Demands) -> Attested:
    """Compare provenance with what is demanded of it; what it reaches is written down."""
    if demands.closed or demands.builders:
        steps.check("builder", lambda: _builder(attested, demands))
    reached = replace(attested, level=level_of(attested, demands))
    if demands.level:
        steps.check("level", lambda: _level(reached, demands))
    if demands.closed or demands.sources:
        steps.check("source", lambda: _source(attested, demands))
    if demands.closed or demands.refs:
        steps.check("ref", lambda: _ref(attested, demands))
    if demands.parameters is not None:
        steps.check("parameters", lambda: _parameters(attested, demands))
    if demands.owner is not None:
        owner = demands.owner
        steps.check("policy", lambda: _as_devices_judge(attested, owner))
    return reached


def _as_devices_judge(attested: Attested, policy: ProvenancePolicy) -> str:
    """The judgement of devices and servers: nothing passes here that they would not take."""
    builders = {key_of(key).id for key in policy.keys}
    if attested.keys and not builders.intersection(attested.keys):
        raise Untrusted("auth", "cannot trust the build: no key of a builder signed its provenance")
    claimed = Built(attested.builder, attested.source, attested.ref)
    parameters = {} if attested.statement is None else attested.statement.built.parameters
    check_built(claimed, dict(parameters), policy)
    return "as the owner demands of this provider"


def level_of(attested: Attested, demands: Demands) -> int:
    """The SLSA build level: what the owner trusts the builder for, or what a summary says."""
    if attested.statement is not None and attested.statement.summary is not None:
        return attested.statement.summary.level
    return min((level for id_, level in demands.builders if fits(attested.builder, id_)), default=0)


def _builder(attested: Attested, demands: Demands) -> str:
    builder = attested.builder
    if not any(fits(builder, id_) for id_, _ in demands.builders):
        raise Untrusted(
            "wrong-builder", f"cannot trust the build: it was built by {builder[:_SAID]!r}"
        )
    signer = attested.claims.workflow or attested.identity
    named, at, _ = builder.partition(_WORKFLOW)
    if at and _WORKFLOW in signer and named != signer.partition(_WORKFLOW)[0]:
        # A workflow that names one of another repository as the builder (attack 20); a generator
        # whose workflow signs for a builder beside it does what its repository says.
        raise Untrusted(
            "wrong-builder",
            f"cannot trust the build: the statement names {builder[:_SAID]}, "
            f"and {signer[:_SAID]} signed it",
        )
    return builder


def _level(attested: Attested, demands: Demands) -> str:
    if attested.level < demands.level:
        raise Untrusted(
            "wrong-level",
            f"cannot trust the build: it has SLSA build level {attested.level}, "
            f"{demands.level} is needed",
        )
    return f"SLSA build level {attested.level}"


def _source(attested: Attested, demands: Demands) -> str:
    named = [("the statement", attested.source)]
    if attested.claims.source:
        named.append(("the certificate", attested.claims.source))
    for where, source in named:
        exact = demands.closed and where == "the statement"
        same = (source in demands.sources) if exact else _among(source, demands.sources)
        if not same:
            raise Untrusted(
                "wrong-source",
                f"cannot trust the build: {where} says that it was built from {source[:_SAID]!r}",
            )
    return f"{attested.source} at {attested.revision or 'an unknown revision'}"


def _ref(attested: Attested, demands: Demands) -> str:
    named = [("the statement", attested.ref)]
    if attested.claims.ref:
        named.append(("the certificate", attested.claims.ref))
    for where, ref in named:
        if not any(fits(ref, one) for one in demands.refs):
            raise Untrusted(
                "wrong-ref",
                f"cannot trust the build: {where} says that it was built from {ref[:_SAID]!r}",
            )
    return attested.ref


def _parameters(attested: Attested, demands: Demands) -> str:
    """None that nobody named: what nobody looked at could have changed the build."""
    found = {} if attested.statement is None else attested.statement.built.parameters
    wanted = demands.parameters or {}
    for name in sorted({*found, *wanted}):
        if name not in wanted or name not in found or not fits(found[name], wanted[name]):
            raise Untrusted(
                "wrong-parameters",
                f"cannot trust the build: the parameter {name[:120]} is "
                f"{found.get(name, 'missing')[:120]}",
            )
    return f"{len(found)} external parameters, all as demanded"
