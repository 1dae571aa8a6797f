"""``edgekit compare``."""

from __future__ import annotations

from typing import Annotated

import typer

import edgekit
from edgekit.cli import options
from edgekit.cli.output import command

_WHAT = "A kit, an artifact, or a stored result of bench or run (.json)."


def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help=_WHAT)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same, held against BASE.")],
    data: options.Data = None,
    columns: options.Columns = None,
    labels: options.Labels = None,
    target: options.Targets = None,
    precision: options.Precisions = None,
    runtime: options.Runtimes = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="DEVICE", help="Where to run; of a stored result, what was timed there."),
    ] = None,
    allow_fallback: options.AllowFallback = False,
    threads: options.Threads = None,
    cpus: options.Cpus = None,
    batch: Annotated[int | None, typer.Option("--batch", metavar="N", min=1, help="Samples per inference.")] = None,
    input: options.TimedInputs = None,
    zero_copy: options.ZeroCopy = False,
    scenario: Annotated[
        str | None, typer.Option("--scenario", metavar="NAME", help="latency, throughput or cold.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", metavar="S", help="Time limit per pair. Default: 20.")
    ] = None,
    max_regression: Annotated[
        str | None, typer.Option("--max-regression", metavar="SHARE", help="Accepted slow-down, such as 5%.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE.md", help="Write a summary for a pull request.")
    ] = None,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Is NEW slower than BASE?

    Both take turns where they can run now; a stored result is compared with its own settings.
    """
    with command(json, quiet, debug) as out:
        from edgekit.data.spec import with_columns

        with out.reporter() as reporter:
            result = edgekit.compare(
                base,
                new,
                data=with_columns(data, columns or ()),
                labels=labels,
                target=target or (),
                precision=precision or (),
                runtime=runtime or (),
                device=device,
                allow_fallback=allow_fallback,
                threads=threads,
                cpus=cpus,
                batch=batch,
                inputs=input or (),
                zero_copy=zero_copy,
                scenario=scenario,
                max_seconds=max_seconds,
                max_regression=options.share(max_regression, "--max-regression"),
                strict=strict,
                output=output,
                reporter=reporter,
            )
        out.show(result)
