"""OpenVINO to ONNX: convolution, pooling, normalisation, resizing, products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.exporter.hops._ir_writer import Translate, dtype_of, lengths, rank_of, unsupported

if TYPE_CHECKING:
    from edgekit.exporter.hops._ir_writer import Writer

_AUTO_PAD = {"same_upper": "SAME_UPPER", "same_lower": "SAME_LOWER", "valid": "VALID"}


def _window(op: Any) -> dict[str, Any]:
    """Strides, dilations and padding of a convolution or a pool."""
    flags = op.get_attributes()
    window: dict[str, Any] = {"strides": list(flags["strides"])}
    if "dilations" in flags:
        window["dilations"] = list(flags["dilations"])
    if any(step != 1 for step in window.get("dilations", ())) and flags["auto_pad"].startswith("same"):
        return {**window, "pads": _pads_that_keep(op)}
    if flags["auto_pad"] in _AUTO_PAD:
        return {**window, "auto_pad": _AUTO_PAD[flags["auto_pad"]]}
    return {**window, "pads": [*flags["pads_begin"], *flags["pads_end"]]}


def _pads_that_keep(op: Any) -> list[int]:
    """``same`` padding as numbers: onnxruntime refuses it by name where the window has holes.

    Raises:
        ModelError: it depends on a free size.
    """
    flags, sizes = op.get_attributes(), (lengths(op.input(0)) or [])[2:]
    window = flags.get("kernel") or (lengths(op.input(1)) or [])[-len(sizes) :]
    totals = []
    for size, cells, step, hole in zip(sizes, window, flags["strides"], flags["dilations"], strict=True):
        if cells is None or (size is None and step != 1):
            raise unsupported(op, "same padding of a free size")
        reach = (cells - 1) * hole + 1
        totals.append(reach - 1 if size is None else max((-(-size // step) - 1) * step + reach - size, 0))
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*less, *more] if flags["auto_pad"] == "same_upper" else [*more, *less]


def _fixed(op: Any, index: int) -> list[int]:
    """The shape of an input.

    Raises:
        ModelError: any of it is free.
    """
    shape = lengths(op.input(index))
    if shape is None or None in shape:
        raise unsupported(op, "weights of free shape")
    return [length for length in shape if length is not None]


def _convolution(w: Writer, op: Any, x: list[str]) -> str:
    return w.add("Conv", *x, kernel_shape=_fixed(op, 1)[2:], **_window(op))


def _group_convolution(w: Writer, op: Any, x: list[str]) -> str:
    """The kernel ``(group, out, in, …)`` joins its first two axes."""
    groups, outputs, *rest = _fixed(op, 1)
    kernel = _reshaped(w, op, x[1], [groups * outputs, *rest])
    return w.add("Conv", x[0], kernel, group=groups, kernel_shape=rest[1:], **_window(op))


def _reshaped(w: Writer, op: Any, value: str, shape: list[int]) -> str:
    known = w.static(op, 1)
    return w.reshape(value, shape) if known is None else w.constant(known.reshape(shape), dtype_of(op.input(1)))


def _transposed_convolution(w: Writer, op: Any, x: list[str]) -> str:
    """With padding as numbers: the two formats share an odd cell out differently."""
    flags, shape = op.get_attributes(), _fixed(op, 1)
    kernel, groups = x[1], 1
    if op.get_type_name().startswith("Group"):
        groups, inputs, *rest = shape
        shape = [groups * inputs, *rest]
        kernel = _reshaped(w, op, x[1], shape)
    window = shape[2:]
    more = list(flags["output_padding"]) or [0] * len(window)
    pads = [*flags["pads_begin"], *flags["pads_end"]] or [0] * 2 * len(window)
    if flags["auto_pad"] == "valid":
        pads = [0] * 2 * len(window)
    if len(x) > 2:
        pads, more = _pads_for(w, op, window, more)
    elif flags["auto_pad"] in ("same_upper", "same_lower"):
        # Without an output shape the padding is what the attributes hold (convolution_backprop_data, OpenVINO).
        pads = [*flags["pads_begin"], *flags["pads_end"]]
    return w.add(
        "ConvTranspose",
        *(x[0], kernel),
        group=groups,
        kernel_shape=window,
        strides=list(flags["strides"]),
        dilations=list(flags["dilations"]),
        pads=pads,
        output_padding=more,
    )


def _pads_for(w: Writer, op: Any, window: list[int], more: list[int]) -> tuple[list[int], list[int]]:
    """Padding that gives the output shape that a transposed convolution asks for."""
    flags, wanted, inputs = op.get_attributes(), w.needed(op, 2, "output lengths"), lengths(op.input(0))
    begins, ends, extras = [], [], []
    for axis, length in enumerate(inputs[2:] if inputs is not None else [None]):
        if length is None:
            raise unsupported(op, "an output shape for inputs of free size")
        reach = (window[axis] - 1) * flags["dilations"][axis] + 1
        total = flags["strides"][axis] * (length - 1) + more[axis] + reach - int(wanted[axis])
        extras.append(more[axis] - min(total, 0))
        total = max(total, 0)
        if flags["auto_pad"] == "same_upper":  # an odd cell is cut off at the begin, as the engine does
            begins.append(total - total // 2)
        else:
            begins.append(total // 2 if flags["auto_pad"] == "same_lower" else flags["pads_begin"][axis])
        ends.append(total - begins[-1])
    return [*begins, *ends], extras


def _pool(w: Writer, op: Any, x: list[str]) -> Any:
    flags = op.get_attributes()
    window, rounding = list(flags["kernel"]), flags["rounding_type"]
    beyond = any(flags["pads_end"]) or any(step > size for step, size in zip(flags["strides"], window, strict=True))
    if rounding == "ceil" and beyond:
        raise unsupported(op, "windows that start in the padding")
    settings = {**_window(op), "kernel_shape": window, "ceil_mode": int("ceil" in rounding)}
    if op.get_type_name() == "MaxPool":
        if op.get_output_size() > 1 and op.output(1).get_target_inputs():
            raise unsupported(op, "indices")
        return [w.add("MaxPool", x[0], **settings), ""][: op.get_output_size()]
    if any(step != 1 for step in settings.pop("dilations", [])):  # ONNX has them since opset 19
        raise unsupported(op, "dilations")
    return w.add("AveragePool", x[0], count_include_pad=int(not flags["exclude-pad"]), **settings)


def _adaptive_pool(w: Writer, op: Any, x: list[str]) -> Any:
    """Over the whole size, or in windows of equal size: ONNX has no others."""
    is_max = op.get_type_name() == "AdaptiveMaxPool"
    if is_max and op.output(1).get_target_inputs():
        raise unsupported(op, "indices")
    wanted = [int(length) for length in np.atleast_1d(w.needed(op, 1, "output lengths"))]
    sizes = (lengths(op.input(0)) or [])[2:]
    if set(wanted) == {1}:
        axes = w.constant(list(range(2, 2 + len(wanted))))
        made = w.add("ReduceMax" if is_max else "ReduceMean", x[0], axes, keepdims=1)
    elif any(size is None or size % length for size, length in zip(sizes, wanted, strict=True)):
        return _uneven_average(w, op, x[0], wanted)
    else:
        steps = [size // length for size, length in zip(sizes, wanted, strict=True) if size is not None]
        made = w.add("MaxPool" if is_max else "AveragePool", x[0], kernel_shape=steps, strides=steps)
    return [made, ""][: op.get_output_size()]


def _uneven_average(w: Writer, op: Any, value: str, wanted: list[int]) -> str:
    """Windows that overlap, as a product with a matrix for each axis (AdaptiveAvgPool, OpenVINO)."""
    sizes = (lengths(op.input(0)) or [])[2:]
    if op.get_type_name() == "AdaptiveMaxPool" or None in sizes:
        raise unsupported(op, "windows of unequal or free size")
    rank, dtype = rank_of(op), dtype_of(op.input(0))
    for axis, (size, length) in enumerate(zip(sizes, wanted, strict=True), start=2):
        assert size is not None
        shares = np.zeros((size, length))
        for cell in range(length):
            first, last = cell * size // length, -(-(cell + 1) * size // length)
            shares[first:last, cell] = 1 / (last - first)
        order = [*(other for other in range(rank) if other != axis), axis]
        product = w.add("MatMul", w.transpose(value, order), w.constant(shares, dtype))
        value = w.transpose(product, [int(place) for place in np.argsort(order)])
    return value


def _matmul(w: Writer, op: Any, x: list[str]) -> str:
    flags, sides = op.get_attributes(), list(x)
    for index, name in enumerate(("transpose_a", "transpose_b")):
        rank = rank_of(op, index)
        if flags[name] and rank > 1:  # a vector has nothing to turn
            known = w.static(op, index)
            if known is not None and known.size > 64:
                sides[index] = w.constant(known.swapaxes(-1, -2), known.dtype)
            else:
                sides[index] = w.transpose(sides[index], [*range(rank - 2), rank - 1, rank - 2])
    return w.add("MatMul", *sides)


def _einsum(w: Writer, op: Any, x: list[str]) -> str:
    return w.add("Einsum", *x, equation=op.get_attributes()["equation"])


def _attention(w: Writer, op: Any, x: list[str]) -> str:
    """``softmax(q k / sqrt(size) + mask) v`` (scaled_dot_product_attention, OpenVINO)."""
    if len(x) > 5:
        raise unsupported(op, "a sink")
    dtype, rank, shape = dtype_of(op.input(0)), rank_of(op, 1), lengths(op.input(0))
    size = shape[-1] if shape is not None else None
    if len(x) < 5 and size is None:
        raise unsupported(op, "heads of free size")
    scale = x[4] if len(x) > 4 else w.constant(1 / np.sqrt(size or 1), dtype)
    keys = w.transpose(x[1], [*range(rank - 2), rank - 1, rank - 2])
    scores = w.add("MatMul", w.add("Mul", x[0], scale), keys)
    if op.get_attributes()["causal"]:  # then it heeds no other mask
        scores = w.add("Add", scores, w.constant(_causal_mask(op), dtype))
    elif len(x) > 3:
        mask = x[3]
        if dtype_of(op.input(3)) == np.bool_:
            mask = w.add("Where", mask, w.constant(0, dtype), w.constant(-np.inf, dtype))
        scores = w.add("Add", scores, mask)
    return w.add("MatMul", w.add("Softmax", scores, axis=-1), x[2])


def _causal_mask(op: Any) -> np.ndarray:
    """Negative infinity for keys after the query ``(query, key)``.

    Raises:
        ModelError: a length is free.
    """
    steps = [(lengths(op.input(index)) or [None, None])[-2] for index in (0, 1)]
    known = [step for step in steps if step is not None]
    if len(known) < len(steps):
        raise unsupported(op, "a causal mask of free size")
    return np.triu(np.full(known, -np.inf), 1)


def _batch_norm(w: Writer, op: Any, x: list[str]) -> str:
    order = [2, 0, 1, 3, 4] if op.get_type_info().version_id == "opset1" else [0, 1, 2, 3, 4]
    return w.add("BatchNormalization", *(x[index] for index in order), epsilon=op.get_attributes()["epsilon"])


def _mvn(w: Writer, op: Any, x: list[str]) -> str:
    flags, dtype = op.get_attributes(), dtype_of(op.input(0))
    if op.get_type_info().version_id == "opset1":
        raise unsupported(op)
    axes = w.constant(w.needed(op, 1, "axes"))
    centred = w.add("Sub", x[0], w.add("ReduceMean", x[0], axes, keepdims=1))
    if not flags["normalize_variance"]:
        return centred
    variance = w.add("ReduceMean", w.add("Mul", centred, centred), axes, keepdims=1)
    epsilon = w.constant(flags["eps"], dtype)
    if flags["eps_mode"].lower() == "inside_sqrt":
        return w.add("Div", centred, w.add("Sqrt", w.add("Add", variance, epsilon)))
    return w.add("Div", centred, w.add("Add", w.add("Sqrt", variance), epsilon))


def _normalize_l2(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    axes, epsilon = w.needed(op, 1, "axes"), w.constant(flags["eps"], dtype_of(op.input(0)))
    if axes.size == 0:
        raise unsupported(op, "no axes")
    squares = w.add("ReduceSumSquare", x[0], w.constant(np.atleast_1d(axes)), keepdims=1)
    bounded = w.add({"add": "Add", "max": "Max"}[flags["eps_mode"].lower()], squares, epsilon)
    return w.add("Div", x[0], w.add("Sqrt", bounded))


def _lrn(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    if w.needed(op, 1, "axes").tolist() != [1]:
        raise unsupported(op, "other axes than the channels")
    return w.add("LRN", x[0], alpha=flags["alpha"], beta=flags["beta"], bias=flags["bias"], size=flags["size"])


def _group_norm(w: Writer, op: Any, x: list[str]) -> str:
    """By instance normalisation over groups: ONNX' own operator scales groups, not channels, before opset 21."""
    flags, shape, dtype = op.get_attributes(), lengths(op.input(0)), dtype_of(op.input(0))
    if shape is None or shape[1] is None:
        raise unsupported(op, "channels of free length")
    groups = int(flags["num_groups"])
    ones, zeros = w.constant(np.ones(groups), dtype), w.constant(np.zeros(groups), dtype)
    grouped = w.reshape(x[0], [0, groups, -1])
    normal = w.add("InstanceNormalization", grouped, ones, zeros, epsilon=flags["epsilon"])
    normal = w.add("Reshape", normal, w.add("Shape", x[0]))
    scale, offset = (w.reshape(value, [-1, *[1] * (len(shape) - 2)]) for value in x[1:])
    return w.add("Add", w.add("Mul", normal, scale), offset)


