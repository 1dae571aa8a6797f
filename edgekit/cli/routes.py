"""``edgekit routes``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def routes(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A .keras file. Default: every converter.")
    ] = None,
    target: options.Targets = None,
    strict: options.Strict = False,  # noqa: ARG001 -- the same on every command; nothing is judged here
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show the converters, or the routes of a model.

    With what is missing here, and the command that adds it.
    """
    with command(json, quiet, debug) as out:
        out.show(edgekit.routes(model, target or "all"))
