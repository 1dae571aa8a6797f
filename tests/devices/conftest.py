"""What the tests of devices share."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.devices import Device, open_device
from edgekit.jobs.channel import Limits
from edgekit.jobs.executor import Executor
from tests.devices.running import absent
from tests.devices.server import Server

ROOT = Path(__file__).parents[2]

ENGINE = "onnxruntime==1.19.2"  # the last with wheels for Python 3.9


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An SSH server of this test's own, with an empty device folder."""
    made = Server(tmp_path / "server")
    yield made
    made.stop()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Server]:
    """A server whose sessions find the tests' own jobs."""
    made = Server(tmp_path / "board", PYTHONPATH=str(ROOT))
    yield made
    made.stop()


@pytest.fixture
def device(board: Server) -> Iterator[Device]:
    opened = open_device(board.spec())
    yield opened
    opened.close()


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(Limits(timeout_s=30, memory_bytes=500 << 20)) as made:
        yield made


@pytest.fixture(scope="session")
def python39(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of a real Python 3.9 with numpy and one engine."""
    found = _find_python39()
    if found is None:
        absent("there is no python3.9 on PATH or under ~/.pyenv")
    folder = tmp_path_factory.mktemp("python39")
    subprocess.run([str(found), "-m", "venv", str(folder)], check=True, capture_output=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "numpy", ENGINE]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        absent(f"{ENGINE} could not be installed: {done.stderr.strip()[-300:]}")
    return python


def _find_python39() -> Path | None:
    installed = sorted((Path.home() / ".pyenv" / "versions").glob("3.9*/bin/python"))
    candidates = [shutil.which("python3.9"), *map(str, installed)]
    for candidate in filter(None, candidates):
        command = [candidate, "-c", "import sys, venv; print(*sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.split() == ["3", "9"]:  # a pyenv shim may exist and refuse
            return Path(candidate)
    return None
