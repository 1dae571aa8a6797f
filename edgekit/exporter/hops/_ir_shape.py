"""OpenVINO to ONNX: what moves, selects and repeats values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.exporter.hops._ir_writer import Translate, dtype_of, lengths, rank_of, unsupported

if TYPE_CHECKING:
    from edgekit.exporter.hops._ir_writer import Writer

#: End of a slice that goes as far as there is.
_ALL = np.iinfo(np.int64).max


def _broadcast(w: Writer, op: Any, x: list[str]) -> str:
    """Numpy's and both-sided rules are one in ONNX; explicit axes become axes of length 1 first."""
    value = x[0]
    if op.get_attributes()["mode"] == "explicit":
        target = lengths(op.output(0))
        if target is None:
            raise unsupported(op, "a result of unknown rank")
        kept = {int(axis) for axis in w.needed(op, 2, "axes")}
        missing = [axis for axis in range(len(target)) if axis not in kept]
        value = w.add("Unsqueeze", value, w.constant(missing)) if missing else value
    elif op.get_attributes()["mode"] not in ("numpy", "bidirectional"):
        raise unsupported(op, "broadcasting by the rules of PaddlePaddle")
    return w.add("Expand", value, w.int64(op, 1, x[1]))


def _cum_sum(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    return w.add("CumSum", *x, exclusive=int(flags["exclusive"]), reverse=int(flags["reverse"]))


def _depth_to_space(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    mode = {"blocks_first": "DCR", "depth_first": "CRD"}[flags["mode"]]
    return w.add("DepthToSpace", x[0], blocksize=flags["block_size"], mode=mode)


def _space_to_depth(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    if flags["mode"] != "blocks_first":
        raise unsupported(op, f"the mode {flags['mode']}")
    return w.add("SpaceToDepth", x[0], blocksize=flags["block_size"])


def _batch_dims(op: Any) -> int:
    count = op.get_attributes().get("batch_dims", 0)
    return int(count + rank_of(op, 1) if count < 0 else count)


def _gather(w: Writer, op: Any, x: list[str]) -> str:
    axis = int(w.needed(op, 2, "axes").item())
    if _batch_dims(op):
        raise unsupported(op, "batch axes")
    return w.add("Gather", x[0], _indices(w, op, x[1]), axis=axis)


def _indices(w: Writer, op: Any, value: str) -> str:
    """Indices in a type that ONNX takes."""
    return value if dtype_of(op.input(1)) in (np.int32, np.int64) else w.cast(value, np.int64)


def _gather_nd(w: Writer, op: Any, x: list[str]) -> str:
    if _batch_dims(op) and op.get_type_info().version_id == "opset5":
        raise unsupported(op, "batch axes")  # that version joins them into one
    return w.add("GatherND", x[0], w.int64(op, 1, x[1]), batch_dims=_batch_dims(op))


def _scatter(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    reduction = {"none": "none", "sum": "add", "prod": "mul", "min": "min", "max": "max"}.get(
        flags.get("reduction", "none")
    )
    if reduction is None or not flags.get("use_init_val", True):
        raise unsupported(op, "this reduction")
    if op.get_type_name() == "ScatterNDUpdate":
        return w.add("ScatterND", x[0], w.int64(op, 1, x[1]), x[2], reduction=reduction)
    axis = int(w.needed(op, 3, "axes").item())
    return w.add("ScatterElements", x[0], _indices(w, op, x[1]), x[2], axis=axis, reduction=reduction)


def _one_hot(w: Writer, op: Any, x: list[str]) -> str:
    """ONNX counts negative indices from the end; OpenVINO, unless it is told otherwise, gives them no class."""
    flags = op.get_attributes()
    index = w.int64(op, 0, x[0])
    depth = w.int64(op, 1, x[1])
    if flags.get("negative_indices_mode", "ignore_negative") == "ignore_negative":
        outside = w.add("Less", index, w.constant(0))
        index = w.add("Where", outside, depth, index)
    values = w.add("Concat", *(w.add("Reshape", x[side], w.constant([1])) for side in (3, 2)), axis=0)
    return w.add("OneHot", index, w.add("Reshape", depth, w.constant([1])), values, axis=flags["axis"])


def _pad(w: Writer, op: Any, x: list[str]) -> str:
    mode = op.get_attributes()["pad_mode"]
    if mode == "symmetric":
        raise unsupported(op, "the mode symmetric")
    pads = w.add("Concat", w.int64(op, 1, x[1]), w.int64(op, 2, x[2]), axis=0)
    return w.add("Pad", x[0], pads, *(x[3:] if mode == "constant" else ()), mode=mode)


def _range(w: Writer, op: Any, x: list[str]) -> str:
    dtype = dtype_of(op.output(0))
    known = [w.static(op, index) for index in range(3)]
    if all(value is not None for value in known):
        return w.constant(np.arange(*(value.item() for value in known if value is not None)), dtype)
    if dtype.kind in "iu" and any(dtype_of(op.input(index)).kind == "f" for index in range(3)):
        raise unsupported(op, "fractions that are computed")
    ends = [value if dtype_of(op.input(index)) == dtype else w.cast(value, dtype) for index, value in enumerate(x)]
    return w.add("Range", *(w.add("Reshape", end, w.constant(np.zeros(0))) for end in ends))


def _reshape(w: Writer, op: Any, x: list[str]) -> str:
    zero_is_zero = int(not op.get_attributes()["special_zero"])
    return w.add("Reshape", x[0], w.int64(op, 1, x[1]), allowzero=zero_is_zero)


def _shape_of(w: Writer, op: Any, x: list[str]) -> str:
    shape = w.add("Shape", x[0])
    return w.cast(shape, np.int32) if dtype_of(op.output(0)) == np.int32 else shape


def _shuffle(w: Writer, op: Any, x: list[str]) -> str:
    flags, shape = op.get_attributes(), lengths(op.input(0))
    axis, groups = flags["axis"], flags["group"]
    if shape is None or axis % len(shape) != 1 or shape[1] is None:
        raise unsupported(op, "channels that are free, or not the second axis")
    grouped = w.reshape(x[0], [0, groups, shape[1] // groups, -1])
    return w.add("Reshape", w.transpose(grouped, [0, 2, 1, 3]), w.add("Shape", x[0]))


def _slice(w: Writer, op: Any, x: list[str]) -> str:
    """The steps stand before the axes here, and after them in ONNX."""
    starts, ends, steps, *axes = (w.int64(op, index, x[index]) for index in range(1, len(x)))
    return w.add("Slice", x[0], starts, ends, *(axes or [""]), steps)


def _split(w: Writer, op: Any, x: list[str]) -> Sequence[str]:
    axis = int(w.needed(op, 1, "axes").item())
    count = int(op.get_attributes()["num_splits"])
    return w.add_many("Split", count, x[0], axis=axis, num_outputs=count)


def _variadic_split(w: Writer, op: Any, x: list[str]) -> Sequence[str]:
    axis = int(w.needed(op, 1, "axes").item())
    parts = [int(length) for length in w.needed(op, 2, "lengths")]
    if -1 in parts:
        shape = lengths(op.input(0))
        whole = shape[axis] if shape is not None else None
        if whole is None:
            raise unsupported(op, "a part of free length")
        parts[parts.index(-1)] = whole - sum(parts) - 1
    return w.add_many("Split", len(parts), x[0], w.constant(parts), axis=axis)


def _squeeze(w: Writer, op: Any, x: list[str]) -> str:
    """Axes that are longer than 1 stay where `allow_axis_skip` says so; ONNX has no such rule."""
    axes = w.static(op, 1)
    if len(x) == 1 or axes is None or axes.size == 0 or op.get_attributes().get("allow_axis_skip"):
        before, after = lengths(op.input(0)), lengths(op.output(0))
        if before is None or after is None or None in before:
            raise unsupported(op, "axes that depend on the input")
        return w.reshape(x[0], [length or 0 for length in after])
    return w.add("Squeeze", x[0], w.constant(np.atleast_1d(axes)))


def _strided_slice(w: Writer, op: Any, x: list[str]) -> str:
    """ONNX slices by axes: masks become the ends of the axis, or axes that appear and vanish afterwards."""
    flags = op.get_attributes()
    begin, end = (w.needed(op, index, "ends") for index in (1, 2))
    step = np.ones_like(begin) if len(x) < 4 else w.needed(op, 3, "steps")

    def is_set(name: str, index: int) -> bool:
        mask = flags[name]
        return index < len(mask) and bool(mask[index])

    count = len(begin)
    added = sum(is_set("new_axis_mask", index) for index in range(count))
    cuts, new, gone = [], [], []
    source, place = 0, 0  # axes of the input, and of the result before any vanishes
    for index in range(count):
        if is_set("ellipsis_mask", index):
            skipped = rank_of(op) - (count - 1 - added)
            source, place = source + skipped, place + skipped
        elif is_set("new_axis_mask", index):
            new.append(place)
            place += 1
        else:
            stride = int(step[index])
            shrinks = is_set("shrink_axis_mask", index)
            first, last = int(begin[index]), int(end[index])
            if shrinks:
                stride, last = 1, first + 1 if first != -1 else _ALL
                gone.append(place)
            elif is_set("end_mask", index):
                last = _ALL if stride > 0 else -_ALL
            if not shrinks and is_set("begin_mask", index):
                first = 0 if stride > 0 else _ALL
            cuts.append((first, last, source, stride))
            source, place = source + 1, place + 1
    value = w.add("Slice", x[0], *(w.constant(part) for part in zip(*cuts, strict=True))) if cuts else x[0]
    value = w.add("Unsqueeze", value, w.constant(new)) if new else value
    return w.add("Squeeze", value, w.constant(gone)) if gone else value


def _top_k(w: Writer, op: Any, x: list[str]) -> Sequence[str]:
    flags = op.get_attributes()
    if flags["sort"] == "index":
        raise unsupported(op, "results in the order of indices")
    count = w.add("Reshape", w.int64(op, 1, x[1]), w.constant([1]))
    largest = int(flags["mode"] == "max")
    values, indices = w.add_many("TopK", 2, x[0], count, axis=flags["axis"], largest=largest, sorted=1)
    dtype = dtype_of(op.output(1))
    return values, indices if dtype == np.int64 else w.cast(indices, dtype)


def _transpose(w: Writer, op: Any, x: list[str]) -> str:
    order = w.needed(op, 1, "axes")
    return w.transpose(x[0], [int(axis) for axis in order] or list(reversed(range(rank_of(op)))))


def _unsqueeze(w: Writer, op: Any, x: list[str]) -> str:
    return w.add("Unsqueeze", x[0], w.constant(np.atleast_1d(w.needed(op, 1, "axes"))))


def _reverse_sequence(w: Writer, op: Any, x: list[str]) -> str:
    flags = op.get_attributes()
    batch, time = flags["batch_axis"], flags["seq_axis"]
    count, shape = w.static(op, 1), lengths(op.input(0))
    if count is not None and shape is not None and set(count.tolist()) == {shape[time]}:
        turned = (w.constant([value]) for value in (-1, -_ALL, time, -1))  # all of it: a plain slice
        return w.add("Slice", x[0], *turned)
    if {batch, time} != {0, 1}:
        raise unsupported(op, "other axes than the first two")
    return w.add("ReverseSequence", x[0], w.int64(op, 1, x[1]), batch_axis=batch, time_axis=time)


OPERATORS: dict[str, Translate] = {
    "Broadcast": _broadcast,
    "Concat": lambda w, op, x: w.add("Concat", *x, axis=op.get_attributes()["axis"]),
    "CumSum": _cum_sum,
    "DepthToSpace": _depth_to_space,
    "Gather": _gather,
    "GatherElements": lambda w, op, x: w.add(
        "GatherElements", x[0], _indices(w, op, x[1]), axis=op.get_attributes()["axis"]
    ),
    "GatherND": _gather_nd,
    "NonZero": lambda w, op, x: w.cast(w.add("NonZero", x[0]), dtype_of(op.output(0))),
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "ScatterElementsUpdate": _scatter,
    "ScatterNDUpdate": _scatter,
    "ShapeOf": _shape_of,
    "ShuffleChannels": _shuffle,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Tile": lambda w, op, x: w.add("Tile", x[0], w.int64(op, 1, x[1])),
    "TopK": _top_k,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "VariadicSplit": _variadic_split,
}
