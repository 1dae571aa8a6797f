"""A Keras model that runs: the reference, on the backend of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Effective, Reading, Signature


class KerasSession(Session):
    """A loaded model. Outputs are numpy arrays of the signature's dtypes.

    JAX compiles the whole model once per input shape; the other backends run it layer by layer. The OpenVINO
    backend pins float32 where it evaluates tensors, so no bfloat16 enters.
    """

    def __init__(self, signature: Signature, call: Callable[..., tuple[Any, ...]]) -> None:
        """Args: names and types, and the model as a function of the backend's tensors in the signature's order."""
        import keras

        self.signature = signature
        self._backend = keras.backend.backend()
        self._call: Callable[..., tuple[Any, ...]] | None = call

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
