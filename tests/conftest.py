"""What all tests share. Artifacts are real and made once per session."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import models
from tests.cli.command import edgekit

# A test that opens a .keras file in this process needs a backend that is installed; jobs set their own.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for artifacts that several tests read."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="session")
def twin_onnx(artifacts: Path) -> Path:
    """Two inputs, two outputs, free batch; see `tests.models`."""
    return models.twin_onnx(artifacts / "twin.onnx", None)


@pytest.fixture(scope="session")
def twin_onnx_fixed(artifacts: Path) -> Path:
    """The same with the batch fixed to 2."""
    return models.twin_onnx(artifacts / "twin-fixed.onnx", 2)


@pytest.fixture(scope="session")
def twin_openvino(artifacts: Path) -> Path:
    return models.twin_openvino(artifacts / "twin.xml", None)


@pytest.fixture(scope="session")
def twin_openvino_fixed(artifacts: Path) -> Path:
    return models.twin_openvino(artifacts / "twin-fixed.xml", 2)


@pytest.fixture(scope="session")
def twin_tflite(artifacts: Path) -> Path:
    return models.twin_tflite(artifacts / "twin.tflite", None)


@pytest.fixture(scope="session")
def twin_tflite_fixed(artifacts: Path) -> Path:
    return models.twin_tflite(artifacts / "twin-fixed.tflite", 2)


@pytest.fixture(scope="session")
def twin_keras(artifacts: Path) -> Path:
    return models.twin_keras(artifacts / "twin.keras", None)


@pytest.fixture(scope="session")
def twin_keras_fixed(artifacts: Path) -> Path:
    return models.twin_keras(artifacts / "twin-fixed.keras", 2)


@pytest.fixture(scope="session")
def twin_torch(artifacts: Path) -> Path:
    return models.twin_torch(artifacts / "twin.pt2", None)


@pytest.fixture(scope="session")
def twin_torch_fixed(artifacts: Path) -> Path:
    return models.twin_torch(artifacts / "twin-fixed.pt2", 2)


@pytest.fixture(scope="session")
def twin_jax(artifacts: Path) -> Path:
    return models.twin_jax(artifacts / "twin.jax", None)


@pytest.fixture(scope="session")
def twin_jax_fixed(artifacts: Path) -> Path:
    return models.twin_jax(artifacts / "twin-fixed.jax", 2)


@pytest.fixture(scope="session")
def dense_onnx(artifacts: Path) -> Path:
    """One int8 layer, free batch; see `tests.models`."""
    return models.dense_onnx(artifacts / "dense.onnx")


@pytest.fixture(scope="session")
def dense_openvino(artifacts: Path) -> Path:
    return models.dense_openvino(artifacts / "dense.xml")


@pytest.fixture(scope="session")
def dense_tflite(artifacts: Path) -> Path:
    """One int8 layer with int8 input and output, batch 1."""
    return models.dense_tflite(artifacts / "dense.tflite")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``digits.keras``, ``train.npz`` and ``test.npz`` of the example, trained for a few epochs. To be read only."""

    def train(folder: Path) -> None:
        code = "import sys, pathlib, train; train.save(pathlib.Path(sys.argv[1]), epochs=8)"
        example = Path(__file__).parents[1] / "examples" / "digits"
        subprocess.run([sys.executable, "-c", code, str(folder)], cwd=example, check=True, capture_output=True)

    return _made_once(tmp_path_factory, "digits", train)


@pytest.fixture(scope="session")
def digits_run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``edgekit run`` left: ``kit``, and what it said in ``out.json`` and ``err.txt``. To be read only."""

    def run(folder: Path) -> None:
        folder.mkdir()
        options = ("--eval-data", digits / "test.npz", "--labels", "label", "-o", folder / "kit")
        quick = ("--max-seconds", "1", "--trials", "1")
        command = ("run", digits / "digits.keras", "--data", digits / "train.npz", *options, *quick, "--json")
        done = edgekit(*command, cwd=folder)
        (folder / "out.json").write_text(done.out)
        (folder / "err.txt").write_text(done.err)
        assert done.code == 0, done.err

    return _made_once(tmp_path_factory, "digits-run", run)


@pytest.fixture(scope="session")
def digits_kit(digits_run: Path) -> Path:
    """A kit with six artifacts and real golden samples. To be read only."""
    return digits_run / "kit"


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that all test processes of a session share."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / name).exists():
            make(root / name)
    return root / name
