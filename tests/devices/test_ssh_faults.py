"""What can go wrong with a board, each on a real SSH server: a clear error, and the next job runs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import errors
from edgekit.devices import Device, open_device, opened_devices
from edgekit.jobs.channel import Limits
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Job
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.smoke import MODELS
from tests.devices.server import Server, left_behind, require_namespaces
from tests.jobs.misbehaving import Misbehave

ROOT = Path(__file__).parents[2]

#: Any job.
IDLE = Misbehave("nothing")


def refused(spec: str) -> errors.EdgekitError:
    """The error of a device that lets nobody in."""
    place = open_device(spec)
    with pytest.raises(errors.EdgekitError) as caught:
        place.context()
    place.close()
    return caught.value


def failed(spec: str, job: Job[Any] = IDLE) -> errors.EdgekitError:
    """The error of a job on a device that lets it in."""
    place = open_device(spec)
    with Executor() as executor, pytest.raises(errors.EdgekitError) as caught:
        executor.run_fresh(job, place.context())
    place.close()
    return caught.value


def test_an_unknown_host() -> None:
    error = refused("ssh://nobody@no-such-board.invalid")
    assert (error.code, error.exit_code) == ("unknown-host", 3)


def test_nothing_listens(server: Server) -> None:
    server.stop()
    assert refused(server.spec()).code == "device-unreachable"


def test_a_changed_host_key(server: Server) -> None:
    server.new_host_key()
    error = refused(server.spec())
    assert error.code == "host-key-changed"
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in error.hint
    server.trust()
    place = open_device(server.spec())
    place.context()
    place.close()


def test_a_host_that_was_never_seen(server: Server) -> None:
    server.known_hosts.write_text("")
    error = refused(server.spec())
    assert error.code == "host-key-unknown"
    assert f"ssh -p {server.port}" in error.hint


def test_a_refused_key(server: Server) -> None:
    (server.folder / "authorized_keys").write_text("")
    error = refused(server.spec())
    assert error.code == "key-refused"
    assert "ssh-copy-id" in error.hint


def test_an_account_that_is_closed(tmp_path: Path) -> None:
    require_namespaces()
    with Server(tmp_path / "server", session="echo This account is currently not available; exit 1") as server:
        error = refused(server.spec())
    assert (error.code, error.exit_code) == ("device-no-shell", 3)
    assert error.received == "This account is currently not available"


def test_a_configuration_that_is_not_there() -> None:
    error = refused("ssh://board?config=/nowhere/config")
    assert (error.code, error.exit_code) == ("bad-ssh-config", 3)
    assert "config=" in error.hint


def test_no_python(server: Server) -> None:
    error = failed(server.spec(python="/nowhere/python3"))
    assert (error.code, error.exit_code) == ("device-no-python", 3)
    assert "python=" in error.hint


def test_python_that_is_too_old(server: Server) -> None:
    old = next(iter(sorted((Path.home() / ".pyenv" / "versions").glob("3.[678].*/bin/python"))), None)
    if old is None:
        pytest.skip("there is no Python older than 3.9 here")
    error = failed(server.spec(python=old))
    assert error.code == "device-python-too-old"
    assert error.received is not None
    assert error.received.startswith("Python 3.")


def test_python_without_numpy(server: Server, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    spec = server.spec(python=tmp_path / "bare" / "bin" / "python")
    name, content = MODELS["onnx"]
    (tmp_path / name).write_bytes(content)
    error = failed(spec, relu_job(tmp_path))
    assert error.code == "device-lacks-package"
    assert "numpy" in error.message
    assert error.hint == f"Run: edgekit devices prepare {shlex.quote(spec)}"


def test_an_engine_that_is_missing(server: Server, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    packages = next((tmp_path / "bare" / "lib").glob("python*/site-packages"))
    for folder in ("numpy", "numpy.libs"):
        if (source := Path(np.__file__).parents[1] / folder).exists():
            (packages / folder).symlink_to(source)
    error = failed(server.spec(python=tmp_path / "bare" / "bin" / "python"), relu_job(tmp_path))
    assert (error.code, error.exit_code) == ("device-lacks-package", 3)
    assert "onnxruntime" in error.message
    assert "edgekit devices prepare" in error.hint


@pytest.mark.slow
def test_an_engine_that_is_too_old(server: Server, tmp_path: Path, old_engine: Path) -> None:
    error = failed(server.spec(python=old_engine), relu_job(tmp_path))
    assert (error.code, error.exit_code) == ("engine-too-old", 3)
    assert error.received == "1.16.3"


def relu_job(folder: Path) -> RunJob:
    """A job that names no file: the engine is looked for first."""
    return RunJob("onnxruntime", (), {}, (1,), OpenOptions())


def test_a_folder_that_cannot_be_written(server: Server) -> None:
    error = failed(server.spec(folder="/proc/edgekit"))
    assert (error.code, error.exit_code) == ("device-read-only", 3)
    assert "folder=" in error.hint


def test_a_home_that_is_read_only(tmp_path: Path) -> None:
    require_namespaces()
    home = tmp_path / "home"
    home.mkdir()
    with Server(tmp_path / "server", session=f"mount -t tmpfs -o ro none {home}; cd {home}") as server:
        error = failed(server.spec(folder=None))
    assert (error.code, error.exit_code) == ("device-read-only", 3)
    assert error.received is not None
    assert "Read-only file system" in error.received


def small_disk(folder: Path, part: str, kib: int) -> Server:
    """A server whose device keeps some of its files on a small disk, which is empty for each command."""
    require_namespaces()
    place = folder / "server" / "device" / part
    place.mkdir(parents=True)
    session = f"mount -t tmpfs -o size={kib}k none {place}"
    return Server(folder / "server", session=session, PYTHONPATH=str(ROOT))


def test_no_space_for_the_agent(tmp_path: Path) -> None:
    with small_disk(tmp_path, ".", 16) as server:
        error = failed(server.spec())
    assert (error.code, error.exit_code) == ("device-full", 3)
    assert "folder=" in error.hint


@pytest.mark.parametrize(
    ("part", "bytes_"), [("blobs", 3 << 20), ("jobs", 700 << 10)]
)  # too large; together with a copy
def test_no_space_for_the_files_of_a_job(executor: Executor, tmp_path: Path, part: str, bytes_: int) -> None:
    (tmp_path / "large.bin").write_bytes(os.urandom(bytes_))
    (tmp_path / "small.bin").write_bytes(b"small")
    with small_disk(tmp_path, part, 1024) as server, opened_devices(server.spec()) as (place,):
        large, small = executor.add(tmp_path / "large.bin"), executor.add(tmp_path / "small.bin")
        with pytest.raises(errors.MissingError) as caught:
            executor.run_fresh(Misbehave("copy", (large,)), place.context())
        assert executor.run_fresh(Misbehave("copy", (small,)), place.context()).text == "copied"
    assert caught.value.code == "device-full"
    assert "folder=" in caught.value.hint


def test_a_connection_cut_in_mid_transfer_is_taken_up_again(
    executor: Executor, board: Server, device: Device, tmp_path: Path
) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(64 << 20))
    blob = executor.add(source)
    part = board.device_folder / "blobs" / f"{blob.sha256}.part"

    def cut() -> None:
        while not part.exists() or part.stat().st_size < 1 << 20:
            time.sleep(0.001)
        board.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(errors.JobCrashed) as caught:
        executor.run_fresh(Misbehave("copy", (blob,)), device.context())
    cutter.join()
    assert caught.value.code == "connection-lost"
    left_behind(board)
    assert 1 << 20 <= part.stat().st_size < blob.size
    with part.open("r+b") as file:
        file.write(b"not what was sent")  # only a transfer that goes on from the end leaves this there
    with pytest.raises(errors.MissingError) as damaged:
        executor.run_fresh(Misbehave("copy", (blob,)), device.context())
    assert damaged.value.code == "damaged-transfer"
    result = executor.run_fresh(Misbehave("copy", (blob,)), device.context())
    assert result.files[0].sha256 == blob.sha256


def test_a_connection_cut_in_mid_run(executor: Executor, board: Server, device: Device) -> None:
    executor.run_fresh(Misbehave("nothing"), device.context())
    timer = threading.Timer(1.0, board.cut)
    timer.start()
    with pytest.raises(errors.JobCrashed) as caught:
        executor.run_fresh(Misbehave("spawn"), device.context())
    timer.join()
    assert caught.value.code == "connection-lost"
    assert left_behind(board) == []
    assert executor.run_fresh(Misbehave("nothing"), device.context()).text == "done"


def test_a_device_that_restarts(executor: Executor, board: Server, device: Device) -> None:
    executor.run(Misbehave("nothing"), device.context())
    board.stop()
    with pytest.raises(errors.EdgekitError) as caught:
        executor.run(Misbehave("nothing"), device.context())
    assert caught.value.code in ("connection-lost", "device-unreachable")
    board.start()
    assert executor.run(Misbehave("nothing"), device.context()).text == "done"


def test_what_a_killed_agent_left_goes_with_the_next_job(executor: Executor, board: Server, device: Device) -> None:
    jobs = board.device_folder / "jobs"

    def kill() -> None:
        while not list(jobs.glob("*/0*")):
            time.sleep(0.01)
        (folder,) = jobs.iterdir()
        os.kill(int(folder.name.partition("-")[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(errors.JobCrashed) as caught:
        executor.run_fresh(Misbehave("spawn"), device.context())
    killer.join()
    assert caught.value.code == "connection-lost"
    assert executor.run_fresh(Misbehave("nothing"), device.context()).text == "done"
    assert left_behind(board) == []
    assert running_workers(board) == []


def test_a_job_over_its_time_limit_leaves_no_orphan(board: Server, device: Device) -> None:
    with Executor(Limits(timeout_s=1.5, memory_bytes=1 << 30)) as executor:
        with pytest.raises(errors.JobTimedOut, match="after 2 s"):
            executor.run_fresh(Misbehave("spawn"), device.context())
        assert left_behind(board) == []
        assert running_workers(board) == []
        assert executor.run_fresh(Misbehave("nothing"), device.context()).text == "done"


def running_workers(board: Server) -> list[int]:
    """Processes whose current folder is one of a job there."""
    found, root = [], str(board.device_folder / "jobs")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = os.readlink(process / "cwd")
        except OSError:
            continue
        if where.startswith(root):
            found.append(int(process.name))
    return found


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("segfault", errors.JobCrashed, "the device died with signal SIGSEGV"),
        ("eat_memory", errors.JobOutOfMemory, "0.5 GiB"),
        ("raise", errors.JobFailed, "the graph has a cycle"),
        ("refuse", errors.DataError, "dtype float32"),
    ],
)
def test_a_bad_job_there_is_a_clear_error_and_the_next_one_runs(
    executor: Executor, device: Device, how: str, error: type[errors.EdgekitError], words: str
) -> None:
    with pytest.raises(error, match=words):
        executor.run(Misbehave(how), device.context())
    assert executor.run(Misbehave("nothing"), device.context()).text == "done"


def test_a_crash_quotes_what_the_process_said_last(executor: Executor, device: Device) -> None:
    with pytest.raises(errors.JobCrashed) as caught:
        executor.run_fresh(Misbehave("segfault"), device.context())
    assert caught.value.received is not None
    assert "about to read address zero" in caught.value.received


@pytest.fixture(scope="session")
def old_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of this version with an onnxruntime that edgekit does not work with."""
    folder = tmp_path_factory.mktemp("old-engine")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    python = folder / "bin" / "python"
    wanted = ["numpy<2", "onnxruntime==1.16.3"]
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stderr[-300:])
        pytest.skip(f"onnxruntime 1.16.3 could not be installed: {done.stderr.strip()[-300:]}")
    return python
