"""One worker process, as the host sees it: start, feed, watch, kill."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit import errors
from edgekit.jobs import memory
from edgekit.jobs.codec import from_json
from edgekit.jobs.disk import writing
from edgekit.jobs.protocol import Job, Progress, encode_job

#: Seconds between two looks at time and memory.
POLL_S = 0.2

#: Lines at the end of the worker's log that an error quotes, from this many bytes.
LOG_LINES = 25
LOG_BYTES = 1 << 16

#: Seconds that a process gets to end once it has closed its output, or was killed.
END_S = 5.0


@dataclass(frozen=True, slots=True)
class Context:
    """Where jobs run: an interpreter and environment variables. One worker serves one context.

    Attributes:
        name: for messages and progress, such as ``keras@jax``.
        env: variables on top of the inherited ones.
        python: the interpreter.
    """

    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What makes two contexts the same."""
        return self.python, tuple(sorted(self.env.items()))


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use.

    Attributes:
        timeout_s: wall time.
        memory_bytes: resident memory of the worker and its children.
    """

    timeout_s: float
    memory_bytes: int


class Worker:
    """A running ``python -m edgekit.jobs`` with a folder, a home and a log of its own.

    Use `run` for one job after another; after any `JobError` the worker is dead and must be replaced.
    """

    def __init__(self, context: Context, folder: Path) -> None:
        self.context = context
        self.folder = folder
        self._buffer = b""
        self._killed = False
        self._log = folder / "worker.log"
        home = folder / "home"
        with writing(folder):
            (home / "tmp").mkdir(parents=True)
            (home / "intel").mkdir()
            (home / "intel" / "openvino_telemetry").write_text("0")  # declined: `import openvino` reports its user else
            self._log.touch()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [context.python, "-m", "edgekit.jobs"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={**os.environ, **_private(home), **context.env},
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._readable, self._writable = selectors.DefaultSelector(), selectors.DefaultSelector()
        for pipe, selector, event in (
            (self._stdin, self._writable, selectors.EVENT_WRITE),
            (self._stdout, self._readable, selectors.EVENT_READ),
        ):
            os.set_blocking(pipe, False)
            selector.register(pipe, event)

    @property
    def alive(self) -> bool:
        """Whether it can take a job."""
        return not self._killed and self._process.poll() is None

    def run(
        self,
        job: Job[Any],
        job_id: str,
        limits: Limits,
        on_progress: Callable[[Progress], None],
        watch: Callable[[], None] = lambda: None,
    ) -> Any:
        """Execute one job and return its result.

        Args:
            job: what to do.
            job_id: the folder of the job in the worker's own.
            limits: of this job.
            on_progress: told what the job reports.
            watch: called several times a second while the job goes on.

        Raises:
            JobError: it crashed, ran past a limit or raised; the worker is dead then.
            EdgekitError: the job refused its input.
        """
        deadline = time.monotonic() + limits.timeout_s

        def check() -> None:
            self._enforce(limits, deadline)
            watch()

        try:
            self._send(json.dumps(encode_job(job, job_id)), check)
            for event in self._events(check):
                match event.pop("event"):
                    case "progress":
                        on_progress(from_json(Progress, event))
                    case "result":
                        return from_json(type(job).result_type(), event["result"])
                    case "error":
                        raise _rebuild(event)
            raise self._crash()
        except BaseException:  # after anything, an interrupt too, the worker's state is unknown
            self.close()
            raise

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the worker and its children."""
        return memory.tree_rss_bytes(self._process.pid)

    def kill(self) -> None:
        """Kill the worker and whatever it started, from any thread. A thread in `run` gets a `JobCrashed`."""
        if self._killed:
            return
        self._killed = True
        with suppress(ProcessLookupError, PermissionError):  # all of it has ended; macOS calls that no permission
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the worker and free its pipes. For the thread that uses it; safe to call twice."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: nothing can hurry it
            self._process.wait(END_S)
        for end in (self._readable, self._writable, self._process.stdin, self._process.stdout):
            assert end is not None
            end.close()

    def _send(self, line: str, check: Callable[[], None]) -> None:
        """Write a message, which a worker that hangs may never read."""
        rest = line.encode() + b"\n"
        while rest:
            if not self.alive:
                raise self._crash()
            if self._writable.select(POLL_S):
                try:
                    rest = rest[os.write(self._stdin, rest) :]
                except BrokenPipeError:
                    raise self._crash() from None
            check()

    def _events(self, check: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """What the worker says, until it ends. A child that it leaves behind may hold its pipe open."""
        while True:
            while b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                yield json.loads(line)
            ended = not self.alive  # looked up first: what it said last is still in the pipe
            if self._readable.select(0 if ended else POLL_S):
                piece = os.read(self._stdout, 1 << 16)
                if not piece:
                    return
                self._buffer += piece
            elif ended:
                return
            check()

    def _enforce(self, limits: Limits, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise errors.JobTimedOut(
                "job-timeout",
                f"the job in {self.context.name} was stopped after {limits.timeout_s:.0f} s.",
                hint="Allow more with EDGEKIT_JOB_TIMEOUT_S, or choose another route.",
            )
        if self.rss_bytes > limits.memory_bytes:
            raise errors.JobOutOfMemory(
                "job-out-of-memory",
                f"the job in {self.context.name} was stopped at {limits.memory_bytes / 2**30:.1f} GiB of memory.",
                hint="Allow more with EDGEKIT_JOB_MEMORY_GB, or choose another route.",
            )

    def _crash(self) -> errors.JobCrashed | errors.JobOutOfMemory:
        if self._killed:
            return errors.JobCrashed("stopped", "the command was stopped.", hint="Run it again.")
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            code = None
        tail = self._last_words()
        if code == -signal.SIGKILL:
            return errors.JobOutOfMemory(
                "job-killed",
                f"the process of {self.context.name} was killed from outside, most likely for memory.",
                received=tail or None,
                hint="Close other programs or use a machine with more memory.",
            )
        return errors.JobCrashed(
            "job-crashed",
            f"the process of {self.context.name} {_cause(code)}.",
            received=tail or None,
            hint="This is a fault of the library that ran there; choose another route or version.",
        )

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - LOG_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-LOG_LINES:])


def _cause(code: int | None) -> str:
    """How a process ended."""
    if code is None:
        return "closed its output without a result"
    if code >= 0:
        return f"died with exit status {code}"
    try:
        return f"died with signal {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have numbers only
        return f"died with signal {-code}"


def _private(home: Path) -> dict[str, str]:
    """Variables that keep a library's caches, settings and telemetry inside the job's own folder."""
    return {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "KERAS_HOME": str(home / ".keras"),
        "NNCF_CI": "1",  # switches NNCF's telemetry off, which is on by default
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONUNBUFFERED": "1",
    }


def _rebuild(event: dict[str, Any]) -> errors.EdgekitError:
    kind = errors.BY_NAME.get(event["type"], errors.JobFailed)
    error = kind(event["code"], event["message"], received=event["received"], hint=event["hint"])
    error.add_note(event["traceback"])
    return error
