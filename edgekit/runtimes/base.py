"""What every runtime is. Part of the device core.

Checks live here, once; an adapter overrides the methods with a leading underscore.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Callable, ClassVar, Dict, Mapping, Optional, Type

import numpy as np

from edgekit.errors import DataError
from edgekit.types import Effective, Signature, TensorSpec

Arrays = Dict[str, np.ndarray]


@dataclass(frozen=True)
class OpenOptions:
    """How to open an artifact.

    Attributes:
        threads: inference threads; None is the engine's own choice.
        precision: what the engine should compute in: ``f32`` pins it, None is the engine's own choice.
        accelerator: what to run on, ``CPU`` or a name the engine knows.
    """

    threads: Optional[int] = None
    precision: Optional[str] = "f32"
    accelerator: str = "CPU"


class Session(ABC):
    """An opened artifact. A context manager; `close` frees the engine's memory.

    Attributes:
        signature: inputs and outputs as the artifact declares them.
    """

    signature: Signature

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """One inference.

        Args:
            inputs: one array per input name, shape and dtype as in the signature, batch first.

        Returns:
            One array per output name, owned by the caller.

        Raises:
            DataError: a name, shape or dtype does not fit the signature.
        """
        check_arrays(self.signature, inputs)
        return self._run(inputs)

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """A call without arguments that runs one inference on these inputs, for timing.

        It includes the copy of the inputs into the engine and of the outputs out of it, unless the adapter's
        docstring says otherwise.
        """
        check_arrays(self.signature, inputs)
        return self._prepare(inputs)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        return lambda: self._run(inputs)

    @abstractmethod
    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """One inference on checked inputs."""

    @abstractmethod
    def effective(self) -> Effective:
        """Precision and placement that the engine really uses, and how that is known."""

    @abstractmethod
    def close(self) -> None:
        """Free the engine's memory. Safe to call twice."""


class Runtime(ABC):
    """An engine.

    Attributes:
        name: as in the registry.
    """

    name: ClassVar[str]

    @abstractmethod
    def version(self) -> str:
        """Version of the engine."""

    @abstractmethod
    def open(self, path: Path, options: OpenOptions) -> Session:
        """Load an artifact.

        Args:
            path: the entry file; its companions lie beside it.
            options: threads, precision, accelerator.

        Raises:
            ModelError: the engine refuses the file; the engine's own words are in the message.
            MissingError: the accelerator is not there.
        """


def check_arrays(signature: Signature, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse inputs that do not fit a signature.

    Raises:
        DataError: says what was expected and what was received.
    """
    expected = ", ".join(str(spec) for spec in signature.inputs)
    names = {spec.name for spec in signature.inputs}
    if set(arrays) != names:
        raise DataError(
            "wrong-input-names",
            f"the model takes {expected}.",
            received=", ".join(sorted(arrays)) or "no arrays",
            hint=f"Name the arrays {', '.join(sorted(names))}.",
        )
    for spec in signature.inputs:
        check_array(spec, arrays[spec.name])


def check_array(spec: TensorSpec, array: np.ndarray) -> None:
    """Refuse an array that does not fit one input.

    Raises:
        DataError: another dtype or shape.
    """
    received = f"{'x'.join(map(str, array.shape)) or 'scalar'}:{array.dtype}"
    if array.dtype != np.dtype(spec.dtype):
        raise DataError(
            "wrong-dtype",
            f"input {spec} has dtype {spec.dtype}.",
            received=received,
            hint=f"Convert it: array.astype({spec.dtype!r}).",
        )
    fits = len(array.shape) == len(spec.shape) and all(
        want is None or want == have for want, have in zip(spec.shape, array.shape)
    )
    if not fits:
        raise DataError(
            "wrong-shape",
            f"input {spec} has another shape (the first axis is the batch, ? is free).",
            received=received,
            hint="Reshape the data, or export the model for this size with --input.",
        )
