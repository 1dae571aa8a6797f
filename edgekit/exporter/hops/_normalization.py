"""Batch normalisation with fixed statistics is a scale and an offset: put them into the weights before converting.

Converters and engines fold them too, but only where no transposition stands between, which depends on the route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edgekit.exporter.sources.keras_ import KerasModel


def fold_normalization(loaded: KerasModel) -> None:
    """Fold every batch normalisation, in place.

    The scale goes into the kernel of the layer before it, the offset into its bias. Where there is no such layer, or
    others use its output too, the normalisation becomes one multiplication and one addition.
    """
    import keras

    outputs = [tensor for part in (loaded.model, *loaded.layers) for tensor in getattr(part, "outputs", None) or ()]
    for layer in loaded.layers:
        if type(layer) is not keras.layers.BatchNormalization or layer.dtype_policy.compute_dtype != "float32":
            continue
        if any(node.arguments.kwargs.get("training") for node in layer._inbound_nodes):
            continue  # it takes the statistics of the batch, in inference too
        scale, offset = _affine(layer)
        before = _sole_source(layer, outputs)
        if before is not None:
            _scale_kernel(before, scale)
            if before.use_bias:
                before.bias.assign(_numpy(before.bias) * scale + offset)
                offset = np.zeros_like(offset)
            scale = np.ones_like(scale)
        layer.call = _call(layer.axis, scale, offset)


def plain_layer_normalization(loaded: KerasModel) -> None:
    """Write layer normalisation over the last axis as the nine operators that engines know it by, in place.

    Keras' own form makes JAX compute a free batch's shape three times over: 26 operators.
    """
    import keras

    for layer in loaded.layers:
        if type(layer) is keras.layers.LayerNormalization and layer.dtype_policy.compute_dtype == "float32":
            rank = len(layer.get_build_config()["input_shape"])
            if list(layer.axis) in ([-1], [rank - 1]):
                layer.call = _plain_call(layer)


def flatten_dense(loaded: KerasModel) -> None:
    """Let dense layers compute over a matrix where they are given four axes or more, in place; for fixed shapes.

    The converters to TFLite write a product over pictures of one pixel that they refuse themselves.
    """
    import keras

    for layer in loaded.layers:
        if type(layer) is keras.layers.Dense:
            layer.call = _flat_call(layer.call)


def _flat_call(inner: Any) -> Any:
    from keras import ops

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if len(inputs.shape) < 4:
            return inner(inputs, *args, **kwargs)
        outputs = inner(ops.reshape(inputs, (-1, inputs.shape[-1])), *args, **kwargs)
        return ops.reshape(outputs, (*inputs.shape[:-1], outputs.shape[-1]))

    return call


def _plain_call(layer: Any) -> Any:
    from keras import ops

    def call(inputs: Any) -> Any:
        centred = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        outputs = centred / ops.sqrt(ops.mean(centred * centred, axis=-1, keepdims=True) + layer.epsilon)
        if layer.scale:
            outputs = outputs * layer.gamma
        return outputs + layer.beta if layer.center else outputs

    return call


def _affine(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset per channel, in float64."""
    scale = 1.0 / np.sqrt(_numpy(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * _numpy(layer.gamma)
    offset = -_numpy(layer.moving_mean) * scale
    if layer.center:
        offset = offset + _numpy(layer.beta)
    return scale, offset


def _sole_source(layer: Any, outputs: list[Any]) -> Any | None:
    """The layer with a kernel whose output goes into this one and nowhere else."""
    import keras

    of_images = ("Conv", "DepthwiseConv", "SeparableConv")
    named = ["Dense", *(f"{kind}{rank}D" for kind in of_images for rank in (1, 2)), "Conv3D"]
    named += [f"Conv{rank}DTranspose" for rank in (1, 2, 3)]
    kinds = [getattr(keras.layers, name) for name in named]
    if len(layer._inbound_nodes) != 1:
        return None
    tensor = layer._inbound_nodes[0].input_tensors[0]
    before = tensor._keras_history.operation
    if type(before) not in kinds or len(before._inbound_nodes) != 1 or len(before._outbound_nodes) != 1:
        return None
    if any(tensor is output for output in outputs) or before.activation is not keras.activations.linear:
        return None
    last = len(tensor.shape) - 1
    channels_last = getattr(before, "data_format", "channels_last") == "channels_last" and layer.axis in (-1, last)
    return before if channels_last and isinstance(_kernel(before), keras.Variable) else None


def _kernel(layer: Any) -> Any:
    """The weights that make the output channels."""
    return layer.pointwise_kernel if "Separable" in type(layer).__name__ else layer.kernel


def _scale_kernel(layer: Any, scale: np.ndarray) -> None:
    kind, variable = type(layer).__name__, _kernel(layer)
    kernel = _numpy(variable)
    if "Depthwise" in kind:
        scale = scale.reshape(kernel.shape[-2:])  # (channel, multiplier)
    if "Transpose" in kind:
        scale = scale[:, np.newaxis]  # (…, output channel, input channel)
    variable.assign(kernel * scale)


def _call(axis: int, scale: np.ndarray, offset: np.ndarray) -> Any:
    """The ``call`` of a layer that multiplies and adds, and leaves out what changes nothing."""
    import keras

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:  # noqa: ARG001  # the arguments of Keras
        shape = [1] * len(inputs.shape)
        shape[axis] = -1
        outputs = inputs
        if np.any(scale != 1):
            outputs = outputs * keras.ops.convert_to_tensor(scale.reshape(shape), "float32")
        if np.any(offset != 0):
            outputs = outputs + keras.ops.convert_to_tensor(offset.reshape(shape), "float32")
        return outputs

    return call


def _numpy(variable: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable.value), np.float64)
