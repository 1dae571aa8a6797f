"""``edgekit quantize``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def quantize(
    kit: options.KitOrArtifact,
    data: options.Data = None,
    precision: options.Precisions = None,
    target: options.Targets = None,
    io: Annotated[str, typer.Option("--io", metavar="TYPE", help="Inputs and outputs: float or int8.")] = "float",
    eval_data: options.EvalData = None,
    labels: options.Labels = None,
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="Task metric: accuracy.")] = "accuracy",
    max_drop: options.MaxDrop = None,
    must_pay: Annotated[bool, typer.Option("--must-pay", help="Fail when the result is not faster.")] = False,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Quantize artifacts of a kit.

    Each result is run on its engine and compared with the source on samples that took no part in calibration.
    """
    with command(json, quiet, debug) as out:
        with out.reporter() as reporter:
            result = edgekit.quantize(
                kit,
                data,
                precision=precision or "int8",
                target=target or (),
                io=io,
                eval_data=eval_data,
                labels=labels,
                metric=metric,
                max_drop=max_drop,
                must_pay=must_pay,
                strict=strict,
                reporter=reporter,
            )
        out.show(result)
