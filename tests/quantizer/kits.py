"""Kits of the digits networks, for tests that quantize them. Made once per session; tests copy what they change."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from tests.cli.command import edgekit
from tests.quantizer import digits, planted

MODELS: dict[str, ModuleType] = {"digits": digits, "planted": planted}


def data(folder: Path, calibration: int = 160, evaluation: int = 200) -> tuple[Path, Path]:
    """``train.npz`` and ``test.npz`` with ``image`` and ``label``; no sample is in both."""
    images, labels = digits.images()
    parts = {"train": slice(0, calibration), "test": slice(digits.TRAINING, digits.TRAINING + evaluation)}
    for name, part in parts.items():
        np.savez(folder / f"{name}.npz", image=images[part], label=labels[part])
    return folder / "train.npz", folder / "test.npz"


@cache
def kit(root: Path, model: str, target: str) -> Path:
    """The kit of one target, exported with real samples in a process of its own. To be read only.

    Args:
        root: of the session.
        model: ``digits`` or ``planted``.
        target: ``onnx``, ``openvino`` or ``tflite``.
    """
    folder = root / f"{model}-{target}"
    folder.mkdir()
    train, _ = data(folder)
    source = MODELS[model].artifacts() / ("model.tflite" if target == "tflite" else "model.onnx")
    options = ("--data", train, "--labels", "label", "-o", folder / "kit", "--json")
    done = edgekit("export", source, "--target", target, *options, cwd=folder)
    assert done.code == 0, done.err
    return folder / "kit"
