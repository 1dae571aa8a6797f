"""``edgekit export``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def export(
    model: options.Model,
    target: options.Targets = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="KIT|FILE", help="Folder of the kit, or a file for a plain copy."),
    ] = None,
    data: options.Data = None,
    columns: options.Columns = None,
    labels: options.Labels = None,
    input: options.Inputs = None,
    backend: options.Backend = "auto",
    route: Annotated[str | None, typer.Option("--route", metavar="ROUTE", help="Only this route.")] = None,
    opset: Annotated[int | None, typer.Option("--opset", metavar="N", help="ONNX operator set.")] = None,
    runtimes: options.OldRuntimes = None,
    best: Annotated[bool, typer.Option("--best", help="Try every route and keep the fastest on the device.")] = False,
    device: options.Device = "local",
    custom_objects: options.CustomObjects = None,
    submodel: options.Submodel = None,
    trust_code: options.TrustCode = False,
    replace: options.Replace = False,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Export a trained model to ONNX, OpenVINO and TFLite.

    Each result is run on its engine and compared with the source before it is accepted.
    """
    with command(json, quiet, debug) as out:
        from edgekit.data.spec import with_columns

        with out.reporter() as reporter:
            result = edgekit.export(
                model,
                target or "all",
                output=output,
                data=with_columns(data, columns or ()),
                labels=labels,
                inputs=input or (),
                backend=backend,
                route=route,
                opset=opset,
                runtimes=runtimes or (),
                best=best,
                device=device,
                custom_objects=custom_objects or (),
                submodel=submodel,
                trust_code=trust_code,
                replace=replace,
                strict=strict,
                reporter=reporter,
            )
        out.show(result)
