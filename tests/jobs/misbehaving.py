"""A job that does on purpose what converters do by accident."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from edgekit.errors import DataError
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.types import Blob


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
    """

    how: str
    files: tuple[Blob, ...] = ()

    def run(self, work: Workspace) -> Outcome:
        done: Any = getattr(self, f"_{self.how}")(work)
        return done if isinstance(done, Outcome) else Outcome(os.getpid(), str(done))

    def _nothing(self, work: Workspace) -> str:
        return "done"

    def _home(self, work: Workspace) -> str:
        return os.path.expanduser("~")

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

    def _copy(self, work: Workspace) -> Outcome:
        (work.folder / "copy.bin").write_bytes(b"".join(work.path(blob).read_bytes() for blob in self.files))
        return Outcome(os.getpid(), "copied", (work.blob("copy.bin"),))

    def _spawn(self, work: Workspace) -> str:
        child = os.fork()
        if child == 0:
            time.sleep(3600)
        time.sleep(3600)
        return ""
