"""Where commands put what they have: results to stdout, everything else to stderr, errors to an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.progress import Reporter

#: Columns where the output is no terminal.
WIDTH = 110


class Output:
    """The sink of one command."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json = as_json
        self._quiet = quiet

    @contextmanager
    def reporter(self) -> Iterator[Reporter]:
        """Progress on stderr, where somebody looks at it."""
        if self._quiet or not sys.stderr.isatty():
            from edgekit.progress import SILENT  # start-up stays light: --help needs none of this

            yield SILENT
            return
        from edgekit.cli.progress import TerminalReporter

        with TerminalReporter() as reporter:
            yield reporter

    def show(self, result: Any) -> NoReturn:
        """Print a result, and leave with 0 or its own exit code.

        Raises:
            typer.Exit: always.
        """
        if self._json:
            print(json.dumps(result.to_json(), indent=1))  # noqa: T201 -- the one place that writes to stdout
        else:
            from rich.console import Console

            from edgekit.report.terminal import view

            console = Console(width=_width(), highlight=False)
            with console.capture() as captured:
                console.print(view(result))
            shown = captured.get()
            if not sys.stdout.isatty():  # files and other programs have no use for the blanks that fill a line
                shown = "\n".join(line.rstrip() for line in shown.split("\n"))
            print(shown, end="")  # noqa: T201 -- drawn by Rich above
        raise typer.Exit(0 if result.ok else result.exit_code)


def _width() -> int | None:
    """None for a terminal, which tells; else what the user sets, or what the lines are made for."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS") else WIDTH


@contextmanager
def command(as_json: bool, quiet: bool, debug: bool) -> Iterator[Output]:
    """Run the body of a command; what it raises becomes words and an exit code.

    Raises:
        typer.Exit: with the code of the error.
    """
    try:
        yield Output(as_json=as_json, quiet=quiet)
    except EdgekitError as error:
        show_error(error, as_json, debug)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        show_error(EdgekitError("stopped", "stopped before it was done.", hint="Run it again."), as_json, debug)
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 -- the last net: a bug becomes exit code 70, with the traceback on request
        bug = EdgekitError(
            "internal-error",
            f"this is a bug in edgekit: {type(error).__name__}: {error}",
            hint="Run again with --debug, and report what it prints.",
        )
        show_error(bug.with_traceback(error.__traceback__), as_json, debug)
        raise typer.Exit(bug.exit_code) from None


def show_error(error: EdgekitError, as_json: bool, debug: bool) -> None:
    """Words to stderr, and with ``--json`` the one document to stdout."""
    if debug:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        fields = {"code": error.code, "message": error.message, "received": error.received, "hint": error.hint}
        document = {"schema": "edgekit.error/1", "ok": False, "verdict": "error", "error": fields}
        print(json.dumps(document, indent=1))  # noqa: T201 -- exactly one document, for errors too
    lines = [f"error: {error.message}"]
    if error.received:
        lines.append(f"  received: {error.received}")
    lines.append(f"  {error.hint}")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201 -- stderr is for people
