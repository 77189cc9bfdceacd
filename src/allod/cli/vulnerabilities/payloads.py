"""What a release is made of, by its own payload: for releases beside which nobody signed a list.

The payload is that of the digest that a device reports, or that the provider signed; what Allod reads
in it is what Allod would have written into an SBOM when it was built.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.domain.ids import package_name, parse_digest

if TYPE_CHECKING:
    from allod.cli.catalog import Catalog
    from allod.cli.vulnerabilities.ware import Release
    from allod.domain.sbom import Sbom

MOST: Final = 256 * 1024 * 1024  #: bytes of payloads that are fetched to look into them


@dataclass(frozen=True, slots=True)
class Payloads:
    """The payloads in the fleet's registry.

    Args:
        catalog: the registry.
    """

    catalog: Catalog

    def list_of(self, release: Release) -> Sbom | None:
        """What the payload itself says; None: nothing, or it is too large to be looked into.

        Raises:
            AllodError: it cannot be fetched, is not what its digest says, or is damaged.
        """
        from allod.cli.registry_client import RegistryClient
        from allod.packaging.bill import bill_of
        from allod.packaging.build import read_releases

        name = package_name(release.package)
        registry = RegistryClient(self.catalog.client, f"{release.provider}/{name}")
        releases = read_releases(release.digest, registry.small)
        sizes = {layer.digest: layer.size for one in releases for layer in one.layers}
        if sum(sizes.values()) > MOST:
            return None
        with tempfile.TemporaryDirectory(prefix="allod-payload-") as place, ExitStack() as files:
            layers = []
            for number, (digest, size) in enumerate(sizes.items()):
                path = Path(place) / str(number)
                registry.save_blob(parse_digest(digest), size, path)
                layers.append(files.enter_context(path.open("rb")))
            return bill_of(layers, releases)
