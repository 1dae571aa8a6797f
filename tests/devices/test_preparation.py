"""Engines for a device: what it is, which wheels it takes, and how they get there."""

from __future__ import annotations

import fcntl
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

import edgekit
from edgekit.devices.preparation import ensure as ensuring
from edgekit.devices.preparation import install, wheels
from edgekit.devices.preparation.facts import Facts, ask, read
from edgekit.devices.preparation.prepare import PreparedEngine, PrepareResult
from edgekit.devices.preparation.wheels import Lock, Wheel
from edgekit.devices.ssh.connection import Connection, SshTarget
from edgekit.errors import EdgekitError, MissingError, UsageError
from edgekit.report.terminal import view
from tests.cli.command import edgekit as command
from tests.devices.server import Server

PI5 = Facts("aarch64", (3, 11, 2), (2, 36), 0x119FFB, 8 << 30)


def answers(**changed: object) -> dict[str, str]:
    """What a Raspberry Pi 5 says, with some of it changed."""
    python = json.dumps([[3, 11, 2], 64, "CPython", "", ["glibc", "2.36"]])
    said = {"system": "Linux", "machine": "aarch64", "hwcap": "119ffb", "free_kb": "8388608", "musl": ""}
    return {**said, "python": python, **{name: str(value) for name, value in changed.items()}}


def python_of(version: tuple[int, int, int] = (3, 11, 2), bits: int = 64, kind: str = "CPython", **rest: object) -> str:
    return json.dumps([list(version), bits, kind, rest.get("flags", ""), rest.get("libc", ["glibc", "2.36"])])


def test_a_board_is_read() -> None:
    assert read(answers(), "pi", "python3") == PI5
    assert PI5.key == "aarch64-py3.11-glibc2.36"


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        (
            {"python": python_of(bits=32)},
            "no-wheels-for-device",
            "32-bit",
        ),  # on a 64-bit kernel, as Raspberry Pi OS had
        ({"machine": "armv7l", "python": python_of(bits=32)}, "no-wheels-for-device", "32-bit"),
        ({"machine": "riscv64"}, "no-wheels-for-device", "its CPU"),
        ({"python": python_of((3, 7, 3))}, "old-python", "3.7.3"),
        ({"python": python_of(kind="PyPy")}, "no-wheels-for-device", "CPython only"),
        ({"python": python_of((3, 13, 1), flags="t")}, "no-wheels-for-device", "CPython only"),
        (
            {"python": python_of(libc=["", ""]), "musl": "/lib/ld-musl-aarch64.so.1"},
            "no-wheels-for-device",
            "glibc only",
        ),
        ({"python": "sh: 1: python3: not found"}, "device-no-python", "python3"),
        ({"system": "Darwin"}, "no-wheels-for-device", "Linux"),
    ],
)
def test_a_device_that_no_wheel_fits_is_refused_with_what_it_is(changed: dict[str, str], code: str, words: str) -> None:
    with pytest.raises(MissingError) as caught:
        read(answers(**changed), "pi", "python3")
    assert caught.value.code == code
    assert words in str(caught.value)
    assert caught.value.hint


def test_what_cannot_be_asked_is_not_guessed() -> None:
    facts = read(answers(hwcap="", free_kb=""), "pi", "python3")
    assert facts.hwcap is None
    assert facts.free_bytes is None


def test_this_machine_is_asked_through_its_own_server(server: Server) -> None:
    with connected(server) as connection:
        facts = ask(connection, f"{server.device_folder}/not/there/yet")
    assert facts.python == sys.version_info[:3]
    assert facts.glibc >= (2, 17)
    assert facts.free_bytes is not None
    assert facts.free_bytes > 1 << 20


