"""Parts become what advisories can be asked about; what cannot says so."""

from __future__ import annotations

import pytest

from allod.advisories.component import Component, Unmatchable
from allod.advisories.purls import component_of
from allod.domain.sbom import SbomComponent


def found(purl: str, distribution: str = "", version: str = "") -> tuple[str, str, str]:
    said = SbomComponent("it", version, purl)
    component = component_of(said, distribution=distribution)
    assert isinstance(component, Component), component
    assert component.said is said
    return component.ecosystem, component.name, component.version


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("pkg:pypi/Foo.Bar_baz@1.0", ("PyPI", "foo-bar-baz", "1.0")),
        ("pkg:npm/%40Angular/core@12.0.0", ("npm", "@angular/core", "12.0.0")),
        ("pkg:cargo/lock_api@0.4.1", ("crates.io", "lock-api", "0.4.1")),
        ("pkg:golang/github.com/A/b@v1.2.3#c", ("Go", "github.com/a/b", "v1.2.3")),
        ("pkg:golang/stdlib@go1.21rc2", ("Go", "stdlib", "1.21.0-rc.2")),
        ("pkg:golang/stdlib@1.20.5", ("Go", "stdlib", "1.20.5")),
        ("pkg:maven/org.a/b@1.0", ("Maven", "org.a:b", "1.0")),
        ("pkg:composer/drupal/core@10.1.0", ("Packagist", "drupal/core", "10.1.0")),
        (
            "pkg:composer/drupal/x@1.0?repository_url=https://packages.drupal.org/8/",
            ("Packagist:https://packages.drupal.org/8", "drupal/x", "1.0"),
        ),
        (
            "pkg:maven/org.a/b@1.0?repository_url=https:%2F%2Frepo1.maven.org/maven2",
            ("Maven", "org.a:b", "1.0"),
        ),
        ("pkg:pypi/x@1.0?repository_url=https://index.example", ("PyPI", "x", "1.0")),
        ("pkg:gem/rails@7.0.0", ("RubyGems", "rails", "7.0.0")),
        ("pkg:swift/github.com/vapor/vapor@4.0.0", ("SwiftURL", "github.com/vapor/vapor", "4.0.0")),
        ("pkg:dhi/python@3.12.1", ("DHI", "python", "3.12.1")),
    ],
)
def test_registries(purl: str, expected: tuple[str, str, str]) -> None:
    """A registry's package is asked about by the name that its advisories use."""
    assert found(purl) == expected


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("deb/debian/libc6@2.36-9?distro=debian-12&upstream=glibc", ("Debian:12", "glibc", "2.36-9")),
        ("deb/debian/libc6@2.36-9?distro=debian-12.5", ("Debian:12", "libc6", "2.36-9")),
        ("deb/debian/x@1.2-1%2Bb12?distro=debian-12", ("Debian:12", "x", "1.2-1")),
        ("deb/debian/x@1.2-1%2Bb1?distro=debian-12&upstream=y", ("Debian:12", "y", "1.2-1")),
        ("deb/debian/x@1-1%2Bbpo1?distro=debian-12&upstream=y", ("Debian:12", "y", "1-1+bpo1")),
        ("deb/debian/x@1?distro=bookworm", ("Debian:12", "x", "1")),
        ("deb/debian/x@1?distro=debian-bookworm", ("Debian:12", "x", "1")),
        ("deb/debian/x@1+b1?distro=debian-12&upstream=y%402", ("Debian:12", "y", "2")),
        ("deb/debian/x@1?distro=debian-12&upstream=y%20(1%3A2)", ("Debian:12", "y", "1:2")),
        ("deb/ubuntu/x@1?distro=jammy&epoch=2", ("Ubuntu:22.04:LTS", "x", "2:1")),
        ("deb/ubuntu/x@1?distro=jammy&epoch=2&upstream=y%403", ("Ubuntu:22.04:LTS", "y", "3")),
        ("deb/x@1?distro=debian-12", ("Debian:12", "x", "1")),
        ("deb/debian/x@1?distro=debian-12&arch=source&upstream=y", ("Debian:12", "x", "1")),
        ("deb/ubuntu/x@1?distro=jammy", ("Ubuntu:22.04:LTS", "x", "1")),
        ("deb/ubuntu/x@1?distro=ubuntu-24.04", ("Ubuntu:24.04:LTS", "x", "1")),
        ("deb/ubuntu/x@1?distro=ubuntu-23.04", ("Ubuntu:23.04", "x", "1")),
        ("deb/ubuntu/x@1?distro=esm-infra-legacy/trusty", ("Ubuntu:Pro:14.04:LTS", "x", "1")),
        ("apk/alpine/libssl3@3.1-r0?distro=alpine-3.18.4&upstream=openssl",
         ("Alpine:v3.18", "openssl", "3.1-r0")),
        ("apk/alpine/x@1?distro=v3.20", ("Alpine:v3.20", "x", "1")),
        ("apk/alpaquita/x@1?arch=source&distro=stream", ("Alpaquita:stream", "x", "1")),
        ("apk/alpaquita/x@1?distro=alpaquita-23", ("Alpaquita:23", "x", "1")),
        ("apk/bellsoft-hardened-containers/x@1?distro=25",
         ("BellSoft Hardened Containers:25", "x", "1")),
        ("apk/wolfi/x@1?distro=wolfi-20230201&upstream=y", ("Wolfi", "x", "1")),
        ("rpm/almalinux/glibc-common@2-1.el8?distro=almalinux-8.10&upstream=glibc-2-1.el8.src.rpm",
         ("AlmaLinux:8", "glibc-common", "2-1.el8")),
        ("rpm/almalinux/x@1-1?distro=almalinux-9&epoch=1", ("AlmaLinux:9", "x", "1:1-1")),
        ("rpm/almalinux/x@2%3A1-1?distro=almalinux-9&epoch=2", ("AlmaLinux:9", "x", "2:1-1")),
        ("rpm/rocky/glibc-common@2-1.el8?distro=rocky-8.9&upstream=glibc-2-2.el8.src.rpm&epoch=3",
         ("Rocky Linux:8", "glibc", "3:2-2.el8")),
        ("rpm/opensuse/x@1-1?distro=opensuse-leap-15.5", ("openSUSE:Leap 15.5", "x", "1-1")),
        ("rpm/opensuse/x@1-1?distro=opensuse-tumbleweed-20240101",
         ("openSUSE:Tumbleweed", "x", "1-1")),
        ("rpm/openeuler/x@1-1?distro=openEuler-22.03-LTS-SP3", ("openEuler:22.03-LTS-SP3", "x", "1-1")),
        ("rpm/photon/x@1-1?distro=photon-5.0", ("Photon OS:5.0", "x", "1-1")),
        ("rpm/azurelinux/x@1-1?distro=azl-3.0", ("Azure Linux:3", "x", "1-1")),
        ("rpm/mageia/x@1-1?distro=9", ("Mageia:9", "x", "1-1")),
    ],
)  # fmt: skip
def test_distributions(purl: str, expected: tuple[str, str, str]) -> None:
    """A distribution's package is asked about in its release, by its source package where the
    distribution's advisories name sources.
    """
    assert found(f"pkg:{purl}") == expected


