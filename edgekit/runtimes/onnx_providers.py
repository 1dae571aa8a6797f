"""Execution providers of ONNX Runtime: their names, their settings, and which operators they really ran.

Part of the device core. The engine has a record of what it assigned where (``get_provider_graph_assignment_info``),
but operators that a later transformation made are missing in it: of an int8 network on WebGPU it lists less than half.
So for anything but the CPU the first inference is profiled, and what ran is counted.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from ctypes import CDLL
from pathlib import Path
from typing import Any, Optional

from edgekit.runtimes.base import OpenOptions, accelerator_missing
from edgekit.runtimes.placement import share, split_accelerator
from edgekit.types import Reading

_SUFFIX = "ExecutionProvider"

#: Asks for the record of which operator was placed where (onnxruntime 1.24 and later; earlier ones ignore it).
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"

#: Providers that send the samples to a service.
REMOTE = ("AzureExecutionProvider",)

#: Accelerators whose common name is not the provider's.
_ALIASES = {"directml": "dml", "tensorrtrtx": "nvtensorrtrtx"}

#: Names as their makers write them, where the provider's differs.
_NAMES = {"WebGpu": "WebGPU", "Tensorrt": "TensorRT", "Xnnpack": "XNNPACK", "Dml": "DirectML"}

#: Providers that compute in the types of the file, or can be told to; others, such as CoreML and QNN, may compute f32
#: in f16 and do not say so.
FAITHFUL = ("CPU", "CUDA", "TensorRT", "OpenVINO", "WebGPU", "XNNPACK")

#: Operators that only carry data from one unit to another.
_COPIES = ("MemcpyFromHost", "MemcpyToHost")

#: What a provider needs besides its build: the build, device files and libraries, any of each.
_NEEDS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "cuda": ("onnxruntime-gpu", ("/dev/nvidiactl", "/dev/dxg"), ("libcuda.so.1", "libcudnn.so.9")),
    "tensorrt": ("onnxruntime-gpu", ("/dev/nvidiactl", "/dev/dxg"), ("libcuda.so.1", "libnvinfer.so.10")),
    "webgpu": ("onnxruntime-webgpu", ("/dev/dri",), ("libvulkan.so.1",)),
    "openvino": ("onnxruntime-openvino", (), ()),
    "qnn": ("onnxruntime-qnn", ("/dev/fastrpc-cdsp", "/dev/adsprpc-smd"), ("libQnnHtp.so",)),
    "coreml": ("onnxruntime for macOS", (), ()),
    "xnnpack": ("onnxruntime built with --use_xnnpack", (), ()),
}


def label(provider: str) -> str:
    """``CUDA`` for ``CUDAExecutionProvider``."""
    name = provider[: -len(_SUFFIX)] if provider.endswith(_SUFFIX) else provider
    return _NAMES.get(name, name)


def provider_named(accelerator: str, available: Sequence[str]) -> str:
    """The provider of an accelerator's name, in any case: ``cuda`` is ``CUDAExecutionProvider``.

    Raises:
        MissingError: this build of the engine has no such provider; says what was looked for and what is here.
    """
    name, _ = split_accelerator(accelerator)
    asked = name.casefold()
    wanted = f"{_ALIASES.get(asked, asked)}{_SUFFIX}".casefold()
    for provider in available:
        if provider.casefold() == wanted and provider not in REMOTE:
            return provider
    present = [label(provider) for provider in available if provider not in REMOTE]
    build = f"this build has no such provider. {seen_for(name)}".strip()
    raise accelerator_missing("onnxruntime", name, present, build)


def seen_for(accelerator: str) -> str:
    """What an accelerator needs, and what of it is here, in a sentence; empty for one that is not known."""
    build, files, libraries = _NEEDS.get(accelerator.casefold(), ("", (), ()))
    if not build:
        return ""
    there = [path for path in files if Path(path).exists()]
    loaded = [library for library in libraries if _loads(library)]
    absent = [name for name in libraries if name not in loaded]
    seen = [*there, *loaded]
    absent = [*([] if there or not files else [" or ".join(files)]), *absent]
    words = [f"It needs {build}"]
    if absent:
        words.append(f"not found: {', '.join(absent)}")
    if seen:
        words.append(f"found: {', '.join(seen)}")
    return "; ".join(words) + "."


def _loads(library: str) -> bool:
    try:
        CDLL(library)
    except OSError:
        return False
    return True


def provider_settings(provider: str, options: OpenOptions) -> dict[str, str]:
    """Options of a provider: the pinned precision and the threads in its own words, then what the user adds."""
    _, given = split_accelerator(options.accelerator)
    settings: dict[str, str] = {}
    kind = label(provider).casefold()
    if options.precision == "f32" and kind == "cuda":
        settings["use_tf32"] = "0"  # on by default since Ampere: 10 bits of mantissa
    if options.precision == "f32" and kind == "openvino":
        settings["precision"] = "FP32"
    if options.threads is not None and kind == "xnnpack":
        settings["intra_op_num_threads"] = str(options.threads)
    if options.threads is not None and kind == "openvino":
        settings["num_of_threads"] = str(options.threads)
    return {**settings, **given}


def pin_precision(provider: str, options: OpenOptions) -> None:
    """Keep TensorRT from computing f32 in TF32, which it does by default and its provider has no option against.

    The variable is the one that NVIDIA's libraries share (docs.nvidia.com/deeplearning/tensorrt, "TF32 inference").
    They read it once, when a process first uses them, so that it holds for the rest of it.
    """
    if options.precision == "f32" and "tensorrt" in label(provider).casefold():
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def telling(said: str, err: Optional[BaseException] = None) -> str:
    """Why a provider could not be used: from the engine's error, else from what it wrote to stderr."""
    lines = [*(str(err).splitlines() if err is not None else ()), *said.splitlines()]
    marked = [line for line in lines if "[E:onnxruntime" in line or "rror" in line or "ailed" in line]
    if not marked:
        return "it fell back."
    words = marked[0]
    for mark in ("was false. ", "] ", "] : "):
        words = words.rpartition(mark)[2] if mark in words else words
    return f"{words.strip()[:300].rstrip('.')}." if words.strip() else "it fell back."


