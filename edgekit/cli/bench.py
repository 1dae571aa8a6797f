"""``edgekit bench``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command


def bench(
    kits: Annotated[
        list[str],
        typer.Argument(metavar="KIT|ARTIFACT|MODEL...", help="Kits, artifacts or models to time side by side."),
    ],
    data: options.Data = None,
    columns: options.Columns = None,
    labels: options.Labels = None,
    target: options.Targets = None,
    precision: options.Precisions = None,
    runtime: options.TimedRuntimes = None,
    device: options.Devices = None,
    allow_fallback: options.AllowFallback = False,
    threads: options.Threads = None,
    cpus: options.Cpus = None,
    batch: Annotated[int | None, typer.Option("--batch", metavar="N", min=1, help="Samples per inference.")] = None,
    streams: Annotated[
        int | None,
        typer.Option(
            "--streams", metavar="N", min=1, help="Inferences side by side, for throughput. Default: the best."
        ),
    ] = None,
    input: options.TimedInputs = None,
    zero_copy: options.ZeroCopy = False,
    scenario: Annotated[
        str, typer.Option("--scenario", metavar="NAME", help="latency, throughput or cold.")
    ] = "latency",
    max_seconds: options.MaxSeconds = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="RESULT", help="A stored result to compare with.")
    ] = None,
    max_regression: Annotated[
        str | None, typer.Option("--max-regression", metavar="SHARE", help="Accepted slow-down, such as 5%.")
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Also show where the time goes, by operator.")] = False,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Time artifacts side by side, and the source beside them.

    Each runs in a fresh process, over several openings that take turns. --runtime keras:jax also times the kit's
    source in its own framework, so that you see what deployment gains.
    """
    with command(json, quiet, debug) as out:
        from edgekit.data.spec import with_columns

        with out.reporter() as reporter:
            result = edgekit.bench(
                kits,
                data=with_columns(data, columns or ()),
                labels=labels,
                target=target or (),
                precision=precision or (),
                runtime=runtime or (),
                device=device or "local",
                allow_fallback=allow_fallback,
                threads=threads,
                cpus=cpus,
                batch=batch,
                streams=streams,
                inputs=input or (),
                zero_copy=zero_copy,
                scenario=scenario,
                max_seconds=max_seconds,
                baseline=baseline,
                max_regression=options.share(max_regression, "--max-regression"),
                profile=profile,
                strict=strict,
                reporter=reporter,
            )
        out.show(result)
