"""``edgekit check``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def check(
    kit: options.KitOrArtifact,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="MODEL|ARTIFACT", help="Compare with this. Default: the kit's source."),
    ] = None,
    data: options.Data = None,
    columns: options.Columns = None,
    labels: options.Labels = None,
    metric: options.Metric = "accuracy",
    max_drop: options.MaxDrop = None,
    target: options.Targets = None,
    precision: options.Precisions = None,
    device: options.Devices = None,
    runtime: options.Runtimes = None,
    allow_fallback: options.AllowFallback = False,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", metavar="X", help="Bound on the absolute difference. Default: derived."),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Compare layer by layer too.")] = False,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare artifacts with their source.

    Runs them again, here and now; --against compares with another model or artifact.
    """
    with command(json, quiet, debug) as out:
        from edgekit.data.spec import with_columns

        with out.reporter() as reporter:
            result = edgekit.check(
                kit,
                against=against,
                data=with_columns(data, columns or ()),
                labels=labels,
                metric=metric,
                max_drop=max_drop,
                target=target or (),
                precision=precision or (),
                device=device or "local",
                runtime=runtime or (),
                allow_fallback=allow_fallback,
                tolerance=tolerance,
                layers=layers,
                strict=strict,
                reporter=reporter,
            )
        out.show(result)
