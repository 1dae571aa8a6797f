"""``edgekit predict``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def predict(
    kit: options.KitOrArtifact,
    data: Annotated[
        str,
        typer.Option(
            "--data", metavar="DATA", help="Samples: .npz, .npy, .csv, .parquet, a folder of images, or file.py:name."
        ),
    ],
    columns: options.Columns = None,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="Where to write the outputs, by name.")
    ] = "out.npz",
    labels: options.Labels = None,
    target: Annotated[str | None, typer.Option("--target", metavar="TARGET", help="Which artifact of a kit.")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="PRECISION", help="Which artifact of a kit.")
    ] = None,
    device: options.Device = "local",
    runtime: options.Runtime = "",
    allow_fallback: options.AllowFallback = False,
    strict: options.Strict = False,  # noqa: ARG001 -- the same on every command; nothing is judged here
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Run every sample of a data file through an artifact."""
    with command(json, quiet, debug) as out:
        from edgekit.data.spec import with_columns

        with out.reporter() as reporter:
            result = edgekit.predict(
                kit,
                with_columns(data, columns or ()) or data,
                output=output,
                labels=labels,
                target=target or "",
                precision=precision or "",
                device=device,
                runtime=runtime,
                allow_fallback=allow_fallback,
                reporter=reporter,
            )
        out.show(result)
