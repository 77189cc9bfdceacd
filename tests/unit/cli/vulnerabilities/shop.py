"""A provider whose releases lie in a registry, with or without SBOMs; advisories about one library."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from allod.cli.catalog import Catalog
from allod.cli.vulnerabilities.bills import Bills
from allod.cli.vulnerabilities.ware import Release
from allod.domain.ids import ProviderName, Purl, Version, sha256
from allod.errors import InvalidInput
from allod.testing.advisories import MemoryAdvisories, about, record, versions
from allod.testing.payloads import payload
from allod.testing.registry import Publisher
from allod.trust.dsse import sign_envelope
from allod.wire import oci
from allod.wire.envelope import IN_TOTO
from allod.wire.sbom import CYCLONEDX_JSON

TOASTER = Purl("pkg:generic/acme/toaster")
FLAW = "CVE-2022-31015"
OTHER = "CVE-2030-1001"


def waitress(version: str) -> dict[str, str]:
    """A part of an SBOM."""
    return {
        "type": "library",
        "name": "waitress",
        "version": version,
        "purl": f"pkg:pypi/waitress@{version}",
    }


def sbom(*parts: dict[str, str], made_by: str = "") -> bytes:
    """A small CycloneDX document."""
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": list(parts),
    }
    if made_by:
        document["metadata"] = {"tools": {"components": [{"type": "application", "name": made_by}]}}
    return msgspec.json.encode(document)


def known() -> MemoryAdvisories:
    """What is known: a flaw that 2.1.2 mends, and one that 2.2.0 brings."""
    return MemoryAdvisories(
        [
            record(
                "PYSEC-2022-205",
                about("PyPI", "waitress", versions("introduced 2.1.0", "fixed 2.1.2")),
                aliases=(FLAW, "GHSA-f5x9-8jwc-25rw"),
            ),
            record(OTHER, about("PyPI", "waitress", versions("introduced 2.2.0", "fixed 2.2.1"))),
        ]
    )


@dataclass
class Client:
    """Serves the registry's files, and counts what is asked."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)

    def request(self, _method: str, path: str, **_: Any) -> bytes:
        self.asked.append(path)
        if path.removeprefix("/") not in self.files:
            raise InvalidInput("not-found", f"cannot find {path}")
        return self.files[path.removeprefix("/")]


@dataclass
class Shop:
    """Everything, in a directory."""

    directory: Path
    acme: Publisher = field(default_factory=Publisher)

    def __post_init__(self) -> None:
        self.client = Client(self.acme.transport.files)

    @property
    def catalog(self) -> Catalog:
        """The registry with the providers' keys."""
        providers = {ProviderName("acme"): self.acme.document}
        return Catalog(self.client, self.acme.fleet, providers)  # type: ignore[arg-type]

    @property
    def bills(self) -> Bills:
        """Its SBOMs, with nothing in memory."""
        return Bills(self.catalog, self.directory / "bills")

    @property
    def place(self) -> str:
        """Where the toaster's releases lie."""
        return self.acme.repository(TOASTER)

    def push(self, version: str, *lists: bytes, sign: bool = True, **about: str) -> Release:
        """A release with SBOMs beside it, signed or not; `about`: another subject's digest."""
        made = payload(
            data=version.encode(),
            package=TOASTER,
            version=Version(version),
            mends=tuple(about.pop("mends", "").split()),
        )
        order = self.acme.push(made)
        place = self.place
        files = self.acme.transport.files
        raw = files[f"{place}/manifests/{order.digest}"]
        files[f"{place}/manifests/{version}"] = raw
        tags = [path.rpartition("/")[2] for path in files if "/manifests/" in path]
        listed = [tag for tag in tags if not tag.startswith("sha256:")]
        files[f"{place}/tags/list"] = msgspec.json.encode({"name": "toaster", "tags": listed})
        for data in lists:
            self.acme.attach(place, order.digest, len(raw), data, kind=CYCLONEDX_JSON)
        if lists and sign:
            envelope = self.reference(about.get("subject", order.digest), *lists)
            self.acme.attach(place, order.digest, len(raw), envelope, kind=oci.PROVENANCE)
        return Release(ProviderName("acme"), TOASTER, Version(version), order.digest)

    def reference(self, subject: str, *lists: bytes) -> bytes:
        """The provider's word that documents belong to a release."""
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": subject.removeprefix("sha256:")}}],
            "predicateType": "https://in-toto.io/attestation/reference/v0.1",
            "predicate": {
                "references": [
                    {
                        "digest": {"sha256": sha256(data).removeprefix("sha256:")},
                        "mediaType": CYCLONEDX_JSON,
                    }
                    for data in lists
                ]
            },
        }
        return sign_envelope(msgspec.json.encode(statement), IN_TOTO, [self.acme.key])
