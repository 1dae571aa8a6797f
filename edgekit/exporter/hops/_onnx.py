"""The last steps of every hop that makes ONNX: fold, strip, check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx

    from edgekit.exporter.graph import HopRequest

#: Operator set unless another is asked for, and the oldest: onnxruntime reads it since 1.14, and neither converter
#: writes a valid model in an older one (onnx's version converter fails on most models too).
OPSET = 18


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
    """Write ``model.onnx``: constants and normalisation folded, nothing of this machine in it, checked.

    Raises:
        ModelError: the converter wrote another operator set than it was asked for.
        onnx.checker.ValidationError: the converter made an invalid model.
    """
    import onnx

    raw, final = request.folder / "raw.onnx", request.folder / "model.onnx"
    _strip(model.graph)
    for function in model.functions:
        _strip(function)
    onnx.save(model, raw)
    _fold(raw, final)
    raw.unlink()
    folded = onnx.load(final)
    domains = {node.domain for node in folded.graph.node} | {""}
    imports = [entry for entry in folded.opset_import if entry.domain in domains]  # onnxruntime lists all it knows
    del folded.opset_import[:]
    folded.opset_import.extend(imports)
    _check_opset(imports, opset_of(request))
    onnx.checker.check_model(folded, full_check=True)
    onnx.save(folded, final)
    return final


def name_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Give the outputs their names; an inner value that has one of them gets another."""
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


def _fold(source: Path, target: Path) -> None:
    """The basic level of onnxruntime's optimizer: standard operators in, standard operators out.

    It folds constants, merges scale and offset into convolutions and cancels transpositions.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
