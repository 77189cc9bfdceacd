"""One run of the agent: `python -m allod.agent.worker --state DIR [--boot] [--from DIR]`.

Recover what was interrupted, look what the owner says, make it true, report, and end. There is no
shutdown path: the process may be killed at any point, and the next run begins with recovery.
This is the composition root of the worker: the only place that knows which adapter plays which
port.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import allod
from allod.agent.acceptance import Acceptance, standing
from allod.agent.acquire import RegistrySource
from allod.agent.activation import Activations
from allod.agent.binding import Binder
from allod.agent.bound import Bound
from allod.agent.clock import SystemClock
from allod.agent.engine import SELF, Engine, EngineSettings
from allod.agent.engine_acts import Findings
from allod.agent.engine_context import Outcome
from allod.agent.engine_ports import World
from allod.agent.engine_report import Reporter
from allod.agent.engine_wish import next_wish
from allod.agent.identity import FileIdentityKey, load_identity
from allod.agent.inhibit import FileInhibitors
from allod.agent.installers.tree import TreeInstaller
from allod.agent.inventory import SystemHost
from allod.agent.link import Link
from allod.agent.ports import Restarter, ServiceManager, Transport
from allod.agent.probes import SystemProbe
from allod.agent.rendering import FileRenderer
from allod.agent.reporting import Ledger, deliver_all
from allod.agent.restarters import CommandRestarter, SystemdRestarter
from allod.agent.secrets import SecretStore
from allod.agent.services.process import ProcessServiceManager
from allod.agent.services.systemd import SystemdServiceManager
from allod.agent.settings import Settings, load_settings
from allod.agent.snapshots import DataSnapshots
from allod.agent.state_dir import DEFAULT, StateDir, open_state
from allod.agent.supervisor_worker import ask_to_wake, mark_verified, read
from allod.agent.tokens import Tokens
from allod.agent.transfer import Blobs
from allod.agent.transport import HttpTransport
from allod.agent.transport_stick import StickTransport
from allod.agent.view import View, load_view
from allod.errors import AllodError, Unavailable, Untrusted
from allod.wire.report import Alarm

_LOG: Final = logging.getLogger(__name__)

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_UNREACHED: Final = 6  #: the fleet was not heard; what runs goes on
EXIT_HANDED_OVER: Final = 10  #: a new agent is in place: start the worker again, from `current`


@dataclass(frozen=True, slots=True)
class Workplace:
    """What does not change during a run."""

    state: StateDir
    settings: Settings
    clock: SystemClock
    bound: Bound
    key: FileIdentityKey

    def world(self, transport: Transport | None, view: View | None) -> World:
        """All ports, each with its adapter; `view` is what the owner says, as it was accepted."""
        state, settings, clock = self.state, self.settings, self.clock
        host = SystemHost(settings.facts)
        services, kept = make_services(state, settings), SecretStore(state.secrets)
        source = RegistrySource(
            transport,
            Blobs(state.root / "blobs", reserve=settings.reserve_bytes),
            state.root / "packages",
            fleet=self.bound.fleet,
            providers={} if view is None else view.providers,
            fitness=host.fitness,
            clock=clock,
            house=None if view is None else view.fleet,
        )
        return World(
            clock=clock,
            installer=TreeInstaller(state.store),
            services=services,
            restarter=make_restarter(settings),
            probe=SystemProbe(services.user, kept.redact),
            source=source,
            renderer=FileRenderer(host.facts, kept),
            snapshots=DataSnapshots(state.root / "snapshots", state.root / "data"),
            inhibitors=FileInhibitors(state.inhibitors),
            host=host,
        )

    def engine(self, world: World, ledger: Ledger, findings: Findings) -> Engine:
        """The engine, acting through `world`."""
        limits = EngineSettings(
            self.settings.bandwidth,
            self.settings.measure_seconds,
            self.settings.complain,
            self.settings.background,
        )
        own = own_activation(self.state)
        rejected = read(str(self.state.agent / "rejected"))
        return Engine(
            self.state, world, ledger, limits, own=own, rejected=rejected, findings=findings
        )


def make_services(state: StateDir, settings: Settings) -> ServiceManager:
    """The service manager that the settings name."""
    if settings.service_manager == "systemd":
        return SystemdServiceManager(state.root)
    return ProcessServiceManager(state.services, boot_id_file=settings.boot_id_file)


def make_restarter(settings: Settings) -> Restarter:
    """The restarter that the settings name."""
    if settings.restarter == "command":
        return CommandRestarter(settings.restart_command)
    return SystemdRestarter()


def own_activation(state: StateDir) -> int | None:
    """The activation of the agent's package that this process runs from; None: from elsewhere."""
    here = Path(allod.__file__).resolve()
    links = Activations(state)
    for number in links.numbers(SELF):
        tree = (links.directory(SELF, number) / "tree").resolve()
        if here.is_relative_to(tree):
            return number
    return None


