"""`allod audit verify`: a fleet's logs, files and reports, from scratch or since the last time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options
from allod.cli.options import now as clock
from allod.errors import InvalidInput

if TYPE_CHECKING:
    from allod.cli.audit.run import Result
    from allod.cli.audit.source import Source
    from allod.cli.audit.state import AuditDirectory
    from allod.domain.ids import FleetId
    from allod.trust.floors import Floors

FOUND: Final = 7  #: exit status: something is not as it should be
UNCHECKED: Final = 6  #: exit status: something could not be checked


def verify(
    *,
    from_: Annotated[Path | None, Parameter(name="--from")] = None,
    scratch: Annotated[bool, Parameter(negative="")] = False,
    fleet_id: str | None = None,
    root: Path | None = None,
    options: Options = OPTIONS,
) -> int:
    """Check the fleet's logs, the files and reports that they name, and what devices say.

    From where the last audit ended. Exit status: 0 nothing was found, 7 something was found,
    6 something could not be checked.

    Args:
        from_: A directory that 'allod export' wrote, in place of the server.
        scratch: From the first entry on, whatever was checked before.
        fleet_id: The fleet's id, for an auditor who is not its owner; with --from.
        root: The fleet's first root file, in place of its id.
        options: Options of every verb.
    """
    from allod.cli.audit.run import Audit
    from allod.cli.audit.say import as_data, in_words
    from allod.cli.in_force import patience

    source, fleet, directory, floors = place_of(options, from_, fleet_id, root)
    if scratch:
        directory.forget()
    with options.output.progress("Checking") as advance:
        result = Audit(
            source,
            fleet,
            directory,
            directory.load(),
            floors,
            clock(),
            advance,
            copy=from_ is not None,
            patience=0.0 if from_ is not None else patience(),
        ).run()
    options.output.result(as_data(result), in_words(result))
    return status_of(result)


def status_of(result: Result) -> int:
    """The exit status."""
    if result.findings:
        return FOUND
    return UNCHECKED if result.unchecked else 0


def place_of(
    options: Options, export: Path | None, fleet_id: str | None, root: Path | None
) -> tuple[Source, FleetId, AuditDirectory, Floors | None]:
    """Where to read, whose fleet it is, where to keep what was seen, and the owner's own floors.

    Raises:
        InvalidInput: `bad-arguments`, `which-fleet`.
        Unavailable: `no-fleet`, `no-server`, `no-floors`.
    """
    from allod.cli.audit.source import ExportSource, ServerSource
    from allod.cli.audit.state import AuditDirectory
    from allod.cli.fleet import home_directory
    from allod.domain.ids import parse_fleet
    from allod.trust.metadata import fleet_id as fleet_of

    if fleet_id is None and root is None:
        fleet = options.open()
        directory = AuditDirectory(fleet.directory / "audit", fleet.id)
        if export is None:
            return ServerSource(fleet.client), fleet.id, directory, fleet.floors
        return ExportSource(export.absolute(), fleet.id), fleet.id, directory, None
    if export is None:
        raise InvalidInput(
            "bad-arguments",
            "cannot audit another's fleet at a server: give --from with what its owner exported",
        )
    claimed = [] if fleet_id is None else [parse_fleet(fleet_id)]
    if root is not None:
        claimed.append(fleet_of(root.read_bytes()))
    if len(set(claimed)) != 1:
        raise InvalidInput("bad-arguments", "cannot audit: --root is not of --fleet-id")
    place = AuditDirectory(home_directory() / "audits" / claimed[0], claimed[0])
    return ExportSource(export.absolute(), claimed[0]), claimed[0], place, None
