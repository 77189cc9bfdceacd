"""The specification keeps step with the program: its fields, its examples, its numbers."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

import allod.wire
from allod.trust.dsse import pae, sign_envelope, verify_envelope
from allod.trust.floors import decode_floors, encode_floors
from allod.trust.keys import device_id, from_key
from allod.wire import desired, envelope, report
from allod.wire.codec import decode, encode, parse_strict
from allod.wire.release import release_from_wire, release_to_wire

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
EXAMPLE = re.compile(r"```\{code-block\} json\n:caption: (\w+)\n\n(.*?)```", re.DOTALL)

#: page -> the wire structs whose every field it explains.
PAGES: dict[str, str] = {
    "common": "Envelope Signature PublicKey KeyValue",
    "desired-state": "StateDocument PackageEntry Software ReleaseOrder Configuration Accepts"
    " Settings Window Restart DeviceRecord ForeignRecord ForeignSbom ChangeNote",
    "rollout": "RolloutWire StageWire Gate CanaryReport RolloutList RolloutState StageState"
    " DeviceTrouble PauseRequest",
    "delegation": "DelegationDocument Follow Versions NewAccess Soak Windows Rate Approvals Lease Until",
    "channel": "ChannelDocument ChannelRelease",
    "approval": "ApprovalStatement",
    "evidence": "EvidenceSubject Mended MendsPredicate MendsStatement SummarySubject SummaryVerifier"
    " SummaryPolicy SummaryInput SummaryPredicate SummaryStatement",
    "trust": "FleetDocument Defaults Person ProviderDocument WithdrawnDocument Withdrawal"
    " TrustStatement Location Log Witnesses Repair Transfer FloorsFile",
    "provenance": "ProvenancePolicy TrustedBuilder SigstoreIdentity",
    "invite": "Invite InviteRoot InviteTrust InviteFloors InviteFile",
    "binding": "BindingRecord BindingFile ProposedDelegation ProposedProvider",
    "report": "Boot TrustState Measured ReleaseOnDevice ConfigurationOnDevice Pending PackageReport"
    " Authority SeenCheckpoint ChangeReport Refusal Alarm Inhibitor HostPackage Inventory RestartReport Report",
    "log": "RoleStatement BindingEntry ReportEntry RefusalEntry AlarmEntry",
    "transport": "TokenRequest ReadToken",
    "api": "RecordedDevice RecordedList ChangeUpload ChangeReceipt FloorsUpload ServerOffer Problem Proposal ProposedEntry"
    " ProposalStatus ProposalSummary ProposalList ApprovalUpload CloseProposal ChannelUpload"
    " ChannelReceipt ChannelStatus ChannelList",
    "sbom": "ReferenceStatement ReferenceSubject ReferencePredicate ReferencedDocument Attester",
    "release": "ReleaseWire ServiceWire ConstraintWire DataWire ConfigurationWire InterruptsWire"
    " HealthWire ReleaseStatement Subject ReleasePredicate",
}


def structs() -> dict[str, type[Any]]:
    """Name -> wire struct, wherever in `allod.wire` it stands."""
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(allod.wire.__path__):
        loaded = importlib.import_module(f"allod.wire.{module.name}")
        for name, value in vars(loaded).items():
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                found[name] = value
    return found


KINDS = structs()
PAYLOADS = {
    "TrustStatement": envelope.TRUST,
    "Invite": envelope.INVITE,
    "BindingRecord": envelope.BINDING,
    "Report": envelope.REPORT,
    "Gate": envelope.GATE,
    "ChannelDocument": envelope.CHANNEL,
    "ApprovalStatement": envelope.APPROVAL,
    "TokenRequest": envelope.TOKEN_REQUEST,
    "ReleaseStatement": envelope.IN_TOTO,
}


def page(name: str) -> str:
    """The text of a page of the specification."""
    return (SPEC / f"{name}.md").read_text(encoding="utf-8")


SIGNER = CryptoSigner.generate_ed25519()
KEY = from_key(SIGNER.public_key)
WORDS = {
    "FLEET": "f" * 64,
    "DEVICE": str(device_id(KEY)),
    "DIGEST": "sha256:" + "d" * 64,
    "OTHER": "sha256:" + "e" * 64,
    "HEX": "a" * 64,
    "KEY": KEY.keyval.public,
}


def examples() -> Iterator[tuple[str, bytes]]:
    """Every example of the specification, with values in the places of its capital words."""
    for path in sorted(SPEC.glob("*.md")):
        for kind, text in EXAMPLE.findall(path.read_text(encoding="utf-8")):
            filled = text
            for word, value in WORDS.items():
                filled = filled.replace(f'"{word}"', f'"{value}"')
            yield kind, filled.encode()


EXAMPLES = list(examples())


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_field_is_explained(name: str) -> None:
    """No field goes over the wire of which the specification says nothing."""
    said = set(re.findall(r"`([^`\s]+)`", page(name)))
    said |= {word.rpartition(".")[2] for word in said}
    fields = {
        field for kind in PAGES[name].split() for field in KINDS[kind].__struct_encode_fields__
    }
    assert sorted(fields - said) == []


def test_there_is_an_example_of_every_signed_document() -> None:
    """Whoever implements it has bytes to try."""
    wanted = {*PAYLOADS, "StateDocument", "FleetDocument", "ProviderDocument", "WithdrawnDocument"}
    assert wanted <= {kind for kind, _ in EXAMPLES}


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[kind for kind, _ in EXAMPLES])
def test_an_example_is_read_as_it_would_be_read(kind: str, text: bytes) -> None:
    """Each example passes the strict reader, and no member of it is lost when it is written anew."""
    document = decode(text, KINDS[kind], cap=1 << 20)
    written = parse_strict(encode(document), cap=1 << 20)
    given = parse_strict(text, cap=1 << 20)
    assert {name: written[name] for name in given}.keys() == given.keys()
    if kind == "StateDocument":
        read = desired.decode_state(text)
        assert not read.unreadable
        assert desired.decode_state(desired.encode_state(read)) == read
    if kind == "ReleaseWire":
        assert release_to_wire(release_from_wire(document)) == document
    if kind == "FloorsFile":
        assert encode_floors(decode_floors(text)) == encode(document)


@pytest.mark.parametrize("kind", sorted(PAYLOADS))
def test_a_signed_example_is_signed_as_the_page_says(kind: str) -> None:
    """The bytes under the signature are the page's own formula, with the page's payload type."""
    text = next(data for name, data in EXAMPLES if name == kind)
    payload = encode(decode(text, KINDS[kind], cap=1 << 20))
    made = sign_envelope(payload, PAYLOADS[kind], [SIGNER])
    assert verify_envelope(made, PAYLOADS[kind], [SIGNER.public_key], 1).value == payload
    kind_bytes = PAYLOADS[kind].encode()
    by_hand = f"DSSEv1 {len(kind_bytes)} {PAYLOADS[kind]} {len(payload)} ".encode() + payload
    assert pae(PAYLOADS[kind], payload) == by_hand
    assert f"`{PAYLOADS[kind]}`" in page("common")


def test_the_caps_of_the_page_are_those_of_the_program() -> None:
    """A number in the table that is not the program's would mislead an implementer."""
    from allod.trust import binding, invite, metadata, release
    from allod.trust.device_view import DOCUMENT_CAP
    from allod.wire import codec, log, oci
    from allod.wire.release import CONFIG_CAP, SCHEMA_CAP

    mib, kib = 1 << 20, 1 << 10
    assert (metadata.ROOT_CAP, metadata.TIMESTAMP_CAP) == (512_000, 16_384)
    assert (metadata.SNAPSHOT_CAP, metadata.TARGETS_CAP) == (4_000_000, 16_000_000)
    assert (4 * mib, 4 * mib) == (desired.STATE_CAP, DOCUMENT_CAP)
    assert (2 * mib, 8 * mib) == (envelope.ENVELOPE_CAP, invite.INVITE_CAP)
    assert (4 * mib, mib) == (binding.BINDING_CAP, report.REPORT_CAP)
    assert log.ENTRY_CAP == 65_535
    assert (16 * kib, 64 * kib) == (binding.TOKEN_REQUEST_CAP, release.STATEMENT_CAP)
    assert (mib, 256 * kib, 4 * mib) == (CONFIG_CAP, SCHEMA_CAP, oci.MANIFEST_CAP)
    assert (codec.MAX_DEPTH, codec.MAX_ITEMS) == (24, 1_000_000)


def test_times_and_ids_have_the_form_of_the_page() -> None:
    """The forms in the table of values, tried."""
    from allod.wire.codec import instant

    assert instant(datetime(2026, 1, 31, 2, tzinfo=UTC)) == "2026-01-31T02:00:00Z"
    other = CryptoSigner(Ed25519PrivateKey.generate())
    assert re.fullmatch(r"[0-9a-f]{64}", device_id(from_key(other.public_key)))
