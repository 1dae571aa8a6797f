"""Matrix products of ONNX models in few bits: right, and computed by onnxruntime on the stored weights.

The model has what NNCF and onnxruntime get wrong: a bias per position, two steps of a cell that share a weight, sums of
two products, activations that come right behind a Gemm, and a transposed weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob, QuantizeJobResult
from edgekit.quantizer.methods import _onnx_forms
from edgekit.quantizer.methods._onnx_gemm import split_gemms
from edgekit.quantizer.recipe import Recipe
from edgekit.types import Signature, TensorSpec
from tests.conformance.method_suite import sqnr_db

POSITIONS, WIDTH, HIDDEN, MADE = 4, 32, 64, 10


def products() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    sizes = {
        "tokens": (WIDTH, WIDTH),
        "places": (POSITIONS, WIDTH),
        "dense": (POSITIONS * WIDTH, HIDDEN),
        "dense_bias": (HIDDEN,),
        "cell": (HIDDEN, HIDDEN),
        "head": (MADE, HIDDEN),
        "head_bias": (MADE,),
    }
    weights = [
        numpy_helper.from_array((random.normal(size=size) / np.sqrt(size[-1])).astype(np.float32), name)
        for name, size in sizes.items()
    ]
    weights.append(numpy_helper.from_array(np.array([0, POSITIONS * WIDTH]), "flat"))
    nodes = [
        helper.make_node("MatMul", ["x", "tokens"], ["projected"], "tokens/MatMul"),
        helper.make_node("Add", ["projected", "places"], ["placed"], "places/Add"),
        helper.make_node("Reshape", ["placed", "flat"], ["row"], "Reshape"),
        helper.make_node("Gemm", ["row", "dense", "dense_bias"], ["summed"], "dense/Gemm"),
        helper.make_node("Relu", ["summed"], ["features"], "dense/Relu"),
        helper.make_node("MatMul", ["features", "cell"], ["first"], "cell/MatMul"),
        helper.make_node("Tanh", ["first"], ["state"], "cell/Tanh"),
        helper.make_node("MatMul", ["state", "cell"], ["second"], "cell/MatMul_1"),
        helper.make_node("Add", ["second", "features"], ["joined"], "cell/Add"),
        helper.make_node("Tanh", ["joined"], ["last"], "cell/Tanh_1"),
        helper.make_node("Gemm", ["last", "head", "head_bias"], ["y"], "head/Gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", POSITIONS, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", MADE])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


SAMPLES = np.random.default_rng(1).normal(size=(200, POSITIONS, WIDTH)).astype(np.float32)
SIGNATURE = Signature(
    (TensorSpec("x", (None, POSITIONS, WIDTH), "float32"),), (TensorSpec("y", (None, MADE), "float32"),)
)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def quantized(executor: Executor, recipe: Recipe, folder: Path) -> QuantizeJobResult:
    onnx.save(products(), folder / "model.onnx")
    np.save(folder / "x.npy", SAMPLES[:100])
    calibration = {"x": executor.add(folder / "x.npy")} if recipe.precision == "int8" else {}
    files = (executor.add(folder / "model.onnx"),)
    job = QuantizeJob(f"onnx:{recipe.precision}", files, SIGNATURE, calibration, recipe)
    return executor.run(job, conversion_context(None))


def optimized(model: Path | bytes, folder: Path) -> tuple[np.ndarray, onnx.ModelProto]:
    """What onnxruntime computes of fresh samples, and which operators it does that with."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": SAMPLES[100:]})
    return np.asarray(got), onnx.load(folder / "optimized.onnx")


def widened(model: onnx.ModelProto) -> list[str]:
    """Matrices that are made float in every inference."""
    stored = {weight.name: weight for weight in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored and len(stored[node.input[0]].dims) > 1
    ]


@pytest.mark.parametrize(
    ("name", "floor_db", "weights"),
    [
        ("int8", 30, 5),
        ("int8_recurrent", 30, 5),
        ("int8_performance", 30, 5),
        ("int8-weights", 35, 5),
        ("int8-weights_asym", 35, 5),
        ("int4-weights", 15, 3),
        ("int4-weights_asym", 15, 3),
    ],
)
def test_products_are_right_and_computed_on_the_stored_weights(
    executor: Executor, tmp_path: Path, name: str, floor_db: float, weights: int
) -> None:
    recipe = Recipe.parse(name)
    made = quantized(executor, recipe, tmp_path)
    assert made.quantized_ops >= weights
    reference, _ = optimized(products().SerializeToString(), tmp_path)
    got, engine = optimized(executor.path(made.files[0]), tmp_path)
    assert got.std(axis=0).min() > 0.05
    assert sqnr_db(reference, got) >= floor_db
    # onnxruntime makes no 8-bit product of a weight that several operators share.
    shared = 2 if recipe.precision == "int8-weights" else 0
    assert len(widened(engine)) == shared
    floats = [node for node in engine.graph.node if node.op_type in ("MatMul", "Gemm", "FusedGemm", "FusedMatMul")]
    assert len(floats) == shared


def test_every_product_counts_under_its_name(executor: Executor, tmp_path: Path) -> None:
    made = quantized(executor, Recipe(model_kind="recurrent"), tmp_path)
    assert made.macs is not None
    total = POSITIONS * WIDTH * WIDTH + POSITIONS * WIDTH * HIDDEN + 2 * HIDDEN * HIDDEN + HIDDEN * MADE
    assert (made.macs.low_bit, made.macs.total) == (total, total)
    layers = {info.name.removesuffix("/MatMulAddFusion") for info in made.infos if info.macs}
    assert layers == {"tokens/MatMul", "dense/Gemm", "cell/MatMul", "cell/MatMul_1", "head/Gemm"}


def gemm(**settings: Any) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = {"w": (6, 5) if settings.get("transB") else (5, 6), "b": (6,)}
    rows = ["rows", 5] if not settings.get("transA") else [5, "rows"]
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "gemm", **settings)],
        "gemm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, rows)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 6])],
        [numpy_helper.from_array(random.normal(size=size).astype(np.float32), name) for name, size in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(
    "settings", [{}, {"transB": 1}, {"transA": 1}, {"alpha": 0.5, "beta": 2.0}, {"alpha": 3.0, "transB": 1}], ids=str
)
def test_a_gemm_is_the_same_in_parts(settings: dict[str, Any]) -> None:
    model = gemm(**settings)
    x = {"x": np.random.default_rng(1).normal(size=(5, 3) if settings.get("transA") else (3, 5)).astype(np.float32)}
    (before,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    split_gemms(model)
    onnx.checker.check_model(model, full_check=True)
    assert "Gemm" not in {node.op_type for node in model.graph.node}
    (after,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("zero", [-128, -3, 0, 127])
def test_unsigned_activations_are_the_same_values(zero: int) -> None:
    scalars = [numpy_helper.from_array(np.float32(0.05), "s"), numpy_helper.from_array(np.int8(zero), "z")]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "d"),
        ],
        "quantizer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
        scalars,
        value_info=[helper.make_tensor_value_info("q", TensorProto.INT8, [None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = {"x": np.linspace(-20, 20, 999).astype(np.float32)}
    (before,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    _onnx_forms.make_activations_unsigned(model)
    onnx.checker.check_model(model, full_check=True)
    assert numpy_helper.to_array(model.graph.initializer[-1]).dtype == np.uint8
    (after,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    np.testing.assert_array_equal(after, before)
    assert len(np.unique(after)) > 100
