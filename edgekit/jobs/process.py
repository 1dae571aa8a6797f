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
from edgekit.jobs.protocol import Job, Progress, encode_job

#: Seconds between two looks at time and memory.
POLL_S = 0.2

#: Lines of the worker's log that an error quotes.
LOG_LINES = 25


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
        self.alive = True
        self._buffer = b""
        home = folder / "home"
        (home / "tmp").mkdir(parents=True)
        (home / "intel").mkdir()
        (home / "intel" / "openvino_telemetry").write_text("0")  # declined: `import openvino` reports its user else
        self._log = folder / "worker.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [context.python, "-m", "edgekit.jobs"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={**os.environ, **_private(home), **context.env},
                start_new_session=True,
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def run(self, job: Job[Any], job_id: str, limits: Limits, on_progress: Callable[[Progress], None]) -> Any:
        """Execute one job and return its result.

        Raises:
            JobError: it crashed, ran past a limit or raised; the worker is dead then.
            EdgekitError: the job refused its input.
        """
        try:
            self._send(json.dumps(encode_job(job, job_id)))
            for event in self._events(limits):
                match event.pop("event"):
                    case "progress":
                        on_progress(from_json(Progress, event))
                    case "result":
                        return from_json(type(job).result_type(), event["result"])
                    case "error":
                        raise _rebuild(event)
            raise self._crash()
        except BaseException:
            self.close()
            raise

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the worker and its children."""
        return memory.tree_rss_bytes(self._process.pid)

    def close(self) -> None:
        """Kill the worker and whatever it started. Safe to call twice."""
        if not self.alive:
            return
        self.alive = False
        self._selector.close()
        with suppress(ProcessLookupError):  # it has ended on its own
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close_quietly(pipe)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._crash() from None

    def _events(self, limits: Limits) -> Iterator[dict[str, Any]]:
        deadline = time.monotonic() + limits.timeout_s
        while True:
            while b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                yield json.loads(line)
            if self._selector.select(POLL_S):
                assert self._process.stdout is not None
                piece = os.read(self._process.stdout.fileno(), 1 << 16)
                if not piece:
                    return
                self._buffer += piece
            self._enforce(limits, deadline)

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
        code = self._process.wait()
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])
        if code == -signal.SIGKILL:
            return errors.JobOutOfMemory(
                "job-killed",
                f"the process of {self.context.name} was killed from outside, most likely for memory.",
                received=tail or None,
                hint="Close other programs or use a machine with more memory.",
            )
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return errors.JobCrashed(
            "job-crashed",
            f"the process of {self.context.name} died with {cause}.",
            received=tail or None,
            hint="This is a fault of the library that ran there; choose another route or version.",
        )


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


def _close_quietly(pipe: Any) -> None:
    with suppress(BrokenPipeError):  # unsent bytes to a dead worker
        pipe.close()
