"""The last steps of every hop that makes ONNX: name, fold, strip, check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError
from edgekit.exporter.hops._merge import all_nodes, merge_constants
from edgekit.exporter.hops._names import name_nodes, name_rest

if TYPE_CHECKING:
    import onnx

    from edgekit.exporter.graph import HopRequest

#: Operator set unless another is asked for, and the oldest: onnxruntime reads it since 1.14, and neither converter
#: writes a valid model in an older one (onnx's version converter fails on most models too).
OPSET = 18

#: Weights up to this many bytes lie in the file itself: protobuf reads no message of 2 GiB or more.
INSIDE_BYTES = 1_900_000_000

#: Weights of fewer bytes stay in the file in any case: shapes and axes, which readers look at early.
SMALL_BYTES = 1024


def opset_of(request: HopRequest) -> int:
    """The operator set to write.

    Raises:
        ModelError: it is older than `OPSET`.
    """
    if request.opset is not None and request.opset < OPSET:
        raise ModelError(
            "opset-too-old",
            f"the converters write ONNX operator set {OPSET} or newer.",
            received=f"opset {request.opset}",
            hint=f"Leave out --opset, or ask for {OPSET} or more.",
        )
    return request.opset or OPSET


def save(model: onnx.ModelProto, request: HopRequest) -> Path:
    """Write ``model.onnx``: simplified, named by layers, nothing of this machine in it, checked.

    Weights of more than `INSIDE_BYTES` lie beside it in ``model.onnx.data``.

    Raises:
        ModelError: the converter wrote another operator set than it was asked for.
        onnx.checker.ValidationError: the converter made an invalid model.
    """
    import onnx

    raw, final = request.folder / "raw.onnx", request.folder / "model.onnx"
    name_nodes(model.graph)
    _strip(model.graph)
    for function in model.functions:
        _strip(function)
    large = _write(model, raw)
    _fold(raw, final, large=large)
    folded = onnx.load(final)
    for path in request.folder.glob("*.onnx*"):
        path.unlink()
    merge_constants(folded.graph)
    name_rest(folded.graph)
    _drop_unused_imports(folded)
    _check_opset(folded.opset_import, opset_of(request))
    _write(folded, final)
    onnx.checker.check_model(final, full_check=True)  # by path: it reads weights that lie beside
    return final


def _write(model: onnx.ModelProto, path: Path) -> bool:
    """Write a model, and large weights into a file beside it; whether there is one."""
    import onnx

    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > INSIDE_BYTES
    beside = f"{path.name}.data"
    onnx.save(model, path, save_as_external_data=large, location=beside, size_threshold=SMALL_BYTES)
    return large


def _drop_unused_imports(model: onnx.ModelProto) -> None:
    """Keep the operator sets that nodes come from: onnxruntime lists all that it knows."""
    domains = {node.domain for node in all_nodes(model.graph)} | {""}
    imports = [entry for entry in model.opset_import if entry.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(imports)


def name_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Give the outputs their names; an inner value that has one of them gets another.

    An output that is an input, a weight or another output becomes a copy of it.
    """
    import onnx

    shared = {value.name for value in (*graph.input, *graph.initializer)}
    for index, value in enumerate(graph.output):
        if value.name in shared:
            copy = f"edgekit_copy_{index}"
            graph.node.append(onnx.helper.make_node("Identity", [value.name], [copy], name=f"copy_{index}"))
            value.name = copy
        shared.add(value.name)
    renamed = {value.name: name for value, name in zip(graph.output, names, strict=True)}
    renamed |= {name: f"{name}_inner" for name in names if name not in renamed}
    for value in (*graph.output, *graph.value_info, *graph.initializer):
        value.name = renamed.get(value.name, value.name)
    _rename_values(graph, renamed)


def _rename_values(graph: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [renamed.get(name, name) for name in values]
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                if body.node:
                    _rename_values(body, renamed)


def _check_opset(imports: Iterable[onnx.OperatorSetIdProto], asked: int) -> None:
    written = next(entry.version for entry in imports if not entry.domain)
    if written != asked:
        raise ModelError(
            "opset-not-written",
            f"the converter wrote ONNX operator set {written}.",
            received=f"opset {asked}",
            hint="Leave out --opset, or choose another --route.",
        )


def _strip(graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    """Remove notes of the converter: stack traces with paths of this machine."""
    graph.doc_string = ""
    for item in (graph, *graph.node, *graph.value_info):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                if body.node:
                    _strip(body)


def _fold(source: Path, target: Path, *, large: bool) -> None:
    """The basic level of onnxruntime's optimizer: standard operators in, standard operators out.

    It folds constants, merges scale and offset into convolutions and cancels transpositions.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    if large:
        prefix = "session.optimized_model_external_initializers"
        options.add_session_config_entry(f"{prefix}_file_name", f"{target.name}.data")
        options.add_session_config_entry(f"{prefix}_min_size_in_bytes", str(SMALL_BYTES))
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
