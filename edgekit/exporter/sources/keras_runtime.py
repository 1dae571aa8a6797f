"""Keras among the runtimes, for commands that open a ``.keras`` file as they open an artifact."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import UsageError
from edgekit.exporter.loading import Loading
from edgekit.exporter.sources.keras_ import load
from edgekit.exporter.sources.keras_session import KerasSession
from edgekit.runtimes.base import OpenOptions, Runtime, check_open


class KerasRuntime(Runtime):
    """Keras on the process's backend: the reference, on the CPU, in the model's own precision."""

    name = "keras"

    def version(self) -> str:
        import keras

        return f"{keras.__version__} ({keras.backend.backend()})"

    def open(self, path: Path, options: OpenOptions) -> KerasSession:
        """Load a ``.keras`` file.

        Raises:
            UsageError: an option was set that Keras does not have.
        """
        check_open(path, options)
        if options.threads is not None or options.accelerator != "CPU":
            raise UsageError(
                "not-for-keras",
                "the source runs on the CPU with the threads of its own framework.",
                received=f"threads={options.threads}, accelerator={options.accelerator}",
                hint="Leave out --threads and the accelerator for the source.",
            )
        return load(path, Loading()).open()