def test_pip_is_told_every_tag_that_a_glibc_satisfies() -> None:
    words = wheels._pip_tags(Facts("aarch64", (3, 9, 2), (2, 31), None, None))
    tags = [word for word, name in zip(words[1:], words[:-1], strict=True) if name == "--platform"]
    assert "manylinux_2_31_aarch64" in tags
    assert "manylinux_2_17_aarch64" in tags
    assert "manylinux2014_aarch64" in tags
    assert "manylinux_2_35_aarch64" not in tags
    assert words[words.index("--python-version") + 1] == "3.9"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; what pip has downloaded is the user's."""
    monkeypatch.setenv("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made_wheel(folder: Path, name: str, files: dict[str, str]) -> Wheel:
    """A wheel in the store."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for place, text in files.items():
            wheel.writestr(place, text)
    return wheels._keep(path)


def made_lock(tmp_path: Path, text: str = "VALUE = 1\n", target: str = PI5.key) -> Lock:
    one = made_wheel(
        tmp_path / "made", "alpha", {"alpha/__init__.py": text, "alpha-1.0.data/scripts/tool": "#!/bin/sh"}
    )
    two = made_wheel(tmp_path / "made", "beta", {"beta-1.0.data/purelib/beta.py": "import alpha\n"})
    return Lock(target, (one, two))


def connected(server: Server) -> Connection:
    options = ("-F", str(server.config))
    return Connection(SshTarget("127.0.0.1", server.user, server.port, sys.executable, options), "the board")


def test_wheels_are_unpacked_into_a_folder_that_python_can_use(server: Server, cache: Path, tmp_path: Path) -> None:
    lock, folder = made_lock(tmp_path), str(server.device_folder)
    with connected(server) as connection:
        assert install.installed(connection, folder) is None
        install.install(connection, folder, lock, PI5)
        assert install.installed(connection, folder) == lock
    site = server.device_folder / "site"
    code = "import beta; print(beta.alpha.VALUE)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(site)}, capture_output=True, check=True)
    assert done.stdout == b"1\n"
    assert not list(site.rglob("tool"))
    assert not list(server.device_folder.glob("*.tar*"))  # what was sent is not kept twice


def test_another_set_replaces_the_first_at_once_and_the_old_one_goes(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    first, second = made_lock(tmp_path), made_lock(tmp_path, "VALUE = 2\n")
    with connected(server) as connection:
        for lock in (first, second):
            install.install(connection, str(server.device_folder), lock, PI5)
    assert (server.device_folder / "site" / "alpha" / "__init__.py").read_text() == "VALUE = 2\n"
    assert [path.name for path in (server.device_folder / "sites").iterdir()] == [second.digest]


def test_a_set_that_a_job_may_be_using_stays(server: Server, cache: Path, tmp_path: Path) -> None:
    first, second = made_lock(tmp_path), made_lock(tmp_path, "VALUE = 2\n")
    with connected(server) as connection:
        install.install(connection, str(server.device_folder), first, PI5)
        with (server.device_folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            install.install(connection, str(server.device_folder), second, PI5)
    assert {path.name for path in (server.device_folder / "sites").iterdir()} == {first.digest, second.digest}


def test_too_little_space_is_said_before_anything_is_sent(server: Server, cache: Path, tmp_path: Path) -> None:
    small = Facts("aarch64", (3, 11, 2), (2, 36), None, 1 << 20)
    with connected(server) as connection, pytest.raises(MissingError) as caught:
        install.install(connection, str(server.device_folder), made_lock(tmp_path), small)
    assert caught.value.code == "device-full"
    assert "MB free" in caught.value.message
    assert not server.device_folder.exists()


def test_a_wheel_that_would_write_outside_its_folder_is_refused(tmp_path: Path) -> None:
    bundle, wheel = tmp_path / "b.tar", tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../../escaped.py", "")
    with tarfile.open(bundle, "w") as tar:
        tar.add(wheel, "w.whl")
    folder = tmp_path / "device" / "inner"
    words = [sys.executable, str(install.UNPACK), str(folder), str(bundle), "d" * 16]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "escaped.py" in done.stderr
    assert not list(tmp_path.rglob("escaped.py"))
    assert not (folder / "site").exists()


def test_a_lock_is_kept_until_an_upgrade_or_until_a_wheel_is_gone(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[bool] = []

    def resolve(facts: Facts, engines: object, *, pinned: bool) -> Lock:
        resolved.append(pinned)
        return made_lock(tmp_path)

    monkeypatch.setattr(wheels, "_resolved", resolve)  # the real one is below, with the network
    lock = wheels.lock_for(PI5, ["onnxruntime"])
    assert wheels.lock_for(PI5, ["onnxruntime"]) == lock
    assert resolved == [True]
    wheels.lock_for(PI5, ["onnxruntime"], upgrade=True)
    assert resolved == [True, False]
    wheels.path_of(lock.wheels[0]).unlink()
    wheels.lock_for(PI5, ["onnxruntime"])
    assert resolved == [True, False, True]


def test_an_engine_that_is_none_is_refused(server: Server) -> None:
    with connected(server) as connection, pytest.raises(UsageError) as caught:
        ensuring.ensure(connection, str(server.device_folder), ["caffe"], lambda progress: None)
    assert "onnxruntime" in caught.value.hint


@pytest.mark.slow
def test_wheels_of_another_python_and_architecture_are_resolved_here(cache: Path) -> None:
    old = Facts("aarch64", (3, 9, 2), (2, 31), None, None)
    lock = wheels.lock_for(old, ["tflite"])
    versions = {wheel.name: wheel.version for wheel in lock.wheels}
    assert int(versions["numpy"].split(".")[0]) == 2
    assert "ai-edge-litert" in versions
    files = " ".join(wheel.file for wheel in lock.wheels)
    assert "cp39" in files
    assert "aarch64" in files
    assert "x86_64" not in files
    assert all(wheels.path_of(wheel).stat().st_size == wheel.size for wheel in lock.wheels)


@pytest.mark.slow
def test_an_engine_without_wheels_is_left_out_with_the_reason(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "ENGINES", {**wheels.ENGINES, "openvino": "openvino==1.0.0"})
    lock = wheels.lock_for(PI5, ["openvino", "tflite"], upgrade=True)
    assert lock.version("tflite")
    assert "openvino" in lock.left_out["openvino"]
    with pytest.raises(EdgekitError) as caught:
        wheels.lock_for(PI5, ["openvino"], upgrade=True)
    assert caught.value.code == "no-wheels-for-device"


@pytest.mark.slow
def test_a_device_is_prepared_tried_and_prepared_again_in_no_time(server: Server, cache: Path) -> None:
    first = edgekit.prepare(server.spec(), runtime="tflite")
    assert first.ok
    assert [(engine.runtime, engine.state) for engine in first.engines] == [("tflite", "ready")]
    assert first.packages["ai-edge-litert"] == first.engines[0].version
    assert first.sent_bytes > 10 << 20
    assert (server.device_folder / "site" / "ai_edge_litert").is_dir()
    again = edgekit.prepare(server.spec(), runtime="tflite")
    assert again.ok
    assert again.sent_bytes == 0
    assert again.to_json()["schema"] == "edgekit.prepare/1"


@pytest.mark.parametrize("device", ["local", f"python:{sys.executable}"])
def test_this_machine_prepares_itself_with_pip(device: str, tmp_path: Path) -> None:
    done = command("devices", "prepare", device, "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "nothing-to-prepare"
    assert "pip install" in done.error["hint"]


def test_the_result_reads_well() -> None:
    engines = (
        PreparedEngine("onnxruntime", "1.19.2", "1.31.1", "ready", ""),
        PreparedEngine("tflite", "2.1.0", None, "broken", "libstdc++.so.6: version not found"),
        PreparedEngine("openvino", None, "2026.4.1", "left out", "no wheel fits"),
    )
    notes = ("onnxruntime 1.19.2 there, 1.31.1 here: a difference between the two may be one of versions.",)
    result = PrepareResult(False, "ssh://pi@pi", PI5.key, engines, {"numpy": "2.0.2"}, 60_000_000, notes, 12.34)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(view(result))
    shown = console.export_text()
    for words in ("60 MB sent", "12.3 s", "broken: libstdc++", "left out: no wheel fits", "1.19.2 there"):
        assert words in shown
