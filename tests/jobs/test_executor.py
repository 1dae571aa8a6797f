"""Jobs that crash, hang, eat memory or print must never hurt the host or the next job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgekit import errors
from edgekit.jobs.channel import Limits
from edgekit.jobs.executor import Executor, default_limits, parallel_jobs
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress, encode_job
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
        ("close_output", errors.JobCrashed, "closed its output"),
        ("raise", errors.JobFailed, "ValueError: the graph has a cycle"),
    ],
)
def test_a_bad_job_is_a_clear_error_and_the_next_job_runs(
    executor: Executor, how: str, error: type[errors.JobError], words: str
) -> None:
    with pytest.raises(error, match=words):
        executor.run(Misbehave(how), HERE)
    assert executor.run(Misbehave("nothing"), HERE).text == "done"


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="macOS has no real-time signals")
def test_a_signal_without_a_name_is_given_by_number(executor: Executor) -> None:
    with pytest.raises(errors.JobCrashed, match=f"signal {signal.SIGRTMIN + 1}"):
        executor.run(Misbehave("real_time_signal"), HERE)


def test_a_hang_ends_at_the_time_limit() -> None:
    with Executor(Limits(timeout_s=1.5, memory_bytes=1 << 30)) as executor:
        with pytest.raises(errors.JobTimedOut, match="after 2 s"):
            executor.run(Misbehave("hang"), HERE)
        assert executor.run(Misbehave("nothing"), HERE).text == "done"


def test_a_death_is_noticed_though_a_child_holds_the_pipe(executor: Executor) -> None:
    with pytest.raises(errors.JobCrashed, match="exit status 4") as caught:  # and no JobTimedOut
        executor.run(Misbehave("die_before_the_child"), HERE)
    assert caught.value.received is not None
    group, deadline = int(caught.value.received.split()[-1]), time.monotonic() + 30
    while _group_running(group) and time.monotonic() < deadline:  # a killed process takes a moment on a busy machine
        time.sleep(0.05)
    assert not _group_running(group)


def test_a_worker_that_reads_nothing_ends_at_the_time_limit() -> None:
    with Executor(Limits(timeout_s=2, memory_bytes=1 << 30)) as executor:
        executor.run(Misbehave("freeze_later"), HERE)
        time.sleep(0.6)
        with pytest.raises(errors.JobTimedOut):
            executor.run(Misbehave("nothing", argument="x" * (1 << 20)), HERE)  # more than a pipe holds
        assert executor.run(Misbehave("nothing", argument="x" * (1 << 20)), HERE).text == "done"


def test_a_warm_worker_that_died_while_idle_is_replaced(executor: Executor) -> None:
    pid = executor.run(Misbehave("nothing"), HERE).pid
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    # A process ends thread by thread, and can be waited for only when all are gone.
    while not (_only_zombies(pid) and len(os.listdir(f"/proc/{pid}/task")) == 1) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert executor.run(Misbehave("nothing"), HERE).pid != pid


def test_messages_hold_no_folder_that_differs_from_run_to_run(executor: Executor) -> None:
    with pytest.raises(errors.JobFailed) as foreign:
        executor.run(Misbehave("name_paths"), HERE)
    assert foreign.value.message == "ValueError: cannot read out/raw.onnx and home/tmp/x"
    with pytest.raises(errors.DataError) as own:
        executor.run(Misbehave("refuse_a_path"), HERE)
    assert str(own.value) == "raw.onnx is empty. Received: raw.onnx."


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
    deadline = time.monotonic() + 60  # on a busy machine
    while _group_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _group_running(worker)


def test_a_worker_that_was_given_the_next_job_early_still_goes_with_its_host(tmp_path: Path) -> None:
    """The second job lies in its pipe before the first one is done, as on a busy machine."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "edgekit.jobs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    jobs = [(tmp_path / name, encode_job(Misbehave(name), name)) for name in ("nothing", "spawn")]
    for folder, _ in jobs:
        folder.mkdir()
    worker.stdin.write("".join(json.dumps(envelope) + "\n" for _, envelope in jobs).encode())
    worker.stdin.flush()
    assert b"result" in worker.stdout.readline()
    time.sleep(1)  # the second job is under way, with a child of its own
    worker.stdin.close()
    worker.stdout.close()
    try:
        assert worker.wait(60) != 0
        deadline = time.monotonic() + 30
        while _group_running(worker.pid) and time.monotonic() < deadline:  # its child takes a moment on a busy machine
            time.sleep(0.05)
        assert not _group_running(worker.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stopped_host_leaves_neither_workers_nor_folders(number: signal.Signals, tmp_path: Path) -> None:
    script = """
        from edgekit.jobs.process import Context
        from edgekit.workbench import workbench
        from tests.jobs.misbehaving import Misbehave
        import os, signal
        def stop(number, frame):
            raise KeyboardInterrupt  # as the command line does
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        path = os.environ["PYTHONPATH"]
        contexts = [Context(name, {"PYTHONPATH": path, "NAME": name}) for name in "ab"]
        with workbench() as bench:
            print(*[bench.executor.run(Misbehave("nothing"), one).pid for one in contexts], flush=True)
            bench.side_by_side(lambda one: bench.executor.run(Misbehave("hang"), one), contexts)
    """
    host = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )
    assert host.stdout is not None
    workers = [int(pid) for pid in host.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(0.5)  # both jobs are under way
    host.send_signal(number)
    host.wait(20)
    host.stdout.close()
    assert not any(_group_running(worker) for worker in workers)
    assert not list(tmp_path.iterdir())


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


def context(name: str) -> Context:
    return Context(name, {**HERE.env, "NAME": name})


def test_idle_workers_make_room_for_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with Executor(Limits(timeout_s=20, memory_bytes=300 << 20)) as executor:  # 600 MiB for all
        oldest, middle = (executor.run(Misbehave("hold", argument="0 160 0"), context(name)).pid for name in "ab")
        executor.run(Misbehave("nothing"), context("c"))
        assert not _running(oldest)
        assert executor.run(Misbehave("nothing"), context("b")).pid == middle


def test_idle_workers_make_room_while_jobs_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with Executor(Limits(timeout_s=20, memory_bytes=250 << 20)) as executor:  # 500 MiB for all
        idle = executor.run(Misbehave("hold", argument="0 100 0"), context("idle")).pid
        executor.run(Misbehave("nothing"), context("idle"))
        threads = [
            threading.Thread(target=executor.run, args=(Misbehave("hold", argument="0.7 190 0.7"), context(name)))
            for name in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not _running(idle)


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_JOB_MEMORY_GB", "0.5")
    assert default_limits().memory_bytes == 512 << 20


@pytest.mark.parametrize("variable", ["EDGEKIT_JOB_TIMEOUT_S", "EDGEKIT_JOB_MEMORY_GB"])
@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-inf", "0", "-1", ""])
def test_a_limit_is_a_finite_number_above_zero(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.UsageError, match=variable):
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
