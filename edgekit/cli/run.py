"""``edgekit run``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.cli.output import command


def run(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[edgekit.toml | MODEL...]", help="A project file or models. Default: edgekit.toml here."
        ),
    ] = None,
    target: options.Targets = None,
    precision: options.Precisions = None,
    data: options.Data = None,
    columns: options.Columns = None,
    eval_data: options.EvalData = None,
    labels: options.Labels = None,
    metric: options.Metric = "accuracy",
    max_drop: options.MaxDrop = None,
    trials: options.Trials = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="KIT", help="Folder of the kit.")] = None,
    input: options.Inputs = None,
    backend: options.Backend = "auto",
    device: options.Devices = None,
    threads: options.Threads = None,
    max_seconds: options.MaxSeconds = None,
    runtimes: options.OldRuntimes = None,
    custom_objects: options.CustomObjects = None,
    submodel: options.Submodel = None,
    trust_code: options.TrustCode = False,
    replace: options.Replace = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do and measure everything again.")] = False,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Take models the whole way, and recommend what to deploy.

    Export, quantize, check, time and report. A second run with nothing changed shows the stored result.
    """
    with command(json, quiet, debug) as out:
        from edgekit.data.spec import with_columns
        from edgekit.project import Settings, planned, run_all

        settings = Settings(
            target=tuple(target or ()),
            precision=tuple(precision or ()),
            data=with_columns(data, columns or ()),
            eval_data=with_columns(eval_data, (columns or ()) if eval_data else ()),
            labels=labels,
            metric=metric,
            max_drop=max_drop,
            trials=trials,
            output=output,
            input=tuple(input or ()),
            backend=backend,
            device=tuple(device or ()),
            threads=threads,
            max_seconds=max_seconds,
            runtimes=tuple(runtimes or ()),
            custom_objects=tuple(custom_objects or ()),
            submodel=submodel,
            trust_code=trust_code,
        )
        jobs = planned(models or (), settings)
        with out.reporter() as reporter:
            result = run_all(jobs, replace_source=replace, fresh=fresh, strict=strict, reporter=reporter)
        out.show(result)
