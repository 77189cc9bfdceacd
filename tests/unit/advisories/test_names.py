"""A name has one form within its ecosystem."""

from __future__ import annotations

import pytest

from allod.advisories.names import asked, base_of, normalise


@pytest.mark.parametrize(
    ("ecosystem", "name", "form"),
    [
        ("PyPI", "Foo.Bar__baz-Qux", "foo-bar-baz-qux"),
        ("npm", "@Babel/Core", "@babel/core"),
        ("crates.io", "Lock_API", "lock-api"),
        ("Go", "github.com/BurntSushi/toml", "github.com/burntsushi/toml"),
        ("SwiftURL", "https://github.com/Vapor/vapor.git", "github.com/vapor/vapor"),
        ("Packagist:https://packages.drupal.org/8", "Drupal/Core", "drupal/core"),
        ("Maven", "org.Apache:Log4J", "org.Apache:Log4J"),
        ("AlmaLinux:9", "NetworkManager-libnm", "NetworkManager-libnm"),
        ("Debian:12", "libsigc++-2.0", "libsigc++-2.0"),
    ],
)
def test_normalise(ecosystem: str, name: str, form: str) -> None:
    """Registries that take two spellings for one name get one; others keep what was written."""
    assert normalise(ecosystem, name) == form
    assert normalise(ecosystem, form) == form


def test_wider_ecosystems() -> None:
    """Records about a distribution as a whole speak of each release."""
    assert asked("Debian:12") == ("Debian:12", "Debian")
    assert asked("PyPI") == ("PyPI",)
    assert base_of("Ubuntu:Pro:14.04:LTS") == "Ubuntu"
