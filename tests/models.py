"""Tiny real artifacts for tests, each made by its own format's library.

`twin` is the network of `edgekit.testing.twin` in every format. `dense` is ``relu(x @ DENSE)`` with int8 arithmetic
inside. Formats whose converters are heavy or do not share a process are made by
``python tests/models.py KIND FILE BATCH``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.testing.twin import EMBED, INPUTS, OUTPUTS, TABLE, WIDE, twin_inputs, twin_outputs

__all__ = ["EMBED", "INPUTS", "OUTPUTS", "TABLE", "WIDE", "twin_inputs", "twin_outputs"]

Arrays = dict[str, np.ndarray]

DENSE = np.random.default_rng(7).normal(size=585)[73:].reshape(32, 16).astype(np.float32)


def dense_inputs(samples: int, seed: int = 1) -> Arrays:
    """``x`` (samples, 32) float32 between -1 and 1."""
    return {"x": np.random.default_rng(seed).uniform(-1, 1, size=(samples, 32)).astype(np.float32)}


def dense_outputs(inputs: Arrays) -> Arrays:
    return {"y": np.maximum(inputs["x"] @ DENSE, 0.0)}


def twin_onnx(path: Path, batch: int | None) -> Path:
    """A ``.onnx`` that onnxruntime 1.19 can read too."""
    import onnx
    from onnx import TensorProto, helper

    length: Any = batch or "batch"
    nodes = [
        helper.make_node("Gather", ["table", "token"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axes"], ["summed"], keepdims=0),
        helper.make_node("Tanh", ["summed"], ["embed"]),
        helper.make_node("MatMul", ["embed", "embed_weights"], ["deep_part"]),
        helper.make_node("MatMul", ["wide", "wide_weights"], ["wide_part"]),
        helper.make_node("Add", ["deep_part", "wide_part"], ["score"]),
    ]
    weights = {"table": TABLE, "embed_weights": EMBED, "wide_weights": WIDE, "axes": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "twin",
        [
            helper.make_tensor_value_info("wide", TensorProto.FLOAT, [length, 4]),
            helper.make_tensor_value_info("token", TensorProto.INT32, [length, 2]),
        ],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [length, 2]),
            helper.make_tensor_value_info("embed", TensorProto.FLOAT, [length, 5]),
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path


def twin_openvino(path: Path, batch: int | None) -> Path:
    """A ``.xml`` with its ``.bin``."""
    import openvino
    from openvino import opset13 as ops

    length = -1 if batch is None else batch
    wide = ops.parameter([length, 4], np.float32, name="wide")
    token = ops.parameter([length, 2], np.int32, name="token")
    rows = ops.gather(ops.constant(TABLE), token, ops.constant(0))
    embed = ops.tanh(ops.reduce_sum(rows, ops.constant([1]), keep_dims=False))
    deep_part = ops.matmul(embed, ops.constant(EMBED), False, False)
    wide_part = ops.matmul(wide, ops.constant(WIDE), False, False)
    score = ops.add(deep_part, wide_part)
    for node, name in ((wide, "wide"), (token, "token"), (score, "score"), (embed, "embed")):
        node.output(0).get_tensor().set_names({name})
    openvino.save_model(openvino.Model([score, embed], [wide, token], "twin"), path, compress_to_fp16=False)
    return path


def twin_tflite(path: Path, batch: int | None) -> Path:
    """A ``.tflite`` from JAX, without TensorFlow."""
    return _in_process_of_its_own("twin_tflite", path, batch)


def twin_keras(path: Path, batch: int | None) -> Path:
    """A ``.keras`` file."""
    return _in_process_of_its_own("twin_keras", path, batch)


def twin_torch(path: Path, batch: int | None) -> Path:
    """A ``.pt2`` file of ``torch.export``."""
    return _in_process_of_its_own("twin_torch", path, batch)


def twin_jax(path: Path, batch: int | None) -> Path:
    """A ``.jax`` file of ``jax.export``."""
    return _in_process_of_its_own("twin_jax", path, batch)


def dense_onnx(path: Path) -> Path:
    """Int8 as QuantizeLinear and DequantizeLinear around a MatMul, weights stored as int8."""
    import onnx
    from onnx import TensorProto, helper

    scale = np.float32(np.abs(DENSE).max() / 127)
    weights = {
        "weights": np.round(DENSE / scale).astype(np.int8),
        "weights_scale": scale,
        "x_scale": np.float32(1 / 127),
        "zero": np.int8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "zero"], ["x_int"]),
        helper.make_node("DequantizeLinear", ["x_int", "x_scale", "zero"], ["x_float"]),
        helper.make_node("DequantizeLinear", ["weights", "weights_scale", "zero"], ["weights_float"]),
        helper.make_node("MatMul", ["x_float", "weights_float"], ["product"]),
        helper.make_node("Relu", ["product"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def dense_openvino(path: Path, *, quantized: bool = True) -> Path:
    """Int8 as FakeQuantize around a MatMul, the form that OpenVINO turns into integer kernels."""
    import openvino
    from openvino import opset13 as ops

    def limited(node: Any, limit: float) -> Any:
        if not quantized:
            return node
        low, high = ops.constant(np.float32(-limit)), ops.constant(np.float32(limit))
        return ops.fake_quantize(node, low, high, low, high, 255)

    x = ops.parameter([-1, 32], np.float32, name="x")
    weights = limited(ops.constant(DENSE), float(np.abs(DENSE).max()))
    y = ops.relu(ops.matmul(limited(x, 1.0), weights, False, False))
    x.output(0).get_tensor().set_names({"x"})
    y.output(0).get_tensor().set_names({"y"})
    openvino.save_model(openvino.Model([y], [x], "dense"), path, compress_to_fp16=False)
    return path


def dense_tflite(path: Path) -> Path:
    """Full int8 with int8 inputs and outputs, by ai-edge-quantizer."""
    return _in_process_of_its_own("dense_tflite", path, 1)


def relu_tflite(path: Path, version: int) -> Path:
    """``y = relu(x)``, ``(1, 4)``, whose one operator claims a version."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from edgekit.runtimes.smoke import MODELS

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(MODELS["tflite"][1]))
    model.operatorCodes[0].version = version
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _in_process_of_its_own(kind: str, path: Path, batch: int | None) -> Path:
    command = [sys.executable, __file__, kind, str(path), str(batch or 0)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return path


def _convert(
    path: Path, function: Callable[..., Any], arguments: list[Any], names: tuple[list[str], list[str]]
) -> None:
    """A JAX function to StableHLO to ``.tflite``."""
    import jax
    from litert_converter.mlir import ir, passmanager
    from litert_converter.mlir._mlir_libs import converter_api_ext as converter

    exported = jax.export.export(jax.jit(function), platforms=["cpu"])(*arguments)
    context = ir.Context()
    converter.prepare_mlir_context(context)
    with context:
        module = ir.Module.parse(exported.mlir_module())
        converter.set_signature(
            module.operation, signature_name="serving_default", input_names=names[0], output_names=names[1]
        )
        converter.run_convert_to_tfl_passes(module, passmanager.PassManager(), converter.ConvertToTFLConfig())
        converter.export_flatbuffer_to_file(module.operation, str(path))


def _make_twin_tflite(path: Path, batch: int | None) -> None:
    import jax
    import jax.export
    import jax.numpy as jnp

    def twin(wide: Any, token: Any) -> Any:
        embed = jnp.tanh(jnp.take(TABLE, token, axis=0).sum(axis=1))
        return embed @ EMBED + wide @ WIDE, embed

    length = jax.export.symbolic_shape("batch")[0] if batch is None else batch
    arguments = [jax.ShapeDtypeStruct((length, 4), np.float32), jax.ShapeDtypeStruct((length, 2), np.int32)]
    _convert(path, twin, arguments, (list(INPUTS), list(OUTPUTS)))


def _make_dense_tflite(path: Path, batch: int | None) -> None:
    import jax
    from ai_edge_quantizer import quantizer, recipe

    parent = path.with_suffix(".float.tflite")
    _convert(parent, lambda x: jax.nn.relu(x @ DENSE), [jax.ShapeDtypeStruct((batch, 32), np.float32)], (["x"], ["y"]))
    work = quantizer.Quantizer(str(parent), recipe.static_wi8_ai8())
    samples = dense_inputs(32, seed=3)["x"]
    ranges = work.calibrate({"serving_default": [{"x": samples[index : index + 1]} for index in range(32)]})
    path.write_bytes(work.quantize(ranges).quantized_model)


def _make_twin_keras(path: Path, batch: int | None) -> None:
    import keras

    wide = keras.Input((4,), batch_size=batch, name="wide")
    token = keras.Input((2,), batch_size=batch, dtype="int32", name="token")
    rows = keras.layers.Embedding(*TABLE.shape, name="table")(token)
    summed = keras.layers.GlobalAveragePooling1D()(rows)
    embed = keras.layers.Activation("tanh", name="embed")(keras.layers.Rescaling(2.0)(summed))
    deep_part = keras.layers.Dense(2, use_bias=False, name="embed_weights")(embed)
    wide_part = keras.layers.Dense(2, use_bias=False, name="wide_weights")(wide)
    score = keras.layers.Add(name="score")([deep_part, wide_part])
    model = keras.Model([wide, token], [score, embed], name="twin")
    for name, array in (("table", TABLE), ("embed_weights", EMBED), ("wide_weights", WIDE)):
        model.get_layer(name).set_weights([array])
    model.save(path)


def _make_twin_torch(path: Path, batch: int | None) -> None:
    import torch

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, array in (("table", TABLE), ("embed", EMBED), ("wide", WIDE)):
                self.register_buffer(name, torch.from_numpy(array))

        def forward(self, wide: Any, token: Any) -> Any:
            embed = torch.tanh(self.table[token].sum(1))
            return {"score": embed @ self.embed + wide @ self.wide, "embed": embed}

    length = batch or 3
    examples = tuple(torch.from_numpy(array) for array in twin_inputs(length).values())
    free = {name: {0: torch.export.Dim.DYNAMIC} for name in INPUTS} if batch is None else None
    torch.export.save(torch.export.export(Twin(), examples, dynamic_shapes=free), path)


def _make_twin_jax(path: Path, batch: int | None) -> None:
    from collections import OrderedDict  # JAX sorts the keys of any other dictionary

    import jax
    import jax.export
    import jax.numpy as jnp

    def twin(inputs: Any) -> Any:
        embed = jnp.tanh(jnp.take(TABLE, inputs["token"], axis=0).sum(axis=1))
        return OrderedDict(score=embed @ EMBED + inputs["wide"] @ WIDE, embed=embed)

    length = jax.export.symbolic_shape("batch")[0] if batch is None else batch
    wide, token = jax.ShapeDtypeStruct((length, 4), np.float32), jax.ShapeDtypeStruct((length, 2), np.int32)
    exported = jax.export.export(jax.jit(twin), platforms=["cpu"])(OrderedDict(wide=wide, token=token))
    path.write_bytes(exported.serialize())


if __name__ == "__main__":
    import os

    os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    globals()[f"_make_{sys.argv[1]}"](Path(sys.argv[2]), int(sys.argv[3]) or None)
