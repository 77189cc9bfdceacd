"""`allod release verify`: a release as a device sees it, or what a vendor attests of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options, now
from allod.errors import InvalidInput, Unavailable, Untrusted

if TYPE_CHECKING:
    from allod.attestation.collected import Looking, Lying
    from allod.attestation.policy import Demands
    from allod.attestation.verdict import Attested, Check, Examined
    from allod.cli.documents import Base
    from allod.cli.release_verify import Verdict
    from allod.trust.policy import Met


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """What has to hold of attestations.

    Args:
        artifact: What a file of attestations should be about: a file, an OCI image layout, or
            ALGORITHM:VALUE like sha256:….
        key: A public key (PEM) that may sign; several, if there are.
        identity: Who may stand in a Sigstore certificate: a mail address or a URI; one that ends
            in '*' is a beginning. Several, if there are.
        issuer: Who vouches for the identity, like https://token.actions.githubusercontent.com;
            one for all identities, or one each.
        trust_root: A Sigstore trust root other than the shipped one of the public-good instance.
        builder: Who may have built it, by the builder's id; 'ID=LEVEL' says which SLSA build level
            you take it to keep.
        source: A repository that it may be built from, like git+https://github.com/acme/toaster.
        ref: Branches and tags that may be built, like 'refs/tags/v*'.
        level: The least SLSA build level, 1 to 3.
    """

    artifact: str | None = None
    key: tuple[Path, ...] = ()
    identity: tuple[str, ...] = ()
    issuer: tuple[str, ...] = ()
    trust_root: Path | None = None
    builder: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    ref: tuple[str, ...] = ()
    level: Annotated[int, Parameter()] = 0

    @property
    def demands_anything(self) -> bool:
        """Whether something has to hold beyond what the fleet demands."""
        said = (self.key, self.identity, self.builder, self.source, self.ref)
        return any(said) or bool(self.level)


ASKED = Asked()


@dataclass(slots=True)
class Attestations:
    """What was found beside a release or in a file, looked at."""

    looked: list[tuple[Lying, Examined]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether one of them holds in every step."""
        return any(examined.good for _, examined in self.looked)

    @property
    def exit_status(self) -> int:
        """0: one is good; that of Untrusted if any failed; of Unavailable if something is missing."""
        if self.good:
            return 0
        failed = any(examined.failed for _, examined in self.looked)
        return Untrusted.branch.exit if failed else Unavailable.branch.exit

    @property
    def says(self) -> str:
        """In one sentence."""
        if self.good:
            return "Good: all that was asked holds."
        if self.exit_status == Untrusted.branch.exit:
            return "Not to be trusted."
        if not self.looked:
            return "Nothing is attested of it."
        return "Incomplete: something is missing, so nothing can be said for sure."


def verify(reference: str, *, asked: Asked = ASKED, options: Options = OPTIONS) -> int:
    """Check a release from end to end, and what others attest of it; or a file's attestations.

    Of a release: manifest, description, payload, the provider's signature, the provenance that the
    owner demands; and, step by step, every attestation beside it. Of a file: the attestations in
    it, or beside it (FILE.sigstore.json and the like); of somebody's image, those beside it.
    Nothing is asked on the net but that registry. Exit status 0: good; 5: not to be trusted; 6: something is missing.

    Args:
        reference: PACKAGE@VERSION in the fleet's registry, a directory, an OCI image layout; a
            file: a Sigstore bundle, a DSSE envelope, several of them one a line, or an artifact; or
            somebody's image: docker://HOST/NAME:TAG.
        asked: What has to hold of attestations.
        options: Options of every verb.
    """
    from allod.cli.image_attested import is_image, verify_image

    if Path(reference).is_file():
        return _file(Path(reference), asked, options)
    if is_image(reference):
        return verify_image(reference, asked, options)
    return _release(reference, asked, options)


def _file(path: Path, asked: Asked, options: Options) -> int:
    from allod.cli.attestations import attestations_in, beside_file, digests_named, file_digests

    digests: dict[str, str] = {}
    beside = beside_file(path) if asked.artifact is None else None
    if beside is not None:
        digests = file_digests(path)
        path = beside
    elif asked.artifact is not None:
        digests = digests_named(asked.artifact)
    elif not _may_attest(path):
        return tell(str(path), file_digests(path), Attestations(), options)
    looking = looking_of(asked)
    found = Attestations([(one, looking.examine(one, digests)) for one in attestations_in(path)])
    return tell(str(path), digests, found, options)


