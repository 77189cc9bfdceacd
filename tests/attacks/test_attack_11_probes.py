"""Attack 11, the part of health checks: a check must not become a request to somewhere else."""

from __future__ import annotations

import socket
import threading

import pytest

from allod.agent.ports import RunState
from allod.agent.probes import SystemProbe
from allod.domain.release import HealthCheck, ProbeKind

UP = RunState(running=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "file:///etc/shadow",
        "gopher://127.0.0.1/",
        "http://192.0.2.1/",
    ],
)
def test_attack_11_a_check_asks_nobody_but_this_device(url: str) -> None:
    """Link-local, foreign hosts and other schemes are refused without a connection."""
    check = HealthCheck(ProbeKind.HTTP, url=url, timeout=1)
    found = SystemProbe().attempt(check, None, UP)
    assert not found.healthy
    assert "this device" in found.detail


def test_attack_11_a_redirect_of_a_service_is_not_followed() -> None:
    """A service that answers with a redirect is unhealthy; where it points to is never asked."""
    with (
        socket.create_server(("127.0.0.1", 0)) as bait,
        socket.create_server(("127.0.0.1", 0)) as own,
    ):
        target = f"http://127.0.0.1:{bait.getsockname()[1]}/"

        def answer() -> None:
            link, _ = own.accept()
            with link:
                link.recv(4096)
                link.sendall(f"HTTP/1.0 302 Found\r\nLocation: {target}\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{own.getsockname()[1]}/"
        found = SystemProbe().attempt(HealthCheck(ProbeKind.HTTP, url=url, timeout=2), None, UP)
        thread.join()
        assert (found.healthy, found.detail) == (False, "answered 302 and not 200")
        bait.settimeout(0.05)
        with pytest.raises(TimeoutError):
            bait.accept()
