"""StableHLO to TFLite, by litert-converter; no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: The signature key that interpreters look for first.
SIGNATURE_KEY = "serving_default"


def convert(request: HopRequest) -> Path:
    """Write ``model.tflite`` with the names of the signature.

    Raises:
        ValueError: the module has an operation that TFLite lacks.
    """
    from litert_converter.mlir import ir, passmanager
    from litert_converter.mlir._mlir_libs import converter_api_ext as converter
    from litert_converter.mlir.dialects import stablehlo

    path = request.folder / "model.tflite"
    context = ir.Context()
    converter.prepare_mlir_context(context)
    with context:
        module = stablehlo.deserialize_portable_artifact(context, request.model.read_bytes())
        converter.set_signature(
            module.operation,
            signature_name=SIGNATURE_KEY,
            input_names=[spec.name for spec in request.signature.inputs],
            output_names=[spec.name for spec in request.signature.outputs],
        )
        converter.run_convert_to_tfl_passes(module, passmanager.PassManager(), converter.ConvertToTFLConfig())
        converter.export_flatbuffer_to_file(module.operation, str(path))
    return path
