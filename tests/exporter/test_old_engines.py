"""Real old engines load and run what `compatibility` says they do, and refuse what it says they refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.exporter.compatibility import check, limits, lower, parse_for
from edgekit.samples import save_npz
from tests.exporter.test_compatibility import make_ir, make_onnx, with_operator
from tests.models import twin_inputs, twin_outputs

pytestmark = pytest.mark.slow

#: Package and version of each engine; numpy 2 is younger than they are.
ENGINES = {"onnx": "onnxruntime==1.19.2", "openvino": "openvino==2024.6.0", "tflite": "tflite-runtime==2.14.0"}

#: Run by an interpreter that sees nothing but the old engine: FOLDER TARGET MODEL INPUTS OUTPUTS.
RUN = """
import sys
folder, target, model, given, wanted = sys.argv[1:]
sys.path.insert(0, folder)
import numpy as np
assert np.__version__ < "2", np.__version__
inputs = dict(np.load(given))
if target == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs = dict(zip([item.name for item in session.get_outputs()], session.run(None, inputs)))
elif target == "openvino":
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(inputs)
    outputs = {port.get_any_name(): found[port] for port in compiled.outputs}
else:
    from tflite_runtime.interpreter import Interpreter
    interpreter = Interpreter(model)
    interpreter.allocate_tensors()
    outputs = interpreter.get_signature_runner("serving_default")(**inputs)
np.savez(wanted, **outputs)
"""

Engine = Callable[[Path, dict[str, np.ndarray]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", params=list(ENGINES))
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(target: str, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Runs a file on the old engine of a target; outputs are in ``out.npz`` beside it."""
    folder = tmp_path_factory.mktemp(f"old-{target}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "0", "--timeout", "20", "--no-compile"]
    done = subprocess.run(
        [*pip, "--no-deps", "--target", folder, ENGINES[target], "numpy<2"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"pip cannot install {ENGINES[target]} here: {done.stderr.strip()[-300:]}")

    def run(path: Path, inputs: dict[str, np.ndarray]) -> subprocess.CompletedProcess[str]:
        save_npz(path.with_name("in.npz"), inputs.items())
        arguments = [folder, target, path, path.with_name("in.npz"), path.with_name("out.npz")]
        command = [sys.executable, "-I", "-c", RUN, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_it_runs_what_is_said_to_load(
    target: str, engine: Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source: Path = request.getfixturevalue(f"twin_{target}")
    path = tmp_path / source.name
    for companion in source.parent.glob(f"{source.stem}.*"):
        if companion.suffix in (source.suffix, ".bin"):
            (tmp_path / companion.name).write_bytes(companion.read_bytes())
    wanted = limits(target, parse_for([ENGINES[target]]))
    lower(path, wanted)
    assert check(path, wanted) == ()
    inputs = twin_inputs(3)
    done = engine(path, inputs)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as outputs:
        for name, array in twin_outputs(inputs).items():
            np.testing.assert_allclose(outputs[name], array, atol=1e-5)


def test_it_refuses_what_is_said_not_to_load(target: str, engine: Engine, tmp_path: Path, twin_tflite: Path) -> None:
    old = parse_for([ENGINES[target]])
    x = np.random.default_rng(5).normal(size=(2, 1, 8, 8)).astype(np.float32)
    if target == "onnx":
        path, inputs = make_onnx(tmp_path / "m.onnx", opset=22, ir=8), {"x": x[:, 0, 0, :2]}
    elif target == "openvino":
        path, inputs = make_ir(tmp_path / "m.xml"), {"x": x}
    else:
        path, inputs = with_operator(twin_tflite, tmp_path / "m.tflite", 3, 8), twin_inputs(3)
    assert len(check(path, limits(target, old))) == 1
    done = engine(path, inputs)
    assert done.returncode != 0
    assert {"onnx": "till opset 21", "openvino": "opset16", "tflite": "'CONV_2D' version '8'"}[target] in done.stderr
    if lower(path, limits(target, old)):  # an IR, whose operators mean the same in older sets
        assert check(path, limits(target, old)) == ()
        assert engine(path, inputs).returncode == 0
        with np.load(tmp_path / "out.npz") as outputs:
            assert outputs["y"].std() > 0.1
