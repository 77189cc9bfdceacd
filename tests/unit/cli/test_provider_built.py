"""How a provider's releases have to be built: the owner's word, and the builder's beside a release."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_delegate import with_acme

from allod.cli.documents import newest
from allod.domain.ids import parse_provider
from allod.packaging.build import open_built
from allod.testing.owner import key_from
from allod.trust.dsse import sign_envelope
from allod.trust.keys import from_key
from allod.trust.provenance import verify_provenance
from allod.wire import oci
from allod.wire.codec import encode
from allod.wire.envelope import IN_TOTO

__all__ = ["with_acme"]  # a fixture

CI = key_from("builder")
SOURCE = "git+https://github.com/acme/toaster"
DESCRIPTION = """
package = "pkg:generic/acme/toaster"
version = "1.0"
provider = "acme"
"""


def demand(owner: Owner, *more: str) -> tuple[str | Path, ...]:
    """The words that ask for provenance."""
    key = owner.home / "builder.pub"
    key.write_bytes(encode(from_key(CI.public_key)))
    return (
        "provider", "built", "acme", "--builder", "https://ci.example", "--key", key,
        "--source", SOURCE, "--ref", "refs/tags/v*", *more,
    )  # fmt: skip


def test_the_owner_says_how_a_provider_has_to_build(with_acme: Owner) -> None:
    """The policy stands in the provider's document, outlives a change of keys, and can end."""
    with_acme.do(*demand(with_acme, "--parameter", "workflow.path=release.yml"), "--yes")
    document = newest(with_acme.fleet()).providers[parse_provider("acme")]
    policy = document.provenance
    assert policy is not None
    assert ([one.id for one in policy.builders], policy.sources, policy.refs) == (
        ["https://ci.example"],
        [SOURCE],
        ["refs/tags/v*"],
    )
    assert policy.parameters == {"workflow.path": "release.yml"}
    shown = with_acme.do("provider", "show", "acme")
    assert shown["provenance"]["builders"] == [{"id": "https://ci.example", "level": 0}]
    with_acme.do(
        "provider", "add", "acme", "--key", with_acme.home / "acme.pub", "--replace",
        "--namespace", "pkg:generic/acme/", "--access", "microphone", "--yes",
    )  # fmt: skip
    assert newest(with_acme.fleet()).providers[parse_provider("acme")].provenance == policy
    with_acme.do("provider", "built", "acme", "--anyhow", "--yes")
    assert newest(with_acme.fleet()).providers[parse_provider("acme")].provenance is None


def test_half_a_demand_is_none(with_acme: Owner) -> None:
    """What is missing, contradicts or cannot be read is said, and nothing is signed."""
    for words in (
        ("provider", "built", "acme"),
        ("provider", "built", "acme", "--builder", "https://ci.example"),
        (*demand(with_acme), "--anyhow"),
        demand(with_acme, "--parameter", "workflow"),
    ):
        assert with_acme.refused(*words, "--yes") == "bad-arguments"
    words = list(demand(with_acme))
    words[2] = "nobody"
    assert with_acme.refused(*words, "--yes") == "unknown-provider"
    assert newest(with_acme.fleet()).providers[parse_provider("acme")].provenance is None


def test_provenance_is_laid_beside_a_release(with_acme: Owner, tmp_path: Path) -> None:
    """It goes into the layout as a referrer; what is of another release, or unsigned, does not."""
    source = tmp_path / "toaster"
    source.mkdir()
    (source / "allod.toml").write_text(DESCRIPTION)
    (source / "run").write_text("x")
    built = with_acme.do("release", "build", source)
    layout = Path(built["layout"])
    digest = built["digest"].removeprefix("sha256:")
    good = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "toaster", "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {"resolvedDependencies": [{"uri": f"{SOURCE}@refs/tags/v1.0"}]},
            "runDetails": {"builder": {"id": "https://ci.example"}},
        },
    }
    file = tmp_path / "provenance.json"
    other = {**good, "subject": [{"digest": {"sha256": "0" * 64}}]}
    for said, kind in ((other, IN_TOTO), (good, "application/json"), ({}, IN_TOTO)):
        file.write_bytes(sign_envelope(encode(said), kind, [CI]))
        assert with_acme.refused("release", "provenance", layout, file) == "wrong-provenance"
    file.write_bytes(sign_envelope(encode(good), IN_TOTO, [CI]))
    with_acme.do("release", "provenance", layout, file)
    release = open_built(layout, None)
    [(_, manifest)] = release.layout.referrers(release.digest, oci.PROVENANCE)
    envelope = release.layout.get(oci.provenance_layer(manifest).digest)
    with_acme.do(*demand(with_acme, "--any-parameters"), "--yes")
    policy = newest(with_acme.fleet()).providers[parse_provider("acme")].provenance
    assert policy is not None
    assert verify_provenance(envelope, policy, release.digest).value.ref == "refs/tags/v1.0"
