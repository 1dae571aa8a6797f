"""``edgekit doctor``."""

from __future__ import annotations

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def doctor(
    strict: options.Strict = False,  # noqa: ARG001 -- the same on every command; nothing is judged here
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show what this environment can do.

    And the command that adds what it cannot.
    """
    with command(json, quiet, debug) as out:
        out.show(edgekit.doctor())
