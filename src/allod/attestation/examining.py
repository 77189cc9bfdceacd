"""One attestation, looked at step by step: bytes, digests, keys, trust root and now -> checks.

1. format: a DSSE envelope, or a Sigstore bundle.
2. to 5. of a bundle: certificate or key, log, time, signature (`sigstore.py`); of an envelope:
   the signature by a known key.
6. statement: in-toto, read only now.
7. subject: one of its subjects is the artifact. Signatures do not say so: this does.
8. whatever the owner demands (`policy.py`): identity, builder, level, source, ref, parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from allod.attestation.envelope import ENVELOPE_CAP, Envelope, PlainKey, read_envelope, signers
from allod.attestation.policy import Demands, check_demands
from allod.attestation.statement import Statement, decode_statement, matching_subject
from allod.attestation.verdict import Attested, Examined, Steps
from allod.errors import InvalidInput, Untrusted
from allod.wire.codec import parse_strict
from allod.wire.envelope import IN_TOTO

_NO_DEMANDS: Final = Demands()


def examine(
    data: bytes,
    *,
    artifact_digests: Mapping[str, str],
    keys: Sequence[PlainKey] = (),
    policy: Demands | None = None,
    now: datetime,  # noqa: ARG001  # an envelope says no time that could be compared
) -> Examined:
    """Look at one DSSE envelope or one Sigstore bundle.

    Args:
        data: its bytes.
        artifact_digests: of what it should be about: algorithm -> hex, like `sha256`.
        keys: that may sign, beside those of the policy.
        policy: what has to hold; `demands_of` makes it of an owner's document.
        now: no signature can have been made later.

    Returns:
        Checks in their order, ending with the first that makes further ones pointless; and what
        it says, of which nothing is told before the signature held.
    """
    steps = Steps()
    read: list[Envelope] = []

    def envelope() -> str:
        read.append(read_envelope(data))
        return f"DSSE envelope with {read[0].payload_type[:80]}"

    if not steps.check("format", envelope):
        return Examined(tuple(steps.done), Attested())
    demands = policy or _NO_DEMANDS
    good: list[PlainKey] = []

    def signature() -> str:
        good.extend(signers(read[0], (*keys, *demands.keys)))
        return "signed with " + ", ".join(f"the key {key.id[:16]}" for key in good)

    if not steps.check("signature", signature):
        return Examined(tuple(steps.done), Attested())
    attested = Attested(keys=tuple(key.id for key in good))
    return finish(steps, attested, read[0].payload_type, read[0].payload, artifact_digests, demands)


def finish(
    steps: Steps,
    attested: Attested,
    payload_type: str,
    payload: bytes,
    artifact_digests: Mapping[str, str],
    demands: Demands,
) -> Examined:
    """The steps after the signature held: statement, subject, demands."""
    read: list[Statement] = []
    if not steps.check("statement", lambda: _statement(payload_type, payload, read)):
        return Examined(tuple(steps.done), attested)
    statement = read[0]
    attested = replace(attested, statement=statement)
    if statement.summary is not None:
        steps.check("summary", lambda: _passed(statement))
        attested = replace(attested, level=statement.summary.level)
    steps.check("subject", _subject(statement, artifact_digests))
    if statement.is_provenance:
        attested = check_demands(steps, attested, demands)
    return Examined(tuple(steps.done), attested)


def _statement(payload_type: str, payload: bytes, read: list[Statement]) -> str:
    if payload_type != IN_TOTO:
        raise Untrusted(
            "wrong-type", f"cannot accept the statement: it is signed as {payload_type[:80]!r}"
        )
    read.append(decode_statement(payload))
    return f"{read[0].predicate_type[:200]} in {read[0].type}"


def _passed(statement: Statement) -> str:
    summary = statement.summary
    if summary is None or not summary.passed:
        raise Untrusted("not-passed", "cannot accept the summary: what it verified did not pass")
    levels = ", ".join(summary.levels) or "no level"
    return f"{summary.verifier} found {levels} for {summary.resource}"


def _subject(statement: Statement, digests: Mapping[str, str]) -> Callable[[], str]:
    def act() -> str:
        found = matching_subject(statement, digests)
        algorithm = next(iter(sorted(found.digest.keys() & digests.keys())))
        return f"{found.name or 'the artifact'} is {algorithm}:{digests[algorithm]}"

    return act


def split(data: bytes) -> list[bytes]:
    """The attestations in a file: one, or one a line (.jsonl).

    Raises:
        InvalidInput: `too-large`.
    """
    if len(data) > 4 * ENVELOPE_CAP:
        raise InvalidInput("too-large", "cannot read the attestations: more than 32 MiB")
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") for line in lines):
        try:
            for line in lines:
                parse_strict(line, cap=ENVELOPE_CAP)
        except InvalidInput:
            return [data]  # one document over many lines
        return lines
    return [data]
