"""``edgekit inspect``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .keras, .onnx, .xml or .tflite file.")],
    strict: options.Strict = False,  # noqa: ARG001 -- the same on every command; nothing is judged here
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show what a model file holds.

    And the code that runs it with its engine alone.
    """
    with command(json, quiet, debug) as out:
        out.show(edgekit.inspect(file))
