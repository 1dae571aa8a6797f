"""Keras on the OpenVINO backend to OpenVINO IR: Keras builds the graph itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._names import layer_scopes
from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.hops._openvino import save
from edgekit.exporter.hops._shapes import free_size
from edgekit.exporter.sources.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: What Keras says where a layer computes with a length in Python.
_ASKED = "An OpenVINOKerasTensor is symbolic"


def convert(request: HopRequest) -> Path:
    """Write ``model.xml`` and ``model.bin``.

    The model is called on parameters that have free dimensions, so those stay free. Keras' own export calls it on
    a sample with batch 1 and relaxes the shape afterwards, which fixes the batch of some models.

    Raises:
        ModelError: a layer asks for the number behind a free dimension besides the batch.
    """
    import openvino
    from keras.src.backend.openvino.core import OPENVINO_DTYPES, OpenVINOKerasTensor
    from openvino import opset16

    loaded = load(request.model, request.loading)
    fold_normalization(loaded)
    layer_scopes(loaded)
    parameters = [
        opset16.parameter(
            openvino.PartialShape([-1 if length is None else length for length in spec.shape]),
            OPENVINO_DTYPES[spec.dtype],
            name=spec.name,
        )
        for spec in request.signature.inputs
    ]
    try:
        outputs = loaded(*(OpenVINOKerasTensor(parameter.output(0)) for parameter in parameters))
    except RuntimeError as err:
        free = [spec for spec in request.signature.inputs if None in spec.shape[1:]]
        if not free or _ASKED not in str(err):
            raise
        raise free_size(free[0]) from err
    results = [opset16.result(tensor.output) for tensor in outputs]
    return save(openvino.Model(results, parameters, "model"), request.signature, request.folder)
