"""A job that does on purpose what converters do by accident."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from edgekit.errors import DataError
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.types import Blob

#: What a library keeps for itself after a job.
_HELD: list[bytes] = []


@dataclass(frozen=True)
class Outcome:
    """What the job saw."""

    pid: int
    text: str
    files: tuple[Blob, ...] = ()


@dataclass(frozen=True)
class Misbehave(Job[Outcome]):
    """Do one thing.

    Attributes:
        how: a method of this class.
        files: blobs it may read.
        argument: what that method makes of it.
    """

    how: str
    files: tuple[Blob, ...] = ()
    argument: str = ""

    def run(self, work: Workspace) -> Outcome:
        done: Any = getattr(self, f"_{self.how}")(work)
        return done if isinstance(done, Outcome) else Outcome(os.getpid(), str(done))

    def _nothing(self, work: Workspace) -> str:
        return "done"

    def _home(self, work: Workspace) -> str:
        return os.path.expanduser("~")

    def _affinity(self, work: Workspace) -> str:
        return " ".join(map(str, sorted(os.sched_getaffinity(0))))

    def _segfault(self, work: Workspace) -> None:
        print("about to read address zero", file=sys.stderr, flush=True)
        ctypes.string_at(0)

    def _hang(self, work: Workspace) -> None:
        time.sleep(3600)

    def _eat_memory(self, work: Workspace) -> None:
        eaten = []
        while True:
            eaten.append(bytearray(os.urandom(1) * (16 << 20)))
            time.sleep(0.01)

    def _memory_error(self, work: Workspace) -> None:
        raise MemoryError("cannot allocate")

    def _be_killed(self, work: Workspace) -> None:
        os.kill(os.getpid(), 9)

    def _exit(self, work: Workspace) -> None:
        os._exit(3)

    def _raise(self, work: Workspace) -> None:
        raise ValueError("\n\nthe graph has a cycle\nand a second line")

    def _refuse(self, work: Workspace) -> None:
        raise DataError("wrong-dtype", "input x has dtype float32.", received="int64", hint="Convert it.")

    def _print(self, work: Workspace) -> str:
        print('{"event": "result", "result": {}}')  # what a chatty library could write
        os.write(1, b"straight to file descriptor 1\n")
        return "said"

    def _progress(self, work: Workspace) -> str:
        for done in range(3):
            work.progress(Progress("count", done + 1, 3))
        return "counted"

    def _report_and_crash(self, work: Workspace) -> None:
        work.progress(Progress("about to crash"))
        self._segfault(work)

    def _copy(self, work: Workspace) -> Outcome:
        (work.folder / "copy.bin").write_bytes(b"".join(work.path(blob).read_bytes() for blob in self.files))
        return Outcome(os.getpid(), "copied", (work.blob("copy.bin"),))

    def _spawn(self, work: Workspace) -> str:
        child = os.fork()
        if child == 0:
            time.sleep(3600)
        time.sleep(3600)
        return ""

    def _die_before_the_child(self, work: Workspace) -> None:
        if os.fork() == 0:
            time.sleep(3600)  # with the protocol's pipe in its hands
        print(f"group {os.getpgrp()}", file=sys.stderr, flush=True)
        os._exit(4)

    def _close_output(self, work: Workspace) -> None:
        os.closerange(3, 100)
        time.sleep(3600)

    def _real_time_signal(self, work: Workspace) -> None:
        os.kill(os.getpid(), signal.SIGRTMIN + 1)

    def _freeze_later(self, work: Workspace) -> str:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGSTOP)).start()
        return "answered"

    def _hold(self, work: Workspace) -> str:
        before_s, mebibytes, after_s = map(float, self.argument.split())
        time.sleep(before_s)
        _HELD.append(os.urandom(1) * (int(mebibytes) << 20))
        time.sleep(after_s)
        return "held"

    def _name_paths(self, work: Workspace) -> None:
        raise ValueError(f"cannot read {work.folder / 'out' / 'raw.onnx'} and {os.environ['TMPDIR']}/x")

    def _refuse_a_path(self, work: Workspace) -> None:
        path = str(work.folder / "raw.onnx")
        raise DataError("bad-file", f"{path} is empty.", received=path, hint="Write it.")

    def _read_outside(self, work: Workspace) -> str:
        return work.path(Blob("0" * 64, self.argument, 1)).read_text()

    def _write_into_the_input(self, work: Workspace) -> str:
        work.path(self.files[0]).write_bytes(b"scribbled")
        return "scribbled"