def test_distribution_by_default() -> None:
    """Packages that do not say of which distribution they are take the host's."""
    assert found("pkg:deb/debian/x@1", "debian-12") == ("Debian:12", "x", "1")
    assert found("pkg:deb/debian/x@1?distro=debian-11", "debian-12")[0] == "Debian:11"
    assert found("pkg:deb/x@1", "ubuntu-22.04")[0] == "Ubuntu:22.04:LTS"


def test_version_beside_the_purl() -> None:
    """A version that only the part says counts; that of the purl goes before it."""
    assert found("pkg:pypi/x", version="1.5")[2] == "1.5"
    assert found("pkg:pypi/x@1.4", version="1.5")[2] == "1.4"


@pytest.mark.parametrize(
    ("purl", "distribution", "code"),
    [
        ("", "", "no-purl"),
        ("cpe:2.3:a:x", "", "bad-purl"),
        ("pkg:pypi/x", "", "no-version"),
        ("pkg:deb/debian/x?distro=debian-12", "", "no-version"),
        ("pkg:generic/x@1", "", "unknown-ecosystem"),
        ("pkg:oci/x@sha256%3Aab", "", "unknown-ecosystem"),
        ("pkg:rpm/fedora/x@1-1?distro=fedora-40", "", "unknown-ecosystem"),
        ("pkg:deb/raspbian/x@1?distro=raspbian-12", "", "unknown-ecosystem"),
        ("pkg:deb/x@1", "", "unknown-ecosystem"),
        ("pkg:deb/debian/x@1", "", "no-release"),
        ("pkg:deb/debian/x@1", "ubuntu-22.04", "no-release"),
        ("pkg:deb/debian/x@1?distro=debian", "", "no-release"),
        ("pkg:deb/debian/x@1?distro=sid", "", "no-release"),
        ("pkg:deb/debian/x@1?distro=ubuntu-22.04", "", "no-release"),
        ("pkg:deb/ubuntu/x@1?distro=ubuntu-22", "", "no-release"),
        ("pkg:apk/alpine/x@1?distro=edge", "", "no-release"),
        ("pkg:apk/alpine/x@1?distro=alpine-3.20_alpha20240329", "", "no-release"),
        ("pkg:rpm/openeuler/x@1-1?distro=openEuler-22.03", "", "no-release"),
        ("pkg:rpm/openeuler/x@1-1?distro=openEuler-23.09", "", "no-release"),
        ("pkg:rpm/redhat/x@1-1?distro=rhel-9", "", "no-release"),
        ("pkg:rpm/suse/x@1-1?distro=sles-15.5", "", "no-release"),
        ("pkg:pypi/x@0.9-doduo", "", "bad-version"),
        ("pkg:golang/x@(devel)", "", "bad-version"),
        ("pkg:apk/wolfi/x@latest", "", "bad-version"),
        ("pkg:deb/debian/x@1?distro=debian-12&upstream=a%20b%20c", "", "bad-purl"),
    ],
)
def test_unmatchable(purl: str, distribution: str, code: str) -> None:
    """What nothing can be asked about is unknown, with its reason, and never clean."""
    said = SbomComponent("it", "", purl)
    answer = component_of(said, distribution=distribution)
    assert isinstance(answer, Unmatchable), answer
    assert (answer.said, answer.code) == (said, code)
    assert answer.why


def test_source_beside_the_purl() -> None:
    """A source package that the list says elsewhere counts, where the purl says none."""
    plain = "pkg:deb/debian/libssl3@3.0.11-1?distro=debian-12"
    for purl, name in ((plain, "openssl"), (f"{plain}&upstream=other", "other")):
        answer = component_of(SbomComponent("libssl3", "", purl, source="openssl@3.0.11-1"))
        assert isinstance(answer, Component)
        assert (answer.name, answer.version) == (name, "3.0.11-1")
