"""ONNX models with a few operators each. Each takes ``x (batch, 4, 6, 8)`` and gives ``y (batch, …)``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = ("batch", 4, 6, 8)


class Graph:
    """Collects nodes; every result becomes a part of ``y``."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; inputs that are no names are constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        made = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, names, made, name=f"{kind}{len(self.nodes)}", **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(np.random.default_rng(int(np.prod(shape))).normal(size=shape))

    def model(self, parts: Sequence[str], opset: int = 18) -> onnx.ModelProto:
        """All parts side by side."""
        flat = [self("Reshape", part, [0, -1]) for part in parts]
        self.nodes.append(helper.make_node("Concat", flat, ["y"], axis=1))
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", None))
        graph = helper.make_graph(self.nodes, "operators", [x], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def activations(g: Graph) -> list[str]:
    plain = ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "HardSwish", "Selu", "Erf", "Elu", "Celu")
    return [
        *(g(kind, "x") for kind in plain),
        g("LeakyRelu", "x", alpha=0.2),
        g("PRelu", "x", g.weights(4, 1, 1)),
        g("HardSigmoid", "x", alpha=0.3, beta=0.4),
        g("ThresholdedRelu", "x", alpha=0.5),
        g("Clip", "x", np.float32(-0.3), np.float32(0.8)),
        g("Softmax", "x", axis=1),
        g("LogSoftmax", "x", axis=-1),
    ]


def arithmetic(g: Graph) -> list[str]:
    plain = ("Abs", "Neg", "Exp", "Floor", "Ceil", "Round", "Sin", "Cos", "Sign", "Atan", "Sinh")
    positive = g("Add", g("Abs", "x"), np.float32(0.1))
    whole = g("Cast", g("Mul", "x", np.float32(10)), to=TensorProto.INT32)
    integers = [g("Div", whole, np.int32(3)), g("Mod", whole, np.int32(3)), g("Mod", whole, np.int32(3), fmod=1)]
    return [
        *(g(kind, "x") for kind in plain),
        *(g(kind, positive) for kind in ("Sqrt", "Log", "Reciprocal")),
        *(g("Cast", value, to=TensorProto.FLOAT) for value in integers),
        g("Pow", "x", np.float32(3)),
        g("Pow", positive, g.weights(8)),
        g("Max", "x", np.float32(0.2), g.weights(6, 8)),
        g("Mean", "x", positive),
        g("Where", g("And", g("Greater", "x", np.float32(-1)), g("Less", "x", np.float32(1))), "x", positive),
        g("Mod", "x", np.float32(0.3), fmod=1),
    ]


def reductions(g: Graph) -> list[str]:
    kinds = ("L1", "L2", "Max", "Min", "Mean", "Prod", "Sum", "SumSquare", "LogSumExp")
    integers = [g("ArgMax", "x", axis=1), g("ArgMin", "x", axis=-1, keepdims=0)]
    return [
        *(g(f"Reduce{kind}", "x", [1, 3], keepdims=0) for kind in kinds),
        g("ReduceSum", "x", [-2]),
        g("CumSum", "x", np.int64(2)),
        g("CumSum", "x", np.int64(3), exclusive=1, reverse=1),
        *(g("Cast", value, to=TensorProto.FLOAT) for value in integers),
    ]


def normalisation(g: Graph) -> list[str]:
    statistics = [g.weights(4), g.weights(1, 4), np.zeros(4, np.float32), np.full(4, 0.8, np.float32)]
    statistics[1] = g("Reshape", statistics[1], [4])
    return [
        g("BatchNormalization", "x", *statistics, epsilon=1e-3),
        g("InstanceNormalization", "x", g.weights(4), g.weights(4)),
        g("LayerNormalization", "x", g.weights(8), g.weights(8), axis=-1),
        g("LayerNormalization", "x", g.weights(6, 8), axis=2),
        g("LpNormalization", "x", axis=1, p=2),
        g("LRN", "x", size=3, alpha=0.5),
    ]


