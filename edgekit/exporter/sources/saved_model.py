"""TensorFlow SavedModels: a folder, which reaches the process that loads it as one zip archive.

A file runs no code unless the user trusts it: its graph is read before TensorFlow loads it. Variables become
constants, and what other processes convert is a SavedModel with one signature and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.hops._saved_model import ARCHIVE, SIGNATURE_KEY, unpacked, write
from edgekit.exporter.loading import Loaded, Loading
from edgekit.exporter.sources._saved_model_scan import read_graph, refuse_code, signature_keys
from edgekit.exporter.sources.pins import pinned
from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Effective, Reading, Signature, TensorSpec

#: What passes an index on to a gather.
_KEEPS_INDICES = ("Identity", "Cast", "Reshape", "ExpandDims", "Squeeze")


@dataclass(frozen=True)
class SavedModel(Loaded):
    """One signature of a SavedModel, its variables as constants.

    Attributes:
        function: takes and returns flat tensors in the order of the signature.
        signature: inputs and outputs in alphabetical order: a SavedModel names them, but has no order of them.
        framework: the TensorFlow that wrote it.
        notes: which signature it is, where there are several.
    """

    function: Any
    signature: Signature
    framework: str
    notes: tuple[str, ...] = ()
    kind = "saved_model"

    @property
    def parameters(self) -> int:
        """Numbers in constants that are arrays."""
        return sum(int(np.prod(lengths)) for lengths, _ in self._weights())

    def operators(self) -> Mapping[str, int]:
        left_out = ("Const", "Placeholder", "Identity", "NoOp")
        found = Counter(node.op for node in self._nodes())
        return {name: count for name, count in found.most_common() if name not in left_out}

    def weight_dtypes(self) -> set[str]:
        return {dtype for _, dtype in self._weights()}

    def ids(self) -> Mapping[str, int]:
        """The length of the table that an input indexes; the shortest of several."""
        nodes = {node.name: node for node in self._nodes()}
        limits: dict[str, int] = {}
        inputs = {
            tensor.op.name: spec.name for tensor, spec in zip(self.function.inputs, self.signature.inputs, strict=True)
        }
        for node in nodes.values():
            if node.op == "GatherV2":
                table, indices = _origin(nodes, node.input[0]), _origin(nodes, node.input[1])
                if table.op == "Const" and indices.name in inputs:
                    name, length = inputs[indices.name], table.attr["value"].tensor.tensor_shape.dim[0].size
                    limits[name] = min(length, limits.get(name, length))
        return limits

    def keep(self, folder: Path) -> Path:
        """The same model with this signature only and no variables: what hops read."""
        path = folder / ARCHIVE
        write(self.function, self.signature, path)
        return path

    def open(self) -> SavedModelSession:
        return SavedModelSession(self)

    def ways(self) -> Mapping[str, Callable[[], Session]]:
        return {"compiled": self.open}

    def _nodes(self) -> Sequence[Any]:
        nodes: Sequence[Any] = self.function.graph.as_graph_def().node
        return nodes

    def _weights(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape and type of each constant array of floating numbers."""
        import tensorflow as tf

        tensors = [node.attr["value"].tensor for node in self._nodes() if node.op == "Const"]
        found = [(tuple(dim.size for dim in t.tensor_shape.dim), tf.dtypes.as_dtype(t.dtype)) for t in tensors]
        return [(lengths, dtype.name) for lengths, dtype in found if lengths and dtype.is_floating]


class SavedModelSession(Session):
    """TensorFlow on the CPU, in the model's own precision. Outputs are numpy arrays."""

    def __init__(self, loaded: SavedModel) -> None:
        self.signature = loaded.signature
        self._function: Any = loaded.function

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        import tensorflow as tf

        assert self._function is not None, "the session is closed"
        outputs = self._function(*(tf.constant(inputs[spec.name]) for spec in self.signature.inputs))
        return {spec.name: output.numpy() for spec, output in zip(self.signature.outputs, outputs, strict=True)}

    def effective(self) -> Effective:
        """TensorFlow reports neither; the process was kept off accelerators."""
        return Effective(Reading("f32", "inferred"), Reading("CPU", "inferred"))

    def close(self) -> None:
        self._function = None


