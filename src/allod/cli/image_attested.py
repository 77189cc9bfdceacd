"""`allod release verify` of somebody's OCI image: what others attest of it, before it is imported.

And after: of an import they attest the original, whose manifest lies beside the release.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from allod.attestation.verdict import Check
from allod.cli.attestations import attestations_about, spoken
from allod.cli.release_attested import Asked, Attestations, looking_of, tell
from allod.cli.release_import import REGISTRY
from allod.domain.ids import Digest, parse_digest
from allod.errors import AllodError, InvalidInput
from allod.packaging.layout import REF_NAME, Layout
from allod.wire import oci
from allod.wire.oci import Manifest

if TYPE_CHECKING:
    from allod.attestation.collected import Looking, Lying
    from allod.attestation.verdict import Examined
    from allod.cli.options import Options
    from allod.cli.release_look import Found
    from allod.wire.oci import Descriptor

_TAGS_OF_TOOLS: Final = "sha256-"  #: before what hangs on a tag of a digest
_MOST: Final = 8  #: originals that are looked at


def is_image(reference: str) -> bool:
    """Whether it is an image in somebody's registry, or a layout without an Allod release."""
    if reference.startswith(REGISTRY):
        return True
    layout = Layout(Path(reference))
    if not layout.exists():
        return False
    try:
        layout.release()
    except InvalidInput as error:
        return error.code == "no-release"
    return False


def verify_image(reference: str, asked: Asked, options: Options) -> int:
    """Look at all that lies beside an image; the exit status.

    Raises:
        InvalidInput: `no-image`: a layout holds none.
        AllodError: as `foreign_registry.pull`.
    """
    if asked.artifact is not None:
        raise InvalidInput("bad-arguments", "cannot take --artifact: an image is its own artifact")
    if not reference.startswith(REGISTRY):
        return _look(reference, Layout(Path(reference)), [], asked, options)
    from allod.cli.foreign_registry import pull

    with tempfile.TemporaryDirectory(prefix="allod-verify-") as temporary:
        layout = Layout(Path(temporary) / "layout")
        with options.output.progress("Pulling") as advance:
            pulled = pull(reference.removeprefix(REGISTRY), layout, progress=advance)
        for note in pulled.notes:
            options.output.say(note)
        above = [] if pulled.index is None else [parse_digest(pulled.index.digest)]
        return _look(reference, layout, above, asked, options)


def of_originals(found: Found, looking: Looking) -> list[tuple[Lying, Examined]]:
    """What others attest of what a release was made of, if it is an import.

    Anybody can lay an original beside a release: it counts only if the release's layers are its.
    """
    looked: list[tuple[Lying, Examined]] = []
    mine = {layer.digest for one in found.releases() for layer in one.layers}
    for _, manifest in found.beside.referrers(found.digest, oci.ORIGIN)[:_MOST]:
        for part in manifest.layers[:_MOST]:
            with contextlib.suppress(AllodError):  # it is not there, or is none: nothing is told
                digest = parse_digest(part.digest)
                same = bool(mine) and _layers(found.beside.get(digest)) == mine
                for one in attestations_about(found.beside, digest):
                    examined = looking.examine(one, spoken(digest))
                    said = _original(digest, len(examined.checks) + 1, same=same)
                    about = replace(one, where=f"{one.where}, about the original")
                    looked.append((about, replace(examined, checks=(*examined.checks, said))))
    return looked


def _layers(raw: bytes) -> set[str]:
    document = oci.decode_document(raw)
    return {one.digest for one in document.layers} if isinstance(document, Manifest) else set()


def _original(digest: Digest, number: int, *, same: bool) -> Check:
    if same:
        return Check(number, "original", ok=True, says=f"it has the payload of {digest}")
    says = f"cannot tell that it is {digest}: its payload was packed anew by who imported it"
    return Check(number, "original", ok=None, says=says, code="nothing-to-compare")


def _look(
    reference: str, layout: Layout, above: list[Digest], asked: Asked, options: Options
) -> int:
    digests = [*above, *_images(layout)]
    if not digests:
        raise InvalidInput("no-image", f"cannot find an image in {layout.directory}")
    looking = looking_of(asked)
    found = Attestations(
        [
            (one, looking.examine(one, spoken(digest)))
            for digest in dict.fromkeys(digests)
            for one in attestations_about(layout, digest)
        ]
    )
    return tell(reference, spoken(digests[0]), found, options)


def _images(layout: Layout) -> list[Digest]:
    """The images of a layout, and those of its indexes; what is about another is none."""
    found: list[Digest] = []
    for one in layout.read_index().manifests:
        name = (one.annotations or {}).get(REF_NAME, "")
        if not name.startswith(_TAGS_OF_TOOLS):
            found += _image(layout, one)
    return found


def _image(layout: Layout, one: Descriptor) -> list[Digest]:
    document = oci.decode_document(layout.get(one.digest))
    if document.subject is not None:
        return []
    below = document.manifests[: oci.MAX_MANIFESTS] if isinstance(document, oci.Index) else []
    return [parse_digest(one.digest), *(parse_digest(part.digest) for part in below)]
