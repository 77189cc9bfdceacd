"""`allod release provenance`: lay what others attest of a release beside it."""

from __future__ import annotations

from pathlib import Path

from allod.cli.options import OPTIONS, Options
from allod.errors import InvalidInput
from allod.wire import oci
from allod.wire.oci import Descriptor, Manifest


def provenance(
    source: Path, file: Path, *, version: str | None = None, options: Options = OPTIONS
) -> None:
    """Put a builder's provenance into a release's OCI layout; pushing and exporting carry it on.

    Any in-toto statement about the release goes: a DSSE envelope, or a Sigstore bundle as cosign
    and GitHub make them. Whether it counts is for the owners to say ('allod provider built'), and
    for devices and verifiers to check; devices themselves take SLSA provenance v1 in an envelope
    with a plain key.

    Args:
        source: A directory with allod.toml, or an OCI image layout.
        file: A DSSE envelope or a Sigstore bundle whose statement is about the release's manifest.
        version: Instead of the one in allod.toml; or which release of a layout.
        options: Options of every verb.
    """
    from allod.attestation.bundle import looks_like_bundle, read_bundle
    from allod.attestation.envelope import ENVELOPE_CAP, read_envelope
    from allod.attestation.statement import decode_statement, matching_subject
    from allod.cli.attestations import read, spoken
    from allod.cli.release_push import open_or_build
    from allod.errors import AllodError
    from allod.wire.codec import parse_strict
    from allod.wire.envelope import IN_TOTO

    built = open_or_build(source, version=version, out=options.output)
    raw = read(file, cap=ENVELOPE_CAP)
    is_bundle = looks_like_bundle(parse_strict(raw, cap=ENVELOPE_CAP, what=str(file)))
    envelope = read_bundle(raw).envelope if is_bundle else read_envelope(raw)
    wrong = f"cannot use {file}: it is no in-toto statement about {built.digest}"
    if envelope is None or envelope.payload_type != IN_TOTO:
        raise InvalidInput("wrong-provenance", wrong)
    try:
        statement = decode_statement(envelope.payload)
        matching_subject(statement, spoken(built.digest))
    except AllodError as error:
        raise InvalidInput("wrong-provenance", f"{wrong}: {error.message}") from error
    built.layout.put(oci.EMPTY_BLOB)
    built.layout.put(raw)
    built.layout.attach(_referrer(raw, built.descriptor, is_bundle=is_bundle))
    release = built.release
    who = statement.built.builder or "somebody"
    options.output.result(
        {
            "digest": built.digest,
            "layout": str(built.layout.directory),
            "predicate_type": statement.predicate_type,
            "builder": statement.built.builder,
        },
        f"{release.package} {release.version} has {statement.predicate_type} by {who}, unverified; "
        f"look with: allod release verify {built.layout.directory}",
    )


def _referrer(raw: bytes, subject: Descriptor, *, is_bundle: bool) -> Manifest:
    """In the way of cosign 3 and GitHub, or as an envelope."""
    import msgspec

    if not is_bundle:
        return oci.statement_manifest(raw, subject, kind=oci.PROVENANCE)
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    made = oci.statement_manifest(raw, subject, kind=kind)
    layer = msgspec.structs.replace(made.layers[0], media_type=kind)
    return msgspec.structs.replace(made, layers=[layer])
