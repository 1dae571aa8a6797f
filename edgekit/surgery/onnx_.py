"""Surgery on ONNX files. Weights that lie in files beside the model are taken over as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.files import companions
from edgekit.surgery.base import Graph, Operator, Surgeon
from edgekit.surgery.needs import needed
from edgekit.types import TensorSpec

if TYPE_CHECKING:
    import onnx


class OnnxSurgeon(Surgeon):
    """See `edgekit.surgery.base.Surgeon`."""

    def read(self, path: Path) -> Graph:
        """See `Surgeon`; bodies of loops and branches are part of their operator, and what is computed from weights
        alone counts as a weight."""
        model = _load(path)
        return _graph(model)

    def tap(self, path: Path, tensors: Sequence[str], folder: Path) -> Path:
        """See `Surgeon`."""
        import onnx

        model = _load(path)
        known = _types(model)
        present = {output.name for output in model.graph.output}
        for name in tensors:
            if name not in present:
                # Without a type where inference knows none: the engine finds its own.
                model.graph.output.append(known.get(name) or onnx.ValueInfoProto(name=name))
        return _write(model, path, folder)

    def cut(self, path: Path, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str], folder: Path) -> Path:
        """See `Surgeon`."""
        import onnx

        model = _load(path)
        types = _types(model)
        keep = needed(_graph(model), tuple(inputs), tuple(outputs))
        stored = _stored(model)
        used, nodes = set(outputs), []
        for node in reversed(model.graph.node):
            if not keep.isdisjoint(node.output) or (not stored.isdisjoint(node.output) and used & {*node.output}):
                nodes.append(node)
                used.update(_reads(node))
        graph = onnx.helper.make_graph(
            nodes[::-1],
            "cut",
            [_input(name, shape, types) for name, shape in inputs.items()],
            [types.get(name) or onnx.ValueInfoProto(name=name) for name in outputs],
            [weight for weight in model.graph.initializer if weight.name in used],
        )
        model.graph.CopyFrom(graph)
        return _write(model, path, folder)


def _load(path: Path) -> onnx.ModelProto:
    import onnx

    return onnx.load(path, load_external_data=False)


def _write(model: onnx.ModelProto, source: Path, folder: Path) -> Path:
    entry = folder / source.name
    for weights in companions(source):
        os.link(weights, folder / weights.name)
    entry.write_bytes(model.SerializeToString())
    return entry


def _graph(model: onnx.ModelProto) -> Graph:
    stored = _stored(model)
    operators = tuple(
        Operator(
            name=_name(node),
            kind=node.op_type,
            inputs=tuple(dict.fromkeys(name for name in _reads(node) if name not in stored)),
            outputs=tuple(name for name in node.output if name),
        )
        for node in model.graph.node
        if stored.isdisjoint(node.output)
    )
    return Graph(
        operators=operators,
        inputs=tuple(value.name for value in model.graph.input if value.name not in stored),
        outputs=tuple(value.name for value in model.graph.output),
        tensors={name: spec for name, value in _types(model).items() if name not in stored and (spec := _spec(value))},
    )


def _name(node: onnx.NodeProto) -> str:
    name: str = node.name or next(name for name in node.output if name)
    return name


def _stored(model: onnx.ModelProto) -> set[str]:
    """Weights, constants, and what is computed from nothing else, such as weights that are kept as integers."""
    found = {weight.name for weight in model.graph.initializer}
    ends = {output.name for output in model.graph.output}
    for node in model.graph.node:
        taken = set(_reads(node))
        if (node.op_type == "Constant" or taken) and taken <= found and ends.isdisjoint(node.output):
            found.update(node.output)
    return found


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Tensors that a node takes, those that its bodies take from outside among them."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            own = {name for inner in body.node for name in inner.output}
            own |= {value.name for value in body.input} | {weight.name for weight in body.initializer}
            yield from (name for inner in body.node for name in _reads(inner) if name not in own)


def _types(model: onnx.ModelProto) -> dict[str, Any]:
    """What is known of every tensor, by onnx's own inference; operators of other domains are unknown to it."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (onnx.shape_inference.InferenceError, ValueError):  # the engine may run what inference cannot follow
        graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value for value in values if value.type.tensor_type.elem_type}


def _spec(value: Any) -> TensorSpec | None:
    import onnx

    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if not kind.HasField("shape") or dtype.kind not in "fiub":
        return None
    lengths = (length.dim_value if length.HasField("dim_value") else None for length in kind.shape.dim)
    return TensorSpec(value.name, tuple(lengths), dtype.name)


def _input(name: str, shape: tuple[int, ...], types: Mapping[str, Any]) -> Any:
    import onnx

    known = types.get(name)
    element = known.type.tensor_type.elem_type if known is not None else onnx.TensorProto.FLOAT
    return onnx.helper.make_tensor_value_info(name, element, list(shape))
