"""Keras as a runtime: the reference, on the backend of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import UsageError
from edgekit.exporter.loading import Loading
from edgekit.runtimes.base import Arrays, OpenOptions, Runtime, Session, check_open
from edgekit.types import Effective, Reading

if TYPE_CHECKING:
    from edgekit.exporter.sources.keras_ import KerasModel


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
        from edgekit.exporter.sources.keras_ import load

        return KerasSession(load(path, Loading()))


class KerasSession(Session):
    """A loaded model. Outputs are numpy arrays of the signature's dtypes.

    JAX compiles the whole model once per input shape; the other backends run it layer by layer. The OpenVINO
    backend pins float32 where it evaluates tensors, so no bfloat16 enters.
    """

    def __init__(self, loaded: KerasModel) -> None:
        import keras

        self.signature = loaded.signature
        self._backend = keras.backend.backend()
        self._call: Callable[..., tuple[Any, ...]] | None = loaded
        if self._backend == "jax":
            import jax

            self._call = jax.jit(loaded.function())

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        import keras

        assert self._call is not None, "the session is closed"
        tensors = [keras.ops.convert_to_tensor(np.asarray(inputs[spec.name])) for spec in self.signature.inputs]
        with _without_gradients(self._backend):
            outputs = self._call(*tensors)
        return {
            spec.name: np.array(keras.ops.convert_to_numpy(output), dtype=spec.dtype)
            for spec, output in zip(self.signature.outputs, outputs, strict=True)
        }

    def effective(self) -> Effective:
        """Keras reports neither; the process was kept off accelerators."""
        return Effective(Reading("f32", "inferred"), Reading("CPU", "inferred"))

    def close(self) -> None:
        self._call = None


def _without_gradients(backend: str) -> Any:
    if backend != "torch":
        return nullcontext()
    import torch

    return torch.no_grad()
