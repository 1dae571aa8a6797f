"""How far a correct fp32 artifact may be from its source, derived from the source itself.

A source shows how much it amplifies rounding: by what one unit in the last place at its inputs does, by its distance
from the same computation in double precision, by another number of threads. The bound is a multiple of the largest of
these, within shares of the output's deviation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.checked import Derivation

#: By how many times the source's own noise an artifact may differ: one ulp moves only the inputs, where kernels that
#: reorder sums move every layer by some roundings; double precision shows the source's rounding, to which an engine
#: adds its own. Seventeen models of all kinds, ResNet-50 among them, on three engines differed by 17 times at most.
MULTIPLE = 64.0

#: By how many times correct artifacts do differ, by the same measurement: no bound under that can fail one.
CORRECT = 17.0

#: Bounds of the fp32 tolerance as shares of the output's deviation. The upper is eight times the worst of all
#: correct routes measured; the lower keeps the tolerance above rounding where the noise happens to vanish.
TOLERANCE_LOW, TOLERANCE_HIGH = 1e-4, 1e-3

#: Measures of noise, and how a reason names them.
METHODS = {
    "one-ulp": "by one rounding of its inputs",
    "float64": "by double precision",
    "threads": "by another number of threads",
}


def derive(scale: float, measured: Mapping[str, float], given: float | None = None) -> Derivation:
    """The bound on ``max_abs`` of one output of an fp32 artifact, and where it comes from.

    Args:
        scale: standard deviation of the source's output; its root mean square where all elements are equal.
        measured: how far the source moves, by method, a key of `METHODS`.
        given: the user's own bound.

    The source's noise holds a well-behaved model to a tighter bound; the clip keeps a noise that was measured as zero
    from failing correct routes, and a large one from excusing wrong routes.
    """
    method = max(measured, key=measured.__getitem__, default=None)
    low, high = TOLERANCE_LOW * scale, TOLERANCE_HIGH * scale
    noise = 0.0 if method is None else measured[method]
    return Derivation(
        method, dict(measured), scale, MULTIPLE, low, high, float(np.clip(MULTIPLE * noise, low, high)), given
    )


def derived_tolerance(scale: float, noise_floor: float) -> float:
    """The bound of `derive` where one ulp at the inputs is all that was measured, as for single layers."""
    return derive(scale, {"one-ulp": noise_floor}).bound


def origin(derivation: Derivation) -> str:
    """What decided the bound, in a few words for a reason."""
    if derivation.given is not None:
        return "as given"
    if derivation.bound <= derivation.low:
        return f"{TOLERANCE_LOW:g} of its deviation"
    if derivation.bound >= derivation.high:
        return f"{TOLERANCE_HIGH:g} of its deviation"
    assert derivation.method is not None, "without a measure the bound is the lower"
    noise = derivation.measured[derivation.method]
    return f"{derivation.multiple:g} times the source's own noise of {noise:.3g}, {METHODS[derivation.method]}"