def _may_attest(path: Path) -> bool:
    """Whether a file begins like JSON; what does not is an artifact, and nothing lies beside it."""
    with path.open("rb") as file:
        return file.read(1024).lstrip().startswith((b"{", b"["))


def tell(reference: str, digests: Mapping[str, str], found: Attestations, options: Options) -> int:
    """Show attestations of something that is no release; the exit status."""
    data = {
        "reference": reference,
        "artifact": digests,
        "verdict": found.says,
        "good": found.good,
        "attestations": [_as_data(*one) for one in found.looked],
    }
    lines = [line for one in found.looked for line in _as_text(*one, head=len(found.looked) > 1)]
    options.output.result(data, "\n".join([*lines, found.says]))
    return found.exit_status


def _release(reference: str, asked: Asked, options: Options) -> int:
    from allod.cli.attestations import attestations_beside, spoken
    from allod.cli.image_attested import of_originals
    from allod.cli.release_look import look
    from allod.cli.release_verify import newest_once, owner_says, verify_found

    if asked.artifact is not None:
        raise InvalidInput("bad-arguments", "cannot take --artifact: a release is its own artifact")
    found = look(reference, options)
    base = newest_once(options)
    providers, withdrawn = owner_says(options, base)
    verdict = verify_found(found, providers, withdrawn)
    digests = spoken(found.digest)
    lying = attestations_beside(found)
    looking = looking_of(asked)
    looked = Attestations([(one, looking.examine(one, digests)) for one in lying])
    if verdict.known is not None:
        owners = _as_owner_demands(verdict, base(), looking, lying)
        # What was asked is answered by what was asked: the provider's own keys are not among that.
        shown = looked if asked.demands_anything else owners
        looked = Attestations([*shown.looked, *of_originals(found, looking)])
    if asked.demands_anything:
        verdict.check("asked", lambda: _asked([one for _, one in looked.looked], asked))
    data = {
        "reference": reference,
        "digest": verdict.digest,
        "verdict": verdict.says,
        "steps": [
            {"number": number, "name": step.name, "ok": step.ok, "says": step.says}
            for number, step in enumerate(verdict.steps, 1)
        ],
        "attestations": [_as_data(*one) for one in looked.looked],
    }
    lines = [
        _line(number, step.name, step.says, ok=step.ok)
        for number, step in enumerate(verdict.steps, 1)
    ]
    lines += [line for one in looked.looked for line in _as_text(*one, head=True)]
    options.output.result(data, "\n".join([*lines, verdict.says]))
    return verdict.exit_status


def _as_owner_demands(
    verdict: Verdict, base: Base, looking: Looking, lying: Sequence[Lying]
) -> Attestations:
    """Steps for what the owner demands of this provider; returns the attestations so looked at.

    `policy` is the judgement of devices and servers, by plain keys or a verifier's word;
    `provenance` is ours, of all that lies here. The provider's own keys may sign what lies here.
    """
    from dataclasses import replace

    from allod.attestation.envelope import key_of
    from allod.attestation.policy import NO_DEMANDS, demands_of
    from allod.cli.attestations import spoken
    from allod.trust.policy import check_policy
    from allod.wire import oci

    known = verdict.known
    provider = None if known is None else base.providers.get(known.provider)
    if known is None or provider is None:
        return Attestations()
    policy = provider.provenance
    demands = NO_DEMANDS if policy is None else demands_of(policy)
    keys = (*looking.keys, *(key_of(key) for key in provider.keys))
    owners = replace(looking, demands=demands, keys=keys)
    digests = spoken(known.digest)
    looked = Attestations([(one, owners.examine(one, digests)) for one in lying])
    if policy is not None:
        verifiers = base.fleet_document.verifiers
        envelopes = [one.content for one in lying if one.artifact_type == oci.PROVENANCE]
        verdict.check("policy", lambda: _met(check_policy(provider, verifiers, known, envelopes)))
        if policy.asks_provenance:
            verdict.check("provenance", lambda: _provenance([one for _, one in looked.looked]))
    return looked


def _met(met: Met) -> str:
    """By what the owner's policy is met."""
    if met.summary is not None:
        return f"met, by the word of the verifier {met.summary.verifier}"
    parts = []
    if met.built is not None:
        parts.append(f"built by {met.built.builder} from {met.built.source} at {met.built.ref}")
    if met.sboms:
        parts.append(f"{len(met.sboms)} SBOM bound to it")
    return "met: " + (", ".join(parts) or "all statements are there")


