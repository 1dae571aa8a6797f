"""Names of source layers in artifacts, so that an operator can be traced to the layer that it computes.

An operator is called ``PATH/KIND``, such as ``block/conv2d_3/Conv``, with a number where a layer has several of a kind.
What converters and engines fuse keeps the name of one of its parts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

    from edgekit.exporter.sources.keras_ import KerasModel

#: Note on an ONNX node: path of the layer that it computes.
LAYER = "edgekit.layer"

#: torch's own note: paths of modules from the outermost to the innermost, then the traced operator.
TORCH_SCOPES = "pkg.torch.onnx.name_scopes"

#: Holds the modules that stand for layers of Keras, inside the model.
SCOPES = "edgekit_scopes"


def layer_scopes(loaded: KerasModel) -> None:
    """Make layers tell the converter which operators are theirs, in place; before tracing on torch or OpenVINO.

    On JAX and TensorFlow, Keras opens named scopes itself.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        _torch_scopes(loaded)
    elif backend == "openvino":
        for layer in loaded.layers:
            layer.call = _named_call(layer.call, _path(layer))


def _path(layer: Any) -> str:
    return str(getattr(layer, "path", None) or layer.name)


def _torch_scopes(loaded: KerasModel) -> None:
    """Put a module around every layer: Keras calls layers past torch, whose tracer notes modules only."""
    import torch

    class Scope(torch.nn.Module):
        def __init__(self, call: Any) -> None:
            super().__init__()
            self.inner = call

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.inner(*args, **kwargs)

    held = torch.nn.Module()
    for layer in loaded.layers:
        scope, name = Scope(layer.call), _path(layer).replace(".", "_")  # torch splits paths at dots
        if name not in held._modules:
            held.add_module(name, scope)
            layer.call = _calling(scope)
    loaded.model.add_module(SCOPES, held)


def _calling(scope: Any) -> Any:
    """A plain function: Keras would take an attribute that is a module for a layer."""

    @wraps(scope.inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        return scope(*args, **kwargs)

    return call


def _named_call(inner: Any, path: str) -> Any:
    """A layer's ``call`` on the OpenVINO backend, which names the operators that it adds."""

    @wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        import keras

        before = {port.get_node().get_name() for port in _ports((args, kwargs))}
        made = inner(*args, **kwargs)
        _name_until(before, (port.get_node() for port in _ports(keras.tree.flatten(made))), path)
        return made

    return call


def _ports(values: Any) -> Iterator[Any]:
    import keras

    return (value.output for value in keras.tree.flatten(values) if hasattr(value, "output"))


def _name_until(stop: set[str], nodes: Iterable[Any], path: str) -> None:
    """Name operators from the last ones back to those of other layers."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        named = "/" in node.get_friendly_name()
        if node.get_name() in stop or named or node.get_type_name() in ("Parameter", "Constant"):
            continue
        node.set_friendly_name(f"{path}/{node.get_type_name()}")
        waiting += [port.get_source_output().get_node() for port in node.inputs()]


@contextmanager
def jax_scopes() -> Iterator[None]:
    """Make jax2onnx note on every node the named scopes that its equation was traced in."""
    from jax2onnx.converter import lowering_dispatch

    original = lowering_dispatch.lower_equation_with_plugin
    stack: list[str] = []  # of equations inside equations, each relative to the one around it

    def lower(plugin: Any, *, ctx: Any, eqn: Any, **rest: Any) -> Any:
        nodes = ctx.builder.nodes
        before = len(nodes)
        stack.append(str(eqn.source_info.name_stack))
        try:
            return original(plugin, ctx=ctx, eqn=eqn, **rest)
        finally:
            path = "/".join(filter(None, stack))
            stack.pop()
            for node in islice(reversed(nodes), len(nodes) - before):
                node.metadata_props.setdefault(LAYER, path)

    lowering_dispatch.lower_equation_with_plugin = lower
    try:
        yield
    finally:
        lowering_dispatch.lower_equation_with_plugin = original


@contextmanager
def litert_names() -> Iterator[None]:
    """Make litert-torch name operators by their layers: its own names are full names of classes, ours among them."""
    from litert_torch.backend.debuginfo import _build

    def named(node: Any) -> str:
        paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
        return "/".join(filter(None, [_without_wrappers(paths[-1]) if paths else "", node.name])) + ";"

    original = _build._get_hierarchy
    _build._get_hierarchy = named
    try:
        yield
    finally:
        _build._get_hierarchy = original


def _without_wrappers(path: str) -> str:
    """Path of a layer from that of a module, without those that edgekit puts around it."""
    for prefix in ("L['self'].", "model.", f"{SCOPES}."):
        path = path.removeprefix(prefix)
    return "" if path == "model" else path.removesuffix(".inner").replace(".", "/")


def name_nodes(graph: onnx.GraphProto) -> None:
    """Call nodes by the layers in their notes, in place; a node without a note keeps its name."""
    paths = [_layer_of({note.key: note.value for note in node.metadata_props}) for node in graph.node]
    taken: dict[str, int] = {node.name: 1 for node, path in zip(graph.node, paths, strict=True) if not path}
    for node, path in zip(graph.node, paths, strict=True):
        if path:
            node.name = _unique(f"{path}/{node.op_type}", taken)


def name_rest(graph: onnx.GraphProto) -> None:
    """Names for nodes that an optimizer left without one, in place: that of the node before them."""
    names = {output: node.name for node in graph.node for output in node.output}
    taken: dict[str, int] = {node.name: 1 for node in graph.node}
    for node in graph.node:
        if not node.name:
            before = next((names[source] for source in node.input if names.get(source)), "")
            path = before.rpartition("/")[0]
            node.name = _unique(f"{path}/{node.op_type}" if path else node.op_type, taken)
            names |= dict.fromkeys(node.output, node.name)


def _unique(name: str, taken: dict[str, int]) -> str:
    """A name with the next number that no other has."""
    found, count = name, taken.get(name, 0)
    while found in taken:
        found = f"{name}_{count}"
        count += 1
    taken[name] = max(count, 1)
    taken.setdefault(found, 1)
    return found


def _layer_of(notes: Mapping[str, str]) -> str:
    """Path of a node's layer; nothing where no note tells."""
    if LAYER in notes:
        return notes[LAYER]
    modules = ast.literal_eval(notes[TORCH_SCOPES])[:-1] if TORCH_SCOPES in notes else ()
    inner = next((path for path in reversed(modules) if path), "")
    return _without_wrappers(inner)
