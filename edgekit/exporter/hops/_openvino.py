"""The last steps of every hop that makes OpenVINO IR."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.types import Signature

if TYPE_CHECKING:
    import openvino


def save(model: openvino.Model, signature: Signature, folder: Path) -> Path:
    """Write ``model.xml`` and ``model.bin`` in float32, with the names of the signature and constants folded."""
    import openvino
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(model, cf=True)  # what convert_model does, which also sends telemetry
    _separate_results(model)
    for node in model.get_ops():
        for port in node.outputs():
            port.set_names(set())  # names inside would be joined to those of outputs when nodes are fused
    for ports, specs in ((model.inputs, signature.inputs), (model.outputs, signature.outputs)):
        for port, spec in zip(ports, specs, strict=True):
            port.set_names({spec.name})
            port.get_node().set_friendly_name(spec.name)
    model.set_friendly_name("model")
    path = folder / "model.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def _separate_results(model: openvino.Model) -> None:
    """Put an identity before each output that is an input, a constant or another output too: both have one name."""
    from openvino import opset16

    seen = set()
    for result in model.get_results():
        port = result.input(0).get_source_output()
        node = port.get_node()
        key = (node.get_name(), port.get_index())
        if key in seen or node.get_type_name() in ("Parameter", "Constant"):
            result.input(0).replace_source_output(opset16.identity(port).output(0))
        seen.add(key)
    model.validate_nodes_and_infer_types()  # else the result still has the tensor, and the name, of its old source
