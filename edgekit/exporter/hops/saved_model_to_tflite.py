"""TensorFlow SavedModel to TFLite, by TensorFlow's own converter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._saved_model import SIGNATURE_KEY, unpacked

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest
    from edgekit.types import Signature


def convert(request: HopRequest) -> Path:
    """Write ``model.tflite`` with builtin operators only; free dimensions stay free."""
    import tensorflow as tf

    path = request.folder / "model.tflite"
    with unpacked(request.model) as folder:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE_KEY])
        path.write_bytes(_ordered(converter.convert(), request.signature))
    return path


def _ordered(content: bytes, signature: Signature) -> bytes:
    """The file with inputs and outputs in the signature's order: a SavedModel names them, but has no order of them.

    A table of the file's signature says which tensor has which name; the lists of tensors are permuted in place.
    """
    from tensorflow.lite.python.schema_py_generated import Model

    data = bytearray(content)
    model = Model.GetRootAs(data, 0)
    graph, names = model.Subgraphs(0), model.SignatureDefs(0)
    inputs = {(item := names.Inputs(i)).Name().decode(): item.TensorIndex() for i in range(names.InputsLength())}
    outputs = {(item := names.Outputs(i)).Name().decode(): item.TensorIndex() for i in range(names.OutputsLength())}
    graph.InputsAsNumpy()[:] = [inputs[spec.name] for spec in signature.inputs]
    graph.OutputsAsNumpy()[:] = [outputs[spec.name] for spec in signature.outputs]
    return bytes(data)
