"""A verifier's word that a release mends flaws of older ones (docs/spec/evidence.md).

A device holds no advisories. It takes the word of verifiers whom the owner named for it, for the
sources of advisories that the owner lets each of them speak for, and about this very release in
this very fleet. Nobody's word is ever that of the provider: the source `provider` is the
provider's own signature and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Signer

from allod.domain.ids import Digest, Purl, Version, parse_digest, parse_name
from allod.domain.terms import PROVIDER
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.trust.dsse import sign_envelope, verify_envelope
from allod.trust.keys import key_id, to_key
from allod.trust.summary import vouching
from allod.trust.verified import Verified, seal
from allod.wire.codec import decode, encode, instant, parse_instant
from allod.wire.envelope import IN_TOTO
from allod.wire.evidence import (
    EVIDENCE_CAP,
    EvidenceSubject,
    Mended,
    MendsPredicate,
    MendsStatement,
)
from allod.wire.trust import FleetDocument

#: Older release -> (source, flaw) that it has and the newer one has not.
Mends = Mapping[Digest, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class MendsWord:
    """What a verifier says of a release."""

    verifier: str
    at: datetime
    before: Mends


def verify_mends(
    envelope: bytes, fleet: FleetDocument, package: Purl, version: Version, release: Digest
) -> Verified[MendsWord]:
    """Check a verifier's evidence about a release.

    Raises:
        InvalidInput: it is malformed.
        Untrusted: `auth`, `wrong-type`, `wrong-verifier`, `wrong-fleet`, `wrong-digest`,
            `wrong-release`.
    """
    what = "the evidence"
    known = {key_id(one.key): one for one in vouching(fleet.verifiers, "mends")}
    keys = [to_key(one.key) for one in known.values()]
    verified = verify_envelope(envelope, IN_TOTO, keys, 1, 2 * EVIDENCE_CAP, what=what)
    statement = decode(verified.value, MendsStatement, cap=EVIDENCE_CAP, what=what)
    said = statement.predicate
    verifier = next((known[one] for one in verified.by if known[one].name == said.verifier), None)
    if verifier is None:
        raise Untrusted(
            "wrong-verifier", f"cannot accept {what}: it speaks for {said.verifier[:80]!r}"
        )
    if said.fleet != fleet.fleet:
        raise Untrusted("wrong-fleet", f"cannot accept {what}: it is signed for another fleet")
    if [one.digest for one in statement.subject] != [{"sha256": release.removeprefix("sha256:")}]:
        raise Untrusted("wrong-digest", f"cannot accept {what}: it is of another release")
    names = (statement.subject[0].name, said.package, said.version)
    if names != (package, package, version):
        raise Untrusted(
            "wrong-release",
            f"cannot accept {what}: it is of {said.package[:200]} {said.version[:80]}",
        )
    allowed = frozenset(verifier.sources)
    before = {
        parse_digest(old): frozenset(_flaws(mended, allowed)) for old, mended in said.before.items()
    }
    before.pop(release, None)  # nothing mends itself
    return seal(MendsWord(verifier.name, parse_instant(said.at), before), verified.by)


def _flaws(mended: Iterable[Mended], allowed: frozenset[str]) -> Iterable[tuple[str, str]]:
    for one in mended:
        if not one.flaw or not one.flaw.isprintable():
            raise InvalidInput("bad-document", "cannot read the evidence: a flaw has no name")
        for source in one.sources:
            parse_name(source, "a source of advisories")
            if source != PROVIDER and (not allowed or source in allowed):
                yield source, one.flaw


def mended_by(
    envelopes: Iterable[bytes],
    fleet: FleetDocument,
    package: Purl,
    version: Version,
    release: Digest,
) -> Mends:
    """What all verifiers together say; the newest word of each counts, the others are overtaken.

    A statement that does not hold says nothing. Two of one moment say what both say.
    """
    newest: dict[str, list[MendsWord]] = {}
    for envelope in envelopes:
        try:
            word = verify_mends(envelope, fleet, package, version, release).value
        except AllodError:
            continue
        known = newest.setdefault(word.verifier, [word])
        if word.at > known[0].at:
            newest[word.verifier] = [word]
        elif word.at == known[0].at:
            known.append(word)
    found: dict[Digest, frozenset[tuple[str, str]]] = {}
    for words in newest.values():
        for old in words[0].before:
            alike = [word.before.get(old, frozenset()) for word in words]
            found[old] = found.get(old, frozenset()) | frozenset.intersection(*alike)
    return found


def make_mends(
    fleet: str,
    verifier: str,
    package: Purl,
    version: Version,
    release: Digest,
    before: Mapping[Digest, Sequence[Mended]],
    at: datetime,
    signers: Sequence[Signer],
) -> bytes:
    """A verifier's statement about a release."""
    statement = MendsStatement(
        subject=[EvidenceSubject(name=package, digest={"sha256": release.removeprefix("sha256:")})],
        predicate=MendsPredicate(
            fleet=fleet,
            verifier=verifier,
            package=package,
            version=version,
            at=instant(at),
            before={str(old): list(mended) for old, mended in before.items()},
        ),
    )
    return sign_envelope(encode(statement), IN_TOTO, signers)
