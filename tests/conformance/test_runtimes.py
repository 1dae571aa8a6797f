"""The runtimes of edgekit, held to the suite that third parties run too."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import util
from pathlib import Path

import pytest

from edgekit.errors import MissingError
from edgekit.runtimes import RUNTIMES, OpenOptions
from edgekit.testing.runtime_suite import RuntimeSuite, assert_right

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


class TestOnnxRuntime(RuntimeSuite):
    name = "onnxruntime"
    suffix = ".onnx"

    @pytest.fixture
    def free(self, twin_onnx: Path) -> Path:
        return twin_onnx

    @pytest.fixture
    def fixed(self, twin_onnx_fixed: Path) -> Path:
        return twin_onnx_fixed


class TestOpenVino(RuntimeSuite):
    name = "openvino"
    suffix = ".xml"

    @pytest.fixture
    def free(self, twin_openvino: Path) -> Path:
        return twin_openvino

    @pytest.fixture
    def fixed(self, twin_openvino_fixed: Path) -> Path:
        return twin_openvino_fixed


class TestTflite(RuntimeSuite):
    name = "tflite"
    suffix = ".tflite"

    @pytest.fixture
    def free(self, twin_tflite: Path) -> Path:
        return twin_tflite

    @pytest.fixture
    def fixed(self, twin_tflite_fixed: Path) -> Path:
        return twin_tflite_fixed


class Framework(RuntimeSuite):
    """What the frameworks share: they compute a reference, as they do by themselves."""

    takes_options = False
    binds = False


class TestKeras(Framework):
    name = "keras"
    suffix = ".keras"
    accelerates = False

    @pytest.fixture
    def free(self, twin_keras: Path) -> Path:
        return twin_keras

    @pytest.fixture
    def fixed(self, twin_keras_fixed: Path) -> Path:
        return twin_keras_fixed


class TestJax(Framework):
    name = "jax"
    suffix = ".jax"

    @pytest.fixture
    def free(self, twin_jax: Path) -> Path:
        return twin_jax

    @pytest.fixture
    def fixed(self, twin_jax_fixed: Path) -> Path:
        return twin_jax_fixed

    def test_a_platform_of_jax_is_used_by_name(self, free: Path) -> None:
        with self.opened(free, accelerator="cpu") as session:
            assert_right(session, 3)
            assert session.effective().placement.value == "CPU"


@pytest.mark.skipif(util.find_spec("torch") is None, reason="needs torch")
class TestTorch(Framework):
    name = "torch"
    suffix = ".pt2"

    @pytest.fixture
    def free(self, twin_torch: Path) -> Path:
        return twin_torch

    @pytest.fixture
    def fixed(self, twin_torch_fixed: Path) -> Path:
        return twin_torch_fixed

    def test_a_program_moves_to_a_device_of_torch(self, free: Path) -> None:
        """As it goes to CUDA; that one is asked for where there is one."""
        import torch

        from edgekit.exporter.loading import Loading
        from edgekit.exporter.sources.torch_ import load_program

        with load_program(free, Loading()).open_on("cpu") as session:
            assert_right(session, 3)
        if torch.cuda.is_available():
            with self.opened(free, accelerator="CUDA") as session:
                assert_right(session, 3)
                assert session.effective().placement.value == "CUDA"
        else:
            with pytest.raises(MissingError, match=r"torch \S+ \(built .*\) sees no GPU"):
                self.runtime().open(free, OpenOptions(accelerator="CUDA"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["openvino", "tensorflow", "torch"])
def test_keras_on_its_other_backends_runs_the_same_suite(backend: str, tmp_path: Path) -> None:
    """A process has one backend: that of these tests is JAX."""
    if util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    torch_in_keras = "ignore:__array__ implementation:DeprecationWarning"
    done = subprocess.run(
        [*command, "-W", torch_in_keras, f"{Path(__file__)}::TestKeras"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout


def test_every_runtime_has_a_row_an_extra_and_a_conformance_class() -> None:
    suites = {*RuntimeSuite.__subclasses__(), *Framework.__subclasses__()} - {Framework}
    classes = {suite.name for suite in suites}
    assert classes == set(RUNTIMES.rows())
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert {row.extra for row in RUNTIMES} <= set(extras)
