"""Emulated boards: what is refused, and a real one from its first package to its last process."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from edgekit.devices import open_device
from edgekit.devices.emulated import board as boards
from edgekit.devices.emulated import debian, image, launcher
from edgekit.devices.emulated.board import Board
from edgekit.devices.emulated.cores import CORES, assert_core, capabilities, core_named
from edgekit.devices.emulated.device import EmulatedDevice
from edgekit.devices.ssh.connection import Connection
from edgekit.errors import MissingError, UsageError
from edgekit.jobs.executor import Executor
from edgekit.runtimes.environment import probe
from edgekit.runtimes.probing import ProbeJob
from tests.devices.emulation import emulation

A72 = "qemu://aarch64?cpu=cortex-a72"


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ("qemu://aarch64?cpu=max", "bad-emulated-cpu", "INT8 wrongly"),
        ("qemu://aarch64?cpu=cortex-a99", "bad-emulated-cpu", "cortex-a99"),
        ("qemu://aarch64", "bad-emulated-cpu", "needs to be told"),
        ("qemu://riscv64?cpu=cortex-a72", "bad-emulated-cpu", "architecture"),
        ("qemu://aarch64?cpu=cortex-a72&suite=sid", "bad-suite", "release"),
        ("qemu://aarch64?cpu=cortex-a72&folder=x", "bad-device-option", "suite"),
    ],
)
def test_a_board_that_cannot_be_trusted_is_refused_with_the_reason(spec: str, code: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_device(spec)
    assert caught.value.code == code
    assert words in str(caught.value)


@pytest.mark.parametrize("name", sorted(CORES))
def test_the_files_of_a_core_are_those_that_a_kernel_shows(name: str, tmp_path: Path) -> None:
    core = CORES[name]
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(core.cpuinfo(2))
    core.write_sysfs(tmp_path / "sys", 2)
    found = probe(tmp_path / "proc", tmp_path / "sys")
    assert found.cpu == name.title()
    assert ("asimddp" in found.features) == (name == "cortex-a76")
    midr = (tmp_path / "sys/devices/system/cpu/cpu1/regs/identification/midr_el1").read_text()
    assert int(midr, 16) == core.midr


@pytest.mark.parametrize(
    ("name", "hwcap"), [("cortex-a53", 0x8FB), ("cortex-a72", 0x8FB), ("cortex-a72", 0x8FF), ("cortex-a76", 0x119FFB)]
)
def test_the_capabilities_of_a_core_are_recognised(name: str, hwcap: int) -> None:
    assert_core(CORES[name], hwcap)


@pytest.mark.parametrize(
    ("name", "hwcap", "words"),
    [
        ("cortex-a72", 0xECFFFFFB, "asimddp present"),  # what QEMU shows when it was not told which CPU
        ("cortex-a76", 0xECFFFFFB, "sve present"),
        ("cortex-a76", 0x8FB, "asimddp missing"),
        ("cortex-a72", None, "does not tell"),
    ],
)
def test_another_core_than_was_asked_for_is_never_silent(name: str, hwcap: int | None, words: str) -> None:
    with pytest.raises(MissingError) as caught:
        assert_core(CORES[name], hwcap)
    assert caught.value.code == "wrong-emulated-cpu"
    assert words in caught.value.message


def test_capabilities_have_the_names_that_kernels_give_them() -> None:
    assert {"asimd", "aes", "cpuid"} <= set(capabilities(0x8FB))
    assert "asimddp" not in capabilities(0x8FB)


def test_without_apt_the_error_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError) as caught:
        debian.require_tools()
    assert caught.value.code == "no-apt"
    assert "apt-get" in caught.value.message


def test_without_a_mirror_the_error_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(debian.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(debian, "_SOURCES", tmp_path)
    with pytest.raises(MissingError) as caught:
        debian.mirror()
    assert caught.value.code == "no-debian-mirror"
    (tmp_path / "sources.list").write_text("deb [arch=amd64] http://mirror.example/debian bookworm main\n")
    assert debian.mirror() == "http://mirror.example/debian"


def test_a_mirror_that_does_not_answer_is_an_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    debian.require_tools()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(debian.MIRROR_VARIABLE, "http://127.0.0.1:9/debian")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(MissingError) as caught:
        image.image("bookworm")
    assert caught.value.code == "board-packages"
    assert not [path for path in (tmp_path / "edgekit" / "boards").iterdir() if path.is_dir()]


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "aarch64")])
def test_other_hosts_are_told_what_to_use_instead(system: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(MissingError) as caught:
        boards.require_host()
    assert caught.value.code == "no-emulation-here"
    assert "--device local" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("unshare: Operation not permitted", "no-user-namespaces"),
        ("make the mounts private: Permission denied", "no-user-namespaces"),
        ("mount /proc: Operation not permitted", "no-user-namespaces"),
        ("mount binfmt_misc: Operation not permitted", "old-kernel"),
        ("Failed listening on '127.0.0.1:4000': Error listening: Address already in use", "board-not-up"),
    ],
)
def test_what_the_kernel_refuses_is_told_apart(said: str, code: str) -> None:
    error = boards._refused(said)
    assert error.code == code
    assert error.received == said


def test_without_user_namespaces_the_launcher_says_so() -> None:
    if subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, check=False).returncode:
        pytest.skip("users may not make namespaces here to begin with")
    limited = "/proc/sys/user/max_user_namespaces"
    words = ["unshare", "--user", "--map-root-user", "sh", "-c", f'echo 0 > {limited} && exec "$@"', "sh"]
    setup = launcher.Setup("/", "/bin/true", "x", {}, "x", 1, [min(os.sched_getaffinity(0))], [], {})
    command = [sys.executable, "-I", "-S", launcher.__file__, json.dumps(asdict(setup))]
    done = subprocess.run([*words, *command], stdin=subprocess.PIPE, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("unshare: "), done.stderr
    assert boards._refused(done.stdout.strip()).code == "no-user-namespaces"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with emulation(tmp_path_factory) as folder:
        yield folder


def servers(port: int | None) -> list[int]:
    """Processes that were started with this port."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if f"127.0.0.1:{port}".encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def gone(port: int | None) -> bool:
    deadline = time.monotonic() + 20
    while servers(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not servers(port)


@pytest.mark.slow
def test_a_board_is_built_runs_and_ends(cache: Path) -> None:
    with Board(core_named("cortex-a76", ""), "bookworm") as board:
        target = board.start()
        with Connection(target) as connection:
            said = connection.check("uname -m; id -un; python3 --version; touch /usr/x || true", timeout_s=60).decode()
        assert said.split()[:3] == ["aarch64", "pi", "Python"]
        assert servers(target.port)
    assert gone(target.port)
    (built,) = (
        path
        for path in (cache / "edgekit" / "boards").iterdir()
        if path.name.startswith("bookworm-") and path.suffix == ""
    )
    assert not (built / "root" / "usr" / "x").exists()


@pytest.mark.slow
def test_a_board_ends_with_the_command_that_is_killed(cache: Path) -> None:
    code = (
        "import time\n"
        "from edgekit.devices.emulated.board import Board\nfrom edgekit.devices.emulated.cores import CORES\n"
        "board = Board(CORES['cortex-a72'], 'bookworm'); print(board.start().port, flush=True); time.sleep(600)"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    ) as command:
        assert command.stdout is not None
        port = int(command.stdout.readline())
        assert servers(port)
        command.send_signal(signal.SIGKILL)
    assert gone(port)


@pytest.mark.slow
def test_two_boards_run_at_once_each_with_its_own_core(cache: Path) -> None:
    one, other = (open_device(f"qemu://aarch64?cpu={name}") for name in ("cortex-a72", "cortex-a76"))
    assert isinstance(one, EmulatedDevice)
    assert isinstance(other, EmulatedDevice)
    try:
        for device in (one, other):
            device.started()  # the capabilities are asserted here
        for device in (one, other):
            assert device.started().connection.run("true", timeout_s=30).code == 0
    finally:
        one.close()
        other.close()


@pytest.mark.slow
def test_a_board_shows_as_what_it_is_through_the_agent(cache: Path) -> None:
    device = open_device(A72)
    try:
        with Executor() as executor:
            facts = executor.run_fresh(ProbeJob(), device.context())
    finally:
        device.close()
    assert facts.environment.architecture == "aarch64"
    assert facts.environment.cpu == "Cortex-A72"
    assert facts.environment.emulated
    assert {engine.name for engine in facts.engines if engine.version} == {"onnxruntime", "openvino", "tflite"}
