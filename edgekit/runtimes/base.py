"""What every runtime is. Part of the device core.

Checks and the wording of refusals live here, once; an adapter overrides the methods with a leading underscore.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Callable, ClassVar, Literal, Optional, TypeVar

import numpy as np

from edgekit.errors import DataError, EdgekitError, MissingError, ModelError, UsageError
from edgekit.types import Effective, Signature, TensorSpec

Arrays = dict[str, np.ndarray]

S = TypeVar("S", bound="Session")

#: dtype of a tensor of text: arrays of numpy's ``str`` or of Python's.
TEXT = "str"

#: What one timed inference copies besides computing: its inputs into the engine and its outputs out of it, its outputs
#: alone where the engine reads the caller's arrays in place, or nothing where both were bound once.
Copies = Literal["inputs and outputs", "outputs", "nothing"]


@dataclass(frozen=True)
class OpenOptions:
    """How to open an artifact.

    Attributes:
        threads: inference threads; None is the engine's own choice.
        precision: what the engine should compute in: ``f32`` pins it, None is the engine's own choice.
        accelerator: what to run on, ``CPU`` or a name the engine knows; its options may follow, see
            `edgekit.runtimes.placement.split_accelerator`.
        allow_fallback: run on the CPU where the accelerator is not there or takes no operator, instead of refusing.
        cache: a folder where the engine keeps what it compiled: read where it is there, else written. Only for a
            runtime with `Runtime.caches`; None keeps nothing.
        any_values: open a model also where an input or output is text (dtype `TEXT`), a list of arrays or one that may
            be missing (dtype in the engine's own words, such as ``seq(tensor(float))``), and let these through as they
            are. edgekit itself judges and stores numbers alone, so by default such a model is refused. Of the engines
            only onnxruntime has it.
    """

    threads: Optional[int] = None
    precision: Optional[str] = "f32"
    accelerator: str = "CPU"
    allow_fallback: bool = False
    cache: Optional[str] = None
    any_values: bool = False


class Session(ABC):
    """An opened artifact. A context manager; `close` frees the engine's memory.

    Attributes:
        signature: inputs and outputs as the artifact declares them.
        copies: what a call from `prepare` copies.
    """

    signature: Signature
    copies: ClassVar[Copies] = "inputs and outputs"

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """One inference.

        Args:
            inputs: one array per input name, shape and dtype as in the signature, batch first.

        Returns:
            One array per output name in the signature's order, owned by the caller.

        Raises:
            DataError: a name, shape or dtype does not fit the signature.
            ModelError: the engine cannot compute it; its own words are in the message.
        """
        check_arrays(self.signature, inputs)
        try:
            return self._run(inputs)
        except EdgekitError:
            raise
        except Exception as err:  # every engine has its own exceptions
            raise ModelError(
                "inference-failed",
                f"the engine cannot run the model on these inputs: {engine_words(err)}",
                received=", ".join(f"{name}={describe(array)}" for name, array in inputs.items()),
                hint="Export the model by another route or for this size: edgekit export MODEL --input NAME=SHAPE.",
            ) from err

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """A call without arguments that runs one inference on these inputs, for timing.

        It includes the copy of the inputs into the engine and of the outputs out of it, unless the adapter's
        docstring says otherwise. It returns a fresh dict or list of the outputs in the signature's order, and is
        good until the next `run` or `prepare` of this session.
        """
        check_arrays(self.signature, inputs)
        return self._prepare(inputs)

    def bind(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """As `prepare`, without any copy: inputs and outputs are bound to the engine once.

        The inputs are read where they lie, so they must stay as they are; the outputs are views of the engine's own
        memory, overwritten by the next call, and must be let go before it.

        Raises:
            UsageError: the engine, or the accelerator, offers no such thing.
            DataError: as `run`.
        """
        check_arrays(self.signature, inputs)
        return self._bind(inputs)

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        return lambda: self._run(inputs)

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        raise UsageError(
            "no-zero-copy",
            "this runtime cannot bind inputs and outputs once.",
            received=type(self).__name__,
            hint="Leave --zero-copy out.",
        )

    @abstractmethod
    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """One inference on checked inputs."""

    @property
    def loaded_from_cache(self) -> bool:
        """Whether what the engine once compiled was read from ``OpenOptions.cache``, and not compiled again."""
        return False

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
        caches: whether it can keep what it compiled in a folder, see ``OpenOptions.cache``.
    """

    name: ClassVar[str]
    caches: ClassVar[bool] = False

    @abstractmethod
    def version(self) -> str:
        """Version of the engine."""

    def default_precision(self, accelerator: str) -> Optional[str]:
        """What the engine computes float32 models in unless ``OpenOptions.precision`` says otherwise.

        Returns:
            Such as ``bf16``; None for an engine that computes in what the file declares, whatever the options say.
        """
        return None

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

    def open_streams(self, path: Path, options: OpenOptions, streams: int) -> list[Session]:
        """Load an artifact for inferences side by side: one session per stream, each used by one thread at a time.

        Args:
            path: the entry file.
            options: its threads are for all streams together.
            streams: 1 or more.

        Raises:
            ModelError, MissingError: as `open`.
        """
        threads = None if options.threads is None else max(1, options.threads // streams)
        each = replace(options, threads=threads)
        return [self.open(path, each) for _ in range(streams)]


def make_signature(inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec], path: Path) -> Signature:
    """The signature that an engine reports.

    Raises:
        ModelError: two inputs or two outputs share a name, so that results could not be told apart.
    """
    signature = Signature(tuple(inputs), tuple(outputs))
    for kind, specs in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        names = [spec.name for spec in specs]
        if len(set(names)) < len(names):
            raise ModelError(
                "duplicate-names",
                f"{path.name} has {kind} of the same name.",
                received=", ".join(names),
                hint="Give each its own name in the source model and export it again.",
            )
    return signature


def numpy_dtype(table: Mapping[str, str], engine_type: str, tensor: str) -> str:
    """The numpy name of an engine's element type.

    Raises:
        ModelError: numpy has no such type, strings and bfloat16 among them.
    """
    if engine_type not in table:
        raise ModelError(
            "unsupported-dtype",
            f"the tensor {tensor!r} holds {engine_type}, which edgekit cannot pass to the engine.",
            received=engine_type,
            hint=f"Use one of: {', '.join(sorted(set(table.values())))}.",
        )
    return table[engine_type]


def check_open(path: Path, options: OpenOptions) -> None:
    """Refuse what no engine could open.

    Raises:
        ModelError: there is no such file.
        UsageError: the number of threads is below one.
    """
    if not path.is_file():
        raise ModelError(
            "no-such-artifact",
            f"there is no file {path.name}.",
            received=str(path),
            hint="Give the artifact's entry file: a .onnx, .xml, .tflite or .keras.",
        )
    if options.threads is not None and options.threads < 1:
        raise UsageError(
            "bad-threads",
            "the number of threads is at least 1.",
            received=str(options.threads),
            hint="Leave --threads out for the engine's own choice.",
        )


def unloadable(engine: str, path: Path, err: Exception) -> ModelError:
    """The error for a file that an engine refuses; raise it from the engine's own."""
    return ModelError(
        "unloadable-artifact",
        f"{engine} refuses {path.name}: {engine_words(err, path)}",
        hint="Make the artifact again, by another route or version, or check that the file is whole.",
    )


def accelerator_missing(engine: str, asked: str, present: Sequence[str], reason: str = "") -> MissingError:
    """The error for an accelerator that is not there, or that the engine left for another."""
    return MissingError(
        "accelerator-missing",
        f"{engine} cannot run on {asked} here{': ' + reason if reason else '.'}",
        received=asked,
        hint=f"Choose one that is here ({', '.join(present)}), or install the build of {engine} and the driver for it.",
    )


def refuse_off_cpu(engine: str, placement: str) -> None:
    """Refuse to bind memory of the host to what another unit computes: the engine would copy it all the same.

    Raises:
        UsageError: it does not run on the CPU alone.
    """
    if placement != "CPU":
        raise UsageError(
            "no-zero-copy",
            f"{engine} copies inputs to an accelerator and outputs back, so nothing is spared there.",
            received=placement,
            hint="Leave --zero-copy out.",
        )


#: Beginnings of lines that only say where an engine stopped, or that it did.
_NO_WORDS = ("Exception from ", "Check '", "FrontEnd API failed", "Model wasn't fully converted", "Summary:")


def engine_words(err: Exception, path: Optional[Path] = None) -> str:
    """The first line of an engine's error that says something, without codes and folders."""
    for line in str(err).splitlines():
        text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", line.strip())
        if path is not None:
            text = text.replace(str(path), path.name)
        if text and not text.startswith(_NO_WORDS):
            return text.lstrip("- ").replace(" with a message:", "")[:300]
    return type(err).__name__


def precision_of(types: Iterable[str]) -> Optional[str]:
    """Number formats in one word, narrow ones first: ``f32``, ``i8+f32``.

    Args:
        types: such as ``f32``, ``bf16``, ``u8``; signed and unsigned integers of one width are one format, and
            integers wider than 16 bits are left out, since they are indices, shapes and sums.

    Returns:
        None when nothing is left.
    """
    formats = {name.replace("u", "i") for name in types if re.fullmatch(r"b?f\d+|[iu](2|4|8|16)", name)}
    return "+".join(sorted(formats, key=_format_order)) or None


def _format_order(name: str) -> tuple[int, str]:
    return int(name.lstrip("bfi")), name


def describe(array: object) -> str:
    """Shape and dtype in one word: ``1x28x28x1:float32``; for what is no array, its type."""
    if not isinstance(array, np.ndarray):
        return type(array).__name__
    return f"{'x'.join(map(str, array.shape)) or 'scalar'}:{array.dtype}"


def check_arrays(signature: Signature, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse inputs that do not fit a signature.

    Raises:
        DataError: says what was expected and what was received.
    """
    if len(arrays) != len(signature.inputs):
        raise _wrong_names(signature, arrays)
    for spec in signature.inputs:
        if spec.name not in arrays:
            raise _wrong_names(signature, arrays)
        check_array(spec, arrays[spec.name])


def _wrong_names(signature: Signature, arrays: Mapping[str, np.ndarray]) -> DataError:
    names = sorted(spec.name for spec in signature.inputs)
    return DataError(
        "wrong-input-names",
        f"the model takes {', '.join(map(str, signature.inputs))}.",
        received=", ".join(sorted(arrays)) or "no arrays",
        hint=f"Name the arrays {', '.join(names)}.",
    )


def check_array(spec: TensorSpec, array: np.ndarray) -> None:
    """Refuse an array that does not fit one input.

    Raises:
        DataError: another dtype or shape, or no array at all.
    """
    if "(" in spec.dtype:  # a list, or what may be missing: the engine itself knows, see `OpenOptions.any_values`
        return
    if not hasattr(array, "dtype"):
        raise DataError(
            "no-array",
            f"input {spec} takes a numpy array.",
            received=describe(array),
            hint=f"Make it one: np.asarray(values, {spec.dtype!r}).",
        )
    if array.dtype.kind not in "UO" if spec.dtype == TEXT else array.dtype != np.dtype(spec.dtype):
        raise DataError(
            "wrong-dtype",
            f"input {spec} has dtype {spec.dtype}.",
            received=describe(array),
            hint=f"Convert it: array.astype({spec.dtype!r}).",
        )
    if array.shape != spec.shape and not _fits(array.shape, spec.shape):
        raise DataError(
            "wrong-shape",
            f"input {spec} has another shape (the first axis is the batch, ? is free).",
            received=describe(array),
            hint="Reshape the data, or export the model for this size with --input.",
        )


def _fits(have: Sequence[int], want: Sequence[Optional[int]]) -> bool:
    return len(have) == len(want) and all(one is None or one == length for one, length in zip(want, have))
