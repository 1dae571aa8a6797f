"""OpenVINO models with a few operators each: ``python -m tests.conformance.operators_openvino FOLDER``.

They are built and saved in a process of their own, since OpenVINO forks while it saves. Each takes
``x (batch, 4, 6, 8)`` and gives ``y``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Shape of the one input; the batch is free.
SHAPE = (-1, 4, 6, 8)


def _weights(*shape: int) -> Any:
    from openvino import opset16 as ov

    return ov.constant(np.random.default_rng(int(np.prod(shape))).normal(size=shape).astype(np.float32))


def _ints(*values: Any) -> Any:
    from openvino import opset16 as ov

    return ov.constant(np.array(values, np.int64))


def _int(value: int) -> Any:
    from openvino import opset16 as ov

    return ov.constant(np.array(value, np.int64))


def _number(value: float) -> Any:
    from openvino import opset16 as ov

    return ov.constant(np.array(value, np.float32))


def activations(ov: Any, x: Any) -> Any:
    """One after the other; none of them saturates here."""
    parts = [
        ov.elu(x, 0.7),
        ov.selu(x, _number(1.5), _number(1.1)),
        ov.prelu(x, _weights(4)),
        ov.swish(x, _number(1.3)),
        ov.hswish(x),
        ov.hsigmoid(x),
        ov.hard_sigmoid(x, _number(0.3), _number(0.4)),
        ov.gelu(x, "tanh"),
        ov.gelu(x, "erf"),
        ov.mish(x),
        ov.softplus(x),
        ov.softsign(x),
        ov.clamp(x, -0.4, 0.9),
        ov.round(x, "half_to_even"),
        ov.round(ov.multiply(x, _number(2.0)), "half_away_from_zero"),
        ov.log_softmax(x, 1),
    ]
    return ov.concat(parts, 1)


def arithmetic(ov: Any, x: Any) -> Any:
    whole = ov.convert(ov.multiply(x, _number(10.0)), "i32")
    three = ov.constant(np.array(3, np.int32))
    # A negative quotient would be rounded to minus infinity by the specification, and to zero by the engine.
    integers = [
        ov.divide(ov.abs(whole), three),
        ov.mod(whole, three),
        ov.floor_mod(whole, three),
        ov.clamp(whole, -4.5, 6.2),
    ]
    parts = [
        *(ov.convert(part, "f32") for part in integers),
        ov.mod(x, _number(0.3)),
        ov.floor_mod(x, _number(0.3)),
        ov.squared_difference(x, _number(0.5)),
        ov.select(ov.not_equal(ov.floor(x), _number(0.0)), x, ov.negative(x)),
        ov.maximum(ov.minimum(x, _number(0.5)), _number(-0.5)),
    ]
    return ov.concat(parts, 1)


def reductions(ov: Any, x: Any) -> Any:
    wide = [
        ov.reduce_l1(x, _ints(2), True),
        ov.reduce_l2(x, _ints(2), True),
        ov.reduce_prod(x, _ints(2), True),
        ov.reduce_max(x, _ints(-2), True),
        ov.unsqueeze(ov.reduce_min(x, _ints(2), False), _ints(2)),
        ov.convert(ov.reduce_logical_and(ov.greater(x, _number(-0.8)), _ints(2), True), "f32"),
        ov.convert(ov.reduce_logical_or(ov.greater(x, _number(0.8)), _ints(2), True), "f32"),
        ov.cum_sum(x, _int(2), True, True),
    ]
    return ov.concat(wide, 2)


def normalisation(ov: Any, x: Any) -> Any:
    statistics = (_weights(4), _weights(1, 4), _number(0.1), _number(0.8))
    flat = [ov.broadcast(ov.reshape(part, _ints(-1), False), _ints(4)) for part in statistics]
    parts = [
        ov.mvn(x, _ints(2, 3), True, 1e-3, "inside_sqrt"),
        ov.mvn(x, _ints(1, 2, 3), True, 1e-3, "outside_sqrt"),
        ov.normalize_l2(x, _ints(1), 1e-2, "add"),
        ov.normalize_l2(x, _ints(2, 3), 1.0, "max"),
        ov.batch_norm_inference(x, *flat, 1e-3),
        ov.lrn(x, _ints(1), 0.5, 0.75, 1.0, 3),
        ov.group_normalization(x, _weights(4), _weights(4), 2, 1e-3),
    ]
    return ov.concat(parts, 1)


def convolutions(ov: Any, x: Any) -> Any:
    plain = ov.convolution(x, _weights(8, 4, 3, 3), [2, 2], [0, 0], [0, 0], [1, 1], "same_lower")
    grouped = ov.group_convolution(x, _weights(2, 4, 2, 3, 3), [2, 2], [1, 1], [1, 1], [1, 1])
    dilated = ov.convolution(x, _weights(8, 4, 3, 2), [2, 2], [0, 0], [0, 0], [2, 3], "same_upper")
    return ov.concat([plain, grouped, dilated], 1)


def transposed(ov: Any, x: Any) -> Any:
    window = ([2, 2], None, [1, 1], [1, 1], [1, 1])
    plain = ov.convolution_backprop_data(x, _weights(4, 5, 4, 4), *window)
    grouped = ov.group_convolution_backprop_data(x, _weights(2, 2, 3, 4, 4), *window)
    lower = ov.convolution_backprop_data(x, _weights(4, 5, 3, 3), [2, 2], _ints(12, 16), None, None, None, "same_lower")
    upper = ov.convolution_backprop_data(x, _weights(4, 5, 3, 3), [2, 2], _ints(12, 16), None, None, None, "same_upper")
    return ov.concat([plain, grouped, lower, upper], 1)


def pools(ov: Any, x: Any) -> Any:
    parts = [
        ov.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3], "floor").output(0),
        ov.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], True, "floor", None, [1, 1]).output(0),
        ov.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], False, "floor", None, [1, 1]).output(0),
        ov.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "floor", "same_lower").output(0),
    ]
    return ov.concat(parts, 1)


def adaptive(ov: Any, x: Any) -> Any:
    """Over everything, in equal windows, and in windows that overlap."""
    parts = [
        *(ov.adaptive_avg_pool(x, _ints(*lengths)) for lengths in ((1, 1), (3, 4), (4, 5))),
        *(ov.adaptive_max_pool(x, _ints(*lengths), "i32").output(0) for lengths in ((1, 1), (2, 8))),
    ]
    return ov.concat([ov.reshape(part, _ints(0, -1), True) for part in parts], 1)


def resizing(ov: Any, x: Any) -> Any:
    def resize(mode: str, where: str, rounding: str = "round_prefer_floor") -> Any:
        return ov.interpolate(
            *(x, _ints(9, 13), mode, "sizes"),
            coordinate_transformation_mode=where,
            nearest_mode=rounding,
            axes=_ints(2, 3),
        )

    parts = [
        resize("nearest", "asymmetric", "floor"),
        resize("nearest", "half_pixel", "round_prefer_ceil"),
        resize("linear_onnx", "half_pixel"),
        resize("linear_onnx", "align_corners"),
        resize("cubic", "pytorch_half_pixel"),
    ]
    turned = ov.transpose(x, _ints(0, 2, 3, 1))  # channels last
    resized = ov.interpolate(
        *(turned, _ints(9, 13), "linear_onnx", "sizes"), coordinate_transformation_mode="half_pixel", axes=_ints(1, 2)
    )
    return ov.add(ov.concat(parts, 1), ov.tile(ov.transpose(resized, _ints(0, 3, 1, 2)), _ints(1, 5, 1, 1)))


def slices(ov: Any, x: Any) -> Any:
    def strided(begin: Any, end: Any, step: Any, **masks: list[int]) -> Any:
        names = ("begin_mask", "end_mask", "new_axis_mask", "shrink_axis_mask", "ellipsis_mask")
        whole = {name: [*masks.get(name, []), 0, 0, 0][: len(begin)] for name in names}
        cut = ov.strided_slice(x, _ints(*begin), _ints(*end), _ints(*step), **whole)
        return ov.reshape(cut, _ints(0, -1), True)

    parts = [
        strided((0, 1, 5), (0, 3, 0), (1, 1, -2), begin_mask=[1, 0, 0], end_mask=[1, 0, 1]),
        strided((0, -1), (0, 0), (1, 1), begin_mask=[1, 0], end_mask=[1, 0], shrink_axis_mask=[0, 1]),
        strided((0, 0, 2), (0, 0, 4), (1, 1, 1), begin_mask=[1], end_mask=[1], ellipsis_mask=[0, 1]),
        strided((0, 0, 1), (0, 0, 2), (1, 1, 1), begin_mask=[1], end_mask=[1], new_axis_mask=[0, 1]),
        ov.reshape(ov.slice(x, _ints(-1), _ints(-9), _ints(-3), _ints(3)), _ints(0, -1), True),
        ov.reshape(ov.variadic_split(x, _int(1), _ints(1, -1)).output(1), _ints(0, -1), True),
        ov.reshape(ov.split(x, _int(3), 4).output(2), _ints(0, -1), True),
    ]
    return ov.concat(parts, 1)


def selections(ov: Any, x: Any) -> Any:
    index = ov.convert(ov.clamp(ov.abs(ov.multiply(x, _number(2.0))), 0.0, 5.0), "i64")
    hot = ov.one_hot(ov.subtract(index, _int(1)), _int(4), _number(2.0), _number(-1.0), 2)
    parts = [
        ov.topk(x, _int(3), 3, "max", "value").output(0),
        ov.convert(ov.topk(x, _int(2), 3, "min", "value").output(1), "f32"),
        ov.gather(x, _ints(-1, 0, 2), _int(3)),
        ov.gather_elements(x, index, 3),
        ov.broadcast(ov.reduce_sum(hot, _ints(2), False), _ints(1, 4, 6, 8), None, "bidirectional"),
        ov.tile(ov.reduce_mean(x, _ints(3), True), _ints(1, 1, 1, 2)),
    ]
    return ov.concat(parts, 3)


def layouts(ov: Any, x: Any) -> Any:
    parts = [
        ov.depth_to_space(x, "blocks_first", 2),
        ov.depth_to_space(x, "depth_first", 2),
        ov.reshape(ov.space_to_depth(x, "blocks_first", 2), _ints(0, 1, 12, 16), True),
    ]
    padded = [
        ov.pad(x, _ints(0, 0, 1, 2), _ints(0, 0, 2, 1), "constant", _number(0.7)),
        ov.pad(x, _ints(0, 0, 1, 2), _ints(0, 0, 2, 1), "reflect"),
        ov.pad(x, _ints(0, 0, 1, 2), _ints(0, 0, 2, 1), "edge"),
    ]
    flat = [ov.reshape(part, _ints(0, -1), True) for part in (*parts, *padded)]
    return ov.concat(flat, 1)


def products(ov: Any, x: Any) -> Any:
    attention = ov.scaled_dot_product_attention(x, x, x)
    causal = ov.scaled_dot_product_attention(x, x, x, causal=True)
    parts = [
        ov.matmul(x, _weights(5, 8), False, True),
        ov.matmul(x, _weights(6, 5), True, False),
        ov.einsum([x, _weights(8, 3)], "bchw,wk->bchk"),
        attention,
        causal,
    ]
    return ov.concat([ov.reshape(part, _ints(0, -1), True) for part in parts], 1)


def sequences(ov: Any, x: Any) -> Any:
    """Sequences of 6 steps with 8 features; the batch is 4 times as long."""
    steps = ov.reshape(x, _ints(-1, 6, 8), False)
    batch = ov.gather(ov.shape_of(steps), _ints(0), _int(0))

    def zeros(*lengths: int) -> Any:
        return ov.broadcast(_number(0.0), ov.concat([batch, _ints(*lengths)], 0))

    counts = ov.broadcast(_int(6), batch)
    lstm = ov.lstm_sequence(
        *(steps, zeros(2, 5), zeros(2, 5), counts, _weights(2, 20, 8), _weights(2, 20, 5), _weights(2, 20)),
        *(5, "bidirectional"),
    )
    gru = ov.gru_sequence(
        *(steps, zeros(1, 5), counts, _weights(1, 15, 8), _weights(1, 15, 5), _weights(1, 20), 5, "reverse"),
        linear_before_reset=True,
    )
    first = ov.squeeze(ov.gather(steps, _ints(0), _int(1)), _ints(1))
    cell = ov.lstm_cell(first, zeros(5), zeros(5), _weights(20, 8), _weights(20, 5), _weights(20), 5)
    parts = [lstm.output(0), lstm.output(2), gru.output(0), gru.output(1), cell.output(0), cell.output(1)]
    flat = [ov.reshape(part, ov.concat([batch, _ints(-1)], 0), False) for part in parts]
    return ov.reshape(ov.concat(flat, 1), _ints(-1, 4 * (60 + 10 + 30 + 5 + 5 + 5)), False)


def unknown(ov: Any, x: Any) -> Any:
    """With an operator that ONNX lacks."""
    ranks = ov.bucketize(x, ov.constant(np.array([-1, 0, 1], np.float32)), "i32")
    ranks.set_friendly_name("ranks")
    return ov.convert(ranks, "f32")


def quantized(ov: Any, x: Any) -> Any:
    """With the rounding of a quantizer."""
    return ov.fake_quantize(x, _number(-2.0), _number(2.0), _number(-2.0), _number(2.0), 256)


MODELS: dict[str, Callable[[Any, Any], Any]] = {
    model.__name__: model
    for model in (
        *(
            activations,
            arithmetic,
            reductions,
            normalisation,
            convolutions,
            transposed,
            pools,
            adaptive,
            resizing,
            slices,
        ),
        *(selections, layouts, products, sequences),
    )
}


#: Models that are no use as they are.
REFUSED = {"unknown": unknown, "quantized": quantized}


def save(name: str, folder: Path, build: Callable[[Any, Any], Any]) -> Path:
    """Write one model, as ``folder/NAME/model.xml``."""
    import openvino
    from openvino import opset16

    x = opset16.parameter(openvino.PartialShape(list(SHAPE)), np.float32, name="x")
    x.output(0).set_names({"x"})
    result = opset16.result(build(opset16, x))
    result.input_value(0).set_names({"y"})
    path = folder / name / "model.xml"
    path.parent.mkdir(parents=True)
    openvino.save_model(openvino.Model([result], [x], "model"), path, compress_to_fp16=False)
    return path


if __name__ == "__main__":
    for _name, _build in (MODELS | REFUSED).items():
        save(_name, Path(sys.argv[1]), _build)
