"""`allod release verify`: the checks of a device, one by one, and what is missing.

1. The manifest (or index) has the digest that names the release, and is a release's.
2. Its description is closed, within all caps, and agrees for all platforms.
3. Every layer is there, whole, under its digest.
4. The provider's statement binds package, version and digest, under keys that the owner trusts.
5. The owner has not withdrawn it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from allod.cli.release_look import Found
from allod.domain.release import Layer, Release
from allod.errors import AllodError, InvalidInput, Unavailable, Untrusted

if TYPE_CHECKING:
    from allod.cli.documents import Base
    from allod.cli.options import Options
    from allod.trust.release import ReleaseIdentity
    from allod.wire.trust import ProviderDocument

_ABSENT: Final = frozenset(
    {
        "missing-blob", "not-found", "manifest-unknown", "blob-unknown",
        "no-provenance", "no-summary", "no-attestation", "no-sbom",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One check."""

    name: str
    ok: bool | None  #: None: what it needs is missing
    says: str


@dataclass(slots=True)
class Verdict:
    """All checks."""

    digest: str
    steps: list[Step] = field(default_factory=list)
    known: ReleaseIdentity | None = None  #: whose release of what, by its provider's good word

    @property
    def exit_status(self) -> int:
        """0: good; that of Untrusted if a check failed, of Unavailable if something is missing."""
        if any(step.ok is False for step in self.steps):
            return Untrusted.branch.exit
        return Unavailable.branch.exit if any(step.ok is None for step in self.steps) else 0

    @property
    def says(self) -> str:
        """In one sentence."""
        status = self.exit_status
        if status == 0:
            return "Good: a device of this fleet would accept it."
        if status == Untrusted.branch.exit:
            return "Not to be trusted: a device of this fleet would refuse it."
        return "Incomplete: something is missing, so nothing can be said for sure."

    def check(self, name: str, act: Callable[[], str]) -> bool:
        """Do one check; True if it held."""
        try:
            self.steps.append(Step(name, ok=True, says=act()))
        except AllodError as error:
            missing = isinstance(error, Unavailable) or error.code in _ABSENT
            self.steps.append(Step(name, None if missing else False, error.message))
            return False
        return True


def verify_found(
    found: Found,
    providers: Callable[[str], ProviderDocument],
    withdrawn: Callable[[str], str | None],
) -> Verdict:
    """Check a release; `providers` and `withdrawn` give what the owner signed."""
    verdict = Verdict(found.digest)
    if not verdict.check("manifest", lambda: _manifest(found)):
        return verdict
    releases: list[Release] = []

    def description() -> str:
        releases.extend(found.releases())
        first = releases[0]
        return f"{first.package} {first.version} of {first.provider}, kind {first.kind}"

    if not verdict.check("description", description):
        return verdict
    for layer in dict.fromkeys(layer for one in releases for layer in one.layers):
        verdict.check("payload", partial(_payload, found, layer))
    first = releases[0]
    verdict.check("statement", lambda: _statement(found, first, providers, verdict))
    verdict.check("withdrawal", lambda: _not_withdrawn(found, withdrawn(found.digest)))
    return verdict


def _manifest(found: Found) -> str:
    found.small(found.digest)
    return f"{found.digest} in {found.where}"


def _payload(found: Found, layer: Layer) -> str:
    found.check(layer)
    return f"{layer.digest}, {layer.size} bytes"


def _statement(
    found: Found,
    release: Release,
    providers: Callable[[str], ProviderDocument],
    verdict: Verdict,
) -> str:
    from allod.packaging.statement import check_statements

    envelopes = found.statements()
    if not envelopes:
        raise Unavailable(
            "no-statement",
            f"cannot find a statement of {release.provider} about {found.digest}",
        )
    known = check_statements(envelopes, release, found.digest, providers(release.provider))
    verdict.known = known.value
    by = ", ".join(sorted(key[:16] for key in known.by))
    return f"{release.provider} signed {release.package} {release.version} with {by}"


def _not_withdrawn(found: Found, why: str | None) -> str:
    if why is not None:
        raise InvalidInput("withdrawn", f"cannot use {found.digest}: the owner withdrew it: {why}")
    return "not withdrawn"


def newest_once(options: Options) -> Callable[[], Base]:
    """The owner's newest verified documents, fetched when they are first asked for."""
    from allod.cli.documents import newest

    known: list[Base] = []

    def base() -> Base:
        if not known:
            known.append(newest(options.open()))
        return known[0]

    return base


def owner_says(
    options: Options, base: Callable[[], Base] | None = None
) -> tuple[Callable[[str], ProviderDocument], Callable[[str], str | None]]:
    """What the owner's newest verified documents say; asked for when it is needed."""
    from allod.domain.ids import parse_digest, parse_provider

    newest = base or newest_once(options)

    def provider(name: str) -> ProviderDocument:
        documents = newest().providers
        if parse_provider(name) not in documents:
            raise Unavailable(
                "unknown-provider",
                f"cannot check the signature: the fleet trusts no provider {name}; "
                "see 'allod provider add'",
            )
        return documents[parse_provider(name)]

    def withdrawn(digest: str) -> str | None:
        found = newest().withdrawn.get(parse_digest(digest))
        return None if found is None else found.why

    return provider, withdrawn
