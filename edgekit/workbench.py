"""What the stages of one command share: workers, progress and scratch space."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgekit.jobs.disk import writing
from edgekit.jobs.executor import Executor
from edgekit.progress import SILENT, Reporter
from edgekit.types import Blob

A = TypeVar("A")
R = TypeVar("R")

#: Seed of everything that is drawn: generated inputs, splits, subsets, bootstraps.
SEED = 0


@dataclass(frozen=True, slots=True)
class Workbench:
    """One command's shared state. Its files go when the command ends.

    Attributes:
        executor: runs jobs.
        reporter: shows progress.
        folder: scratch space.
    """

    executor: Executor
    reporter: Reporter
    folder: Path

    def scratch(self, name: str) -> Path:
        """A new empty folder."""
        with writing(self.folder):
            return Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{name}-"))

    def blobs(self, paths: Mapping[str, Path]) -> dict[str, Blob]:
        """Name arrays so that messages can hold them; file names are made unique."""
        return {
            name: self.executor.add(path, f"{index}-{path.name}") for index, (name, path) in enumerate(paths.items())
        }

    def side_by_side(self, work: Callable[[A], R], items: Sequence[A]) -> list[R]:
        """Work on every item in a thread of its own; results in order.

        When one raises or the user interrupts, the jobs of all of them end at once: the threads would go on otherwise.
        """
        with ThreadPoolExecutor(len(items)) as threads:
            futures = [threads.submit(work, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:  # an interrupt too: the threads would go on otherwise
                self.executor.close()
                raise


@contextmanager
def workbench(reporter: Reporter = SILENT) -> Iterator[Workbench]:
    """A workbench for one command; its workers and files go with it."""
    with Executor() as executor:
        yield Workbench(executor, reporter, executor.scratch())
