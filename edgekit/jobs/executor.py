"""Runs jobs: places blobs, keeps one warm worker per context, lets independent jobs run side by side."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edgekit.errors import JobCrashed, UsageError
from edgekit.jobs.channel import Limits
from edgekit.jobs.disk import writing
from edgekit.jobs.process import Context, Worker
from edgekit.jobs.protocol import Job, Progress, blobs_in, file_in
from edgekit.jobs.store import BlobStore
from edgekit.types import Blob

T = TypeVar("T")

OnProgress = Callable[[Progress], None]

#: Most jobs at once. Two jobs of 4 GiB each stay within 8 GiB.
MAX_PARALLEL = 2

#: Folders of running commands, followed by the process id.
_PREFIX = "edgekit-run-"

#: An idle worker that holds more than this is replaced before its next job.
IDLE_BYTES = 2 << 30


def _ignore(progress: Progress) -> None:
    pass


def default_limits() -> Limits:
    """Limits of one job, from ``EDGEKIT_JOB_TIMEOUT_S`` (1800) and ``EDGEKIT_JOB_MEMORY_GB`` (4)."""
    return Limits(
        timeout_s=_number("EDGEKIT_JOB_TIMEOUT_S", 1800.0),
        memory_bytes=int(_number("EDGEKIT_JOB_MEMORY_GB", 4.0) * 2**30),
    )


class Executor:
    """Executes jobs for one command. A context manager: no worker outlives it.

    Thread-safe: callers run independent jobs from several threads, and the executor decides what may run
    side by side. Conversion jobs share one warm worker per context; a timing gets a fresh process (`session`)
    and the machine for itself. A job on a device takes no place here, and a device runs one at a
    time. Idle warm workers end when what all workers hold would pass what `parallel_jobs` jobs may use.

    Its folder goes with it: blobs, scratch space and one folder per living worker. A job's own folder goes with the
    job; files that the result names are kept as blobs.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or default_limits()
        with writing(Path(os.environ.get("TMPDIR", "/tmp"))):
            _sweep_killed()
            self._root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")).resolve()
            self._store = BlobStore(self._root / "blobs")
        self._warm: dict[object, Worker] = {}  # idle ones only, the least recently used first
        self._live: set[Worker] = set()
        self._locks: dict[object, threading.Lock] = {}
        self._guard = threading.RLock()  # a signal may stop the main thread while it holds this, and `close` needs it
        self._slots = threading.Semaphore(parallel_jobs())
        self._alone = threading.Lock()
        self._ids = itertools.count(1)
        self._closed = False

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for worker in list(self._live):
            self._retire(worker)
        shutil.rmtree(self._root, ignore_errors=True)

    def close(self) -> None:
        """Kill every worker, whatever it does, and start no more: the command is over. From any thread."""
        with self._guard:
            self._closed = True
            workers = list(self._live)
        for worker in workers:
            worker.kill()

    def add(self, path: Path, name: str | None = None) -> Blob:
        """Take in a local file as it is now, so that messages can name it.

        Raises:
            UsageError: it cannot be read, or there is no space for a copy.
        """
        return self._store.take(path, name or path.name)

    def path(self, blob: Blob) -> Path:
        """Where the content of a blob lies on this machine, until the executor closes. Not to be written to."""
        return self._store.path(blob)

    def scratch(self) -> Path:
        """A new empty folder that goes with the executor. A file in it that was added must not change any more."""
        with writing(self._root):
            return Path(tempfile.mkdtemp(dir=self._root, prefix="scratch-"))

    def run(self, job: Job[T], context: Context, on_progress: OnProgress = _ignore) -> T:
        """Execute a job in the warm worker of its context.

        Raises:
            EdgekitError: see `Worker.run`.
        """
        with self._guard:
            lock = self._locks.setdefault(context.key, threading.Lock())
        with lock, self._place(context), self._borrowed(context) as worker:
            return self._execute(worker, job, on_progress)

    def run_fresh(self, job: Job[T], context: Context, on_progress: OnProgress = _ignore) -> T:
        """Execute a job in a process of its own: the first load of a new artifact must not hurt another job."""
        with self._place(context), self._fresh(context) as worker:
            return self._execute(worker, job, on_progress)

    @contextmanager
    def session(self, context: Context, on_progress: OnProgress = _ignore) -> Iterator[Callable[[Job[T]], T]]:
        """A fresh process for several jobs that each have the machine for themselves: one artifact's timing.

        Args:
            context: where it runs.
            on_progress: told what the jobs report, and for whom they wait on a device.
        """
        with self._fresh(context) as worker:

            def run_alone(job: Job[T]) -> T:
                with self._machine() if context.link is None else self._place(context):
                    return self._execute(worker, job, on_progress)

            yield run_alone

    def release_all(self) -> None:
        """End the warm workers, which hold memory, when a command has no more jobs for them."""
        with self._guard:
            workers, self._warm = list(self._warm.values()), {}
        for worker in workers:
            self._retire(worker)

    @contextmanager
    def _place(self, context: Context) -> Iterator[None]:
        """One of the places on this machine, or the only one of a device; an emulated one takes both."""
        with ExitStack() as stack:
            if context.link is not None:
                with self._guard:
                    lock = self._locks.setdefault(context.link.key, threading.Lock())
                stack.enter_context(lock)
            if context.link is None or context.link.here:
                stack.enter_context(self._slots)
            yield

    @contextmanager
    def _machine(self) -> Iterator[None]:
        with self._alone:  # one taker of all slots at a time, else two would wait for each other
            taken = parallel_jobs()
            for _ in range(taken):
                self._slots.acquire()
            try:
                yield
            finally:
                self._slots.release(taken)

    @contextmanager
    def _borrowed(self, context: Context) -> Iterator[Worker]:
        """The warm worker of a context, started where there is none; it is idle again afterwards."""
        with self._guard:
            worker = self._warm.pop(context.key, None)
        if worker is not None and (not worker.alive or worker.rss_bytes > IDLE_BYTES):
            self._retire(worker)
            worker = None
        worker = worker or self._start(context)
        try:
            yield worker
        finally:
            if worker.alive:
                with self._guard:
                    self._warm[context.key] = worker
            else:
                self._retire(worker)

    @contextmanager
    def _fresh(self, context: Context) -> Iterator[Worker]:
        worker = self._start(context)
        try:
            yield worker
        finally:
            self._retire(worker)

    def _start(self, context: Context) -> Worker:
        with self._guard:
            if self._closed:
                raise JobCrashed("stopped", "the command was stopped.", hint="Run it again.")
            with writing(self._root):
                folder = Path(tempfile.mkdtemp(dir=self._root, prefix="worker-"))
            worker = Worker(context, folder)
            self._live.add(worker)
        return worker

    def _retire(self, worker: Worker) -> None:
        worker.close()
        with self._guard:
            self._live.discard(worker)
        shutil.rmtree(worker.folder, ignore_errors=True)

    def _make_room(self, needed_bytes: int, but: Worker | None = None) -> None:
        """End idle warm workers until what all workers hold, ``but`` one, leaves room within the budget."""
        budget = parallel_jobs() * self.limits.memory_bytes
        while True:
            with self._guard:
                if not self._warm:
                    return
                held = sum(worker.rss_bytes for worker in self._live if worker is not but)
                if held + needed_bytes <= budget:
                    return
                worker = self._warm.pop(next(iter(self._warm)))
            self._retire(worker)

    def _execute(self, worker: Worker, job: Job[T], on_progress: OnProgress) -> T:
        self._make_room(self.limits.memory_bytes, but=worker)
        job_id = f"{next(self._ids):04d}"
        folder = worker.folder / job_id
        try:
            with writing(folder):
                folder.mkdir()
                self._store.place(blobs_in(job), folder)
            result: T = worker.run(job, job_id, self.limits, on_progress, watch=lambda: self._make_room(0))
            for blob in blobs_in(result):
                self._store.keep(blob, file_in(folder, blob))
            return result
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep_killed() -> None:
    """Remove the folders of commands that were killed: nobody else can."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}[0-9]*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not _alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)  # of another user, it is theirs to remove


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def parallel_jobs() -> int:
    """How many jobs may run at once on this machine."""
    return max(1, min(MAX_PARALLEL, os.cpu_count() or 1))


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (math.isfinite(value) and value > 0):
        raise UsageError(
            "bad-setting", f"{variable} should be a finite number above zero.", received=text, hint=f"Unset {variable}."
        )
    return value
