"""Jobs on other machines, as the executor sees them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, JobCrashed
from edgekit.jobs import process as process_module
from edgekit.jobs.executor import Executor, parallel_jobs
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress, encode_job
from tests.jobs.misbehaving import Misbehave

ROOT = Path(__file__).parents[2]
HERE = Context("test", {"PYTHONPATH": str(ROOT)})


class Pipe:
    """A link to an agent of this machine, without any network."""

    def __init__(self, folder: Path, *, here: bool = False, silent_s: float = 60.0) -> None:
        self.key, self.here, self._folder = str(folder), here, folder
        self._code = f"import edgekit.jobs.agent as agent; agent.SILENT_S = {silent_s}; agent.main()"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self._code, str(self._folder)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT), "PATH": "", "TMPDIR": str(self._folder.parent)},
                start_new_session=True,
            )
        return self.process

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
        executor.run_fresh(Misbehave("nothing"), Context("board", link=Pipe(tmp_path / "board")))
    assert caught.value.code == "device-read-only"


def test_progress_tells_that_files_travel(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"some bytes")
    stages: list[Progress] = []
    with Executor() as executor:
        job = Misbehave("copy", (executor.add(tmp_path / "data.bin"),))
        link = Pipe(tmp_path / "board")
        result = executor.run_fresh(job, Context("board", link=link), stages.append)
        assert executor.path(result.files[0]).read_bytes() == b"some bytes"
    assert Progress("send files") in stages


def test_a_crash_there_is_no_broken_connection_however_late_it_is_heard_of(tmp_path: Path) -> None:
    link = Pipe(tmp_path / "board")

    def look_away(progress: Progress) -> None:
        assert link.process is not None
        link.process.wait(30)  # the agent has told of the crash, and has gone

    with Executor() as executor, pytest.raises(JobCrashed) as caught:
        executor.run_fresh(Misbehave("report_and_crash"), Context("board", link=link), look_away)
    assert caught.value.code == "job-crashed"
    assert "SIGSEGV" in caught.value.message


def test_a_host_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    """As when a cable is pulled: the device hears no end of the connection."""
    process = Pipe(tmp_path / "board", silent_s=1.0).start(tmp_path / "log")
    assert process.stdin is not None
    assert process.stdout is not None
    message = {"run": encode_job(Misbehave("spawn"), "0001"), "blobs": [], "timeout_s": 600.0, "memory_bytes": 1 << 30}
    process.stdin.write(json.dumps(message).encode() + b"\n")
    try:
        assert json.loads(process.stdout.readline())["event"] == "started"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
    assert not list((tmp_path / "board" / "jobs").iterdir())


def test_a_host_that_waits_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "BEAT_S", 0.1)
    link = Pipe(tmp_path / "board", silent_s=2.5)
    with Executor() as executor:
        done = executor.run_fresh(Misbehave("hold", argument="0 1 4"), Context("board", link=link))
    assert done.text == "held"
