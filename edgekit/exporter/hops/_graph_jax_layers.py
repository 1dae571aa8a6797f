"""ONNX on JAX: convolution, pooling, normalisation, resizing, products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.exporter.hops._graph_jax_node import Node, Operator
from edgekit.exporter.hops._graph_jax_resize import resize

_SPACE = "DHW"


def _numbers(rank: int) -> tuple[str, str, str]:
    """Order of axes of input, kernel and output with channels last."""
    space = _SPACE[-(rank - 2) :]
    return f"N{space}C", f"{space}IO", f"N{space}C"


def _setting(node: Node, name: str, count: int) -> list[int]:
    return list(node.get(name) or [1] * count)


def _pads(node: Node, lengths: Sequence[int], window: Sequence[int], *, ceil: bool = False) -> list[tuple[int, int]]:
    """Padding per axis as numbers; in a pool that rounds up, with what the last window needs."""
    count = len(window)
    strides, dilations = _setting(node, "strides", count), _setting(node, "dilations", count)
    reach = [(length - 1) * step + 1 for length, step in zip(window, dilations, strict=True)]
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for length, size, stride in zip(lengths, reach, strides, strict=True):
            total = max((-(-length // stride) - 1) * stride + size - length, 0)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return pads
    given = node.get("pads") or [0] * 2 * count
    pads = [(given[axis], given[axis + count]) for axis in range(count)] if auto != "VALID" else [(0, 0)] * count
    if not ceil:
        return pads
    more = []
    for length, size, stride, (low, high) in zip(lengths, reach, strides, pads, strict=True):
        steps = -(-(length + low + high - size) // stride)
        steps -= steps * stride >= length + low  # no window starts in the padding at the end
        more.append((low, max(high, steps * stride + size - length - low)))
    return more


def _padded(value: Any, pads: Sequence[tuple[int, int]], filler: Any) -> Any:
    """Padding along space, written out: the converters behind this one know few kinds in a window."""
    import jax.numpy as jnp

    if not any(low or high for low, high in pads):
        return value
    return jnp.pad(value, [(0, 0), *pads, (0, 0)], constant_values=np.asarray(filler, value.dtype))


def _convolution(node: Node, x: list[Any]) -> Any:
    import jax

    value, kernel = node.layout.to_last(x[0]), x[1]
    rank = value.ndim
    space = kernel.shape[2:]
    strides, dilations = _setting(node, "strides", rank - 2), _setting(node, "dilations", rank - 2)
    pads = _pads(node, value.shape[1:-1], space)
    made = jax.lax.conv_general_dilated(
        _padded(value, pads, 0) if not _is_same(pads, value.shape[1:-1], space, strides, dilations) else value,
        _kernel_last(kernel),
        strides,
        "SAME" if _is_same(pads, value.shape[1:-1], space, strides, dilations) else "VALID",
        rhs_dilation=dilations,
        dimension_numbers=_numbers(rank),
        feature_group_count=node.get("group", 1),
    )
    return node.layout.to_first(made if len(x) < 3 or x[2] is None else made + x[2])


def _is_same(
    pads: Sequence[tuple[int, int]],
    lengths: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> bool:
    """Whether the padding is what TFLite calls SAME."""
    for pad, length, size, stride, step in zip(pads, lengths, window, strides, dilations, strict=True):
        total = max((-(-length // stride) - 1) * stride + (size - 1) * step + 1 - length, 0)
        if pad != (total // 2, total - total // 2):
            return False
    return True


def _kernel_last(kernel: Any) -> Any:
    """``(out, in, …)`` to ``(…, in, out)``."""
    import jax.numpy as jnp

    order = (*range(2, kernel.ndim), 1, 0)
    return kernel.transpose(order) if isinstance(kernel, np.ndarray) else jnp.transpose(kernel, order)


def _transposed_convolution(node: Node, x: list[Any]) -> Any:
    """A convolution over an input with gaps, with the kernel turned around.

    It is computed whole and cut afterwards, but for even padding: from other padding the converter behind this one
    makes another result without a word.
    """
    import jax.numpy as jnp

    value, groups = node.layout.to_last(x[0]), node.get("group", 1)
    kernel = np.flip(node.fixed(x[1], "weights"), tuple(range(2, x[1].ndim)))
    count = kernel.ndim - 2
    strides = _setting(node, "strides", count)
    kernel = _with_gaps(kernel, _setting(node, "dilations", count))
    cuts = _cuts(node, value.shape[1:-1], kernel.shape[2:])
    window = kernel.shape[2:]
    even = all(low == high == (size - step) / 2 for (low, high), size, step in zip(cuts, window, strides, strict=True))
    pads = [
        (size - 1 - low, size - 1 - high) if even else (size - 1, size - 1)
        for (low, high), size in zip(cuts, window, strict=True)
    ]
    parts = [
        _over_gaps(part, weights, strides, pads)
        for part, weights in zip(jnp.split(value, groups, axis=-1), np.split(kernel, groups), strict=True)
    ]
    made = jnp.concatenate(parts, axis=-1) if groups > 1 else parts[0]
    if not even:
        whole = made.shape[1:-1]
        made = _padded(made, [(max(0, -low), max(0, -high)) for low, high in cuts], 0)
        ends = [max(0, low) + length - low - high for (low, high), length in zip(cuts, whole, strict=True)]
        inner = tuple(slice(max(0, low), end) for (low, _), end in zip(cuts, ends, strict=True))
        made = made[(slice(None), *inner)]
    return node.layout.to_first(made if len(x) < 3 or x[2] is None else made + x[2])


def _over_gaps(value: Any, kernel: np.ndarray, strides: Sequence[int], pads: Sequence[tuple[int, int]]) -> Any:
    """A convolution with a kernel ``(in, out, …)`` over a value with gaps, channels last."""
    import jax

    return jax.lax.conv_general_dilated(
        value,
        kernel.transpose(*range(2, kernel.ndim), 0, 1),
        [1] * len(strides),
        pads,
        lhs_dilation=strides,
        dimension_numbers=_numbers(value.ndim),
    )


def _with_gaps(kernel: np.ndarray, dilations: Sequence[int]) -> np.ndarray:
    """A kernel with zeros between its values."""
    lengths = [(size - 1) * step + 1 for size, step in zip(kernel.shape[2:], dilations, strict=True)]
    wide = np.zeros((*kernel.shape[:2], *lengths), kernel.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, step) for step in dilations))] = kernel
    return wide


def _cuts(node: Node, lengths: Sequence[int], window: Sequence[int]) -> list[tuple[int, int]]:
    """What is cut off the whole result at the begin and the end of each axis; less than nothing is added."""
    count = len(window)
    more = node.get("output_padding") or [0] * count
    auto, asked = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    given = node.get("pads") or [0] * 2 * count
    cuts = []
    for axis, (length, size, stride) in enumerate(zip(lengths, window, _setting(node, "strides", count), strict=True)):
        low, high = (given[axis], given[axis + count]) if auto == "NOTSET" else (0, 0)
        if asked or auto.startswith("SAME"):
            wanted = asked[-count:][axis] if asked else length * stride
            total = max(stride * (length - 1) + more[axis] + size - wanted, 0)
            low, high = total // 2, total - total // 2
            if auto != "SAME_UPPER":
                low, high = high, low
        cuts.append((low, high - more[axis]))
    return cuts


def _pool(node: Node, x: list[Any]) -> Any:
    if node.outputs > 1:
        raise node.unsupported("indices")
    value, window = node.layout.to_last(x[0]), list(node.get("kernel_shape"))
    count = len(window)
    pads = _pads(node, value.shape[1:-1], window, ceil=bool(node.get("ceil_mode", 0)))
    strides, dilations = _setting(node, "strides", count), _setting(node, "dilations", count)
    same = _is_same(pads, value.shape[1:-1], window, strides, dilations)
    if node.kind == "AveragePool":
        made = _average(node, value, pads, same=same)
        return node.layout.to_first(made)
    if not same:
        lowest = np.finfo(value.dtype).min if value.dtype.kind == "f" else np.iinfo(value.dtype).min
        value = _padded(value, pads, lowest)
    return node.layout.to_first(_largest(value, window, strides, dilations, "SAME" if same else "VALID"))


def _largest(value: Any, window: list[int], strides: list[int], dilations: list[int], padding: str) -> Any:
    """The largest value of each window; a line is a picture of height 1, the only kind that TFLite has."""
    import jax
    import jax.numpy as jnp

    if len(window) == 1:
        return _largest(value[:, None], [1, *window], [1, *strides], [1, *dilations], padding)[:, 0]
    lowest = jnp.asarray(-np.inf if value.dtype.kind == "f" else np.iinfo(value.dtype).min, value.dtype)
    how = ((1, *window, 1), (1, *strides, 1), padding, None, (1, *dilations, 1))
    return jax.lax.reduce_window(value, lowest, jax.lax.max, *how)


def _average(node: Node, value: Any, pads: list[tuple[int, int]], *, same: bool) -> Any:
    """The mean of each window, as a convolution of each channel.

    A sum over windows that is divided would become TFLite's own average pool, but litert-converter 0.5 gives that
    one the wrong order of axes.
    """
    import jax

    window, channels = list(node.get("kernel_shape")), value.shape[-1]
    count = len(window)
    counted = np.ones((1, *value.shape[1:-1], 1), value.dtype)
    given = node.get("pads") or [0] * 2 * count
    inside = [(given[axis], given[axis + count]) for axis in range(count)]
    if node.get("count_include_pad", 0):
        counted = np.pad(counted, [(0, 0), *inside, (0, 0)], constant_values=1)
        rest = [(low - kept[0], high - kept[1]) for (low, high), kept in zip(pads, inside, strict=True)]
        counted = np.pad(counted, [(0, 0), *rest, (0, 0)])
    else:
        counted = np.pad(counted, [(0, 0), *pads, (0, 0)])

    def sums(source: Any, padding: str, groups: int) -> Any:
        return jax.lax.conv_general_dilated(
            source,
            np.ones((*window, 1, groups), value.dtype),
            _setting(node, "strides", count),
            padding,
            rhs_dilation=_setting(node, "dilations", count),
            dimension_numbers=_numbers(value.ndim),
            feature_group_count=groups,
        )

    with jax.ensure_compile_time_eval():
        share = np.asarray(1 / sums(counted, "VALID", 1))
    source, padding = (value, "SAME") if same else (_padded(value, pads, 0), "VALID")
    return sums(source, padding, channels) * share


def _global_pool(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    value = node.layout.to_last(x[0])
    function = {"GlobalAveragePool": jnp.mean, "GlobalMaxPool": jnp.max}[node.kind]
    return node.layout.to_first(function(value, axis=tuple(range(1, value.ndim - 1)), keepdims=True))


def _batch_norm(node: Node, x: list[Any]) -> Any:
    if node.get("training_mode", 0):
        raise node.unsupported("statistics of the batch")
    value = node.layout.to_last(x[0])
    scale, offset, mean, variance = (node.fixed(part, "statistics").astype(np.float64) for part in x[1:5])
    factor = scale / np.sqrt(variance + node.get("epsilon", 1e-5))
    made = value * factor.astype(value.dtype) + (offset - mean * factor).astype(value.dtype)
    return node.layout.to_first(made)


def _normal(value: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    import jax.numpy as jnp

    centred = value - jnp.mean(value, axes, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred * centred, axes, keepdims=True) + epsilon)


def _instance_norm(node: Node, x: list[Any]) -> Any:
    value = node.layout.to_last(x[0])
    made = _normal(value, tuple(range(1, value.ndim - 1)), node.get("epsilon", 1e-5))
    return node.layout.to_first(made * x[1] + x[2])


def _group_norm(node: Node, x: list[Any]) -> Any:
    """Since opset 21 scale and offset have one value per channel, before one per group."""
    import jax.numpy as jnp

    groups, shape = node.get("num_groups"), x[0].shape
    made = _normal(jnp.reshape(x[0], (shape[0], groups, -1)), (2,), node.get("epsilon", 1e-5))
    each = shape[1] // groups
    scale, offset = (part if part.shape[0] == shape[1] else jnp.repeat(part, each) for part in x[1:3])
    wide = (-1, *[1] * (len(shape) - 2))
    return jnp.reshape(made, shape) * jnp.reshape(scale, wide) + jnp.reshape(offset, wide)


def _layer_norm(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    if node.outputs > 1:
        raise node.unsupported("its statistics as outputs")
    axes = tuple(range(node.get("axis", -1) % x[0].ndim, x[0].ndim))
    epsilon = node.get("epsilon", 1e-5)
    if node.kind == "RMSNormalization":
        made = x[0] / jnp.sqrt(jnp.mean(x[0] * x[0], axes, keepdims=True) + epsilon)
    else:
        made = _normal(x[0], axes, epsilon)
    made = made * x[1]
    return made if len(x) < 3 or x[2] is None else made + x[2]


def _lp_norm(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    size = jnp.abs(x[0]) if node.get("p", 2) == 1 else x[0] * x[0]
    total = jnp.sum(size, node.get("axis", -1), keepdims=True)
    return x[0] / (total if node.get("p", 2) == 1 else jnp.sqrt(total))


def _lrn(node: Node, x: list[Any]) -> Any:
    """The sum over neighbouring channels as a product with a band."""
    import jax.numpy as jnp

    value, size = node.layout.to_last(x[0]), node.get("size")
    channels = value.shape[-1]
    distance = np.arange(channels)[:, None] - np.arange(channels)[None]
    band = ((distance >= -((size - 1) // 2)) & (distance <= size - 1 - (size - 1) // 2)).astype(value.dtype).T
    squares = jnp.matmul(value * value, band.T)
    base = node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * squares
    return node.layout.to_first(value / jnp.power(base, np.asarray(node.get("beta", 0.75), value.dtype)))


def _gemm(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    left = x[0].T if node.get("transA", 0) else x[0]
    right = x[1].T if node.get("transB", 0) else x[1]
    made = jnp.matmul(left, right)
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    made = made if alpha == 1.0 else alpha * made
    return made if len(x) < 3 or x[2] is None else made + (x[2] if beta == 1.0 else beta * x[2])


def _matmul(_node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    left, right = x
    if left.ndim > 3 and right.ndim == 2:  # litert-converter fails at pictures of one pixel
        made = jnp.matmul(left.reshape(-1, left.shape[-1]), right)
        return made.reshape(*left.shape[:-1], right.shape[-1])
    return jnp.matmul(left, right)


def _einsum(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    return jnp.einsum(node.get("equation"), *x)


OPERATORS: dict[str, Operator] = {
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_norm,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "RMSNormalization": _layer_norm,
    "Resize": resize,
    "Upsample": resize,
}
