"""The ``edgekit`` command. Parses, calls one library function, hands the result to the output."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

import edgekit
from edgekit.cli.bench import bench
from edgekit.cli.check import check
from edgekit.cli.compare import compare
from edgekit.cli.devices import devices
from edgekit.cli.doctor import doctor
from edgekit.cli.export import export
from edgekit.cli.inspect_ import inspect
from edgekit.cli.output import show_error
from edgekit.cli.predict import predict
from edgekit.cli.quantize import quantize
from edgekit.cli.report import report
from edgekit.cli.routes import routes
from edgekit.cli.run import run
from edgekit.errors import UsageError

app = typer.Typer(
    name="edgekit",
    help="From a trained model to artifacts that are proven on a device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # Rich help costs three times the start-up
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for function in (run, export, quantize, check, bench, compare, predict, report, inspect, routes, doctor):
    app.command()(function)
app.add_typer(devices)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgekit {edgekit.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From a trained model to artifacts that are proven on a device."""


def main() -> None:
    """Entry point of the console script."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    if "--json" not in sys.argv:
        app()
    try:
        sys.exit(app(standalone_mode=False))
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # Typer found a fault in the usage: its exceptions have no public name to catch them by.
        usage = UsageError("bad-usage", error.format_message(), hint="See --help.")
        show_error(usage, as_json=True, debug=False)
        sys.exit(usage.exit_code)


def _stop(_number: int, _frame: object) -> None:
    """End as after Ctrl-C: workers are killed and folders removed on the way out."""
    raise KeyboardInterrupt