def load(path: Path | None, loading: Loading) -> SavedModel:
    """Load the signature ``serving_default``, or the only one there is.

    Raises:
        ModelError: it is no SavedModel, is damaged, would run code, or has no signature that can be used.
        UsageError: a pin does not fit.
    """
    import tensorflow as tf

    assert path is not None
    with unpacked(path) as folder:
        graph = read_graph(folder)
        if not loading.trust_code:
            refuse_code(graph)
        keys = signature_keys(graph)
        key = _chosen(keys)
        try:
            model = tf.saved_model.load(str(folder), tags=list(graph.meta_info_def.tags))
        except Exception as err:  # TensorFlow raises whatever its layers raise
            raise ModelError(
                "unloadable-model",
                f"TensorFlow cannot load the model: {(str(err).splitlines() or [''])[0][:300]}",
                hint="Copy or save the folder again, with its subfolder variables.",
            ) from err
        inputs, outputs = _declared(graph.signature_def[key], loading.pins)
        function = _frozen(model.signatures[key], inputs, outputs)
    found = [_spec(name, tensor) for name, tensor in zip(outputs, function.outputs, strict=True)]
    notes = (f"its signature {key}; others: {', '.join(other for other in keys if other != key)}",)
    framework = f"tensorflow {graph.meta_info_def.tensorflow_version or 'of unknown version'}"
    return SavedModel(function, Signature(inputs, tuple(found)), framework, notes if len(keys) > 1 else ())


def _chosen(keys: Sequence[str]) -> str:
    if SIGNATURE_KEY in keys:
        return SIGNATURE_KEY
    if len(keys) == 1:
        return keys[0]
    raise ModelError(
        "no-signature",
        f"the SavedModel has no signature {SIGNATURE_KEY}." if keys else "the SavedModel has no signatures.",
        received=f"signatures {', '.join(keys)}" if keys else None,
        hint=f"Save it with one: tf.saved_model.save(model, folder, signatures={{'{SIGNATURE_KEY}': function}})",
    )


def _declared(signature: Any, pins: Mapping[str, TensorSpec]) -> tuple[tuple[TensorSpec, ...], list[str]]:
    """Inputs, pins applied, and names of outputs."""
    if not signature.inputs or not signature.outputs:
        raise ModelError(
            "no-inputs-or-outputs",
            "the signature has no inputs or no outputs.",
            received=f"{len(signature.inputs)} inputs, {len(signature.outputs)} outputs",
            hint="Save a function that takes and returns tensors.",
        )
    unknown = set(pins) - set(signature.inputs)
    if unknown:
        raise UsageError(
            "unknown-input",
            f"the model has no input {sorted(unknown)[0]!r}.",
            received=", ".join(sorted(pins)),
            hint=f"Its inputs are: {', '.join(sorted(signature.inputs))}.",
        )
    specs = [_input(name, signature.inputs[name], pins.get(name)) for name in sorted(signature.inputs)]
    return tuple(specs), sorted(signature.outputs)


def _input(name: str, info: Any, pin: TensorSpec | None) -> TensorSpec:
    import tensorflow as tf

    dtype = _dtype(name, tf.dtypes.as_dtype(info.dtype))
    if info.tensor_shape.unknown_rank:
        if pin is None:
            raise ModelError(
                "unknown-rank",
                f"the model does not say how many axes input {name} has.",
                received=name,
                hint=f"Describe it, for example: --input {name}=?x224x224x3",
            )
        return replace(pin, dtype=dtype)
    own = TensorSpec(name, tuple(dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim), dtype)
    if not own.shape:
        raise ModelError(
            "scalar-input",
            f"input {name} is a single value; the first axis of every input is the batch.",
            received=str(own),
            hint="Save a function with the value bound.",
        )
    if pin is None:
        return own
    return pinned(own, pin)


def _frozen(signature: Any, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> Any:
    """A concrete function of flat tensors without variables, inner functions written out."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in inputs]

    def call(*tensors: Any) -> list[Any]:
        found = signature(**{spec.name: tensor for spec, tensor in zip(inputs, tensors, strict=True)})
        return [found[name] for name in outputs]

    function = tf.function(call, input_signature=specs, autograph=False).get_concrete_function()
    return convert_variables_to_constants_v2(function)


def _spec(name: str, tensor: Any) -> TensorSpec:
    dtype = _dtype(name, tensor.dtype)
    if tensor.shape.rank is None or tensor.shape.rank == 0:
        raise ModelError(
            "output-without-batch",
            f"the first axis of output {name} is not the batch.",
            received=f"{name}={tensor.shape}",
            hint="Save a function that returns tensors of a known number of axes, the batch first.",
        )
    return TensorSpec(name, tuple(tensor.shape.as_list()), dtype)


def _dtype(name: str, dtype: Any) -> str:
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool) or dtype.name == "bfloat16":
        raise ModelError(
            "unsupported-dtype",
            f"{name} holds {dtype.name}, which no deployment format takes.",
            received=dtype.name,
            hint="Save a function of numbers: decoding and preprocessing stay outside.",
        )
    return str(dtype.name)


def _origin(nodes: Mapping[str, Any], tensor: str) -> Any:
    """The node that a tensor comes from, through what keeps its elements."""
    node = nodes[tensor.lstrip("^").partition(":")[0]]
    while node.op in _KEEPS_INDICES:
        node = nodes[node.input[0].lstrip("^").partition(":")[0]]
    return node
