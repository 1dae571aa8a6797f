"""``python -m tests.benchmarks.picture TARGET FILE``: a small network with a place for most faults, in one format.

A picture in colour, a convolution with bias under ReLU6, channels moved to the end, a softmax over them, a matrix:
``scores`` for every pixel, and ``mean``. Weights are those of `weights`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.models import _convert

SIZE, CHANNELS = 6, 5


def weights() -> dict[str, np.ndarray]:
    """``kernel`` (out, in, height, width), ``bias`` and a square ``matrix``, well scaled."""
    rng = np.random.default_rng(3)
    found = {"kernel": rng.normal(size=(CHANNELS, 3, 3, 3)), "bias": rng.normal(size=CHANNELS) + 2}
    found["matrix"] = 3 * rng.normal(size=(CHANNELS, CHANNELS))
    return {name: array.astype(np.float32) for name, array in found.items()}


def source() -> dict[str, np.ndarray]:
    """What a source would tell whose batch normalisation is folded, and whose matrix is a recurrent kernel."""
    held = weights()
    gamma = np.random.default_rng(5).uniform(0.5, 2, CHANNELS).astype(np.float32)
    parts = {"gamma": gamma, "beta": held["bias"], "mean": np.zeros(CHANNELS), "variance": np.full(CHANNELS, 0.5)}
    norm = {f"norm/n/{name}": value.astype(np.float32) for name, value in parts.items()}
    norm["norm/n/epsilon"] = np.array(1e-3, np.float32)
    factor = gamma / np.sqrt(norm["norm/n/variance"] + norm["norm/n/epsilon"])
    kernel = held["kernel"] / factor.reshape(-1, 1, 1, 1)
    return norm | {"kernel/conv": kernel.astype(np.float32), "recurrent/matrix": held["matrix"]}


def inputs(samples: int) -> dict[str, np.ndarray]:
    """``image`` (samples, 3, height, width)."""
    rng = np.random.default_rng(4)
    return {"image": rng.normal(size=(samples, 3, SIZE, SIZE)).astype(np.float32)}


def onnx_(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    held = weights() | {"low": np.float32(0), "high": np.float32(6), "small": np.float32(1e-5)}
    held["axes"] = np.array([1])
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["made"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["made", "low", "high"], ["limited"], "limit"),
        helper.make_node("Transpose", ["limited"], ["last"], "last", perm=[0, 2, 3, 1]),
        helper.make_node("Softmax", ["last"], ["shares"], "shares", axis=-1),
        helper.make_node("Add", ["shares", "small"], ["above"], "above"),
        helper.make_node("Sqrt", ["above"], ["root"], "root"),
        helper.make_node("MatMul", ["root", "matrix"], ["scores"], "matrix"),
        helper.make_node("ReduceMean", ["scores"], ["mean"], "mean", axes=[1, 2], keepdims=0),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "picture",
        [info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [info("scores", TensorProto.FLOAT, ["batch", SIZE, SIZE, 5]), info("mean", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(array, name) for name, array in held.items() if name != "axes"],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def openvino_(path: Path) -> None:
    import openvino
    from openvino import opset13 as ops

    held = {name: ops.constant(array) for name, array in weights().items()}
    image = ops.parameter([-1, 3, SIZE, SIZE], np.float32, name="image")
    x = ops.convolution(image, held["kernel"], [1, 1], [1, 1], [1, 1], [1, 1], name="conv")
    x = ops.add(x, ops.constant(weights()["bias"].reshape(1, -1, 1, 1)), name="biased")
    x = ops.transpose(ops.clamp(x, 0.0, 6.0, name="limit"), ops.constant([0, 2, 3, 1]), name="last")
    x = ops.sqrt(ops.add(ops.softmax(x, 3, name="shares"), ops.constant(np.float32(1e-5)), name="above"), name="root")
    scores = ops.matmul(x, held["matrix"], False, False, name="matrix")
    mean = ops.reduce_mean(scores, ops.constant([1, 2]), False, name="mean")
    for node, name in ((image, "image"), (scores, "scores"), (mean, "mean")):
        node.output(0).get_tensor().set_names({name})
    openvino.save_model(openvino.Model([scores, mean], [image], "picture"), path, compress_to_fp16=False)


def tflite_(path: Path) -> None:
    import jax
    import jax.numpy as jnp

    held = weights()
    numbers = ("NCHW", "OIHW", "NCHW")

    def picture(image: Any) -> Any:
        x = jax.lax.conv_general_dilated(image, held["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
        x = jnp.transpose(jnp.clip(x + held["bias"].reshape(1, -1, 1, 1), 0, 6), (0, 2, 3, 1))
        scores = jax.lax.rsqrt(jax.nn.softmax(x, axis=-1) + 1e-5) @ held["matrix"]
        return scores, scores.mean((1, 2))

    image = jax.ShapeDtypeStruct((1, 3, SIZE, SIZE), np.float32)  # a free batch hides the softmax
    _convert(path, picture, [image], (["image"], ["scores", "mean"]))


if __name__ == "__main__":
    {"onnx": onnx_, "openvino": openvino_, "tflite": tflite_}[sys.argv[1]](Path(sys.argv[2]))
