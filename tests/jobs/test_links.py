"""Jobs on other machines, as the executor sees them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, JobCrashed
from edgekit.jobs.executor import Executor, parallel_jobs
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from tests.jobs.misbehaving import Misbehave

ROOT = Path(__file__).parents[2]
HERE = Context("test", {"PYTHONPATH": str(ROOT)})


class Pipe:
    """A link to an agent of this machine, without any network."""

    def __init__(self, folder: Path, *, here: bool) -> None:
        self.key, self.here, self._folder = str(folder), here, folder

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        code = "from edgekit.jobs.agent import main; main()"
        with log.open("ab") as stderr:
            return subprocess.Popen(
                [sys.executable, "-c", code, str(self._folder)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT), "PATH": ""},
                start_new_session=True,
            )

    def lost(self, code: int | None, said: str) -> EdgekitError:
        return JobCrashed("connection-lost", f"the agent ended with {code}: {said}", hint="Run it again.")

    def explain(self, error: EdgekitError) -> EdgekitError:
        return error


@pytest.mark.parametrize("here", [False, True])
def test_an_emulated_device_waits_for_a_timing_here_and_a_real_one_does_not(tmp_path: Path, *, here: bool) -> None:
    there = Context("board", link=Pipe(tmp_path / "board", here=here))
    ended: list[str] = []
    with Executor() as executor:
        timing = threading.Event()

        def time_here() -> None:
            with executor.session(HERE) as run:
                timing.set()
                run(Misbehave("hold", argument="0 1 4"))
            ended.append("timing")

        thread = threading.Thread(target=time_here)
        thread.start()
        timing.wait()
        while executor._slots._value == parallel_jobs():  # until it has taken them
            time.sleep(0.01)
        executor.run_fresh(Misbehave("nothing"), there)
        ended.append("device")
        thread.join()
    assert ended == (["timing", "device"] if here else ["device", "timing"])


def test_an_agent_that_dies_is_the_links_error(tmp_path: Path) -> None:
    (tmp_path / "board").write_text("no folder")
    with Executor() as executor, pytest.raises(EdgekitError) as caught:
        executor.run_fresh(Misbehave("nothing"), Context("board", link=Pipe(tmp_path / "board", here=False)))
    assert caught.value.code == "device-read-only"


def test_progress_tells_that_files_travel(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"some bytes")
    stages: list[Progress] = []
    with Executor() as executor:
        job = Misbehave("copy", (executor.add(tmp_path / "data.bin"),))
        link = Pipe(tmp_path / "board", here=False)
        result = executor.run_fresh(job, Context("board", link=link), stages.append)
        assert executor.path(result.files[0]).read_bytes() == b"some bytes"
    assert Progress("send files") in stages
