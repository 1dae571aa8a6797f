"""Keras on TensorFlow to a TensorFlow SavedModel, with the weights as constants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError
from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.hops._saved_model import ARCHIVE, write
from edgekit.exporter.sources.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Most time steps of a recurrent layer: it is written out, for neither OpenVINO nor the builtin operators of TFLite
#: take the lists of tensors that TensorFlow's loops pass along.
MOST_STEPS = 128


def convert(request: HopRequest) -> Path:
    """Write the SavedModel as one archive; free dimensions stay free.

    Raises:
        ModelError: a recurrent layer has too many steps, or a free number of them.
        ValueError: TensorFlow does not take the name of an input, such as one with a space.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = load(request.model, request.loading)
    fold_normalization(loaded)
    loops = loaded.unroll(MOST_STEPS)
    if loops:
        raise ModelError(
            "too-many-steps",
            f"this converter writes recurrent layers out step by step, at most {MOST_STEPS} fixed steps.",
            received=f"layer {', '.join(loops)}",
            hint="Fix the number of steps with --input, or choose another --route.",
        )
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in request.signature.inputs]
    model = tf.function(loaded, input_signature=specs, autograph=False)
    # Variables would stay variables in a .tflite file, without a value.
    constant = convert_variables_to_constants_v2(model.get_concrete_function())
    path = request.folder / ARCHIVE
    write(constant, request.signature, path)
    return path
