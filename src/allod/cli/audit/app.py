"""The verbs of `allod audit`; each is loaded when it is used."""

from __future__ import annotations

from cyclopts import App

app = App(name="audit", help="Check what the fleet's logs prove.")
app.command(
    "allod.cli.audit.verify:verify",
    name="verify",
    help="Check logs, files and reports: from scratch, or since the last time.",
)
app.command(
    "allod.cli.audit.fork:fork", name="fork", help="Check evidence that a log told two histories."
)
app.command(
    "allod.cli.audit.watch:watch", name="watch", help="Look again and again; say each alarm once."
)
app.command(
    "allod.cli.audit.explain:explain", name="explain", help="What runs there, and who allowed it."
)
