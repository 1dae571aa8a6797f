"""Jobs that crash, hang, eat memory or print must never hurt the host or the next job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit import errors
from edgekit.jobs.executor import Executor, default_limits, parallel_jobs
from edgekit.jobs.process import Context, Limits
from edgekit.jobs.protocol import Progress
from tests.jobs.misbehaving import Misbehave

ROOT = Path(__file__).parents[2]
HERE = Context("test", {"PYTHONPATH": str(ROOT)})


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(Limits(timeout_s=20, memory_bytes=400 << 20)) as made:
        yield made


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("segfault", errors.JobCrashed, "SIGSEGV"),
        ("eat_memory", errors.JobOutOfMemory, "0.4 GiB"),
        ("memory_error", errors.JobOutOfMemory, "cannot allocate"),
        ("be_killed", errors.JobOutOfMemory, "killed from outside"),
        ("exit", errors.JobCrashed, "exit status 3"),
        ("raise", errors.JobFailed, "ValueError: the graph has a cycle"),
    ],
)
def test_a_bad_job_is_a_clear_error_and_the_next_job_runs(
    executor: Executor, how: str, error: type[errors.JobError], words: str
) -> None:
    with pytest.raises(error, match=words):
        executor.run(Misbehave(how), HERE)
    assert executor.run(Misbehave("nothing"), HERE).text == "done"


def test_a_hang_ends_at_the_time_limit() -> None:
    with Executor(Limits(timeout_s=1.5, memory_bytes=1 << 30)) as executor:
        with pytest.raises(errors.JobTimedOut, match="after 2 s"):
            executor.run(Misbehave("hang"), HERE)
        assert executor.run(Misbehave("nothing"), HERE).text == "done"


def test_a_crash_quotes_what_the_process_said_last(executor: Executor) -> None:
    with pytest.raises(errors.JobCrashed) as caught:
        executor.run(Misbehave("segfault"), HERE)
    assert caught.value.received is not None
    assert "about to read address zero" in caught.value.received
    assert "Segmentation fault" in caught.value.received  # the Python stack that faulthandler writes


def test_a_refused_input_keeps_its_class_and_words(executor: Executor) -> None:
    with pytest.raises(errors.DataError) as caught:
        executor.run(Misbehave("refuse"), HERE)
    assert (caught.value.code, caught.value.received, caught.value.exit_code) == ("wrong-dtype", "int64", 2)


def test_what_a_library_prints_does_not_corrupt_the_protocol(executor: Executor) -> None:
    assert executor.run(Misbehave("print"), HERE).text == "said"


def test_jobs_of_one_context_share_a_process_and_fresh_ones_do_not(executor: Executor) -> None:
    first, second = (executor.run(Misbehave("nothing"), HERE).pid for _ in range(2))
    fresh = executor.run_fresh(Misbehave("nothing"), HERE).pid
    assert first == second != fresh


def test_a_session_is_one_fresh_process(executor: Executor) -> None:
    warm = executor.run(Misbehave("nothing"), HERE).pid
    with executor.session(HERE) as run:
        first, second = run(Misbehave("nothing")).pid, run(Misbehave("nothing")).pid
    assert first == second != warm


def test_progress_reaches_the_caller(executor: Executor) -> None:
    seen: list[Progress] = []
    executor.run(Misbehave("progress"), HERE, seen.append)
    assert seen == [Progress("count", done, 3) for done in (1, 2, 3)]


def test_blobs_go_in_and_come_out(executor: Executor, tmp_path: Path) -> None:
    source = tmp_path / "data.bin"
    source.write_bytes(b"some bytes")
    result = executor.run(Misbehave("copy", (executor.add(source),)), HERE)
    assert executor.path(result.files[0]).read_bytes() == b"some bytes"


def test_a_job_has_a_home_of_its_own(executor: Executor) -> None:
    assert executor.run(Misbehave("home"), HERE).text != os.path.expanduser("~")


def test_nothing_of_an_executor_is_left_behind() -> None:
    with Executor() as executor:
        pid = executor.run(Misbehave("nothing"), HERE).pid
        folder = executor.scratch()
    assert not folder.exists()
    assert not _running(pid)


def test_a_killed_host_leaves_no_worker(tmp_path: Path) -> None:
    script = """
        from edgekit.jobs.executor import Executor
        from edgekit.jobs.process import Context
        from tests.jobs.misbehaving import Misbehave
        import os, sys
        here = Context("test", {"PYTHONPATH": os.environ["PYTHONPATH"]})
        executor = Executor()
        print(executor.run(Misbehave("nothing"), here).pid, flush=True)
        executor.run(Misbehave("spawn"), here)
    """
    host = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )
    assert host.stdout is not None
    worker = int(host.stdout.readline())
    time.sleep(1)  # the second job is under way, with a child of its own
    host.send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    deadline = time.monotonic() + 10
    while _group_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _group_running(worker)


def test_a_job_that_has_the_machine_waits_for_the_others(executor: Executor) -> None:
    order: list[str] = []

    def convert() -> None:
        executor.run(Misbehave("progress"), HERE)
        order.append("conversion")

    with executor.session(HERE) as run:
        run(Misbehave("nothing"))
        threads = [threading.Thread(target=convert) for _ in range(3)]
        with executor._machine():
            for thread in threads:
                thread.start()
            time.sleep(0.3)
            order.append("timing")
        for thread in threads:
            thread.join()
    assert order == ["timing", *["conversion"] * 3]


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_JOB_MEMORY_GB", "0.5")
    assert default_limits().memory_bytes == 512 << 20
    monkeypatch.setenv("EDGEKIT_JOB_TIMEOUT_S", "soon")
    with pytest.raises(errors.UsageError, match="EDGEKIT_JOB_TIMEOUT_S"):
        default_limits()


def test_folders_of_killed_commands_are_removed_by_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, mine = tmp_path / f"edgekit-run-{ended.pid}-x", tmp_path / f"edgekit-run-{os.getpid()}-x"
    for folder in (left, mine):
        (folder / "worker").mkdir(parents=True)
    with Executor():
        assert not left.exists()
        assert mine.exists()


def test_two_jobs_at_most_stay_within_eight_gibibytes() -> None:
    assert parallel_jobs() * default_limits().memory_bytes <= 8 << 30


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _group_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return not _only_zombies(group)


def _only_zombies(group: int) -> bool:
    states = [stat.read_text().rsplit(")", 1)[1].split() for stat in Path("/proc").glob("[0-9]*/stat")]
    return all(state[0] == "Z" for state in states if int(state[2]) == group)
