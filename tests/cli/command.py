"""The real ``edgekit`` console script, as a user would run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The script of this environment.
SCRIPT = str(Path(sys.executable).with_name("edgekit"))

#: What a worker's command line holds.
WORKER = b"edgekit.jobs"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; anything else there is a failure."""
        document: dict[str, Any] = json.loads(self.out)
        assert document["ok"] is (self.code == 0)
        return document

    @property
    def error(self) -> dict[str, str]:
        """What ``--json`` says about an error, which stderr says in words too."""
        error: dict[str, str] = self.document["error"]
        assert self.document["schema"] == "edgekit.error/1"
        assert error["message"] in self.err
        assert error["hint"] in self.err
        return error


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """A user's environment: nothing that the tests set for themselves."""
    ours = ("KERAS_BACKEND", "JAX_PLATFORMS")
    return {**{name: value for name, value in os.environ.items() if name not in ours}, **(variables or {})}


def edgekit(
    *arguments: str | Path, cwd: Path, variables: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> Done:
    """Run a command to its end.

    Args:
        arguments: of ``edgekit``.
        cwd: where.
        variables: set on top of a user's environment.
        prefix: a program that runs the script.
    """
    done = subprocess.run(
        [*prefix, SCRIPT, *map(str, arguments)],
        cwd=cwd,
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a command and return at once."""
    return subprocess.Popen(
        [SCRIPT, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the running workers of a command."""
    return [pid for pid, parent in _workers() if parent == process.pid]


def running(workers: list[int]) -> list[int]:
    """Those of some workers that still run; the number of an ended one may belong to another program."""
    alive = {pid for pid, _ in _workers()}
    return [pid for pid in workers if pid in alive]


def _workers() -> Iterator[tuple[int, int]]:
    """Process id and parent of every worker on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            status = (folder / "stat").read_text()
        except OSError:  # it has ended
            continue
        if WORKER in command:
            yield int(folder.name), int(status.rpartition(")")[2].split()[1])


def wait_for(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value of a function.

    Raises:
        AssertionError: it stayed false.
    """
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def copied(kit: Path, folder: Path) -> Path:
    """A copy of a kit that a test may change."""
    return Path(shutil.copytree(kit, folder / "kit"))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative path; the lock holds nothing."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
