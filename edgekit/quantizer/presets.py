"""What kind of model an artifact holds, and the recipes that are worth trying on it, the best first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from edgekit.quantizer.recipe import ModelKind, Recipe
from edgekit.quantizer.registry import MethodRow

#: Operators of recurrent networks, lower case without underscores; converters without such an operator write a loop.
_RECURRENT = ("lstm", "gru", "rnn", "tensoriterator", "loop", "scan", "while")

_CONVOLUTIONS = ("conv2d", "conv", "convolution", "groupconvolution", "depthwiseconv2d", "conv3d", "convtranspose")

_PRODUCTS = ("matmul", "gemm", "fullyconnected", "batchmatmul", "einsum")

#: Attention as one operator.
_ATTENTION = ("scaleddotproductattention", "attention", "multiheadattention")


def model_kind(operators: Mapping[str, int]) -> ModelKind:
    """The kind of model, from its graph.

    Recurrent cells decide first; a short recurrence that a converter unrolled shows as gates, sigmoid beside tanh,
    without any convolution. Attention is a softmax among many more matrix products than convolutions: two of
    activations and four of weights per layer, while a convolutional network ends in one or two.

    Args:
        operators: how often each kind of operator occurs, by the names of any format.
    """
    counts: dict[str, int] = {}
    for name, count in operators.items():
        folded = name.replace("_", "").lower()
        counts[folded] = counts.get(folded, 0) + count
    if any(
        name in _RECURRENT or name.endswith(("lstm", "gru", "rnn", "lstmsequence", "grusequence")) for name in counts
    ):
        return "recurrent"
    convolutions = sum(counts.get(name, 0) for name in _CONVOLUTIONS)
    gates = min(counts.get("sigmoid", 0) + counts.get("logistic", 0), counts.get("tanh", 0))
    if gates >= 2 and not convolutions:
        return "recurrent"
    products = sum(counts.get(name, 0) for name in _PRODUCTS)
    if any(name in counts for name in _ATTENTION):
        return "transformer"
    if counts.get("softmax", 0) and products >= 6 and products > 2 * convolutions:
        return "transformer"
    return "convolutional" if convolutions else "other"


def candidates(method: MethodRow, kind: ModelKind) -> tuple[Recipe, ...]:
    """Recipes for a kind of model, the best first; the budget of a search may end before the last.

    Their order is that of SQNR on small trained models of each kind, see docs/quantization.md. A recipe with a
    setting that the method does not take is left out; one at least is there.

    Args:
        method: whose settings they may use.
        kind: see `model_kind`.
    """
    known = _KNOWN.get(method.name, {})
    names = known.get(kind, known.get("other", ()))
    found = [Recipe.parse(name) for name in names]
    fitting = [one for one in found if changed(one) <= set(method.takes)]
    return tuple(fitting) or (Recipe(method.precision),)


def changed(recipe: Recipe) -> set[str]:
    """Names of the settings that are not the default."""
    default = Recipe(recipe.precision)
    return {one.name for one in fields(recipe) if getattr(recipe, one.name) != getattr(default, one.name)}


_NNCF_INT8: dict[str, tuple[str, ...]] = {
    "convolutional": ("int8", "int8_biasfull", "int8_histogram", "int8_histogram_biasfull"),
    "transformer": ("int8_transformer", "int8_transformer_histogram", "int8_transformer_biasfull", "int8"),
    "recurrent": ("int8_recurrent", "int8_recurrent_histogram", "int8", "int8_recurrent_biasfull"),
    "other": ("int8", "int8_histogram", "int8_transformer", "int8_biasfull"),
}

#: NNCF's SmoothQuant gains a little on onnxruntime; the CPU plugin of OpenVINO breaks such models.
_SMOOTHED = (*_NNCF_INT8["transformer"][:2], "int8_transformer_smooth50", *_NNCF_INT8["transformer"][2:])

#: A zero point per channel gained 3 to 4 dB on an LSTM, and nothing elsewhere.
_NNCF_INT8_WEIGHTS = ("int8-weights", "int8-weights_asym")

#: GPTQ, which NNCF has for OpenVINO alone, gained 6 to 17 dB on small trained models.
_GPTQ = ("int4-weights_gptq", "int4-weights_asym_gptq", "int4-weights_asym", "int4-weights")

#: The first needs no samples; scale estimation gains a little on transformers alone.
_SCALED = ("int4-weights_asym", "int4-weights_asym_scale", "int4-weights_scale", "int4-weights")

#: TFLite quantizes outputs too, unless their operators stay float: 0.2 to 15 dB on small trained models, at 0.02 to
#: 0.5 % of the arithmetic. Where it is more than a search allows, it takes one of the others.
_TFLITE_CONVOLUTIONAL = (
    "int8",
    "int8_floatoutputs",
    "int8_histogram_biasfull_floatoutputs",
    "int8_biasfull_floatoutputs",
    "int8_histogram_biasfull",
    "int8_histogram",
)
_TFLITE_OTHER = (
    "int8",
    "int8_floatoutputs",
    "int8_histogram_floatoutputs",
    "int8_percentile_floatoutputs",
    "int8_histogram_biasfull_floatoutputs",
    "int8_histogram",
)

#: By method and kind of model; ``other`` serves every kind that is not named.
_KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "openvino:int8": _NNCF_INT8,
    "onnx:int8": {**_NNCF_INT8, "transformer": _SMOOTHED},
    "tflite:int8": {"convolutional": _TFLITE_CONVOLUTIONAL, "other": _TFLITE_OTHER},
    "openvino:int8-weights": {"other": _NNCF_INT8_WEIGHTS},
    "onnx:int8-weights": {"other": _NNCF_INT8_WEIGHTS},
    "openvino:int4-weights": {"other": _GPTQ},
    "onnx:int4-weights": {"other": _SCALED},
    "tflite:int4-weights": {"other": ("int4-weights", "int4-weights_octav")},
}
