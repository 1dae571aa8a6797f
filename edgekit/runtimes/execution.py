"""What an engine really executes: its operators after fusion, what they compute in, and where the time goes.

Part of the device core. OpenVINO and ONNX Runtime profile some inferences; LiteRT has no profile in Python, so there
it is the list of operators and which of them XNNPACK took.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from edgekit.errors import EdgekitError, ModelError
from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes.base import Arrays, OpenOptions, check_open, engine_words
from edgekit.runtimes.jobs import load_arrays
from edgekit.runtimes.registry import RUNTIMES
from edgekit.runtimes.widths import narrowed
from edgekit.types import Blob

#: ONNX Runtime: inferences before those that count, and these; a median over them hides preemptions.
WARMUP_RUNS, PROFILED_RUNS = 3, 21

#: OpenVINO reports each operator's mean over all inferences of a request, the first one with its compilation included,
#: in whole microseconds: so many inferences, or as many as this time allows, leave little of that.
MEAN_RUNS, MEAN_SECONDS = 2000, 0.3

PRODUCT, CONVERSION, LAYOUT, OTHER = "product", "conversion", "layout", "other"


@dataclass(frozen=True)
class OperatorGroup:
    """Operators of one kind that compute in one format.

    Attributes:
        kind: the engine's own name, such as ``QLinearConv``.
        role: ``product`` (convolutions, matrix products, recurrent cells), ``conversion`` between number formats,
            ``layout`` (moves data), or ``other``.
        format: what it computes in, such as ``i8`` or ``f32``; empty where the engine does not tell.
        unit: what executes it: ``XNNPACK``, ``built-in`` or an accelerator in LiteRT, a provider in ONNX Runtime where
            others than the CPU's are in use, else empty.
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
        read = _READERS.get(self.runtime)
        if read is None:
            return Execution((), False)
        path = work.path(self.files[0])
        check_open(path, self.options)
        with RUNTIMES[self.runtime].load()().open(path, self.options) as session:
            count = session.signature.batch or 1
            given = narrowed(session.signature, load_arrays(work, self.inputs))
        first = {name: np.ascontiguousarray(array[np.zeros(count, dtype=int)]) for name, array in given.items()}
        try:
            return _grouped(list(read(_Case(path, first, self.options, work.folder))))
        except EdgekitError:
            raise
        except Exception as err:  # every engine has its own exceptions
            raise ModelError(
                "no-profile",
                f"{self.runtime} does not tell what it executes: {engine_words(err, path)}",
                hint="Measure it with: edgekit bench KIT",
            ) from err


@dataclass(frozen=True)
class _Case:
    """What to run: an artifact, one batch of inputs, how to open it, and a folder to write in."""

    path: Path
    inputs: Arrays
    options: OpenOptions
    folder: Path


@dataclass(frozen=True)
class _Operator:
    kind: str
    role: str
    format: str
    unit: str = ""
    time: Optional[float] = None


def _grouped(operators: list[_Operator]) -> Execution:
    groups: dict[tuple[str, str, str, str], list[Optional[float]]] = {}
    for one in operators:
        groups.setdefault((one.kind, one.role, one.format, one.unit), []).append(one.time)
    total = sum(one.time or 0.0 for one in operators)
    profiled = total > 0 and all(one.time is not None for one in operators)
    found = [
        OperatorGroup(*key, len(times), sum(time or 0.0 for time in times) / total if profiled else None)
        for key, times in groups.items()
    ]
    found.sort(key=lambda group: (-(group.share or 0), -group.count, group.kind))
    return Execution(tuple(found), profiled)


def _role(kind: str, products: Iterable[str], conversions: Iterable[str], layouts: Iterable[str]) -> str:
    if kind.startswith(tuple(products)):
        return PRODUCT
    if kind in conversions:
        return CONVERSION
    return LAYOUT if kind in layouts else OTHER


_OPENVINO = (
    (
        *("Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul", "Gemm"),
        *("LSTM", "GRU", "RNN", "AUGRU", "ScaledDotProductAttention"),
    ),
    ("FakeQuantize", "Quantize", "Dequantize", "Convert"),
    ("Reorder", "Transpose", "Reshape", "Concatenation", "Split", "StridedSlice", "Gather", "Broadcast", "Tile"),
)


def _openvino(case: _Case) -> Iterator[_Operator]:
    """From the profile of each inference (``PERF_COUNT``); ``exec_type`` ends in the format: ``brgemm_avx512_I8``."""
    import openvino

    from edgekit.runtimes.openvino_ import OpenVinoSession, engine_properties
    from edgekit.runtimes.openvino_devices import device_named

    core = openvino.Core()
    device = device_named(case.options.accelerator, core)
    properties = {**engine_properties(device, case.options), "PERF_COUNT": True}
    compiled = core.compile_model(case.path, device, properties)
    request = compiled.create_infer_request()
    feed = [case.inputs[spec.name] for spec in OpenVinoSession(compiled, case.path).signature.inputs]
    until, runs = time.monotonic() + MEAN_SECONDS, 0
    while runs < WARMUP_RUNS or (runs < MEAN_RUNS and time.monotonic() < until):
        request.infer(feed)
        runs += 1
    for item in request.get_profiling_info():
        role = _role(item.node_type, *_OPENVINO)
        # What takes less than a microsecond is said not to run; products always do.
        if str(item.status).endswith(".EXECUTED") or (role == PRODUCT and str(item.status).endswith(".NOT_RUN")):
            name = item.exec_type.rpartition("_")[2].lower()
            yield _Operator(item.node_type, role, name, time=item.real_time.total_seconds())


