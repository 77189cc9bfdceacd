"""Requests to witnesses, by urllib3: short deadlines, no redirects, answers under a cap."""

from __future__ import annotations

import ssl
from typing import Final

import urllib3

from allod.server.services.gather import unreachable
from allod.tlog.asking import Heard
from allod.tlog.witness import RESPONSE_CAP

_TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=10.0)


class HttpWitnessCalls:
    """Implements `allod.server.services.gather.WitnessCalls`.

    What a witness says is signed, so TLS is checked by the system's authorities and no pin.
    """

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(
            num_pools=16, timeout=_TIMEOUT, ssl_context=ssl.create_default_context()
        )

    def post(self, url: str, body: bytes) -> Heard:
        """See the port."""
        address = f"{url.rstrip('/')}/add-checkpoint"
        try:
            answer = self._pool.request(
                "POST",
                address,
                body=body,
                headers={"content-type": "text/plain; charset=utf-8"},
                redirect=False,
                retries=False,
                preload_content=False,
            )
            try:
                data = answer.read(RESPONSE_CAP + 1, decode_content=False)
            finally:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(url, type(error).__name__) from error
        if len(data) > RESPONSE_CAP:
            raise unreachable(url, "its answer is too long")
        return Heard(answer.status, data)
