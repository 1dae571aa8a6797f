"""How long work tells what it is doing. The library is silent unless a caller passes a `Reporter` of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgekit.jobs.protocol import Progress

#: Called with what a task does now.
Update = Callable[[Progress], None]


class Reporter:
    """Receives tasks and their progress; this one ignores them. Tasks run side by side, from several threads."""

    @contextmanager
    def task(self, name: str) -> Iterator[Update]:
        """A task from beginning to end, such as ``export onnx``."""
        yield lambda progress: None


SILENT = Reporter()
