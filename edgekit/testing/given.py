"""What a test hands over, as what edgekit's functions take: paths, and names of code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import UsageError

#: Samples, as tests give them: arrays by input name, anything that ``--data`` takes, or None to generate some.
Given = Mapping[str, Any] | str | Path | None


def model_of(model: Any, folder: Path) -> str | Path:
    """The model as a path or ``file.py:factory``; a live Keras model is saved.

    Args:
        model: as the test gives it.
        folder: receives the file.

    Raises:
        UsageError: a live object that is no Keras model.
    """
    if isinstance(model, str | Path):
        return model
    if "keras" in _frameworks(model) and hasattr(model, "save"):
        saved = folder / "model.keras"
        with warnings.catch_warnings():  # what Keras deprecates is no fault of a suite that makes errors of warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            model.save(saved)
        return saved
    raise UsageError(
        "live-model",
        "the model is compared in a process of its own, so it has to be a file, or code that makes it.",
        received=f"a live {type(model).__module__}.{type(model).__qualname__}",
        hint="Give the function that returns it by name: assert_parity('models.py:factory', ...).",
    )


def data_of(samples: Given, folder: Path) -> str | Path | None:
    """The samples as what ``--data`` takes; arrays are written to a file.

    Args:
        samples: as the test gives them.
        folder: receives the file.

    Raises:
        UsageError: something else.
    """
    if samples is None or isinstance(samples, str | Path):
        return samples
    if not isinstance(samples, Mapping):
        raise UsageError(
            "bad-samples",
            "samples are arrays by input name, samples first, or what --data takes.",
            received=type(samples).__name__,
            hint="For example: {'image': images[:64]}",
        )
    path = folder / "samples.npz"
    np.savez(path, allow_pickle=False, **{name: np.asarray(array) for name, array in samples.items()})
    return path


def _frameworks(model: Any) -> set[str]:
    """Packages that define the classes of an object; none is imported to ask."""
    return {base.__module__.partition(".")[0] for base in type(model).__mro__}
