"""The owner's documents in their repository, each checked for its address (docs/explanation/acceptance.md, 6 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from allod.domain.desired import OWNER, StateDocument
from allod.domain.ids import Digest, FleetId, ProviderName, Scope, parse_digest
from allod.errors import Untrusted
from allod.tlog.known import KnownLog
from allod.tlog.lines import write_base64
from allod.trust.accepted import Repository, TargetFile
from allod.trust.effects import Steps
from allod.trust.metadata import BINS, DEVICES, TARGETS
from allod.wire.codec import decode
from allod.wire.desired import STATE_CAP, decode_state
from allod.wire.report import Authority, SeenCheckpoint
from allod.wire.trust import FleetDocument, ProviderDocument, Withdrawal, WithdrawnDocument

DOCUMENT_CAP: Final = 4 * 1024 * 1024
FLEET_PATH: Final = "fleet.json"
WITHDRAWN_PATH: Final = "releases/withdrawn.json"

_D = TypeVar("_D", FleetDocument, ProviderDocument, WithdrawnDocument)


def provider_path(provider: ProviderName) -> str:
    """Where the owner says what they think of a provider."""
    return f"providers/{provider}.json"


def fleet_document(repository: Repository) -> Steps[FleetDocument]:
    """`fleet.json`. Raises Untrusted `no-fleet-document`, `wrong-fleet`; InvalidInput."""
    found = yield from _signed_document(repository, FLEET_PATH, FleetDocument)
    if found is None:
        raise Untrusted("no-fleet-document", "cannot go on: the owner signed no fleet.json")
    return found


def provider_document(
    repository: Repository, provider: ProviderName
) -> Steps[ProviderDocument | None]:
    """What the owner thinks of a provider; None: nothing.

    Raises:
        Untrusted: `wrong-fleet`, `wrong-address`.
        InvalidInput: it cannot be read.
    """
    found = yield from _signed_document(repository, provider_path(provider), ProviderDocument)
    if found is not None and found.provider != provider:
        raise Untrusted(
            "wrong-address", f"cannot accept the provider {provider}: it says another name"
        )
    return found


def withdrawn_releases(repository: Repository) -> Steps[Mapping[Digest, Withdrawal]]:
    """The recalled releases. Raises Untrusted `wrong-fleet`; InvalidInput."""
    found = yield from _signed_document(repository, WITHDRAWN_PATH, WithdrawnDocument)
    return {} if found is None else {parse_digest(one.digest): one for one in found.releases}


def state_document(
    repository: Repository, scope: Scope
) -> Steps[tuple[StateDocument, TargetFile] | None]:
    """The owner's desired state of `scope`; None: there is none.

    Raises:
        Untrusted: `wrong-fleet`, `wrong-scope`, `wrong-role`.
        InvalidInput: it cannot be read as a whole.
    """
    # 7. The document's digest stands in a role file that step 4 accepted: `target` gives no other.
    file = yield from repository.target(scope.target_path, STATE_CAP)
    if file is None:
        return None
    # 6. Address, type, format: what is signed for one fleet or scope says nothing to another,
    #    whatever name it is served under (attack 2, 58).
    check_owners(file)
    document = decode_state(file.data)
    check_fleet(document.fleet, repository.anchor.fleet, file.path)
    if document.scope != scope:
        raise Untrusted(
            "wrong-scope",
            f"cannot accept {file.path}: it is signed for {document.scope}",
            document=file.path,
            scope=str(document.scope),
        )
    if document.author != OWNER:
        raise Untrusted(
            "wrong-role",
            f"cannot accept {file.path}: it is a delegate's",
            document=file.path,
        )
    return document, file


def check_owners(file: TargetFile) -> None:
    """Only the owner's own roles speak for the owner, whatever paths another one was given.

    Raises:
        Untrusted: `wrong-role`.
    """
    if file.role not in {TARGETS, DEVICES} and not file.role.startswith(f"{BINS}-"):
        raise Untrusted(
            "wrong-role",
            f"cannot accept {file.path}: it is signed by {file.role}, and only the owner can",
            document=file.path,
        )


def check_fleet(said: str, fleet: FleetId, what: str) -> None:
    """A document counts only in the fleet that it was signed for (attack 58)."""
    if said != fleet:
        raise Untrusted(
            "wrong-fleet", f"cannot accept {what}: it is signed for another fleet", document=what
        )


def _signed_document(repository: Repository, path: str, type_: type[_D]) -> Steps[_D | None]:
    file = yield from repository.target(path, DOCUMENT_CAP)
    if file is None:
        return None
    check_owners(file)
    document = decode(file.data, type_, cap=DOCUMENT_CAP, what=path)
    check_fleet(document.fleet, repository.anchor.fleet, path)
    return document


def authority_of(document: StateDocument, file: TargetFile, log: KnownLog | None) -> Authority:
    """Why a change that this document wants is lawful: a receipt, if the fleet has a log."""
    return Authority(
        document=file.path,
        digest=file.digest,
        role=file.role,
        version=file.version,
        change=None if document.change is None else document.change.number,
        log_index=file.log_index,
        checkpoint=seen_checkpoint(log, file.log_index),
    )


def seen_checkpoint(log: KnownLog | None, index: int | None) -> SeenCheckpoint | None:
    """The newest checkpoint that was accepted, for what stands in the log."""
    if log is None or index is None or index < 0:
        return None
    return SeenCheckpoint(
        origin=log.signed.checkpoint.origin,
        size=log.signed.size,
        root=write_base64(log.signed.root),
    )
