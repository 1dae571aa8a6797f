"""Another Python of this machine as a device."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices import open_device, parse_device
from edgekit.errors import JobFailed, MissingError, UsageError
from edgekit.inspection.job import InspectJob
from edgekit.jobs.executor import Executor
from tests import models
from tests.devices.running import run_on


def test_a_spec_has_a_path_and_options() -> None:
    spec = parse_device("python:/usr/bin/python3?cpus=0&threads=2")
    assert (spec.kind, spec.address, spec.cpus, spec.threads) == ("python", "/usr/bin/python3", "0", 2)
    assert parse_device("python:variant=onnxruntime==1.19").address == "variant=onnxruntime==1.19"


def test_an_artifact_runs_in_that_interpreter(twin_onnx: Path, tmp_path: Path) -> None:
    inputs = models.twin_inputs(4)
    device = f"python:{sys.executable}?threads=1"
    outputs, ran = run_on(device, "onnxruntime", twin_onnx, inputs, tmp_path)
    for name, expected in models.twin_outputs(inputs).items():
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=2e-6)
    assert ran.effective.placement.value == "CPU"
    assert open_device(device).options().threads == 1


def test_nothing_of_edgekit_but_the_device_core_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # of this process; that one has its own
    context = open_device(f"python:{sys.executable}").context()
    assert Path(context.env["PYTHONPATH"]).suffix == ".pyz"
    with Executor() as executor, pytest.raises(JobFailed, match=r"No module named 'edgekit\.inspection'"):
        executor.run_fresh(InspectJob("onnx", (executor.add(Path(__file__)),)), context)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("python:", "no-python-named"),
        ("python", "no-python-named"),
        ("python:/nowhere/python3", "no-such-python"),
        ("python:true", "python-does-not-work"),
        ("python:variant=tensorrt", "unknown-variant"),
        (f"python:{sys.executable}?gpu=hardware", "bad-device-option"),
        (f"python:{sys.executable}?speed=high", "bad-device-option"),
    ],
)
def test_what_cannot_be_a_device_is_refused(spec: str, code: str) -> None:
    with pytest.raises((MissingError, UsageError)) as caught:
        open_device(spec).context()
    assert caught.value.code == code
    assert caught.value.hint


def test_a_python_without_numpy_is_refused(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(MissingError) as caught:
        open_device(f"python:{python}").context()
    assert caught.value.code == "no-numpy"
    assert caught.value.hint == f"Run: {python} -m pip install numpy"


def test_a_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    found = next(iter(sorted((Path.home() / ".pyenv" / "versions").glob("3.[678].*/bin/python"))), None)
    if found is None or subprocess.run([found, "-c", ""], check=False).returncode != 0:
        pytest.skip("there is no Python older than 3.9 under ~/.pyenv")
    with pytest.raises(MissingError) as caught:
        open_device(f"python:{found}").context()
    assert caught.value.code == "python-too-old"
    assert "3.9" in caught.value.message


def test_a_variant_that_was_not_prepared_tells_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingError) as caught:
        open_device("python:variant=tflite-runtime").context()
    assert caught.value.code == "not-prepared"
    assert caught.value.hint == "Run: edgekit devices prepare 'python:variant=tflite-runtime'"
