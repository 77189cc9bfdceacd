"""Roots by ceremony: proposed on one machine, signed on several, merged, published (docs/spec/trust.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from securesystemslib.signer import Signer
from tuf.api.metadata import Root

from allod.errors import InvalidInput, Refused
from allod.trust.metadata import ROOT, read


@dataclass(frozen=True, slots=True)
class RootProgress:
    """How far the signatures of a proposed root are."""

    version: int
    signed: frozenset[str]  #: key ids whose signatures are good
    missing: int  #: signatures that are still needed (of the old or the new threshold)
    may_sign: frozenset[str]  #: key ids that have not signed yet

    @property
    def complete(self) -> bool:
        """Whether it can be published."""
        return self.missing == 0


def sign_root(proposal: bytes, signers: Sequence[Signer]) -> bytes:
    """The proposal with these signatures added; its signed part stays as it is, byte for byte.

    Raises:
        InvalidInput: it is no root metadata.
    """
    metadata = read(proposal, ROOT)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def merge_roots(proposals: Sequence[bytes]) -> bytes:
    """One proposal with the signatures of all.

    Raises:
        InvalidInput: they are not the same root (`different-documents`), or none at all.
    """
    metadata = [read(proposal, ROOT) for proposal in proposals]
    first = metadata[0]
    for other in metadata[1:]:
        if other.signed_bytes != first.signed_bytes:
            raise InvalidInput(
                "different-documents", "cannot merge signatures: they are over different roots"
            )
        first.signatures.update(other.signatures)
    return first.to_bytes()


def root_progress(previous: bytes | None, proposal: bytes) -> RootProgress:
    """Which signatures a proposed root has, under the old thresholds and its own.

    Args:
        previous: the root that it follows; None: it is the first.
        proposal: the root, however many signatures it has.

    Raises:
        InvalidInput: a file is no root metadata, or the versions do not follow.
    """
    metadata = read(proposal, ROOT)
    root: Root = metadata.signed
    before: Root | None = None if previous is None else read(previous, ROOT).signed
    try:
        result = root.get_root_verification_result(
            before, metadata.signed_bytes, metadata.signatures
        )
    except ValueError as error:
        raise InvalidInput("bad-metadata", f"cannot check the root: {error}") from error
    return RootProgress(
        root.version,
        frozenset(result.signed),
        max(result.first.missing, result.second.missing),
        frozenset(result.unsigned),
    )


def require_complete(previous: bytes | None, proposal: bytes) -> None:
    """Raises Refused `root-incomplete` unless the proposal can be published."""
    progress = root_progress(previous, proposal)
    if not progress.complete:
        raise Refused(
            "root-incomplete",
            f"cannot publish root version {progress.version}: {progress.missing} signatures are missing",
            missing=progress.missing,
            may_sign=sorted(progress.may_sign),
        )


def same_but_for_life(one: bytes, other: bytes) -> bool:
    """Whether two roots mean the same, version and expiry aside: a proposal fixed those before.

    Raises:
        InvalidInput: one of them is no root.
    """
    first, second = (read(root, ROOT).signed.to_dict() for root in (one, other))
    lives = {"version", "expires"}
    return {k: v for k, v in first.items() if k not in lives} == {
        k: v for k, v in second.items() if k not in lives
    }
