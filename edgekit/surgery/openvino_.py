"""Surgery on OpenVINO IR files.

A tensor is called as its operator, with a number behind a colon where that has several outputs; names of the
signature stand for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.runtimes.openvino_ import NUMPY_NAMES
from edgekit.surgery.base import Graph, Operator, Surgeon
from edgekit.surgery.needs import needed
from edgekit.types import TensorSpec

if TYPE_CHECKING:
    import openvino

#: Operators that only stand for the ends of a graph.
_ENDS = ("Parameter", "Result")


class OpenVinoSurgeon(Surgeon):
    """See `edgekit.surgery.base.Surgeon`."""

    def read(self, path: Path) -> Graph:
        """See `Surgeon`; what is computed from weights alone counts as a weight."""
        return _Model(path).graph()

    def tap(self, path: Path, tensors: Sequence[str], folder: Path) -> Path:
        """See `Surgeon`."""
        from openvino import opset13

        opened = _Model(path)
        ends = {*opened.model.inputs, *opened.model.outputs}
        present = {opened.name_of[_key(port)] for port in _sources(ends)}
        for name in tensors:
            if name in present:
                continue
            port = opened.ports[name]
            port.get_tensor().set_names({name})
            opened.model.add_results([opset13.result(port, name=f"{name}/tap")])
        return opened.write(path, folder)

    def cut(self, path: Path, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str], folder: Path) -> Path:
        """See `Surgeon`."""
        import openvino
        from openvino import opset13

        opened = _Model(path)
        needed(opened.graph(), tuple(inputs), tuple(outputs))
        results = []
        for name in outputs:
            port = opened.ports[name]
            port.get_tensor().set_names({name})
            results.append(opset13.result(port, name=f"{name}/result"))
        parameters = []
        for name, shape in inputs.items():
            port = opened.ports[name]
            start = opset13.parameter(list(shape), port.get_element_type(), name=f"{name}/start")
            for use in port.get_target_inputs():
                use.replace_source_output(start.output(0))
            start.output(0).get_tensor().set_names({name})
            parameters.append(start)
        opened.model = openvino.Model(results, parameters, "cut")
        return opened.write(path, folder)


class _Model:
    """An IR with a name for every computed tensor."""

    def __init__(self, path: Path) -> None:
        import openvino

        self.model: openvino.Model = openvino.Core().read_model(path)
        self.operators = [op for op in self.model.get_ordered_ops() if op.get_type_name() not in _ENDS]
        self.stored = _weights(self.operators)
        self.ports: dict[str, Any] = {}
        self.name_of: dict[tuple[str, int], str] = {}
        for port in self.model.inputs:
            self._name(port, _shortest(port))
        for port in self.model.outputs:
            self._name(port.get_node().input_value(0), _shortest(port))
        for op in self.operators:
            if op.get_name() not in self.stored:
                for port in op.outputs():
                    self._name(port, _own_name(op, port))

    def _name(self, port: Any, name: str) -> None:
        key = _key(port)
        if key in self.name_of:
            return
        while name in self.ports:
            name += "'"
        self.ports[name], self.name_of[key] = port, name

    def graph(self) -> Graph:
        operators = tuple(
            Operator(
                name=op.get_friendly_name(),
                kind=op.get_type_name(),
                inputs=tuple(dict.fromkeys(self._inputs(op))),
                outputs=tuple(self.name_of[_key(port)] for port in op.outputs()),
            )
            for op in self.operators
            if op.get_name() not in self.stored
        )
        return Graph(
            operators=operators,
            inputs=tuple(_shortest(port) for port in self.model.inputs),
            outputs=tuple(self.name_of[_key(port)] for port in _sources(self.model.outputs)),
            tensors={name: spec for name, port in self.ports.items() if (spec := _spec(name, port))},
        )

    def _inputs(self, op: Any) -> Iterator[str]:
        for port in op.inputs():
            source = port.get_source_output()
            if source.get_node().get_name() not in self.stored:
                yield self.name_of[_key(source)]

    def write(self, path: Path, folder: Path) -> Path:
        import openvino

        entry = folder / path.name
        openvino.save_model(self.model, entry, compress_to_fp16=False)
        return entry


def _weights(operators: Sequence[Any]) -> set[str]:
    """Constants, and what is computed from nothing else."""
    found: set[str] = set()
    for op in operators:
        sources = [port.get_source_output().get_node() for port in op.inputs()]
        if op.get_type_name() == "Constant" or (sources and all(one.get_name() in found for one in sources)):
            found.add(op.get_name())
    return found


def _sources(ports: Any) -> Iterator[Any]:
    """The tensors that ends of a graph stand for: an output is that of the operator before its result."""
    for port in ports:
        node = port.get_node()
        yield node.input_value(0) if node.get_type_name() == "Result" else port


def _key(port: Any) -> tuple[str, int]:
    return port.get_node().get_name(), port.get_index()


def _shortest(port: Any) -> str:
    """As the runtime names it."""
    names = port.get_names()
    names = names or {port.get_node().get_friendly_name()}
    return str(min(names, key=lambda text: (len(text), text)))


def _own_name(op: Any, port: Any) -> str:
    name: str = op.get_friendly_name()
    return name if op.get_output_size() == 1 else f"{name}:{port.get_index()}"


def _spec(name: str, port: Any) -> TensorSpec | None:
    dtype = NUMPY_NAMES.get(port.get_element_type().get_type_name())
    shape = port.get_partial_shape()
    if dtype is None or shape.rank.is_dynamic:
        return None
    return TensorSpec(name, tuple(one.get_length() if one.is_static else None for one in shape), dtype)