def convolutions(g: Graph) -> list[str]:
    bias = g.weights(8)
    two: dict[str, Any] = {"strides": [2, 2]}
    return [
        g("Conv", "x", g.weights(8, 4, 3, 3), bias, pads=[1, 1, 1, 1], **two),
        g("Conv", "x", g.weights(8, 4, 3, 3), auto_pad="SAME_UPPER", **two),
        g("Conv", "x", g.weights(8, 4, 3, 3), auto_pad="SAME_LOWER", **two),
        g("Conv", "x", g.weights(8, 4, 3, 2), pads=[0, 1, 2, 0], dilations=[1, 2]),
        g("Conv", "x", g.weights(4, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
        g("Conv", "x", g.weights(8, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
        g("Conv", "x", g.weights(8, 2, 3, 3), group=2),
        g("Conv", g("Reshape", "x", [0, 4, 48]), g.weights(6, 4, 5), strides=[3], pads=[2, 2]),
        g("ConvTranspose", "x", g.weights(4, 5, 4, 4), pads=[1, 1, 1, 1], **two),
        g("ConvTranspose", "x", g.weights(4, 5, 3, 3), pads=[1, 1, 1, 1], output_padding=[1, 1], **two),
        g("ConvTranspose", "x", g.weights(4, 3, 2, 2), group=2, **two),
    ]


def pools(g: Graph) -> list[str]:
    window: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2]}
    return [
        g("MaxPool", "x", **window),
        g("MaxPool", "x", pads=[1, 1, 1, 1], **window),
        g("MaxPool", "x", ceil_mode=1, **window),
        g("MaxPool", "x", auto_pad="SAME_UPPER", **window),
        g("AveragePool", "x", pads=[1, 1, 1, 1], **window),
        g("AveragePool", "x", pads=[1, 1, 1, 1], count_include_pad=1, **window),
        g("AveragePool", "x", auto_pad="SAME_UPPER", **window),
        g("GlobalAveragePool", "x"),
        g("GlobalMaxPool", "x"),
    ]


def resizing(g: Graph) -> list[str]:
    def resize(mode: str, where: str, **more: Any) -> Any:
        sizes = g("Concat", g("Shape", "x", start=0, end=2), [9, 13], axis=0)
        return g("Resize", "x", "", "", sizes, mode=mode, coordinate_transformation_mode=where, **more)

    return [
        resize("nearest", "asymmetric", nearest_mode="floor"),
        resize("nearest", "half_pixel", nearest_mode="round_prefer_ceil"),
        resize("linear", "half_pixel"),
        resize("linear", "align_corners"),
        resize("cubic", "pytorch_half_pixel", cubic_coeff_a=-0.5),
        g("Resize", "x", "", np.array([1, 1, 2, 2], np.float32), mode="linear"),
    ]


def selections(g: Graph) -> list[str]:
    index = g("Cast", g("Clip", g("Abs", "x"), np.float32(0), np.float32(3)), to=TensorProto.INT64)
    largest = g("TopK", "x", [3], axis=3, outputs=2)
    smallest = g("TopK", "x", [2], axis=1, largest=0, outputs=2)
    hot = g("OneHot", index, np.int64(4), np.array([-1, 2], np.float32), axis=1)
    parts = g("Split", "x", [1, 3], axis=1, outputs=2)
    return [
        largest[0],
        g("Cast", largest[1], to=TensorProto.FLOAT),
        smallest[0],
        parts[1],
        g("Gather", "x", np.array([2, -1]), axis=2),
        g("Gather", "x", np.int64(-2), axis=3),
        g("GatherElements", "x", index, axis=3),
        g("Slice", "x", [5, -1], [-99, 0], [2, 3], [-2, -3]),
        g("ReduceSum", hot, [2, 3]),
        g("Trilu", "x", np.int64(1), upper=0),
    ]


def layouts(g: Graph) -> list[str]:
    pads = np.array([0, 0, 1, 2, 0, 0, 2, 1])
    return [
        g("DepthToSpace", "x", blocksize=2, mode="DCR"),
        g("DepthToSpace", "x", blocksize=2, mode="CRD"),
        g("SpaceToDepth", "x", blocksize=2),
        g("Pad", "x", pads, np.float32(0.7)),
        g("Pad", "x", pads, mode="reflect"),
        g("Pad", "x", pads, mode="edge"),
        g("Pad", "x", np.array([0, 0, -1, 2, 0, 0, 2, -3]), np.float32(0.7)),
        g("Tile", "x", [1, 2, 1, 1]),
        g("Expand", g("ReduceMean", "x", [2]), [1, 4, 3, 8]),
        g("Transpose", "x", perm=[0, 3, 1, 2]),
        g("Flatten", "x"),
        g("Squeeze", g("Unsqueeze", "x", [1, 5]), [5]),
    ]


def products(g: Graph) -> list[str]:
    flat = g("Reshape", "x", [0, 192])
    return [
        g("Gemm", flat, g.weights(5, 192), g.weights(5), transB=1, alpha=0.5, beta=2.0),
        g("MatMul", "x", g.weights(8, 3)),
        g("MatMul", "x", g("Transpose", "x", perm=[0, 1, 3, 2])),
        g("Einsum", "x", g.weights(8, 3), equation="bchw,wk->bchk"),
    ]


def sequences(g: Graph) -> list[str]:
    steps = g("Transpose", g("Reshape", "x", [0, 24, 8]), perm=[1, 0, 2])
    lstm = g(
        "LSTM",
        *(steps, g.weights(2, 20, 8), g.weights(2, 20, 5), g.weights(2, 40)),
        hidden_size=5,
        direction="bidirectional",
        outputs=3,
    )
    gru = ["GRU", steps, g.weights(1, 15, 8), g.weights(1, 15, 5), g.weights(1, 30)]
    parts = [
        *lstm,
        g(*gru, hidden_size=5, linear_before_reset=1),
        g(*gru, hidden_size=5, direction="reverse"),
        g("RNN", steps, g.weights(1, 5, 8), g.weights(1, 5, 5), hidden_size=5),
    ]
    ranked = [(part, 2 if index not in (1, 2) else 1) for index, part in enumerate(parts)]
    return [
        g("Transpose", part, perm=[batch, *(axis for axis in range(4 if batch == 2 else 3) if axis != batch)])
        for part, batch in ranked
    ]


MODELS: dict[str, Callable[[Graph], list[str]]] = {
    model.__name__: model
    for model in (
        *(activations, arithmetic, reductions, normalisation, convolutions, pools, resizing, selections, layouts),
        *(products, sequences),
    )
}


def save(folder: Path, name: str) -> Path:
    """Write one model, as ``folder/NAME.onnx``."""
    graph = Graph()
    path = folder / f"{name}.onnx"
    onnx.save(graph.model(MODELS[name](graph)), path)
    return path
