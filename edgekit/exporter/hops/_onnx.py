"""The last steps of every hop that makes ONNX: fold, strip, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx

#: Operator set unless another is asked for: onnxruntime reads it since 1.14, and every current converter writes it.
OPSET = 18


def written(opset: int | None) -> int:
    """The operator set to ask a converter for; `save` steps down to an older one."""
    return max(opset or OPSET, OPSET)


def save(model: onnx.ModelProto, folder: Path, opset: int | None) -> Path:
    """Write ``model.onnx`` into a folder: checked, constants and normalisation folded, nothing of this machine in it.

    Args:
        model: from a converter that was asked for `written`.
        folder: to write to.
        opset: operator set that the file shall have; None for `OPSET`.

    Raises:
        ModelError: the operator set cannot be had.
        onnx.checker.ValidationError: the converter made an invalid model.
    """
    import onnx

    raw, final = folder / "raw.onnx", folder / "model.onnx"
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
    folded = _at(folded, opset or OPSET)
    onnx.checker.check_model(folded, full_check=True)
    onnx.save(folded, final)
    return final


def _at(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model in exactly this operator set."""
    import onnx

    def version(of: onnx.ModelProto) -> int:
        return next(entry.version for entry in of.opset_import if not entry.domain)

    reason = f"the converter wrote {version(model)}"
    if version(model) > opset:
        try:
            model = onnx.version_converter.convert_version(model, opset)
        except (RuntimeError, onnx.version_converter.ConvertError) as err:
            reason = next(iter(str(err).splitlines()), "")
    if version(model) != opset:
        raise ModelError(
            "opset-not-possible",
            f"the model cannot be written in ONNX operator set {opset}: {reason}.",
            received=f"opset {opset}",
            hint=f"Leave out --opset (then it is {OPSET}), or choose another.",
        )
    return model


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
