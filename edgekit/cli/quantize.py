"""``edgekit quantize``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def quantize(
    kit: options.KitOrArtifact,
    data: options.Data = None,
    columns: options.Columns = None,
    precision: options.Precisions = None,
    target: options.Targets = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", metavar="NAME|FILE.toml|ARTIFACT", help="Only this recipe, instead of a search."),
    ] = None,
    model_kind: Annotated[
        str,
        typer.Option("--model-kind", metavar="KIND", help="auto, convolutional, transformer, recurrent or other."),
    ] = "auto",
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="LAYER", help="Leave a layer, type:KIND or a pattern in float. Repeatable."),
    ] = None,
    io: Annotated[str, typer.Option("--io", metavar="TYPE", help="Inputs and outputs: float or int8.")] = "float",
    eval_data: options.EvalData = None,
    labels: options.Labels = None,
    metric: options.Metric = "accuracy",
    max_drop: options.MaxDrop = None,
    trials: options.Trials = None,
    max_seconds: Annotated[
        float | None,
        typer.Option("--max-seconds", metavar="S", help="Longest search per artifact. Default: 5 times the first try."),
    ] = None,
    device: options.Device = "local",
    pays: Annotated[bool, typer.Option("--pays/--no-pays", help="Time each artifact beside its fp32 parent.")] = True,
    must_pay: Annotated[bool, typer.Option("--must-pay", help="Fail a result that is shown not to be faster.")] = False,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Make nothing: rank the layers by the damage int8 does to each.")
    ] = False,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Quantize artifacts of a kit.

    Several recipes are tried, and layers given back to float to keep --max-drop. Each result is run on its engine and
    compared with the source on samples that took no part in the choice.
    """
    with command(json, quiet, debug) as out:
        from edgekit.data.spec import with_columns

        shared: dict[str, Any] = {
            "target": target or (),
            "recipe": recipe,
            "model_kind": model_kind,
            "ignore": ignore or (),
            "eval_data": with_columns(eval_data, (columns or ()) if eval_data else ()),
            "labels": labels,
            "metric": metric,
            "trials": trials,
            "max_seconds": max_seconds,
            "strict": strict,
        }
        samples = with_columns(data, columns or ())
        with out.reporter() as reporter:
            if sensitivity:
                options.refuse_with_sensitivity(io=io, max_drop=max_drop, must_pay=must_pay, precisions=precision or ())
                shared |= {"precision": precision[0]} if precision else {}
                result: Any = edgekit.sensitivity(kit, samples, reporter=reporter, **shared)
            else:
                result = edgekit.quantize(
                    kit,
                    samples,
                    precision=precision or (),
                    io=io,
                    max_drop=max_drop,
                    device=device,
                    pays=pays,
                    must_pay=must_pay,
                    reporter=reporter,
                    **shared,
                )
        out.show(result)
