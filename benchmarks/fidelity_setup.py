"""What the parts of the fidelity benchmark share: the models' artifacts, and single openings of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edgekit
from benchmarks.fidelity_slowed import install
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.kit import Kit
from edgekit.latency.measured import BenchSettings, Candidate
from edgekit.latency.run import Run
from edgekit.runtimes import runtime_for
from edgekit.runtimes.base import OpenOptions
from edgekit.types import Artifact, Blob

#: Each with a batch of 1, so that every engine compiles the same shapes; the side of its images and their channels.
MODELS = {"micro": "20x20x1", "milli": "128x128x3", "deci": "144x144x3"}

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Setup:
    """Kits, and a process that knows the slowed runtimes.

    Attributes:
        folder: of this run.
        kits: by model.
        executor: runs openings.
        context: of their processes.
    """

    folder: Path
    kits: dict[str, Kit]
    executor: Executor
    context: Context

    def artifact(self, model: str, target: str) -> Artifact:
        return next(one for one in self.kits[model].artifacts if one.target == target)

    def file(self, model: str, target: str) -> Path:
        """The entry file of an artifact."""
        return self.kits[model].files(self.artifact(model, target))[0]

    def sample(self, model: str) -> Path:
        """One input of a model, ``.npy``."""
        path = self.folder / f"{model}.npy"
        if not path.exists():
            (array,) = self.kits[model].golden()[0][0].values()
            np.save(path, array[:1])
        return path

    def candidate(self, model: str, target: str, runtime: str = "") -> Candidate:
        """An artifact on one thread.

        Args:
            model: of `MODELS`.
            target: of the artifact.
            runtime: another than the one of its format.
        """
        artifact = self.artifact(model, target)
        (name,) = (spec.name for spec in artifact.signature.inputs)
        inputs: dict[str, Blob] = {name: self.executor.add(self.sample(model))}
        files = tuple(self.executor.add(file) for file in self.kits[model].files(artifact))
        return Candidate(
            model, runtime or runtime_for(target).name, files, inputs, OpenOptions(threads=1), artifact.size_bytes
        )

    def opening_us(self, candidate: Candidate, settings: BenchSettings) -> float:
        """p50 of one opening in a fresh process, microseconds.

        Raises:
            EdgekitError: what ended it.
        """
        run = Run(candidate, self.executor, settings)
        with self.executor.session(self.context) as execute:
            run.take(execute, 0)
        if run.error is not None:
            raise run.error
        return float(np.median(run.samples_ms[0])) * 1e3


@contextmanager
def setup(folder: Path) -> Iterator[Setup]:
    """Export the models where the folder does not hold them yet, and be ready to time.

    Args:
        folder: may be used again.
    """
    kits = {}
    for model, size in MODELS.items():
        kit = folder / model
        if not (kit / "kit.json").exists():
            source = f"{HERE / 'fidelity_models.py'}:{model}"
            edgekit.export(source, "all", backend="jax", inputs=[f"image=1x{size}"], output=kit)
        kits[model] = Kit.open(kit)
    slowed = folder / "slowed"
    if not slowed.exists():
        install(slowed)
    with Executor() as executor:
        path = f"{slowed}:{HERE}:{HERE.parent}"  # the workers run this checkout, whatever is installed
        yield Setup(folder, kits, executor, Context("fidelity", {"PYTHONPATH": path}))
