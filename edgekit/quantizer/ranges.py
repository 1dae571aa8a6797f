"""Whether calibration samples stand for the data the artifact will meet: number, range and scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgekit.data.checks import pieces, span
from edgekit.errors import DataError
from edgekit.parity.accuracy import predicted, task_outputs

if TYPE_CHECKING:
    from edgekit.exporter.scale import Scale
    from edgekit.kit import Kit
    from edgekit.parity.evaluate import Reference

Arrays = Mapping[str, np.ndarray]

#: Share of an input's evaluation values outside the range of calibration from which it is said.
OUTSIDE = 1e-3

#: Samples spread this many times as wide as those the model is known with are scaled wrongly: 255 is the common case,
#: 16 that of scikit-learn's digits; standardising instead of dividing changes the spread by less than 6.
WRONG_SCALE = 8.0

#: From here on a difference in spread is said.
OTHER_SCALE = 3.0

_RESCALE = "Scale them as in training: a folder of images with ?scale=1/255 behind it, arrays before saving them."

#: Values from which a spread is taken, and the share of them that is no outlier.
_VALUES = 1 << 18
_USUAL = 0.95

#: Fewest labelled samples that can show a source to be at chance, and standard errors above it that show it is not.
_LEAST_LABELLED = 30
_ERRORS = 2.0


def calibration_warnings(calibration: Arrays, evaluation: Arrays, most: int) -> tuple[str, ...]:
    """What may be wrong with calibration samples, in sentences with the numbers.

    Args:
        calibration: memory-mapped arrays by input name, all that may be used.
        evaluation: the same, to judge on.
        most: samples that the recipe takes.
    """
    found = []
    count = min((len(array) for array in calibration.values()), default=0)
    if count < most:
        found.append(f"calibration has {count} samples, and the recipe takes up to {most}.")
    for name, array in evaluation.items():
        if array.dtype.kind != "f":
            continue  # indices, masks and pixels in their whole range: nothing of them is quantized
        low, high = span(calibration[name])
        outside = sum(int(((piece < low) | (piece > high)).sum()) for _, piece in pieces(array))
        if array.size and outside / array.size > OUTSIDE:
            least, largest = span(array)
            found.append(
                f"{outside / array.size:.1%} of the evaluation values of {name} lie outside the range of calibration, "
                f"{low:.4g} to {high:.4g}: they reach from {least:.4g} to {largest:.4g}."
            )
    return tuple(found)


def known_inputs(kit: Kit) -> Arrays | None:
    """Real inputs that the kit keeps from its export; None where those are generated."""
    golden = kit.manifest.golden
    return kit.golden()[0][0] if golden is not None and golden.inputs == "real" else None


def scale_warnings(given: Arrays, known: Arrays | None, layers: Scale | None = None) -> tuple[str, ...]:
    """Compare the scale of samples with what the model is known to work with: real inputs, or its own layers.

    Args:
        given: samples, memory-mapped, by input name.
        known: real inputs from the export of the source, or None where there are none.
        layers: what the source's own layers say about the samples; None where they were not asked.

    Raises:
        DataError: an input spreads `WRONG_SCALE` times as wide as what is known of it, or that much less.
    """
    floats = [name for name, array in given.items() if array.dtype.kind == "f"]
    ranges = ", ".join("{} from {:.4g} to {:.4g}".format(name, *span(given[name])) for name in floats)
    told = layers is not None and bool(layers.layer)
    if layers is not None and told and floats and not 1 / WRONG_SCALE < layers.spread < WRONG_SCALE:
        message = f"what these samples give at the layer {layers.layer} spreads {_times(layers.spread)} as in training."
        raise DataError("wrong-scale", message, received=ranges, hint=_RESCALE)
    if known is None:
        if told or not floats:
            return ()
        names = ", ".join(floats)
        return (f"nothing tells the scale that {names} should have; an export with real --data would.",)
    found = []
    for name in floats:
        here, there = _spread(given[name]), _spread(known[name])
        if not here or not there:
            continue
        times = here / there
        both = "{} from {:.4g} to {:.4g}, but {:.4g} to {:.4g} at the export".format(
            name, *span(given[name]), *span(known[name])
        )
        if not 1 / WRONG_SCALE < times < WRONG_SCALE:
            message = f"the samples of {name} spread {_times(times)} as those that the source was exported with."
            raise DataError("wrong-scale", message, received=both, hint=_RESCALE)
        if not 1 / OTHER_SCALE < times < OTHER_SCALE:
            found.append(f"the samples of {name} spread {_times(times)} as those of the export: {both}.")
    return tuple(found)


def refuse_chance(reference: Reference) -> None:
    """Refuse labelled samples of which the source itself knows nothing: they are scaled or labelled otherwise.

    The source is at chance when it agrees with the labels no more often than independent ones of the same
    frequencies would, within two standard errors (Cohen's kappa, 1960).

    Args:
        reference: samples with labels that are classes, and the source's outputs; others pass.

    Raises:
        DataError: with the agreement and what chance gives.
    """
    outputs = reference.arrays()
    labels = reference.labels
    if labels is None or labels.dtype.kind not in "iub" or labels.size != len(labels):
        return
    names = task_outputs(outputs)
    if reference.origin != "real" or len(names) != 1 or len(labels) < _LEAST_LABELLED:
        return
    truth, answers = np.asarray(labels).reshape(-1), predicted(outputs[names[0]])
    agreement = float(np.mean(truth == answers))
    chance = float(sum(np.mean(truth == label) * np.mean(answers == label) for label in np.unique(truth)))
    if len(np.unique(truth)) < 2 or agreement > chance + _ERRORS * np.sqrt(chance * (1 - chance) / len(truth)):
        return
    raise DataError(
        "source-at-chance",
        f"the source itself is at chance on these samples: it gives {agreement:.1%} of them their label, and "
        f"{chance:.1%} would be chance.",
        received=f"{len(truth)} samples, " + ", ".join(_ranges(reference)),
        hint="Scale the samples as in training (0 to 255, or 0 to 1?), and number the labels as the model does.",
    )


def _ranges(reference: Reference) -> list[str]:
    return [f"{spec.name}:{spec.dtype}" for spec in reference.signature.inputs]


def _spread(array: np.ndarray) -> float:
    """Mean distance from the median over some of the values, without the wildest of them."""
    rows = max(1, min(len(array), _VALUES // max(1, array[:1].size)))
    chosen = np.linspace(0, len(array) - 1, rows).astype(int)
    values = np.asarray(array[chosen], np.float64)
    distances = np.sort(np.abs(values - np.median(values)), axis=None)
    usual = distances[: max(1, int(len(distances) * _USUAL))]
    return float(usual.mean() or distances.mean())


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times as wide" if ratio >= 1 else f"{1 / ratio:.3g} times less wide"
