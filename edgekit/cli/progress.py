"""Progress for people: one line per task, with what it does now and since when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from edgekit.jobs.protocol import Progress as Step
from edgekit.progress import Reporter, Update


class TerminalReporter(Reporter):
    """Live lines on stderr. A context manager; finished tasks stay visible with their time."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            TextColumn("[dim]{task.fields[now]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def task(self, name: str) -> Iterator[Update]:
        identity = self._progress.add_task(name, total=1, now="starting")

        def update(step: Step) -> None:
            count = f" {step.done}/{step.total}" if step.total else ""
            self._progress.update(identity, now=f"{step.stage}{count}")

        try:
            yield update
        finally:
            self._progress.update(identity, completed=1, now="")
