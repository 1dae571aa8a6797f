"""The ways in which people run a model of a framework, for timing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from edgekit.exporter.sources._torch_trace import Sampled, Traceable, program_of
from edgekit.exporter.sources.keras_session import KerasSession
from edgekit.exporter.sources.keras_signature import packed
from edgekit.exporter.sources.torch_session import TorchSession
from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Effective, Reading, Signature

Ways = Mapping[str, Callable[[], Session]]


class LoadedKeras(Traceable, Protocol):
    """A loaded Keras model; `open` runs it as it is checked."""

    @property
    def signature(self) -> Signature: ...

    def open(self) -> Session: ...


class LoadedTorch(Sampled, Protocol):
    """A loaded torch module, or a program; `open` runs it as it is checked."""

    @property
    def program(self) -> Any: ...

    def open(self) -> Session: ...


class PredictSession(KerasSession):
    """``model.predict`` on one batch: arrays in and out, with Keras' own loop over batches around it.

    The OpenVINO backend leaves the precision to the engine there, which is bfloat16 on a CPU that has it.
    """

    def __init__(self, loaded: LoadedKeras) -> None:
        super().__init__(loaded.signature, loaded)
        self._model = loaded.model

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        import keras

        arrays = [np.asarray(inputs[spec.name]) for spec in self.signature.inputs]
        outputs = self._model.predict(packed(self._model, arrays), batch_size=len(arrays[0]), verbose=0)
        return {
            spec.name: np.asarray(output, dtype=spec.dtype)
            for spec, output in zip(self.signature.outputs, keras.tree.flatten(outputs), strict=True)
        }

    def effective(self) -> Effective:
        """On the OpenVINO backend the engine is asked, once it has run."""
        if self._backend != "openvino":
            return super().effective()
        from edgekit.runtimes.openvino_ import computed_precision

        compiled = self._model.ov_compiled_model
        unknown = Reading(None, "not reported")
        return Effective(unknown if compiled is None else computed_precision(compiled), Reading("CPU", "inferred"))


def ways_of_keras(loaded: LoadedKeras) -> Ways:
    """``predict``; ``eager``, which is ``model(x)``; and ``compiled`` as the backend does it.

    The OpenVINO backend compiles in ``predict`` and has no other way to.
    """
    import keras

    found: dict[str, Callable[[], Session]] = {
        "predict": lambda: PredictSession(loaded),
        "eager": lambda: KerasSession(loaded.signature, loaded),
    }
    backend = keras.backend.backend()
    if backend == "jax":
        found["compiled"] = loaded.open
    elif backend == "torch":
        found["compiled"] = lambda: KerasSession(loaded.signature, compiled_by_torch(loaded))
    elif backend == "tensorflow":
        found["compiled"] = lambda: KerasSession(loaded.signature, _compiled_by_tensorflow(loaded))
    return found


def ways_of_torch(loaded: LoadedTorch) -> Ways:
    """``eager``, which is ``model(x)``; ``compiled`` by ``torch.compile``; ``exported``, a program of ``torch.export``.

    A program has no other form: to call it is to run it as exported.
    """
    exported = {"exported": lambda: _exported(loaded), "compiled": lambda: _compiled(loaded)}
    if loaded.program is not None:
        return exported
    return {"eager": loaded.open, **exported}


def compiled_by_torch(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function by ``torch.compile``, which compiles when it is first called."""
    import torch

    torch.compiler.reset()  # it gives up on code that it has compiled eight times, as for eight openings
    compiled: Callable[..., Any] = torch.compile(lambda *tensors: call(*tensors))  # torch takes no callable objects
    return compiled


def _compiled_by_tensorflow(call: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    compiled: Callable[..., Any] = tf.function(lambda *tensors: call(*tensors))
    return compiled


def _compiled(loaded: LoadedTorch) -> Session:
    return TorchSession(loaded.signature, compiled_by_torch(loaded))


def _exported(loaded: LoadedTorch) -> Session:
    return loaded.open() if loaded.program is not None else TorchSession(loaded.signature, program_of(loaded).module())
