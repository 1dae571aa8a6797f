"""What the benchmarks share: run a command, watch its memory, say where it ran."""

from __future__ import annotations

import os
import platform
import resource
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

#: Seconds between two looks at the memory of a process tree.
LOOK_S = 0.1

_PAGE = os.sysconf("SC_PAGE_SIZE")


class CommandFailed(RuntimeError):
    """A command that is measured ended with an error; its last words are in the message."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended well.

    Attributes:
        seconds: wall time from the start of the process to its end.
        peak_rss_bytes: most resident memory of the process and all below it at one look. A page that two of
            them share counts twice.
        foreign_cpus: CPUs that everything else on the machine kept busy meanwhile; 0 where there is no ``/proc``.
        stdout: what it printed.
    """

    seconds: float
    peak_rss_bytes: int
    foreign_cpus: float
    stdout: str


def run(command: Sequence[str | Path]) -> Ran:
    """Run a command in a fresh home folder, so that no cache of an earlier run helps it.

    Raises:
        CommandFailed: its exit status is not 0.
    """
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as home,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as log,
    ):
        telemetry = Path(home, "intel", "openvino_telemetry")
        telemetry.parent.mkdir()
        telemetry.write_text("0")  # declined
        others, started = foreign_cpu_s(), time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=log,
            env={**os.environ, "HOME": home, "PYTHONUNBUFFERED": "1"},
        )
        peak, ended = _watch(process)
        seconds = ended - started
        foreign_cpus = max(0.0, (foreign_cpu_s() - others) / seconds)
        output.seek(0)
        log.seek(0)
        text, words = output.read(), log.read()
    if process.returncode:
        command_line = shlex.join(map(str, command))
        raise CommandFailed(f"{command_line}: exit status {process.returncode}\n{(words or text)[-2000:]}")
    return Ran(seconds, peak, foreign_cpus, text)


def _watch(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for the end. Returns the highest sum of resident memory, and when the process ended."""
    over = threading.Event()
    looks = [0]

    def look() -> None:
        while not over.wait(LOOK_S):
            looks.append(tree_rss_bytes(process.pid))

    thread = threading.Thread(target=look)
    thread.start()
    process.wait()  # without a limit, which would make it look only every 50 ms
    ended = time.perf_counter()
    over.set()
    thread.join()
    return max(looks), ended


def foreign_cpu_s() -> float:
    """CPU seconds of the whole machine since its start, less those of the processes that were started here."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.read_text().split(maxsplit=9)[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return busy - own.ru_utime - own.ru_stime


def tree_rss_bytes(pid: int) -> int:
    """Resident bytes of a process and everything below it; 0 where it is gone or there is no ``/proc``."""
    folder = Path("/proc", str(pid))
    try:
        pages = int((folder / "statm").read_text().split()[1])
        children = " ".join((task / "children").read_text() for task in (folder / "task").iterdir()).split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * _PAGE + sum(tree_rss_bytes(int(child)) for child in children)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every column but the first is right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_between(document: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of a document.

    Raises:
        ValueError: the document has no such marks.
    """
    before, found, rest = document.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document} has no {begin} and {end}")
    document.write_text(f"{before}{begin}\n{text}{end}{after}")


def conditions(distributions: Sequence[str], command: str) -> str:
    """When, where and on which versions a table was measured, and the command that measures it again.

    Args:
        distributions: that took part, those that are installed.
        command: that makes the table.
    """
    installed = {one.name for one in metadata.distributions()}
    named = ("edgekit", *(name for name in distributions if name in installed))
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in named)
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, {cpu()}, {os.cpu_count()} logical CPUs, Python {platform.python_version()}, {versions}. `{command}`"


def cpu() -> str:
    """Model name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
