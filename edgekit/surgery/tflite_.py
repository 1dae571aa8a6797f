"""Surgery on TFLite files: the flatbuffer is changed as objects. The first graph of a file is meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.surgery.base import Graph, Operator, Surgeon
from edgekit.surgery.needs import needed
from edgekit.types import TensorSpec

#: Marks a file as TFLite (schema.fbs, ``file_identifier``).
_IDENTIFIER = b"TFL3"

#: Types of the schema that numpy has and an engine computes.
_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "FLOAT64": "float64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}


class TfliteSurgeon(Surgeon):
    """See `edgekit.surgery.base.Surgeon`."""

    def read(self, path: Path) -> Graph:
        """See `Surgeon`; what is computed from weights alone counts as a weight."""
        return _Model(path).graph()

    def tap(self, path: Path, tensors: Sequence[str], folder: Path) -> Path:
        """See `Surgeon`."""
        opened = _Model(path)
        main = opened.main
        outputs = [int(index) for index in main.outputs]
        extra = [opened.index[name] for name in tensors if opened.index[name] not in outputs]
        opened.set_ends(main.inputs, [*outputs, *extra])
        return opened.write(path, folder)

    def cut(self, path: Path, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str], folder: Path) -> Path:
        """See `Surgeon`."""
        opened = _Model(path)
        main = opened.main
        keep = needed(opened.graph(), tuple(inputs), tuple(outputs))
        main.operators = opened.used(keep)
        for name, shape in inputs.items():
            tensor = main.tensors[opened.index[name]]
            tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None
        opened.set_ends([opened.index[name] for name in inputs], [opened.index[name] for name in outputs])
        used = {int(index) for one in main.operators for index in (*one.inputs, *one.outputs)}
        held = {main.tensors[index].buffer for index in used if index >= 0}
        for number, buffer in enumerate(opened.model.buffers):
            if number not in held:
                buffer.data = None
        return opened.write(path, folder)


class _Model:
    """A file with a name for every tensor of its first graph."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.schema_py_generated import Model, ModelT

        self.model: Any = ModelT.InitFromObj(Model.GetRootAs(path.read_bytes(), 0))
        self.main = self.model.subgraphs[0]
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        ends = self._signature_names()
        for number, tensor in enumerate(self.main.tensors):
            name = ends.get(number) or (tensor.name or b"").decode() or f"tensor_{number}"
            while name in self.index or (name in ends.values() and ends.get(number) != name):
                name += "'"
            self.names.append(name)
            self.index[name] = number
        self._computed = {int(index) for one in self.main.operators for index in one.outputs}
        self._computed |= {int(index) for index in self.main.inputs}
        self._computed -= self._from_weights()

    def graph(self) -> Graph:
        used = [index for index in self._computed if index >= 0]
        specs = {self.names[index]: self._spec(index) for index in used}
        return Graph(
            operators=tuple(self.operator(one) for one in self.main.operators if self._is_operator(one)),
            inputs=tuple(self.names[index] for index in self.main.inputs),
            outputs=tuple(self.names[index] for index in self.main.outputs),
            tensors={name: spec for name, spec in specs.items() if spec is not None},
            quantized={self.names[index]: scales for index in used if (scales := _scales(self.main.tensors[index]))},
        )

    def operator(self, one: Any) -> Operator:
        outputs = tuple(self.names[index] for index in one.outputs)
        inputs = [int(index) for index in one.inputs if index >= 0]
        return Operator(
            name=outputs[0] if outputs else "",
            kind=self._kind(one),
            inputs=tuple(dict.fromkeys(self.names[index] for index in inputs if not self._is_stored(index))),
            outputs=outputs,
        )

    def used(self, tensors: set[str]) -> list[Any]:
        """The operators that compute some tensors, and those that make weights for them."""
        found: list[Any] = []
        taken: set[int] = set()
        for one in reversed(self.main.operators):
            own = {int(index) for index in one.outputs}
            if not tensors.isdisjoint(self.names[index] for index in own) or (
                own & taken and not self._is_operator(one)
            ):
                found.append(one)
                taken |= {int(index) for index in one.inputs}
        return found[::-1]

    def set_ends(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Inputs and outputs of the graph, and one signature that names them."""
        from ai_edge_litert.schema_py_generated import SignatureDefT, TensorMapT

        def named(indices: Sequence[int]) -> Iterator[Any]:
            for index in indices:
                entry = TensorMapT()
                entry.name, entry.tensorIndex = self.names[index].encode(), int(index)
                yield entry

        self.main.inputs, self.main.outputs = (np.array(list(ends), np.int32) for ends in (inputs, outputs))
        signature = SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = list(named(inputs)), list(named(outputs))
        self.model.signatureDefs = [signature]

    def write(self, path: Path, folder: Path) -> Path:
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), _IDENTIFIER)
        entry = folder / path.name
        entry.write_bytes(builder.Output())
        return entry

    def _signature_names(self) -> dict[int, str]:
        """Names of the ends, as the runtime shows them: those of ``serving_default``, else of the first signature."""
        signatures = [one for one in self.model.signatureDefs or () if one.subgraphIndex == 0]
        chosen = next((one for one in signatures if one.signatureKey == b"serving_default"), None)
        chosen = chosen or next(iter(signatures), None)
        if chosen is None:
            return {}
        return {int(one.tensorIndex): one.name.decode() for one in (*chosen.inputs, *chosen.outputs)}

    def _is_operator(self, one: Any) -> bool:
        return not one.outputs.size or not self._computed.isdisjoint(int(index) for index in one.outputs)

    def _is_stored(self, index: int) -> bool:
        return index not in self._computed

    def _from_weights(self) -> set[int]:
        """What is computed from nothing but weights, such as those that are kept in fewer bits."""
        ends = {int(index) for index in self.main.outputs}
        found = {
            index
            for index, tensor in enumerate(self.main.tensors)
            if self.model.buffers[tensor.buffer].data is not None
        }
        for one in self.main.operators:
            taken = {int(index) for index in one.inputs if index >= 0}
            own = {int(index) for index in one.outputs}
            if taken and taken <= found and ends.isdisjoint(own):
                found |= own
        return found

    def _spec(self, index: int) -> TensorSpec | None:
        from ai_edge_litert.schema_py_generated import TensorType

        tensor = self.main.tensors[index]
        dtype = _DTYPES.get(_name_in(TensorType, tensor.type))
        lengths = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
        if dtype is None or lengths is None:
            return None
        return TensorSpec(self.names[index], tuple(None if one < 0 else int(one) for one in lengths), dtype)

    def _kind(self, one: Any) -> str:
        from ai_edge_litert.schema_py_generated import BuiltinOperator

        code = self.model.operatorCodes[one.opcodeIndex]
        return _name_in(BuiltinOperator, max(code.builtinCode, code.deprecatedBuiltinCode))


def _scales(tensor: Any) -> tuple[float, ...]:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return ()
    return (float(quantization.scale[0]), float(quantization.zeroPoint[0]))


def _name_in(enumeration: type, number: int) -> str:
    return next(name for name, value in vars(enumeration).items() if value == number)