class Witness:
    """The profile of a session's first inference: which operators ran, and where."""

    def __init__(self, settings: Any) -> None:
        self._folder = tempfile.mkdtemp(prefix="edgekit-profile-")
        settings.add_session_config_entry(RECORD_PLACEMENT, "1")
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(self._folder) / "profile")

    def placement(self, engine: Any) -> Reading:
        """Ends the profile and reads it. Nothing is profiled any more."""
        try:
            events = json.loads(Path(engine.end_profiling()).read_text(encoding="utf-8"))
        finally:
            self.drop()
        value = share(_ran(events, engine))
        return Reading(value, "engine") if value else Reading(None, "not reported")

    def drop(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _ran(events: Iterable[Mapping[str, Any]], engine: Any) -> Iterable[tuple[str, str]]:
    """Unit and kind of every operator in a profile; one that a provider compiled counts as those it stands for."""
    compiled: set[str] = set()
    seen: set[str] = set()
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time") or event["name"] in seen:
            continue
        seen.add(event["name"])
        provider, kind = event["args"].get("provider", ""), event["args"].get("op_name", "")
        if kind in _COPIES:
            continue
        if event["name"].startswith(f"{provider}_"):  # how the engine names what a provider took as a whole
            compiled.add(provider)
            continue
        yield label(provider), kind
    parts = [part for part in assigned(engine) if part.ep_name in compiled]
    yield from ((label(part.ep_name), node.op_type) for part in parts for node in part.get_nodes())
    yield from ((label(provider), "") for provider in compiled - {part.ep_name for part in parts})


def assigned(engine: Any) -> Sequence[Any]:
    """The engine's own record of what it assigned where (onnxruntime 1.24 and later); empty in earlier ones."""
    if not hasattr(engine, "get_provider_graph_assignment_info"):
        return ()
    parts: Sequence[Any] = engine.get_provider_graph_assignment_info()
    return parts
