"""Boards over SSH, on a real server of this machine: what a job finds there, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices import Device, open_device, opened_devices, parse_device
from edgekit.devices.ssh.device import SshDevice, target_of
from edgekit.errors import MissingError, UsageError
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Progress
from edgekit.jobs.turn import MACHINE_LOCK
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.probing import ProbeJob
from edgekit.runtimes.smoke import MODELS
from tests.devices.server import Server, left_behind
from tests.jobs.misbehaving import Misbehave

ROOT = Path(__file__).parents[2]

#: A CPU that this process may use.
FIRST = min(os.sched_getaffinity(0))

#: All of them: its cores are of one kind.
ALL = " ".join(map(str, sorted(os.sched_getaffinity(0))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://pi@board:2222", ("board", "pi", 2222)),
        ("ssh://board", ("board", None, None)),
        ("ssh://pi@10.0.0.7/", ("10.0.0.7", "pi", None)),
        ("ssh://pi@[fe80::1%eth0]:22", ("fe80::1%eth0", "pi", 22)),
    ],
)
def test_addresses_are_read(text: str, expected: tuple[str, str | None, int | None]) -> None:
    target = target_of(parse_device(text))
    assert (target.host, target.user, target.port) == expected


def test_paths_there_start_at_the_users_home() -> None:
    device = open_device("ssh://pi@board?python=~/venv/bin/python&folder=~/edge kit")
    assert isinstance(device, SshDevice)
    assert (device.connection.target.python, device.folder) == ("venv/bin/python", "edge kit")


@pytest.mark.parametrize("text", ["ssh://", "ssh://pi@", "ssh://a b", "ssh://board:99999", "ssh://-oProxyCommand=x"])
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_device(text)
    assert caught.value.code == "bad-device-address"


def test_files_go_there_and_come_back_and_are_sent_once(
    executor: Executor, device: Device, board: Server, tmp_path: Path
) -> None:
    source = tmp_path / "data.bin"
    source.write_bytes(os.urandom(1 << 20))
    job, stages = Misbehave("copy", (executor.add(source),)), []
    for _ in range(2):
        result = executor.run_fresh(job, device.context(), lambda progress: stages.append(progress.stage))
        assert executor.path(result.files[0]).read_bytes() == source.read_bytes()
    assert stages.count("send files") == 1
    assert left_behind(board) == []


def test_a_login_shell_that_greets_is_no_obstacle(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".bashrc").write_text("echo Welcome to this board; echo 1 update is available")
    with (
        Server(tmp_path / "board", PYTHONPATH=str(ROOT), HOME=str(tmp_path / "home")) as server,
        opened_devices(server.spec()) as (device,),
    ):
        for _ in range(2):
            assert executor.run_fresh(Misbehave("nothing"), device.context()).text == "done"


def test_agents_of_other_versions_go_once_nobody_uses_them(executor: Executor, device: Device, board: Server) -> None:
    board.device_folder.mkdir()
    ages = {"agent-old.pyz": 40, "agent-new.pyz": 3}
    for name, days in ages.items():
        (board.device_folder / name).touch()
        os.utime(board.device_folder / name, (time.time() - days * 86400,) * 2)
    executor.run_fresh(Misbehave("nothing"), device.context())
    left = {path.name for path in board.device_folder.glob("agent-*")}
    assert "agent-new.pyz" in left
    assert "agent-old.pyz" not in left
    assert len(left) == 2  # and the one that ran


def test_progress_comes_from_the_device(executor: Executor, device: Device) -> None:
    seen: list[Progress] = []
    executor.run(Misbehave("progress"), device.context(), seen.append)
    assert seen == [Progress("count", done, 3) for done in (1, 2, 3)]


def test_jobs_of_one_context_share_a_process(executor: Executor, device: Device) -> None:
    first, second = (executor.run(Misbehave("nothing"), device.context()).pid for _ in range(2))
    assert first == second != executor.run_fresh(Misbehave("nothing"), device.context()).pid


def test_a_job_has_a_home_of_its_own_there(executor: Executor, device: Device, board: Server) -> None:
    home = Path(executor.run_fresh(Misbehave("home"), device.context()).text)
    assert board.device_folder / "jobs" in home.parents


def test_engines_write_nothing_outside_edgekits_folder(executor: Executor, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    name, model = MODELS["onnx"]
    (tmp_path / name).write_bytes(model)
    np.save(tmp_path / "x.npy", np.ones((1, 4), np.float32))
    files, x = (executor.add(tmp_path / name),), executor.add(tmp_path / "x.npy")
    with (
        Server(tmp_path / "board", HOME=str(home), device_folder=home / "edgekit") as server,
        opened_devices(server.spec()) as (device,),
    ):
        executor.run_fresh(RunJob("onnxruntime", files, {"x": x}, (1,), device.options()), device.context())
        executor.run_fresh(ProbeJob(), device.context())  # which imports every engine
        assert left_behind(server) == []
    assert [path.name for path in home.iterdir()] == ["edgekit"]
    names = {path.name.partition("-")[0] for path in (home / "edgekit").iterdir()}
    assert names == {"agent", "blobs", "jobs", "lock", "sending"}


def test_more_sessions_than_a_server_allows_on_one_connection(executor: Executor, device: Device) -> None:
    with ExitStack() as stack:
        runs = [stack.enter_context(executor.session(device.context())) for _ in range(12)]
        assert len({run(Misbehave("nothing")).pid for run in runs}) == 12


def test_a_device_that_was_closed_opens_again(executor: Executor, device: Device) -> None:
    executor.run_fresh(Misbehave("nothing"), device.context())
    device.close()
    device.close()
    assert executor.run_fresh(Misbehave("nothing"), device.context()).text == "done"


def test_two_runs_on_one_device_take_turns(executor: Executor, device: Device, board: Server) -> None:
    stages: list[str] = []
    started = threading.Event()

    def first() -> None:
        with Executor() as mine:
            place = open_device(board.spec())
            mine.run_fresh(Misbehave("hold", argument="0 1 2.0"), place.context(), lambda progress: started.set())
            place.close()

    executor.run(Misbehave("nothing"), device.context())
    other = threading.Thread(target=first)
    other.start()
    lock, deadline = board.folder / "tmp" / MACHINE_LOCK, time.monotonic() + 60
    while "process" not in lock.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    done = executor.run(Misbehave("nothing"), device.context(), lambda progress: stages.append(progress.stage))
    other.join()
    assert done.text == "done"
    assert [stage for stage in stages if stage.startswith(f"waiting for {board.user} from 127.0.0.1, process ")]


def clients_of(host: int) -> list[str]:
    """SSH clients that a process has opened connections with."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((process / "cmdline").read_text())
    return [command for command in found if f"edgekit-run-{host}-" in command]


