"""A recipe as arguments of NNCF's weight compression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.errors import UsageError
from edgekit.quantizer.methods.nncf_ import chosen
from edgekit.quantizer.methods.samples import CalibrationBatches, tool
from edgekit.quantizer.methods.scope import resolve
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import QuantizeRequest, needs_data_of

#: Weights that share one 4-bit scale: smaller groups are more accurate, and 32 costs half a bit per weight.
GROUP_SIZE = 32

#: Where a layer's size does not divide into groups, smaller ones of at least this size are taken.
SMALLEST_GROUP = 16

#: What NNCF switches on for each algorithm of a recipe.
_ALGORITHMS: dict[str, dict[str, bool]] = {
    "plain": {},
    "awq": {"awq": True},
    "scale": {"scale_estimation": True},
    "awq-scale": {"awq": True, "scale_estimation": True},
    "gptq": {"gptq": True},
}


def compress(
    model: Any, request: QuantizeRequest, operators: Sequence[tuple[str, str]], algorithms: Sequence[str] = ("plain",)
) -> tuple[Any, dict[str, str]]:
    """Store weights in fewer bits by a recipe.

    Args:
        model: an OpenVINO or ONNX model, which changes.
        request: says the recipe and holds the samples.
        operators: name and type of every operator.
        algorithms: that the format has.

    Returns:
        The model, and facts about it for the settings of the artifact.

    Raises:
        UsageError: the recipe names an unknown operator, or an algorithm that the format does not have.
    """
    import nncf

    recipe = request.recipe
    if recipe.algorithm not in algorithms:
        raise UsageError(
            "no-such-algorithm",
            f"the weights of this format cannot be rounded by {recipe.algorithm}.",
            received=recipe.name,
            hint=f"Choose one of: {', '.join(algorithms)}.",
        )
    given = resolve(recipe.left_float, operators)
    options, settings = _four_bits(recipe) if recipe.precision == "int4-weights" else _eight_bits(recipe)
    if needs_data_of(recipe):
        batches = CalibrationBatches(chosen(request))
        options |= {"dataset": nncf.Dataset(batches), "subset_size": len(batches)}
        settings["samples"] = str(batches.samples)
    compressed = nncf.compress_weights(model, ignored_scope=nncf.IgnoredScope(names=list(given)), **options)
    return compressed, {"tool": tool("nncf"), **settings}


def _eight_bits(recipe: Recipe) -> tuple[dict[str, Any], dict[str, str]]:
    from nncf import CompressWeightsMode

    mode = CompressWeightsMode.INT8_SYM if recipe.symmetric else CompressWeightsMode.INT8_ASYM
    return {"mode": mode}, {"mode": mode.value}


def _four_bits(recipe: Recipe) -> tuple[dict[str, Any], dict[str, str]]:
    from nncf import AdvancedCompressionParameters, BackupMode, CompressWeightsMode, GroupSizeFallbackMode

    mode = CompressWeightsMode.INT4_SYM if recipe.symmetric else CompressWeightsMode.INT4_ASYM
    group = GROUP_SIZE if recipe.group_size is None else recipe.group_size
    advanced = AdvancedCompressionParameters(
        group_size_fallback_mode=GroupSizeFallbackMode.ADJUST,  # else a small layer is an error
        min_adjusted_group_size=SMALLEST_GROUP,
    )
    options = {
        "mode": mode,
        "group_size": group,
        "ratio": recipe.ratio,
        "backup_mode": BackupMode.INT8_SYM,
        "advanced_parameters": advanced,
        **_ALGORITHMS[recipe.algorithm],
    }
    return options, {"mode": mode.value, "group_size": str(group), "backup": "int8_sym"}
