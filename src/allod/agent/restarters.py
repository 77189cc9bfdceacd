"""Restarting the machine, by technology (port `Restarter`)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from allod.errors import Unavailable


class CommandRestarter:
    """Runs a command that restarts the machine, or what stands for it.

    Args:
        command: program and arguments; it gets the reason in `ALLOD_REASON`.
        timeout: seconds within which the command must have begun the restart.
    """

    def __init__(self, command: Sequence[str], *, timeout: float = 60.0) -> None:
        self._command = tuple(command)
        self._timeout = timeout

    def restart(self, reason: str) -> None:
        """Begin the restart and return.

        Raises:
            Unavailable: `restart-failed`.
        """
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ALLOD_REASON": reason[:200]}
        try:
            done = subprocess.run(
                self._command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout,
                start_new_session=True,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(
                "restart-failed", f"cannot restart: {self._command[0]} did not run ({error})"
            ) from error
        if done.returncode != 0:
            says = done.stderr.decode("utf-8", "replace").strip()[-200:]
            raise Unavailable(
                "restart-failed",
                f"cannot restart: {self._command[0]} ended with {done.returncode} ({says})",
            )


class SystemdRestarter(CommandRestarter):
    """Restarts through systemd, which stops all services first."""

    def __init__(self, systemctl: str = "systemctl") -> None:
        super().__init__((systemctl, "--no-block", "reboot"))