@pytest.mark.parametrize(("cpus", "expected"), [("big", ALL), (str(FIRST), str(FIRST))])
def test_pinning_holds_there(executor: Executor, board: Server, cpus: str, expected: str) -> None:
    with opened_devices(board.spec(cpus=cpus)) as (device,):
        seen = executor.run_fresh(Misbehave("affinity"), device.context()).text
    assert seen == expected


def test_a_cpu_that_is_not_there(executor: Executor, board: Server) -> None:
    with opened_devices(board.spec(cpus=4095)) as (device,), pytest.raises(MissingError) as caught:
        executor.run_fresh(Misbehave("affinity"), device.context())
    assert caught.value.code == "no-such-cpu"


@pytest.mark.skipif(any(Path("/sys/devices/system/cpu/cpufreq").glob("policy*")), reason="this machine has governors")
def test_a_governor_where_there_is_none(executor: Executor, board: Server) -> None:
    with opened_devices(board.spec(governor="performance")) as (device,), pytest.raises(MissingError) as caught:
        executor.run_fresh(Misbehave("affinity"), device.context())
    assert caught.value.code == "no-governor"


def test_a_killed_host_leaves_nothing_there(board: Server, tmp_path: Path) -> None:
    script = f"""
from edgekit.devices import open_device
from edgekit.jobs.executor import Executor
from tests.jobs.misbehaving import Misbehave
device = open_device({board.spec()!r})
Executor().run(Misbehave("spawn"), device.context(), print)
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    host = subprocess.Popen([sys.executable, "-c", script], env=env)
    jobs, deadline = board.device_folder / "jobs", time.monotonic() + 30
    while not list(jobs.glob("*/0001")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # the job has a child of its own now
    agents = [int(path.name.partition("-")[0]) for path in jobs.iterdir()]
    host.send_signal(signal.SIGKILL)
    host.wait()
    assert agents
    assert left_behind(board) == []
    while (alive := [pid for pid in agents if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)  # it has removed its folder, and is on its way out
    assert not alive
    while (clients := clients_of(host.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not clients
