"""Keras on TensorFlow to a TensorFlow SavedModel, with the weights as constants."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.hops._saved_model import ARCHIVE, SIGNATURE_KEY, pack
from edgekit.exporter.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Recurrent layers up to this many time steps are written out. TensorFlow's loops pass lists of tensors along, which
#: neither OpenVINO nor the builtin operators of TFLite take.
MOST_STEPS = 128


def convert(request: HopRequest) -> Path:
    """Write the SavedModel as one archive; free dimensions stay free.

    Raises:
        ValueError: the name of an input has a space or a colon, which TensorFlow does not take.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = load(request.model)
    fold_normalization(loaded)
    loaded.unroll(MOST_STEPS)
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in request.signature.inputs]
    model = tf.function(loaded, input_signature=specs, autograph=False)
    # Variables would stay variables in a .tflite file, without a value.
    constant = convert_variables_to_constants_v2(model.get_concrete_function())

    def serve(*tensors: Any) -> dict[str, Any]:
        return {spec.name: output for spec, output in zip(request.signature.outputs, constant(*tensors), strict=True)}

    module = tf.Module()
    module.serve = tf.function(serve, input_signature=specs, autograph=False)
    with tempfile.TemporaryDirectory(dir=request.model.parent) as folder:
        signatures = {SIGNATURE_KEY: module.serve.get_concrete_function()}
        tf.saved_model.save(module, folder, signatures=signatures)
        pack(Path(folder), request.folder / ARCHIVE)
    return request.folder / ARCHIVE
