"""Programs of ``torch.export``: what their graph says of inputs, outputs and operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgekit.errors import ModelError
from edgekit.exporter.sources.pins import pinned_inputs
from edgekit.exporter.sources.torch_signature import Call, Slot, check_tensor, dtype_of, output_names
from edgekit.types import Signature, TensorSpec

#: Operators that do something else in training, and the place of the argument that says so.
_TRAINING = {
    "dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "native_dropout": 2, "batch_norm": 5, "rrelu": 3,
    "native_batch_norm": 5, "_native_batch_norm_legit": 5,
}  # fmt: skip


def described(program: Any, pins: Mapping[str, TensorSpec]) -> tuple[Call, Signature]:
    """How to call a program, and its signature: a length that is a symbol in the graph is free.

    Raises:
        ModelError: an input or output is no tensor with a batch axis.
        UsageError: a pin does not fit.
    """
    from torch.utils import _pytree

    nodes = {node.name: node for node in program.graph.nodes}
    inputs, slots = [], []
    for value in program.graph_signature.user_inputs:
        if isinstance(value, str) and value in nodes and "val" in nodes[value].meta:
            inputs.append(nodes[value])
            slots.append(Slot(len(inputs) - 1))
        else:
            slots.append(value)  # a constant that the trace fixed
    args, kwargs = _pytree.tree_unflatten(slots, program.call_spec.in_spec)
    raw = Signature(tuple(_spec("input", node.name, node.meta["val"]) for node in inputs), ())
    typed = {name: _typed(pin, raw) for name, pin in pins.items()}
    wanted = replace(raw, inputs=pinned_inputs(raw, typed))
    sizes = {
        symbol.node.expr: length
        for node, spec in zip(inputs, wanted.inputs, strict=True)
        for symbol, length in zip(node.meta["val"].shape, spec.shape, strict=True)
        if length is not None and not isinstance(symbol, int)
    }
    wanted = replace(
        wanted,
        inputs=tuple(_fixed(spec, node.meta["val"], sizes) for spec, node in zip(wanted.inputs, inputs, strict=True)),
    )
    results = [nodes.get(str(name)) for name in program.graph_signature.user_outputs]
    structure = _pytree.tree_unflatten(results, program.call_spec.out_spec)
    names = output_names(structure, [spec.name for spec in wanted.inputs])
    found = [node.meta["val"] for node in results if node is not None]
    outputs = tuple(
        _fixed(_spec("output", name, value), value, sizes) for name, value in zip(names, found, strict=True)
    )
    return Call(args, kwargs), replace(wanted, outputs=outputs)


def operators(program: Any) -> dict[str, int]:
    """How often each operator occurs."""
    found = Counter(_name(node) for node in program.graph.nodes if node.op == "call_function")
    return dict(found.most_common())


def fed(program: Any) -> tuple[dict[int, int], int | None]:
    """Lengths of embeddings by the place of the input that goes into them, and the smallest of all."""
    users = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    direct: dict[int, int] = {}
    lengths = []
    for node in program.graph.nodes:
        if node.op == "call_function" and _name(node) == "embedding":
            table, indices = node.args[:2]
            length = int(table.meta["val"].shape[0])
            lengths.append(length)
            if indices.name in users:
                place = users.index(indices.name)
                direct[place] = min(length, direct.get(place, length))
    return direct, min(lengths, default=None)


def refuse_training(program: Any) -> None:
    """Refuse a program that was traced in training mode: its outputs are random, or depend on the batch.

    Raises:
        ModelError: names the operator.
    """
    for node in program.graph.nodes:
        place = _TRAINING.get(_name(node)) if node.op == "call_function" else None
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise ModelError(
                "traced-in-training",
                f"the program was traced in training mode: {_name(node)} is switched on.",
                received=node.name,
                hint="Call model.eval() before torch.export.export().",
            )


def _name(node: Any) -> str:
    """Operator without namespace and overload."""
    target = node.target
    return str(getattr(target, "_opname", None) or getattr(target, "__name__", target))


def _typed(pin: TensorSpec, signature: Signature) -> TensorSpec:
    dtypes = {spec.name: spec.dtype for spec in signature.inputs}
    return replace(pin, dtype=pin.dtype or dtypes.get(pin.name, ""))


def _spec(what: str, name: str, value: Any) -> TensorSpec:
    check_tensor(what, name, value)
    shape = tuple(length if isinstance(length, int) else None for length in value.shape)
    return TensorSpec(name, shape, dtype_of(value))


def _fixed(spec: TensorSpec, value: Any, sizes: Mapping[Any, int]) -> TensorSpec:
    """The input or output with the lengths that follow from pinned inputs."""
    shape: list[int | None] = []
    for length, free in zip(value.shape, spec.shape, strict=True):
        if free is None:
            left = length.node.expr.subs(sizes)
            shape.append(int(left) if left.is_number else None)
        else:
            shape.append(free)
    return replace(spec, shape=tuple(shape))
