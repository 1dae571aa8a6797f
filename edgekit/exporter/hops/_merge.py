"""Rewrites that onnxruntime's basic optimizer leaves out: constants after convolutions, and what nothing uses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def merge_constants(graph: onnx.GraphProto) -> None:
    """Put multiplications and additions per channel into the convolution before them, in place.

    A transposition may stand between: onnxruntime merges only what follows directly. One that only moves axes of
    length 1 goes into the reshaping before it.
    """
    merger = _Merger(graph)
    for node in list(graph.node):
        if node.op_type == "Reshape":
            merger.merge_transposition(node)
        if node.op_type in _CONVOLUTIONS:
            while merger.merge(node):
                pass
    drop_unused(graph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove weights that no node reads, and keep one of those that are the same, in place."""
    used = {name for node in all_nodes(graph) for name in node.input} | {value.name for value in graph.output}
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    same: dict[str, str] = {}
    kept = []
    for tensor in graph.initializer:
        key = (tensor.data_type, tuple(tensor.dims), sha256(tensor.raw_data).digest())
        if tensor.name not in used:
            continue
        if tensor.raw_data and first.setdefault(key, tensor.name) != tensor.name:
            same[tensor.name] = first[key]
        else:
            kept.append(tensor)
    if len(kept) == len(graph.initializer):
        return
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in all_nodes(graph):
        for index, name in enumerate(node.input):
            if name in same:
                node.input[index] = same[name]


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Nodes, those in the bodies of branches and loops too, which see the values outside."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from all_nodes(body)


class _Merger:
    """One graph, with the users of its values."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in all_nodes(graph):
            for name in node.input:
                self.users[name].append(node)
        self.results = {value.name for value in graph.output}

    def merge(self, conv: onnx.NodeProto) -> bool:
        """Merge what follows the convolution; false where nothing can be."""
        if conv.input[1] not in self.weights or (len(conv.input) > 2 and conv.input[2] not in self.weights):
            return False
        last, after = conv, self._only_user(conv.output[0])
        rank = len(self.weights[conv.input[1]].dims)
        axis = 1
        if after is not None and after.op_type == "Transpose":
            order = next((list(item.ints) for item in after.attribute if item.name == "perm"), list(range(rank))[::-1])
            axis = order.index(1)
            last, after = after, self._only_user(after.output[0])
        if after is None or after.op_type not in ("Mul", "Add"):
            return False
        other = next((name for name in after.input if name != last.output[0]), "")
        constant = self._per_channel(other, rank, axis, self._channels(conv))
        if constant is None or (after.op_type == "Mul" and not self._is_plain(conv)):
            return False
        self._apply(conv, after.op_type, constant)
        self.users.pop(last.output[0], None)
        last.output[0] = after.output[0]
        self.graph.node.remove(after)
        return True

    def merge_transposition(self, reshape: onnx.NodeProto) -> None:
        """A transposition that only moves axes of length 1 becomes part of the reshaping before it."""
        import onnx

        after = self._only_user(reshape.output[0])
        target = self.weights.get(reshape.input[1])
        if after is None or after.op_type != "Transpose" or target is None or reshape.attribute:
            return
        shape = onnx.numpy_helper.to_array(target)
        order = next((list(item.ints) for item in after.attribute if item.name == "perm"), [])
        moved = [axis for axis in order if shape[axis] != 1]
        if moved != sorted(moved) or any(shape[axis] == 0 and order[axis] != axis for axis in order):
            return  # 0 takes the length of the same axis of the input
        reshape.input[1] = self._add(f"{target.name}_moved", shape[order])
        self.users.pop(reshape.output[0], None)
        reshape.output[0] = after.output[0]
        self.graph.node.remove(after)

    def _only_user(self, name: str) -> onnx.NodeProto | None:
        users = self.users[name]
        return users[0] if len(users) == 1 and name not in self.results else None

    def _is_plain(self, conv: onnx.NodeProto) -> bool:
        """Whether one axis of the kernel is the output channel; in a grouped transposed one it is spread over two."""
        return conv.op_type == "Conv" or all(item.i == 1 for item in conv.attribute if item.name == "group")

    def _channels(self, conv: onnx.NodeProto) -> int:
        dims = self.weights[conv.input[1]].dims
        if conv.op_type == "Conv":
            return int(dims[0])
        return int(dims[1]) * next((item.i for item in conv.attribute if item.name == "group"), 1)

    def _per_channel(self, name: str, rank: int, axis: int, channels: int) -> np.ndarray | None:
        """A constant that has one value, or one per channel, in float64 and of that length."""
        import onnx

        tensor = self.weights.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) > rank:
            return None
        shape = (1,) * (rank - len(tensor.dims)) + tuple(tensor.dims)
        if math.prod(shape) not in (1, shape[axis]) or shape[axis] not in (1, channels):
            return None
        return np.broadcast_to(onnx.numpy_helper.to_array(tensor).astype(np.float64).reshape(-1), channels)

    def _apply(self, conv: onnx.NodeProto, kind: str, constant: np.ndarray) -> None:
        import onnx

        bias = np.zeros(len(constant))
        if len(conv.input) > 2:
            bias = onnx.numpy_helper.to_array(self.weights[conv.input[2]]).astype(np.float64)
        if kind == "Mul":
            kernel = onnx.numpy_helper.to_array(self.weights[conv.input[1]])
            shape = [1] * kernel.ndim
            shape[0 if conv.op_type == "Conv" else 1] = len(constant)
            conv.input[1] = self._add(f"{conv.input[1]}_scaled", (kernel * constant.reshape(shape)).astype(np.float32))
            bias = bias * constant
        else:
            bias = bias + constant
        if kind == "Add" or len(conv.input) > 2:
            del conv.input[2:]
            conv.input.append(self._add(f"{conv.output[0]}_bias", bias.astype(np.float32)))

    def _add(self, name: str, array: np.ndarray) -> str:
        import onnx

        while name in self.weights:
            name += "_"
        tensor = onnx.numpy_helper.from_array(array, name)
        self.graph.initializer.append(tensor)
        self.weights[name] = tensor
        return name