def _interpolate(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    if op.get_type_info().version_id == "opset1":
        raise unsupported(op)
    if any(flags["pads_begin"]) or any(flags["pads_end"]):
        raise unsupported(op, "padding")
    modes = {"nearest": "nearest", "linear_onnx": "linear", "linear": "linear", "cubic": "cubic"}
    if flags["mode"] not in modes:
        raise unsupported(op, f"the mode {flags['mode']}")
    mode = modes[flags["mode"]]
    # Version 4 has a third input for lengths before the scales, version 11 one input for either.
    old = op.get_type_info().version_id == "opset4"
    by_scales = flags["shape_calculation_mode"] == "scales"
    place, axes_place = (2 if old and by_scales else 1), (3 if old else 2)
    axes = w.needed(op, axes_place, "axes") if len(x) > axes_place else np.arange(rank_of(op))
    where, rounding = flags["coordinate_transformation_mode"], flags["nearest_mode"]
    if rounding == "simple" or where == "tf_half_pixel_for_nn":
        raise unsupported(op, "this way of rounding")
    settings: dict[str, Any] = {
        "mode": mode,
        "axes": [int(axis) for axis in axes],
        "coordinate_transformation_mode": where,
        "nearest_mode": rounding,
        "cubic_coeff_a": flags["cube_coeff"],
        "antialias": int(flags["antialias"]),
    }
    given = w.static(op, place)
    if given is None:
        kind = (x[0], "", w.cast(x[place], np.float32)) if by_scales else (x[0], "", "", w.int64(op, place, x[place]))
        return w.add("Resize", *kind, **settings)
    # onnxruntime loses the lengths of some axes when it moves a transposition past them: say those of all.
    known = dict(zip(settings.pop("axes"), given.tolist(), strict=True))
    if by_scales:
        every = w.constant([known.get(axis, 1.0) for axis in range(rank_of(op))], np.float32)
        return w.add("Resize", x[0], "", every, **settings)
    return w.add("Resize", x[0], "", "", _all_lengths(w, op, x[0], known), **settings)


def _all_lengths(w: Writer, op: Any, value: str, known: dict[int, int]) -> str:
    """Lengths of every axis: those that are known, else those of a value, computed where they are free."""
    own = lengths(op.input(0))
    sizes = [known.get(axis, own[axis] if own is not None else None) for axis in range(rank_of(op))]
    if None not in sizes:
        return w.constant(sizes)
    parts = [
        w.add("Shape", value, start=axis, end=axis + 1) if size is None else w.constant([size])
        for axis, size in enumerate(sizes)
    ]
    return w.add("Concat", *parts, axis=0)


OPERATORS: dict[str, Translate] = {
    "AdaptiveAvgPool": _adaptive_pool,
    "AdaptiveMaxPool": _adaptive_pool,
    "AvgPool": _pool,
    "BatchNormInference": _batch_norm,
    "Convolution": _convolution,
    "ConvolutionBackpropData": _transposed_convolution,
    "Einsum": _einsum,
    "GroupConvolution": _group_convolution,
    "GroupConvolutionBackpropData": _transposed_convolution,
    "GroupNormalization": _group_norm,
    "Interpolate": _interpolate,
    "LRN": _lrn,
    "MVN": _mvn,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "NormalizeL2": _normalize_l2,
    "ScaledDotProductAttention": _attention,
}
