"""What an engine really executes, in groups: its operators after fusion, what they compute in, and where the time goes.

Part of the device core. The operators come from `edgekit.runtimes.profile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.profile import EngineOperator, EngineProfile, case_of, knows, profile
from edgekit.types import Blob

#: Seconds of profiling: enough to say which operators take the time.
PROFILE_SECONDS = 0.3

PRODUCT, CONVERSION, LAYOUT, OTHER = "product", "conversion", "layout", "other"


@dataclass(frozen=True)
class OperatorGroup:
    """Operators of one kind that compute in one format.

    Attributes:
        kind: the engine's own name, such as ``QLinearConv``.
        role: ``product`` (convolutions, matrix products, recurrent cells), ``conversion`` between number formats,
            ``layout`` (moves data), or ``other``.
        format: what it computes in, such as ``i8`` or ``f32``; empty where the engine does not tell.
        unit: what executes it: ``XNNPACK``, ``built-in`` or an accelerator in LiteRT, else the device or provider.
        count: operators.
        share: of the profiled time; None without a profile.
    """

    kind: str
    role: str
    format: str
    unit: str
    count: int
    share: Optional[float]


@dataclass(frozen=True)
class Execution:
    """The operators of one inference.

    Attributes:
        operators: in groups, those that take the most time first, else the most frequent ones.
        profiled: whether the engine timed them.
    """

    operators: tuple[OperatorGroup, ...]
    profiled: bool

    def of(self, *roles: str) -> tuple[OperatorGroup, ...]:
        return tuple(group for group in self.operators if group.role in roles)


@dataclass(frozen=True)
class ExecutionJob(Job[Execution]):
    """Ask an engine what it executes for an artifact.

    Attributes:
        runtime: name in the registry; nothing is known of a third party's, whose operators are an empty list.
        files: the artifact, the entry file first.
        inputs: one ``.npy`` per input name; the first sample is run, as often as a fixed batch needs it.
        options: how to open it.
    """

    runtime: str
    files: tuple[Blob, ...]
    inputs: dict[str, Blob]
    options: OpenOptions

    def run(self, work: Workspace) -> Execution:
        if not knows(self.runtime):
            return Execution((), False)
        case = case_of(work, self.runtime, self.files, self.inputs, self.options)
        return grouped(self.runtime, profile(self.runtime, case, PROFILE_SECONDS, compare=False))


def grouped(runtime: str, found: EngineProfile) -> Execution:
    """Operators by kind, role, format and unit."""
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for one in found.operators:
        key = one.kind, role(runtime, one), one.format, one.unit
        groups.setdefault(key, []).append(one.time_us or 0.0)
    total = sum(one.time_us or 0.0 for one in found.operators)
    profiled = found.timed and total > 0
    made = [OperatorGroup(*key, len(times), sum(times) / total if profiled else None) for key, times in groups.items()]
    made.sort(key=lambda group: (-(group.share or 0), -group.count, group.kind))
    return Execution(tuple(made), profiled)


def role(runtime: str, operator: EngineOperator) -> str:
    """What an operator is there for: ``product``, ``conversion``, ``layout`` or ``other``."""
    products, conversions, layouts = _KINDS[runtime]
    if operator.kind.startswith(products):
        return PRODUCT
    if operator.kind in conversions:
        return CONVERSION
    return LAYOUT if operator.kind in layouts else OTHER


#: Kinds of operators by engine: beginnings of those that multiply, then those that convert numbers, and that move data.
_KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "openvino": (
        (
            *("Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul", "Gemm"),
            *("LSTM", "GRU", "RNN", "AUGRU", "ScaledDotProductAttention"),
        ),
        ("FakeQuantize", "Quantize", "Dequantize", "Convert"),
        ("Reorder", "Transpose", "Reshape", "Concatenation", "Split", "StridedSlice", "Gather", "Broadcast", "Tile"),
    ),
    "onnxruntime": (
        (
            *("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "MatMul", "FusedMatMul", "QLinearMatMul", "Gemm"),
            *("FusedGemm", "QGemm", "DynamicQuantizeMatMul", "LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"),
            *("Attention", "QAttention", "MultiHeadAttention", "QLinearConvTranspose"),
        ),
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"),
        (
            *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather"),
            *("ReorderInput", "ReorderOutput", "Expand", "Tile", "Shape", "Identity", "MemcpyFromHost", "MemcpyToHost"),
        ),
    ),
    "tflite": (
        (
            *("CONV_", "DEPTHWISE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV"),
            *("UNIDIRECTIONAL", "BIDIRECTIONAL"),
        ),
        ("QUANTIZE", "DEQUANTIZE", "CAST"),
        ("RESHAPE", "TRANSPOSE", "CONCATENATION", "SPLIT", "STRIDED_SLICE", "SLICE", "GATHER", "PACK", "UNPACK", "PAD"),
    ),
}
