"""One worker process from outside: feed it lines, hear its events, watch it, kill it. Part of the device core.

The host watches its workers through it, and so does the agent on a device.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from edgekit import errors
from edgekit.jobs import memory

#: Seconds between two looks at time and memory.
POLL_S = 0.2

#: Lines at the end of the worker's log that an error quotes, from this many bytes.
LOG_LINES = 25
LOG_BYTES = 1 << 16

#: Seconds that a process gets to end once it has closed its output, or was killed.
END_S = 5.0


@dataclass(frozen=True)
class Limits:
    """What one job may use.

    Attributes:
        timeout_s: wall time.
        memory_bytes: resident memory of the worker and its children.
    """

    timeout_s: float
    memory_bytes: int

    def enforce(self, name: str, deadline: float, rss_bytes: int) -> None:
        """Refuse a job that goes on too long or holds too much.

        Args:
            name: where it runs, for the message.
            deadline: on the monotonic clock.
            rss_bytes: what it holds now.

        Raises:
            JobError: it is past a limit.
        """
        if time.monotonic() > deadline:
            raise errors.JobTimedOut(
                "job-timeout",
                f"the job in {name} was stopped after {self.timeout_s:.0f} s.",
                hint="Allow more with EDGEKIT_JOB_TIMEOUT_S, or choose another route.",
            )
        if rss_bytes > self.memory_bytes:
            raise errors.JobOutOfMemory(
                "job-out-of-memory",
                f"the job in {name} was stopped at {self.memory_bytes / 2**30:.1f} GiB of memory.",
                hint="Allow more with EDGEKIT_JOB_MEMORY_GB, or choose another route.",
            )


class Channel:
    """The pipes of a running process. For one thread, but `kill` is for any.

    Attributes:
        process: with a pipe at its input and one at its output, leader of a process group.
        log: what it writes to its standard error.
        crashed: whether it was found to have ended without a result.
    """

    def __init__(self, process: subprocess.Popen[bytes], name: str, log: Path) -> None:
        self.process, self.log = process, log
        self._name = name
        self._buffer = b""
        self._killed = False
        self.crashed = False
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin.fileno(), process.stdout.fileno()
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
        return not self._killed and self.process.poll() is None

    @property
    def killed(self) -> bool:
        """Whether it was ended from here."""
        return self._killed

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process and its children."""
        return memory.tree_rss_bytes(self.process.pid)

    def kill(self) -> None:
        """Kill the process and whatever it started, from any thread. Who listens to it gets a `JobCrashed`."""
        if self._killed:
            return
        self._killed = True
        with suppress(ProcessLookupError, PermissionError):  # all of it has ended; macOS calls that no permission
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the process and free its pipes. For the thread that uses it; safe to call twice."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: nothing can hurry it
            self.process.wait(END_S)
        for end in (self._readable, self._writable, self.process.stdin, self.process.stdout):
            assert end is not None
            end.close()

    def send(self, data: bytes, check: Callable[[], None]) -> None:
        """Write something, which a process that hangs may never read.

        Args:
            data: a line with its end, or a piece of a file that a line announced.
            check: called several times a second meanwhile; it may raise.

        Raises:
            JobError: it has ended.
        """
        rest = memoryview(data)
        while rest:
            if not self.alive:
                raise self.crash()
            if self._writable.select(POLL_S):
                try:
                    rest = rest[os.write(self._stdin, rest) :]
                except BrokenPipeError:
                    raise self.crash() from None
            check()

    def nudge(self) -> None:
        """Send an empty line, which says no more than that somebody is there. What cannot be written is left."""
        with suppress(OSError):
            os.write(self._stdin, b"\n")

    def events(self, check: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """What the process says, until it ends. A child that it leaves behind may hold its pipe open."""
        while True:
            while b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                if line.startswith(b'{"event"'):  # the login shell of a device may have said something before
                    yield json.loads(line)
            if not self._read_more():
                return
            check()

    def content(self, size: int, check: Callable[[], None]) -> Iterator[bytes]:
        """The bytes that follow a line which announced them.

        Raises:
            JobError: the process ended before it had said them all.
        """
        while size:
            if not self._buffer:
                if not self._read_more():
                    raise self.crash()
                check()
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            if piece:
                yield piece

    def crash(self) -> errors.JobError:
        """The error for a process that has ended without a result."""
        self.crashed = True
        if self._killed:
            return errors.JobCrashed("stopped", "the command was stopped.", hint="Run it again.")
        code = self.exit_code()
        tail = self.last_words()
        if code == -signal.SIGKILL:
            return errors.JobOutOfMemory(
                "job-killed",
                f"the process of {self._name} was killed from outside, most likely for memory.",
                received=tail or None,
                hint="Close other programs or use a machine with more memory.",
            )
        return errors.JobCrashed(
            "job-crashed",
            f"the process of {self._name} {_cause(code)}.",
            received=tail or None,
            hint="This is a fault of the library that ran there; choose another route or version.",
        )

    def exit_code(self) -> Optional[int]:
        """Its exit status, negative for a signal; None while it goes on after it closed its output."""
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """The end of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - LOG_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-LOG_LINES:])

    def _read_more(self) -> bool:
        """Wait a moment for output; False when there will be no more."""
        ended = not self.alive  # looked up first: what it said last is still in the pipe
        if self._readable.select(0 if ended else POLL_S):
            piece = os.read(self._stdout, 1 << 16)
            self._buffer += piece
            return bool(piece)
        return not ended


def start_worker(folder: Path, name: str, python: str, env: Mapping[str, str]) -> Channel:
    """Start ``python -m edgekit.jobs`` with a home and a log of its own.

    Args:
        folder: empty; it works there.
        name: where it runs, for messages.
        python: the interpreter.
        env: variables on top of the inherited ones and of those that keep libraries inside the folder.

    Raises:
        OSError: the folder cannot be written.
    """
    home, log = folder / "home", folder / "worker.log"
    (home / "tmp").mkdir(parents=True)
    (home / "intel").mkdir()
    (home / "intel" / "openvino_telemetry").write_text("0")  # declined: `import openvino` reports its user else
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [python, "-m", "edgekit.jobs"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, **_private(home), **env},
            start_new_session=True,
        )
    return Channel(process, name, log)


def _cause(code: Optional[int]) -> str:
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
