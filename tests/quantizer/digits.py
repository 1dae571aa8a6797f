"""A small network trained on scikit-learn's digits, as a float artifact of every target. Made once per machine.

Convolution, depthwise convolution, strided convolution, a dense layer with an exact GELU, and a softmax. The GELU
is one operator in ONNX and some seventy in TFLite, where a branch that is not taken holds infinities.
``python tests/quantizer/digits.py FOLDER`` trains it and writes it, in a process of its own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.types import Signature, TensorSpec

#: Images that train and calibrate; the other 697 evaluate.
TRAINING = 1100

FILES = {"onnx": ("model.onnx",), "openvino": ("model.xml", "model.bin"), "tflite": ("model.tflite",)}


def images() -> tuple[np.ndarray, np.ndarray]:
    """All images ``(1797, 8, 8, 1)`` between 0 and 1, float32, and their digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32)[..., None], bunch.target


def signature(target: str) -> Signature:
    """Of the artifact: only TFLite fixes the batch."""
    batch = 1 if target == "tflite" else None
    return Signature(
        (TensorSpec("image", (batch, 8, 8, 1), "float32"),), (TensorSpec("scores", (batch, 10), "float32"),)
    )


@cache
def artifacts() -> Path:
    """The folder that holds the artifacts, made on first use and kept among the temporary files."""
    key = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"edgekit-digits-{key}"
    if not folder.is_dir():
        made = Path(tempfile.mkdtemp(prefix="edgekit-digits-"))
        done = subprocess.run(
            [sys.executable, __file__, str(made)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        assert done.returncode == 0, done.stderr
        if not folder.is_dir():  # another test process may have been faster
            made.rename(folder)
    return folder


def _forward(weights: dict[str, Any], x: Any) -> Any:
    import jax

    def convolve(x: Any, kernel: Any, bias: Any, stride: int, groups: int = 1) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(1, 1), (1, 1)], dimension_numbers=layout, feature_group_count=groups
        )
        return jax.nn.relu(x + bias)

    x = convolve(x, weights["k0"], weights["b0"], 1)
    x = convolve(x, weights["k1"], weights["b1"], 1, groups=16)
    x = convolve(x, weights["k2"], weights["b2"], 2)
    x = jax.nn.gelu(x.reshape(x.shape[0], -1) @ weights["w3"] + weights["b3"], approximate=False)
    return x @ weights["w4"] + weights["b4"]


def trained() -> dict[str, np.ndarray]:
    """Weights after some seconds of training, the same ones every time."""
    import jax
    import jax.numpy as jnp

    shapes = {"k0": (3, 3, 1, 16), "k1": (3, 3, 1, 16), "k2": (3, 3, 16, 32), "w3": (512, 64), "w4": (64, 10)}
    random = np.random.default_rng(0)
    weights = {
        name: jnp.asarray(random.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1])), jnp.float32)
        for name, shape in shapes.items()
    }
    weights |= {f"b{name[1]}": jnp.zeros(shape[-1], jnp.float32) for name, shape in shapes.items()}
    x, y = (array[:TRAINING] for array in images())

    def loss(weights: Any, x: Any, y: Any) -> Any:
        logs = jax.nn.log_softmax(_forward(weights, x))
        return -jnp.take_along_axis(logs, y[:, None], axis=1).mean()

    def one_step(weights: Any, first: Any, second: Any, count: Any, x: Any, y: Any) -> Any:
        slopes = jax.grad(loss)(weights, x, y)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slopes)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, slopes)
        rate = 3e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)  # Adam
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
        return weights, first, second

    step = jax.jit(one_step)
    first = second = jax.tree.map(jnp.zeros_like, weights)
    for count in range(1, 301):
        picked = random.integers(0, TRAINING, 64)
        weights, first, second = step(weights, first, second, float(count), x[picked], y[picked])
    return {name: np.asarray(weight) for name, weight in weights.items()}


def write_tflite(function: Callable[[Any], Any], path: Path) -> None:
    """A function of one image, ``(1, 8, 8, 1)`` to scores, as a file."""
    import jax
    import jax.export
    from litert_converter.mlir import ir, passmanager
    from litert_converter.mlir._mlir_libs import converter_api_ext as converter

    jitted = jax.jit(lambda x: (function(x),))
    exported = jax.export.export(jitted, platforms=["cpu"])(jax.ShapeDtypeStruct((1, 8, 8, 1), np.float32))
    context = ir.Context()
    converter.prepare_mlir_context(context)
    with context:
        module = ir.Module.parse(exported.mlir_module())
        converter.set_signature(
            module.operation, signature_name="serving_default", input_names=["image"], output_names=["scores"]
        )
        converter.run_convert_to_tfl_passes(module, passmanager.PassManager(), converter.ConvertToTFLConfig())
        converter.export_flatbuffer_to_file(module.operation, str(path))


def _write_onnx(weights: dict[str, np.ndarray], path: Path) -> None:
    """Operator set 21, the first whose quantizers onnxruntime's optimizer moves wrongly."""
    import onnx
    from onnx import TensorProto, helper

    constants = {name: array.transpose(3, 2, 0, 1) if name[0] == "k" else array for name, array in weights.items()}
    constants["shape"] = np.array([0, -1])
    nodes = [helper.make_node("Transpose", ["image"], ["h0"], perm=[0, 3, 1, 2])]
    for index, (stride, groups) in enumerate(((1, 1), (1, 16), (2, 1))):
        inputs = [f"h{index}", f"k{index}", f"b{index}"]
        nodes.append(helper.make_node("Conv", inputs, [f"c{index}"], pads=[1] * 4, strides=[stride] * 2, group=groups))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"h{index + 1}"]))
    nodes += [
        helper.make_node("Transpose", ["h3"], ["nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["nhwc", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["d3"]),
        helper.make_node("Add", ["d3", "b3"], ["a3"]),
        helper.make_node("Gelu", ["a3"], ["g3"]),
        helper.make_node("MatMul", ["g3", "w4"], ["d4"]),
        helper.make_node("Add", ["d4", "b4"], ["a4"]),
        helper.make_node("Softmax", ["a4"], ["scores"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def write(weights: dict[str, np.ndarray], folder: Path) -> None:
    """The float artifact of every target. Not in a process that holds JAX and goes on: OpenVINO forks."""
    import jax
    import openvino

    write_tflite(lambda x: jax.nn.softmax(_forward(weights, x)), folder / "model.tflite")
    _write_onnx(weights, folder / "model.onnx")
    openvino.save_model(openvino.convert_model(folder / "model.onnx"), folder / "model.xml", compress_to_fp16=False)


if __name__ == "__main__":
    write(trained(), Path(sys.argv[1]))
