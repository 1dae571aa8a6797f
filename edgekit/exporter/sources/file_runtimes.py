"""Frameworks among the runtimes: they open a file of theirs as an engine opens an artifact, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from edgekit.errors import UsageError
from edgekit.exporter.loading import Loading
from edgekit.exporter.sources.registry import load_source_model
from edgekit.runtimes.base import OpenOptions, Runtime, Session, check_open


class FileRuntime(Runtime):
    """The reference: a framework on the CPU, in the model's own precision.

    Other ways to run a source, compiled ones and other backends of Keras, are timed: see `edgekit.exporter.ways`.

    Attributes:
        kind: of the source.
    """

    kind: ClassVar[str]

    def open(self, path: Path, options: OpenOptions) -> Session:
        """Load a file.

        Raises:
            UsageError: an option was set that a framework does not have.
            ModelError: the framework refuses the file.
        """
        check_open(path, options)
        if options.threads is not None or options.accelerator != "CPU":
            raise UsageError(
                "not-for-a-framework",
                "the source runs on the CPU with the threads of its own framework.",
                received=f"threads={options.threads}, accelerator={options.accelerator}",
                hint="Leave out --threads and the accelerator for the source.",
            )
        return load_source_model(self.kind, path, Loading()).open()


class KerasRuntime(FileRuntime):
    """Keras on the process's backend; ``.keras`` files."""

    name = "keras"
    kind = "keras"

    def version(self) -> str:
        import keras

        return f"{keras.__version__} ({keras.backend.backend()})"


class TorchRuntime(FileRuntime):
    """Torch; ``.pt2`` files of ``torch.export``."""

    name = "torch"
    kind = "torch.export"

    def version(self) -> str:
        import torch

        return str(torch.__version__)


class JaxRuntime(FileRuntime):
    """JAX; ``.jax`` files of ``jax.export``, compiled once per input shape."""

    name = "jax"
    kind = "jax.export"

    def version(self) -> str:
        import jax

        return str(jax.__version__)