_ONNX = (
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
)

#: Products of these names take integers; all others compute in the type of their first input.
_INTEGER_PRODUCTS = ("QLinear", "QGemm", "QAttention", "DynamicQuantize", "ConvInteger", "MatMulInteger")

_ONNX_FORMATS = {"float": "f32", "float16": "f16", "bfloat16": "bf16", "double": "f64", "int8": "i8", "uint8": "i8"}


def _onnxruntime(case: _Case) -> Iterator[_Operator]:
    """From the profile of ``enable_profiling``: one event for each operator that ran, after all fusions."""
    import onnxruntime

    from edgekit.runtimes.onnx_providers import label, provider_named, provider_settings

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors only
    settings.enable_profiling = True
    settings.profile_file_prefix = str(case.folder / "profile")
    if case.options.threads is not None:
        settings.intra_op_num_threads = case.options.threads
        settings.inter_op_num_threads = 1
    provider = provider_named(case.options.accelerator, onnxruntime.get_available_providers())
    given = [provider_settings(provider, case.options)]
    engine = onnxruntime.InferenceSession(str(case.path), settings, providers=[provider], provider_options=given)
    on_cpu = engine.get_providers() == ["CPUExecutionProvider"]
    for _ in range(WARMUP_RUNS + PROFILED_RUNS):
        engine.run(None, dict(case.inputs))
    events = json.loads(Path(engine.end_profiling()).read_text())
    runs: list[list[Mapping[str, Any]]] = [[]]
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            runs[-1].append(event)
        elif event["name"] == "SequentialExecutor::Execute":
            runs.append([])
    times: dict[str, list[float]] = {}
    for run in runs[WARMUP_RUNS:]:
        for event in run:
            times.setdefault(event["name"], []).append(event["dur"])
    for event in next(run for run in reversed(runs) if run):
        kind, types = event["args"]["op_name"], event["args"].get("input_type_shape", [])
        first = next((name for entry in types[:1] for name in entry), "")
        integer = kind.startswith(_INTEGER_PRODUCTS)
        found = "i8" if integer else _ONNX_FORMATS.get(first, first)
        unit = "" if on_cpu else label(event["args"].get("provider", ""))
        yield _Operator(kind, _role(kind, *_ONNX), found, unit, statistics.median(times[event["name"]]))


_TFLITE = (
    ("CONV_", "DEPTHWISE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV", "UNIDIRECTIONAL", "BIDIRECTIONAL"),
    ("QUANTIZE", "DEQUANTIZE", "CAST"),
    ("RESHAPE", "TRANSPOSE", "CONCATENATION", "SPLIT", "STRIDED_SLICE", "SLICE", "GATHER", "PACK", "UNPACK", "PAD"),
)

_TFLITE_FORMATS = {"float32": "f32", "float16": "f16", "int8": "i8", "uint8": "i8", "int16": "i16"}


def _tflite(case: _Case) -> Iterator[_Operator]:
    """From the operators that stand in the file, and the delegates that the engine put in place of some of them."""
    from edgekit.runtimes.placement import CPU
    from edgekit.runtimes.tflite_delegates import XNNPACK, open_delegated
    from edgekit.runtimes.tflite_engine import delegated, engine

    accelerator = XNNPACK if case.options.accelerator.upper() == CPU else case.options.accelerator
    interpreter, taker = open_delegated(engine(), case.path, replace(case.options, accelerator=accelerator))
    nodes = interpreter._get_ops_details()
    types = {int(item["index"]): np.dtype(item["dtype"]).name for item in interpreter.get_tensor_details()}
    taken = delegated(nodes)
    given = {int(item["index"]) for item in interpreter.get_input_details()}
    changing = given | {int(index) for node in nodes for index in node["outputs"]}
    for node in nodes:
        kind, sources = node["op_name"], [int(index) for index in node["inputs"] if int(index) >= 0]
        if kind == "DELEGATE" or not set(sources) & changing:  # what reads constants alone runs once, at the start
            continue
        formats = [_TFLITE_FORMATS.get(types.get(index, ""), "") for index in sources]
        role = _role(kind, *_TFLITE)
        dynamic = role == PRODUCT and formats[:2] == ["f32", "i8"] and sources[1] not in changing
        unit = taker if int(node["index"]) in taken else "built-in"
        yield _Operator(kind, role, "i8" if dynamic else next(iter(formats), ""), unit)


_READERS: Mapping[str, Callable[[_Case], Iterator[_Operator]]] = {
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
    "tflite": _tflite,
}
