"""``edgekit report``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.cli.output import command


def report(
    results: Annotated[list[str], typer.Argument(metavar="KIT|RESULT...", help="Kits, or files that --json printed.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write .html, .md or .csv. Default: this terminal."),
    ] = None,
    strict: options.Strict = False,  # noqa: ARG001 -- the same on every command; nothing is judged here
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show stored results, or write them to a file."""
    with command(json, quiet, debug) as out:
        from edgekit.report.render import report as render

        out.show(render(results, output))