def _provenance(examined: Sequence[Examined]) -> str:
    from allod.attestation.collected import provenance_among

    return _says(provenance_among(examined).attested)


def _asked(examined: Sequence[Examined], asked: Asked) -> str:
    """What was asked on the command line holds of one of them."""
    from allod.attestation.collected import any_among

    if asked.builder or asked.source or asked.ref or asked.level:
        return _provenance(examined)
    return _says(any_among(examined).attested)


def _says(attested: Attested) -> str:
    """What an attestation says, in one line."""
    by = attested.identity or ", ".join(f"the key {key[:16]}" for key in attested.keys)
    if not attested.builder:
        return f"{attested.predicate_type or 'a signature'} by {by}"
    return f"built by {attested.builder} from {attested.source} at {attested.revision}, by {by}"


def looking_of(asked: Asked) -> Looking:
    """With what attestations are looked at. Raises InvalidInput."""
    import logging

    from allod.attestation.collected import Looking
    from allod.attestation.envelope import key_from_file
    from allod.attestation.roots import ROOT_CAP, public_good, read_root
    from allod.cli.attestations import read

    # It warns of certificates in bundles that nobody trusts for being there.
    logging.getLogger("sigstore").setLevel(logging.ERROR)
    root = (
        public_good()
        if asked.trust_root is None
        else read_root(read(asked.trust_root, cap=ROOT_CAP), name=str(asked.trust_root))
    )
    keys = tuple(key_from_file(read(path, cap=64 * 1024), what=str(path)) for path in asked.key)
    return Looking(now(), keys, root, _demands(asked))


def _demands(asked: Asked) -> Demands:
    from allod.attestation.policy import Demands, Identity

    issuers = asked.issuer if len(asked.issuer) != 1 else asked.issuer * len(asked.identity)
    if issuers and len(issuers) != len(asked.identity):
        raise InvalidInput(
            "bad-arguments", "cannot tell whose issuer it is: give one --issuer, or one an identity"
        )
    identities = zip(issuers or ("",) * len(asked.identity), asked.identity, strict=True)
    return Demands(
        builders=tuple(_builder(text) for text in asked.builder),
        identities=tuple(Identity(issuer, subject) for issuer, subject in identities),
        sources=asked.source,
        refs=asked.ref,
        level=asked.level,
    )


def _builder(text: str) -> tuple[str, int]:
    head, equals, level = text.rpartition("=")
    return (head, int(level)) if equals and level in {"0", "1", "2", "3"} else (text, 0)


def _line(number: int, name: str, says: str, *, ok: bool | None) -> str:
    return (
        f"{number}. {'ok     ' if ok else 'FAILED ' if ok is False else 'missing'}  {name}: {says}"
    )


def _as_text(one: Lying, examined: Examined, *, head: bool) -> Iterator[str]:
    margin = "   " if head else ""
    if head:
        yield f"Attestation in {one.where}"
    for check in examined.checks:
        yield margin + _line(check.number, check.name, check.says, ok=check.ok)
    for name, value in _told(examined.attested).items():
        if value not in ("", None, 0, []):
            shown = ", ".join(value) if isinstance(value, list) else value
            yield f"{margin}   {name.replace('_', ' ')}: {shown}"


def _as_data(one: Lying, examined: Examined) -> dict[str, Any]:
    return {
        "where": one.where,
        "good": examined.good,
        "steps": [_check(check) for check in examined.checks],
        "says": _told(examined.attested),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "number": check.number,
        "name": check.name,
        "ok": check.ok,
        "says": check.says,
        "code": check.code,
    }


def _told(attested: Attested) -> dict[str, Any]:
    """What it says, by signatures that held."""
    from allod.wire.codec import instant

    claims = attested.claims
    return {
        "predicate_type": attested.predicate_type,
        "subjects": [one.name for one in attested.subjects[:20]],
        "builder": attested.builder,
        "source": attested.source,
        "revision": attested.revision,
        "ref": attested.ref,
        "build_type": attested.build_type,
        "level": attested.level,
        "identity": attested.identity,
        "issuer": attested.issuer,
        "workflow": claims.workflow,
        "run_source": claims.source,
        "run_ref": claims.ref,
        "run_revision": claims.revision,
        "keys": list(attested.keys),
        "log": attested.log,
        "log_index": attested.log_index,
        "time": None if attested.logged_at is None else instant(attested.logged_at),
        "time_from": attested.time_from,
    }
