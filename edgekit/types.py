"""The nouns every part shares. Part of the device core.

Unions are spelled ``Optional[...]``: the JSON codec evaluates these annotations, on Python 3.9 too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, Optional

Verdict = Literal["verified", "weak", "failed", "error"]

#: Whose samples: the user's, or generated from a signature.
Origin = Literal["real", "generated"]

#: From best to worst; the verdict of a whole is the worst of its parts.
VERDICTS: tuple[Verdict, ...] = ("verified", "weak", "failed", "error")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some verdicts; ``error`` for none, since nothing was checked."""
    found = list(verdicts)
    return max(found, key=VERDICTS.index) if found else "error"


@dataclass(frozen=True)
class Blob:
    """A file by content: messages name blobs, transports place them.

    Attributes:
        sha256: hexadecimal digest of the content.
        name: file name, without a folder.
        size: bytes.
    """

    sha256: str
    name: str
    size: int


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output.

    Attributes:
        name: as the model calls it.
        shape: lengths; None is a free dimension.
        dtype: numpy name, such as ``float32``.
    """

    name: str
    shape: tuple[Optional[int], ...]
    dtype: str

    def __str__(self) -> str:
        lengths = "x".join("?" if length is None else str(length) for length in self.shape)
        return f"{self.name}={lengths or 'scalar'}:{self.dtype}"


@dataclass(frozen=True)
class Signature:
    """Named inputs and outputs in order; the first axis of each is the batch."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def batch(self) -> Optional[int]:
        """The fixed batch length, or None where the batch is free."""
        lengths = {spec.shape[0] for spec in self.inputs if spec.shape}
        return max((length for length in lengths if length is not None), default=None)

    def with_batch(self, batch: Optional[int]) -> Signature:
        """The same signature with the batch of every input set."""
        inputs = tuple(replace(spec, shape=(batch, *spec.shape[1:])) for spec in self.inputs)
        return replace(self, inputs=inputs)


@dataclass(frozen=True)
class Reading:
    """A fact about an engine and how it is known.

    Attributes:
        value: what is so, such as ``f32`` or ``CPU``.
        how: ``engine`` when the engine reported it, ``inferred`` from the artifact, or ``not reported``.
    """

    value: Optional[str]
    how: Literal["engine", "inferred", "not reported"]


@dataclass(frozen=True)
class Effective:
    """What really ran, as against what was asked for."""

    precision: Reading
    placement: Reading


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes:
        inputs: ``real`` samples of the user's or ``generated`` from the signature.
        samples: how many.
        shapes: input shapes that were run, as ``name=3x8x8x1``.
        range_covered: least share, over floating inputs, of the range of all samples that are known, those of the
            calibration among them, that these samples span; None where none of those reaches beyond these.
        variance: by output, its deviation over samples as a share of its deviation over all elements; 0 is constant.
        reacts: by input, whether any output of the source changes with it.
    """

    inputs: Origin
    samples: int
    shapes: tuple[str, ...]
    range_covered: Optional[float] = None
    variance: dict[str, float] = field(default_factory=dict)
    reacts: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One route that was tried.

    Attributes:
        route: hops joined by ``>``, such as ``keras@jax>stablehlo>tflite``.
        outcome: ``accepted``, ``rejected`` (ran, and is wrong), ``unrunnable`` (the runtime refused the file),
            ``failed`` (the converter raised), ``crashed``, ``timeout``, ``out-of-memory`` or ``missing``.
        reason: one sentence; empty for an accepted route.
        seconds: wall time of conversion and verification.
    """

    route: str
    outcome: str
    reason: str
    seconds: float


@dataclass(frozen=True)
class Artifact:
    """One deployable file set in a kit.

    Attributes:
        target: ``onnx``, ``openvino`` or ``tflite``.
        precision: ``fp32``, ``int8``, …
        path: the entry file, relative to the kit's folder.
        files: every file of the artifact, the entry file first.
        sha256: digest over all files.
        route: how it was made.
        parent: digest of the artifact it was made from; None for an export.
        signature: as the artifact declares it.
        fixed: free dimensions of the source that the artifact cannot keep, such as ``batch fixed to 1``.
        versions: libraries that made it.
        settings: options that made it, enough to make it again.
    """

    target: str
    precision: str
    path: str
    files: tuple[Blob, ...]
    sha256: str
    route: str
    parent: Optional[str]
    signature: Signature
    fixed: tuple[str, ...]
    versions: dict[str, str]
    settings: dict[str, str]

    @property
    def name(self) -> str:
        """Target and precision, as people call it: ``openvino int8``."""
        return f"{self.target} {self.precision}"

    @property
    def size_bytes(self) -> int:
        return sum(blob.size for blob in self.files)