@contextlib.contextmanager
def open_transport(place: Workplace, stick: Path | None) -> Iterator[Transport]:
    """The way to the fleet: a stick, or the locations that the owner named."""
    bound = place.bound
    if stick is not None:
        yield StickTransport(bound.fleet, stick)
        return
    tokens = Tokens(place.state.token, bound.fleet, bound.device, bound.epoch, place.key)
    transport = HttpTransport(
        bound.fleet,
        bound.places,
        place.clock,
        tokens=tokens,
        bandwidth=place.settings.bandwidth,
    )
    try:
        yield transport
    finally:
        transport.close()


def run(state: StateDir, *, stick: Path | None = None) -> int:
    """Converge once; the exit status.

    Raises:
        AllodError: nothing could be done; what runs goes on.
    """
    settings = load_settings(state.settings_file)
    clock = SystemClock(Path(settings.boot_id_file))
    bound, key = Binder(state, clock, {}).resume(), load_identity(state.identity)
    if bound is None or key is None:
        raise Unavailable("not-bound", "cannot work: this device has no owner; bind it first")
    place = Workplace(state, settings, clock, bound, key)
    ledger = Ledger(state.reports, key)
    ledger.see_boot(clock.boot_id())
    findings = Findings()
    try:
        before = standing(state, clock, bound).view
    except AllodError:
        before = None  # acceptance will say so; what was interrupted is mended all the same
    place.engine(place.world(None, before), ledger, findings).recover(before)
    with open_transport(place, stick) as transport:
        link = Link(state, clock, bound, key, transport, on_stick=stick is not None)
        found = _accepted(link, state)
        if found.view is None:
            raise found.failure or Unavailable("no-view", "cannot work: nothing was accepted yet")
        return _converge(place, ledger, findings, transport, found, found.view, stick)


def _accepted(link: Link, state: StateDir) -> Acceptance:
    """What the owner says; if that can't be known safely, nobody's word, so that nothing changes.

    Raises:
        Untrusted: nothing was accepted before either.
    """
    try:
        return link.look()
    except Untrusted as error:
        last = load_view(state.accepted)
        if last is None:
            raise
        alarm = Alarm(code=error.code, says=error.message)
        wordless = replace(
            last, documents={}, authorities={}, delegates={}, alarms=(*last.alarms, alarm)
        )
        return Acceptance(wordless, fresh=False, failure=error)


def _converge(
    place: Workplace,
    ledger: Ledger,
    findings: Findings,
    transport: Transport,
    found: Acceptance,
    view: View,
    stick: Path | None,
) -> int:
    world = place.world(transport, view)
    engine = place.engine(world, ledger, findings)
    outcome: Outcome = engine.converge(view)
    if not outcome.handed_over and found.fresh:
        engine.prove()
        mark_verified(str(place.state.root))
    reporter = Reporter(world, ledger, place.settings.heartbeat_seconds)
    reporter.report(engine, outcome, view)
    path = f"devices/{view.device}/reports"
    why = deliver_all(ledger, lambda signed: transport.post(path, signed), acknowledges=not stick)
    if why:
        _LOG.warning("reports wait: %s", why)
    wish = next_wish(outcome, world.clock.now())
    if wish is not None:
        ask_to_wake(str(place.state.root), wish.timestamp())
    if outcome.handed_over:
        return EXIT_HANDED_OVER
    try:
        engine.restart(outcome)
    except AllodError as error:
        _LOG.error("%s", error)
        return EXIT_FAILED
    return EXIT_DONE if found.fresh else EXIT_UNREACHED


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the worker; returns the exit status."""
    parser = argparse.ArgumentParser(prog="allod.agent.worker", description=__doc__.split("\n")[0])
    parser.add_argument("--state", type=Path, default=DEFAULT, metavar="DIR")
    parser.add_argument("--once", action="store_true", help="converge once (what it always does)")
    parser.add_argument("--boot", action="store_true", help="the machine has just started")
    parser.add_argument("--from", dest="stick", type=Path, metavar="DIR", help="read a stick")
    given = parser.parse_args(arguments)
    level = os.environ.get("ALLOD_LOG", "WARNING").upper()
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        state = open_state(given.state)
        with state.lock():
            return run(state, stick=given.stick)
    except AllodError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except OSError as error:
        sys.stderr.write(f"cannot go on: {error}; what runs goes on\n")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
