"""TLS as the agent uses it: for confidentiality only (docs/adr/0004; docs/spec/transport.md).

Authority comes from signatures, so TLS must never be what keeps a device from its owner:

* The fleet's own CAs (a present one and a spare) are pinned by the owner's signed location, and
  nothing else certifies the server. The host's name isn't looked at, since such a CA certifies
  the fleet's servers only, which may move.
* Validity dates are ignored: a certificate that ran out, or a device whose clock is wrong by
  decades, must not cut the fleet off (attack 63).
* A location without pins is a public one (a CDN): the system's CAs and the host's name count.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Final

from allod.errors import InvalidInput

#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for.
NO_CHECK_TIME: Final = 0x200000


def client_context(pins: Sequence[str]) -> ssl.SSLContext:
    """A context that trusts exactly the CAs in `pins` (PEM), or the system's if there are none.

    Raises:
        InvalidInput: `bad-pin`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pins:
        context.check_hostname = False
        try:
            context.load_verify_locations(cadata="\n".join(pins))
        except (ssl.SSLError, ValueError) as error:
            raise InvalidInput(
                "bad-pin", f"cannot read the certificates that a location is pinned to: {error}"
            ) from error
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME) | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
