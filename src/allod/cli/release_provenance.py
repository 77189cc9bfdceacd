"""`allod release provenance`: lay a builder's provenance beside a release."""

from __future__ import annotations

from pathlib import Path

from allod.cli.options import OPTIONS, Options
from allod.errors import InvalidInput
from allod.wire import oci
from allod.wire.envelope import IN_TOTO
from allod.wire.provenance import PROVENANCE_CAP, decode_provenance


def provenance(
    source: Path, file: Path, *, version: str | None = None, options: Options = OPTIONS
) -> None:
    """Put a builder's provenance into a release's OCI layout; pushing and exporting carry it on.

    Whether it counts is for the owners to say ('allod provider built') and for devices to check.

    Args:
        source: A directory with allod.toml, or an OCI image layout.
        file: A DSSE envelope with SLSA provenance of the release's manifest.
        version: Instead of the one in allod.toml; or which release of a layout.
        options: Options of every verb.
    """
    from allod.cli.release_push import open_or_build
    from allod.trust.dsse import decode_envelope, payload_of

    built = open_or_build(source, version=version, out=options.output)
    raw = file.read_bytes()
    envelope = decode_envelope(raw, cap=2 * PROVENANCE_CAP, what=str(file))
    statement = decode_provenance(payload_of(envelope))
    digest = built.digest.removeprefix("sha256:")
    about = any(one.digest.get("sha256") == digest for one in statement.subject)
    if envelope.payload_type != IN_TOTO or not statement.is_slsa or not about:
        raise InvalidInput(
            "wrong-provenance", f"cannot use {file}: it is no SLSA provenance of {built.digest}"
        )
    built.layout.put(oci.EMPTY_BLOB)
    built.layout.put(raw)
    built.layout.attach(oci.statement_manifest(raw, built.descriptor, kind=oci.PROVENANCE))
    release = built.release
    options.output.result(
        {"digest": built.digest, "layout": str(built.layout.directory)},
        f"{release.package} {release.version} has provenance by "
        f"{statement.predicate.run_details.builder.id}",
    )
