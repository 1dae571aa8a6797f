"""One artifact on one device, as a command would run it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from edgekit.devices import open_device
from edgekit.files import companions
from edgekit.jobs.executor import Executor
from edgekit.runtimes.jobs import RunJob, RunResult


def run_on(
    device: str, runtime: str, path: Path, inputs: Mapping[str, np.ndarray], folder: Path, **options: Any
) -> tuple[dict[str, np.ndarray], RunResult]:
    """Outputs by name, and what the device says of the run.

    Args:
        device: its spec.
        runtime: name of the engine.
        path: of the artifact.
        inputs: samples first.
        folder: an empty one, for the arrays on their way.
        options: of `OpenOptions`, on top of the device's.
    """
    place = open_device(device)
    with Executor() as executor:
        blobs = {}
        for index, (name, array) in enumerate(inputs.items()):
            np.save(folder / f"{index}.npy", array)
            blobs[name] = executor.add(folder / f"{index}.npy")
        files = tuple(executor.add(file) for file in (path, *companions(path)) if file.is_file())
        samples = len(next(iter(inputs.values())))
        job = RunJob(runtime, files, blobs, (samples,), replace(place.options(), **options))
        ran = executor.run_fresh(job, place.context())
        return {name: np.load(executor.path(blob)) for name, blob in ran.outputs[0].items()}, ran


def absent(reason: str) -> NoReturn:
    """Skip, but in continuous integration, where everything is there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
