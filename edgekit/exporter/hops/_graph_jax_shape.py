"""ONNX on JAX: constants, and what moves, selects and repeats values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.exporter.hops._graph_jax_node import Node, Operator

#: Most values that are taken from an axis in order.
MOST_LARGEST = 64


def _constant(node: Node, _x: list[Any]) -> Any:
    types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for name, value in node.attributes.items():
        if name == "value":
            return np.asarray(value)
        if name in types:
            return np.asarray(value, types[name])
    raise node.unsupported("this kind of value")


def _constant_of_shape(node: Node, x: list[Any]) -> Any:
    value = np.asarray(node.get("value", np.zeros(1, np.float32))).ravel()[0]
    return np.full([int(length) for length in node.fixed(x[0], "lengths")], value, value.dtype)


def _shape(node: Node, x: list[Any]) -> Any:
    return np.asarray(x[0].shape, np.int64)[node.get("start", 0) : node.get("end", None)]


def _size(_node: Node, x: list[Any]) -> Any:
    return np.asarray(np.prod(x[0].shape, dtype=np.int64))


def _range(node: Node, x: list[Any]) -> Any:
    start, stop, step = (node.fixed(value, "ends").item() for value in x)
    return np.arange(start, stop, step).astype(x[0].dtype)


def _reshape(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    shape = [int(length) for length in node.fixed(x[1], "lengths")]
    if not node.get("allowzero", 0):
        shape = [x[0].shape[axis] if length == 0 else length for axis, length in enumerate(shape)]
    return x[0] if tuple(shape) == x[0].shape else jnp.reshape(x[0], shape)


def _flatten(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    axis = node.get("axis", 1)
    axis = axis + x[0].ndim if axis < 0 else axis
    return jnp.reshape(x[0], (int(np.prod(x[0].shape[:axis])), -1))


def _squeeze(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    axes = node.axes(x, 1)
    return jnp.squeeze(x[0], None if axes is None else tuple(axes))


def _unsqueeze(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    return jnp.expand_dims(x[0], tuple(node.axes(x, 1) or ()))


def _transpose(node: Node, x: list[Any]) -> Any:
    return node.layout.transpose(x[0], node.get("perm") or list(reversed(range(x[0].ndim))))


def _concat(node: Node, x: list[Any]) -> Any:
    """Along the axis that the inputs were transposed from, where all were transposed alike."""
    import jax.numpy as jnp

    axis = node.get("axis") % x[0].ndim
    sources = [node.layout.source(value) for value in x]
    known = [source for source in sources if source is not None]
    if len(known) == len(x) and len({order for _, order in known}) == 1:
        order = known[0][1]
        joined = jnp.concatenate([inner for inner, _ in known], axis=order[axis])
        return node.layout.transpose(joined, order)
    dtype = next(value.dtype for value in x)
    return jnp.concatenate([value.astype(dtype) for value in x], axis=axis)


def _split(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    axis = node.get("axis", 0)
    if len(x) > 1 and x[1] is not None:
        lengths = [int(length) for length in node.fixed(x[1], "lengths")]
    elif node.get("split") is not None:
        lengths = node.get("split")
    else:
        count, whole = node.get("num_outputs", node.outputs), x[0].shape[axis]
        part = -(-whole // count)  # the last may be shorter
        lengths = [part] * (count - 1) + [whole - part * (count - 1)]
    return jnp.split(x[0], np.cumsum(lengths)[:-1].tolist(), axis=axis)


def _slice(node: Node, x: list[Any]) -> Any:
    starts: Sequence[int]
    ends: Sequence[int]
    steps: Sequence[int]
    if len(x) == 1:  # before opset 10
        starts, ends = node.get("starts"), node.get("ends")
        axes, steps = node.get("axes") or range(len(starts)), [1] * len(starts)
    else:
        starts, ends = node.fixed(x[1], "ends").tolist(), node.fixed(x[2], "ends").tolist()
        axes = node.axes([x[0], x[3] if len(x) > 3 else None], 1) or range(len(starts))
        steps = node.fixed(x[4], "steps").tolist() if len(x) > 4 and x[4] is not None else [1] * len(starts)
    where = [slice(None)] * x[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        length = x[0].shape[axis]
        # A stop before the first value is None in Python: -1 would count from the end.
        stop = None if step < 0 and end < -length else int(end)
        where[axis] = slice(int(start), stop, int(step))
    return x[0][tuple(where)]


def _gather(node: Node, x: list[Any]) -> Any:
    """Constant indices one step apart are a slice, which keeps gathers for what needs them."""
    import jax.numpy as jnp

    axis = node.get("axis", 0) % x[0].ndim
    index = x[1]
    length = x[0].shape[axis]
    if isinstance(index, np.ndarray):
        index = np.where(index < 0, index + length, index)
        if index.ndim == 0:
            return x[0][(slice(None),) * axis + (int(index),)]
        if index.ndim == 1 and index.size and np.array_equal(index, np.arange(index[0], index[0] + index.size)):
            return x[0][(slice(None),) * axis + (slice(int(index[0]), int(index[0]) + index.size),)]
    else:
        index = jnp.where(index < 0, index + length, index).astype(np.int32)
    return jnp.take(x[0], index, axis=axis, mode="clip")


def _gather_elements(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    axis = node.get("axis", 0)
    index = jnp.where(x[1] < 0, x[1] + x[0].shape[axis], x[1])
    return jnp.take_along_axis(x[0], index, axis=axis, mode="clip")


def _gather_nd(node: Node, x: list[Any]) -> Any:
    import jax
    import jax.numpy as jnp

    def gather(data: Any, index: Any) -> Any:
        return data[tuple(index[..., place] for place in range(index.shape[-1]))]

    for _ in range(node.get("batch_dims", 0)):
        gather = jax.vmap(gather)
    return gather(jnp.asarray(x[0]), x[1])


def _scatter_nd(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    data, index, updates = x
    place = jnp.asarray(data).at[tuple(index[..., axis] for axis in range(index.shape[-1]))]
    return _update(node, place, updates)


def _scatter_elements(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    data, index, updates = x
    axis = node.get("axis", 0) % data.ndim
    where = list(np.indices(index.shape))
    where[axis] = jnp.where(index < 0, index + data.shape[axis], index)
    return _update(node, jnp.asarray(data).at[tuple(where)], updates)


def _update(node: Node, place: Any, updates: Any) -> Any:
    method = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}
    return getattr(place, method[node.get("reduction", "none")])(updates)


def _expand(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    shape = tuple(int(length) for length in node.fixed(x[1], "lengths"))
    return jnp.broadcast_to(x[0], np.broadcast_shapes(x[0].shape, shape))


def _tile(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    return jnp.tile(x[0], [int(count) for count in node.fixed(x[1], "counts")])


def _pad(node: Node, x: list[Any]) -> Any:
    """A negative length cuts off."""
    import jax.numpy as jnp

    rank, mode = x[0].ndim, node.get("mode", "constant")
    given = node.fixed(x[1], "lengths").tolist() if len(x) > 1 else node.get("pads", node.get("paddings"))
    axes = [axis % rank for axis in (node.axes(x, 3) or range(rank))]
    pads = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        pads[axis] = (int(given[place]), int(given[place + len(axes)]))
    cut = tuple(
        slice(max(0, -low), length - max(0, -high)) for (low, high), length in zip(pads, x[0].shape, strict=True)
    )
    pads = [(max(0, low), max(0, high)) for low, high in pads]
    inner, order = node.layout.source(x[0]) or (x[0], tuple(range(rank)))
    back = np.argsort(order)
    inner = inner[tuple(cut[axis] for axis in back)]
    moved = [pads[axis] for axis in back]
    if mode == "constant":
        value = x[2] if len(x) > 2 and x[2] is not None else np.asarray(node.get("value", 0.0))
        padded = jnp.pad(inner, moved, constant_values=value.reshape(()).astype(x[0].dtype))
    else:
        padded = jnp.pad(inner, moved, mode=mode)
    return node.layout.transpose(padded, order)


def _one_hot(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    depth = int(node.fixed(x[1], "depths").item())
    axis = node.get("axis", -1)
    axis = axis + x[0].ndim + 1 if axis < 0 else axis
    index = jnp.expand_dims(jnp.where(x[0] < 0, x[0] + depth, x[0]), axis)
    classes = np.arange(depth).reshape([-1 if place == axis else 1 for place in range(x[0].ndim + 1)])
    return jnp.where(index == classes.astype(x[0].dtype), x[2][1], x[2][0])


def _depth_to_space(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    size, (batch, channels, height, width) = node.get("blocksize"), x[0].shape
    if node.get("mode", "DCR") == "DCR":
        blocks, order = (batch, size, size, channels // size**2, height, width), (0, 3, 4, 1, 5, 2)
    else:
        blocks, order = (batch, channels // size**2, size, size, height, width), (0, 1, 4, 2, 5, 3)
    moved = jnp.transpose(jnp.reshape(x[0], blocks), order)
    return jnp.reshape(moved, (batch, channels // size**2, height * size, width * size))


def _space_to_depth(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    size, (batch, channels, height, width) = node.get("blocksize"), x[0].shape
    blocks = jnp.reshape(x[0], (batch, channels, height // size, size, width // size, size))
    moved = jnp.transpose(blocks, (0, 3, 5, 1, 2, 4))
    return jnp.reshape(moved, (batch, channels * size**2, height // size, width // size))


def _top_k(node: Node, x: list[Any]) -> Any:
    """The largest again and again, each time without those before: TFLite has no sorting, which it would be."""
    import jax.numpy as jnp

    count = int(node.fixed(x[1], "counts").item()) if len(x) > 1 else node.get("k")
    axis = node.get("axis", -1) % x[0].ndim
    length = x[0].shape[axis]
    if count > MOST_LARGEST:
        raise node.unsupported(f"more than {MOST_LARGEST} values")
    best, place_of_best = (jnp.max, jnp.argmax) if node.get("largest", 1) else (jnp.min, jnp.argmin)
    limits = np.finfo(x[0].dtype) if x[0].dtype.kind == "f" else np.iinfo(x[0].dtype)
    last = limits.min if node.get("largest", 1) else limits.max
    places = np.arange(length, dtype=np.int32).reshape([-1 if other == axis else 1 for other in range(x[0].ndim)])
    rest, values, indices = x[0], [], []
    for _ in range(count):
        values.append(best(rest, axis, keepdims=True))
        place = place_of_best(rest, axis, keepdims=True).astype(np.int32)
        indices.append(place)
        rest = jnp.where(places == place, np.asarray(last, x[0].dtype), rest)
    return [jnp.concatenate(values, axis), jnp.concatenate(indices, axis).astype(np.int64)]


def _trilu(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    offset = int(node.fixed(x[1], "offsets").item()) if len(x) > 1 and x[1] is not None else 0
    return (jnp.triu if node.get("upper", 1) else jnp.tril)(x[0], offset)


def _non_zero(node: Node, x: list[Any]) -> Any:
    return np.stack(np.nonzero(node.fixed(x[0], "values"))).astype(np.int64)


def _reverse_sequence(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    time = node.get("time_axis", 0)
    if set(node.fixed(x[1], "lengths").tolist()) != {x[0].shape[time]}:
        raise node.unsupported("sequences of several lengths")
    return jnp.flip(x[0], time)


def _identity(_node: Node, x: list[Any]) -> Any:
    return [x[0], np.ones(x[0].shape, np.bool_)]  # the second is the mask of Dropout, which drops nothing here


OPERATORS: dict[str, Operator] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Dropout": _identity,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _identity,
    "NonZero": _non_zero,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
