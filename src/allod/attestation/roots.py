"""Sigstore trust roots: which certificate authorities, logs and timestamp authorities count.

The public-good instance's is shipped (`public-good.trusted_root.json`), so that nothing has to be
asked on the net. It changes about once a year; a newer one, or another instance's, is given as a
file. Where a file comes from is for whoever gives it to know: it is taken at its word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from allod.errors import InvalidInput
from allod.wire.codec import parse_strict

if TYPE_CHECKING:
    from sigstore.models import TrustedRoot
    from sigstore_models.common.v1 import TimeRange

ROOT_CAP: Final = 4 * 1024 * 1024
PUBLIC_GOOD: Final = "public-good.trusted_root.json"


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """One trust root."""

    name: str
    value: Any  #: as it was parsed
    root: TrustedRoot

    def log_name(self, key_id: bytes) -> str:
        """Which log has this key; its id in hex if the trust root has none like it."""
        for log in self.root._inner.tlogs:  # noqa: SLF001  # it has no other way to say so
            if log.log_id.key_id == key_id:
                return log.base_url.removeprefix("https://")
        return key_id.hex()[:16]

    def at(self, moment: datetime) -> TrustRoot:
        """Only with the authorities and logs that count at a time; itself if all of them do."""
        from sigstore.models import TrustedRoot

        inner = self.root._inner  # noqa: SLF001  # it has no other way to say so
        counting: dict[str, list[Any]] = {
            "certificate_authorities": [
                one for one in inner.certificate_authorities if _within(one.valid_for, moment)
            ],
            "tlogs": [one for one in inner.tlogs if _within(one.public_key.valid_for, moment)],
            "ctlogs": [one for one in inner.ctlogs if _within(one.public_key.valid_for, moment)],
        }
        if all(len(kept) == len(getattr(inner, name)) for name, kept in counting.items()):
            return self
        return TrustRoot(self.name, self.value, TrustedRoot(inner.model_copy(update=counting)))


def _within(times: TimeRange | None, moment: datetime) -> bool:
    if times is None:
        return True
    return times.start <= moment and (times.end is None or moment <= times.end)


def read_root(data: bytes, *, name: str = "the given trust root") -> TrustRoot:
    """Read a trust root.

    Raises:
        InvalidInput: `too-large`, `bad-json`, `bad-trust-root`.
    """
    from sigstore.errors import Error
    from sigstore.models import TrustedRoot
    from sigstore_models.trustroot import v1

    value = parse_strict(data, cap=ROOT_CAP, what=name)
    try:
        root = TrustedRoot(v1.TrustedRoot.from_json(data))
        root.get_fulcio_certs()
        root.get_timestamp_authorities()
    except (Error, ValueError, TypeError) as error:
        raise InvalidInput(
            "bad-trust-root", f"cannot use {name}: {str(error)[:300]}; see docs/spec/provenance.md"
        ) from error
    return TrustRoot(name, value, root)


@cache
def public_good() -> TrustRoot:
    """The trust root of Sigstore's public-good instance, as it is shipped."""
    data = (files("allod.attestation") / PUBLIC_GOOD).read_bytes()
    return read_root(data, name="the shipped trust root of Sigstore's public-good instance")
