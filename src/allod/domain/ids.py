"""Identities: fleets, devices, groups, packages, digests, scopes.

Each is a plain string with a grammar so narrow that it can stand in a path, a URL, a TUF
pattern and a terminal without quoting. `parse_*` is the only way in from outside.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NewType

from allod.errors import InvalidInput

FleetId = NewType("FleetId", str)  #: 64 hex digits: SHA-256 of the signed part of root version 1
DeviceId = NewType("DeviceId", str)  #: 64 hex digits: SHA-256 of the first public key (SPKI DER)
GroupName = NewType("GroupName", str)
ProviderName = NewType("ProviderName", str)
Digest = NewType("Digest", str)  #: "sha256:" and 64 hex digits
Version = NewType("Version", str)
Purl = NewType("Purl", str)  #: package URL without version, qualifiers and subpath

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", re.ASCII)
_HEX64: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}", re.ASCII)
_PURL: Final = re.compile(
    r"pkg:[a-z][a-z0-9.-]{0,31}(?:/[a-z0-9][a-z0-9._+-]{0,62}){1,4}", re.ASCII
)


def _match(pattern: re.Pattern[str], value: object, code: str, what: str, form: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None or ".." in value:
        shown = value[:80] if isinstance(value, str) else type(value).__name__
        raise InvalidInput(code, f"cannot use {shown!r} as {what}: it must be {form}", value=shown)
    return value


def parse_fleet(value: str) -> FleetId:
    """A fleet's id. Raises InvalidInput `bad-fleet`."""
    return FleetId(_match(_HEX64, value, "bad-fleet", "a fleet's id", "64 hex digits"))


def parse_device(value: str) -> DeviceId:
    """A device's id. Raises InvalidInput `bad-device`."""
    return DeviceId(_match(_HEX64, value, "bad-device", "a device's id", "64 hex digits"))


_NAME_FORM: Final = "1 to 63 of a-z, 0-9, '.', '_' and '-', beginning and ending with a-z or 0-9"


def parse_group(value: str) -> GroupName:
    """A group's name. Raises InvalidInput `bad-group`."""
    return GroupName(_match(_NAME, value, "bad-group", "a group's name", _NAME_FORM))


def parse_provider(value: str) -> ProviderName:
    """A provider's name. Raises InvalidInput `bad-provider`."""
    return ProviderName(_match(_NAME, value, "bad-provider", "a provider's name", _NAME_FORM))


def parse_name(value: str, what: str = "a name") -> str:
    """Any other short name. Raises InvalidInput `bad-name`."""
    return _match(_NAME, value, "bad-name", what, _NAME_FORM)


def parse_digest(value: str) -> Digest:
    """A digest. Raises InvalidInput `bad-digest`."""
    return Digest(_match(_DIGEST, value, "bad-digest", "a digest", "'sha256:' and 64 hex digits"))


def parse_version(value: str) -> Version:
    """A release's version, which may also be an OCI tag. Raises InvalidInput `bad-version`."""
    form = "1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or digit"
    return Version(_match(_VERSION, value, "bad-version", "a version", form))


def parse_purl(value: str) -> Purl:
    """A package's identity. Raises InvalidInput `bad-package`."""
    form = "like 'pkg:generic/acme/toaster', lower case, without version"
    return Purl(_match(_PURL, value, "bad-package", "a package", form))


def is_purl(value: str) -> bool:
    """Whether it is a package's identity: what `parse_purl` takes."""
    return _PURL.fullmatch(value) is not None and ".." not in value


@lru_cache(maxsize=4096)
def is_pattern(value: str) -> bool:
    """Whether a key of a document is a purl pattern (it ends in '/*') and no exact package."""
    return value.endswith("/*") and _PURL.fullmatch(value[:-2] + "/x") is not None


def pattern_covers(pattern: str, package: Purl) -> bool:
    """Whether `package` lies under `pattern`."""
    return package.startswith(pattern[:-1])


def package_name(package: Purl) -> str:
    """The last segment of a package's identity: its repository name within the provider."""
    return package.rsplit("/", 1)[1]


def file_name(package: Purl) -> str:
    """One path component that stands for `package`, reversible and safe on any filesystem."""
    return package.removeprefix("pkg:").replace("/", "~")


def purl_of_file(name: str) -> Purl:
    """The inverse of `file_name`. Raises InvalidInput `bad-package`."""
    return parse_purl("pkg:" + name.replace("~", "/"))


def sha256(data: bytes) -> Digest:
    """The digest of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What a document of desired state speaks about: a group or one device."""

    kind: str  #: "groups" or "devices"
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def target_path(self) -> str:
        """The TUF target path of the owner's document (docs/spec/trust.md)."""
        return f"state/{self.kind}/{self.name}.json"


def group_scope(group: GroupName) -> Scope:
    """The scope of a group."""
    return Scope("groups", group)


def device_scope(device: DeviceId) -> Scope:
    """The scope of one device."""
    return Scope("devices", device)


def parse_scope(value: str) -> Scope:
    """`groups/<group>` or `devices/<id>`. Raises InvalidInput `bad-scope`."""
    kind, _, name = value.partition("/")
    if kind == "groups":
        return group_scope(parse_group(name))
    if kind == "devices":
        return device_scope(parse_device(name))
    raise InvalidInput(
        "bad-scope", f"cannot use {value[:80]!r} as a scope: it is groups/NAME or devices/ID"
    )
