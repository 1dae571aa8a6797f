"""``edgekit inspect``."""

from __future__ import annotations

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def inspect(
    file: options.Model,
    input: options.Inputs = None,
    custom_objects: options.CustomObjects = None,
    submodel: options.Submodel = None,
    trust_code: options.TrustCode = False,
    strict: options.Strict = False,  # noqa: ARG001 -- the same on every command; nothing is judged here
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show what a model holds.

    And the code that runs it with its framework or engine alone.
    """
    with command(json, quiet, debug) as out:
        with out.reporter() as reporter:
            result = edgekit.inspect(
                file,
                inputs=input or (),
                custom_objects=custom_objects or (),
                submodel=submodel,
                trust_code=trust_code,
                reporter=reporter,
            )
        out.show(result)
