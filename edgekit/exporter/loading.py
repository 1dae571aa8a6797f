"""What every source is to the exporter: how it is named in a message, and what it can do once loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.errors import UsageError
from edgekit.jobs.code import Code
from edgekit.types import Blob, Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from edgekit.runtimes.base import Arrays, Session


#: Models of more numbers have no twin in double precision, which would take another three times their memory.
TWIN_PARAMETERS = 1 << 28


@dataclass(frozen=True)
class Loading:
    """How to load a source, beyond its files.

    Attributes:
        factory: returns the model; None where a file holds it.
        custom_objects: files whose classes and functions a ``.keras`` file refers to.
        submodel: name of the model inside the model that is meant.
        trust_code: run code that a model file holds.
        pins: inputs that the user described, by name; an empty dtype is the model's own.
    """

    factory: Code | None = None
    custom_objects: tuple[Code, ...] = ()
    submodel: str | None = None
    trust_code: bool = False
    pins: dict[str, TensorSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceSpec:
    """A source as a message names it.

    Attributes:
        kind: a node of the conversion graph without its backend, such as ``keras``, or ``code`` while only the
            factory is known.
        files: the entry file first.
        loading: how to load it.
    """

    kind: str
    files: tuple[Blob, ...]
    loading: Loading


class Record(Protocol):
    """Takes what a layer computes: its name, its kind, and the value, batch first.

    A layer that is called again, and each further value of one, has a number behind a colon.
    """

    def __call__(self, name: str, kind: str, array: np.ndarray) -> None: ...


class Loaded(ABC):
    """A source in the process that computes with it.

    Attributes:
        kind: node of the conversion graph, without a backend.
        signature: inputs and outputs by name, pinned sizes applied.
        framework: what wrote the model or runs it, such as ``keras 3.15.1``.
    """

    kind: str
    signature: Signature
    framework: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how it was loaded."""
        return ()

    @property
    @abstractmethod
    def parameters(self) -> int | None:
        """Trained numbers, statistics of normalisation included; None where nothing tells."""

    def operators(self) -> Mapping[str, int]:
        """How often each kind of layer or operator occurs; nothing for a file that is read without its framework."""
        return {}

    def flops(self) -> int | None:
        """Floating point operations of one sample (see `edgekit.exporter.sources._flops`); None where not known."""
        return None

    def weight_dtypes(self) -> set[str]:
        """Element types of the weights, as numpy names."""
        return set()

    @abstractmethod
    def open(self) -> Session:
        """Run it as the reference: on the CPU, in the model's own precision."""

    def ways(self) -> Mapping[str, Callable[[], Session]]:
        """How people run such a model, to be timed beside what is deployed.

        Returns:
            By name of `edgekit.exporter.ways.WAYS`, a function that opens a session. What a way compiles belongs to
            that or to the first inference. Nothing for a model that an engine runs anyway. One load serves one way:
            ``predict`` on JAX takes the memory of the weights.
        """
        return {}

    def twins(self) -> Mapping[str, Callable[[], Session]]:
        """What computes the same in another arithmetic, to show how far the model's own can be trusted.

        Returns:
            By method of `edgekit.parity.tolerance.METHODS`, a function that opens a session of the same signature.
            It raises an `EdgekitError`, when opened or run, where the model does not allow it.
        """
        return {}

    def run_layers(self, inputs: Mapping[str, np.ndarray], record: Record) -> Arrays:
        """Run one batch layer by layer.

        Args:
            inputs: one array per input name, batch first.
            record: is given what each layer computes, as it comes.

        Returns:
            What the session of `open` returns.

        Raises:
            UsageError: a source of this kind does not show its layers.
        """
        raise UsageError(
            "no-layers",
            f"a source of the kind {self.kind} does not show what its layers compute.",
            received=self.framework,
            hint="Leave --layers out, or compare with another artifact of the same model: --against ARTIFACT.",
        )

    def ids(self) -> Mapping[str, int]:
        """Different values per input that holds indices, where the model limits them."""
        return {}

    def keep(self, folder: Path) -> Path | None:
        """Write what another process needs to load the same weights, for a factory that draws them anew.

        Returns:
            The file, or None where the model is the same each time.
        """
        return None


class Load(Protocol):
    """A loader: one file in `edgekit.exporter.sources`, one row in its registry.

    Raises:
        EdgekitError: `ModelError` for a model that cannot be used, `UsageError` for pins that do not fit.
    """

    def __call__(self, path: Path | None, loading: Loading) -> Loaded: ...


class FromObject(Protocol):
    """The same for what a factory returned; ``path`` is what `Loaded.keep` wrote, or None."""

    def __call__(self, made: Any, path: Path | None, loading: Loading) -> Loaded: ...
