"""Loading an artifact with what its engine kept of an earlier load. Part of the device core."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Optional

from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.registry import installed_runtime
from edgekit.types import Blob


@dataclass(frozen=True)
class CachedLoad:
    """A load with the engine's cache.

    Attributes:
        cache: what the engine keeps; empty where it offers no such thing.
        load_ms: opening the artifact, the import of the engine excluded; None where the cache was only written, or the
            engine compiled anew in spite of it.
    """

    cache: tuple[Blob, ...]
    load_ms: Optional[float]


@dataclass(frozen=True)
class CachedLoadJob(Job[CachedLoad]):
    """Load an artifact with the engine's cache, which is written where there is none.

    Attributes:
        runtime: name in the registry.
        files: the artifact, the entry file first.
        options: how to open it.
        cache: of an earlier job; empty for the first.
    """

    runtime: str
    files: tuple[Blob, ...]
    options: OpenOptions
    cache: tuple[Blob, ...] = ()

    def run(self, work: Workspace) -> CachedLoad:
        runtime = installed_runtime(self.runtime)
        if not runtime.caches:
            return CachedLoad((), None)
        runtime.version()  # imports the engine
        folder = work.folder / "cache"
        folder.mkdir()
        for blob in self.cache:
            work.path(blob).replace(folder / blob.name)
        started = time.perf_counter_ns()
        session = runtime.open(work.path(self.files[0]), replace(self.options, cache=str(folder)))
        load_ms = (time.perf_counter_ns() - started) / 1e6
        with session:
            hit = session.loaded_from_cache
        if self.cache:
            return CachedLoad(self.cache, load_ms if hit else None)
        names = sorted(path.name for path in folder.iterdir())
        for name in names:
            (folder / name).replace(work.folder / name)
        return CachedLoad(tuple(work.blob(name) for name in names), None)
