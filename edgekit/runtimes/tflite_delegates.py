"""Delegates of the TFLite interpreter: XNNPACK, the Edge TPU's, and any library that is one. Part of the device core.

A delegate takes the operators that it can run; what it leaves runs on the CPU, so the operators are counted afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from ctypes import CDLL
from pathlib import Path
from typing import Any

from edgekit.runtimes.base import OpenOptions, accelerator_missing, engine_words
from edgekit.runtimes.placement import CPU, share, split_accelerator
from edgekit.runtimes.tflite_engine import Engine, delegated, refused

XNNPACK, EDGE_TPU = "XNNPACK", "EdgeTPU"

#: The Edge TPU's delegate by operating system (coral.ai/docs/edgetpu/tflite-python).
_EDGE_TPU_LIBRARY = {"linux": "libedgetpu.so.1", "darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}

#: USB ids of the Coral accelerator, before and after its firmware is loaded.
_EDGE_TPU_USB = (("1a6e", "089a"), ("18d1", "9302"))

_USB, _DEV = Path("/sys/bus/usb/devices"), Path("/dev")


def open_delegated(engine: Engine, path: Path, options: OpenOptions) -> tuple[Any, str]:
    """An interpreter with a delegate in place, and the unit's name.

    Args:
        engine: the build.
        path: the file.
        options: ``accelerator`` is ``XNNPACK``, ``EdgeTPU`` or the path of a library; with ``?name=value`` behind it,
            options of the delegate's own.

    Raises:
        MissingError: the delegate is not there, or fails on this model.
        ModelError: the interpreter refuses the file.
    """
    name, given = split_accelerator(options.accelerator)
    arguments: dict[str, Any] = {"num_threads": options.threads}
    if name.upper() == XNNPACK:
        unit = XNNPACK
    else:
        unit, library = _library(name)
        arguments["experimental_delegates"] = [_load(engine, unit, library, given)]
        # Without XNNPACK, whose operators would look the same as those of this delegate.
        arguments["experimental_op_resolver_type"] = engine.module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = engine.module.Interpreter(str(path), **arguments)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as err:
        if unit != XNNPACK:
            raise accelerator_missing("tflite", unit, [CPU, XNNPACK], f"it fails: {engine_words(err, path)}") from err
        raise refused(engine, path, err) from err
    return interpreter, unit


def require_taken(interpreter: Any, unit: str) -> None:
    """Refuse a delegate that left every operator to the CPU.

    Raises:
        MissingError: it did.
    """
    if delegated_share(interpreter, unit) == CPU:
        raise accelerator_missing("tflite", unit, [CPU], "it took no operator of this model.")


def delegated_share(interpreter: Any, unit: str) -> str:
    """How many operators the delegate took, see `edgekit.runtimes.placement.share`."""
    nodes: Sequence[Any] = interpreter._get_ops_details()
    taken = delegated(nodes)
    return (
        share(
            (unit if int(node["index"]) in taken else CPU, str(node["op_name"]))
            for node in nodes
            if node["op_name"] != "DELEGATE"
        )
        or CPU
    )


def _library(name: str) -> tuple[str, str]:
    """Unit and library of an accelerator's name."""
    if name.casefold() == EDGE_TPU.casefold():
        return EDGE_TPU, _EDGE_TPU_LIBRARY.get(sys.platform, _EDGE_TPU_LIBRARY["linux"])
    if "/" in name or name.endswith((".so", ".dylib", ".dll")):
        return Path(name).stem.split(".")[0], name
    raise accelerator_missing(
        "tflite", name, [CPU, XNNPACK, "GPU", "NPU", EDGE_TPU, "the path of a delegate's library"]
    )


def _load(engine: Engine, unit: str, library: str, given: dict[str, str]) -> Any:
    try:
        CDLL(library)  # the engine's own object stumbles again, when it is let go, over a library that is not there
        return engine.module.load_delegate(library, given)
    except (ValueError, OSError, RuntimeError) as err:
        words = engine_words(err)
        words = " ".join(str(err).split())[:300] if not words.strip() or words.startswith("Failed to load") else words
        seen = f" {edge_tpus()}" if unit == EDGE_TPU else ""
        reason = f"its delegate {library} could not be loaded: {words.rstrip('.')}.{seen}"
        raise accelerator_missing("tflite", unit, [CPU, XNNPACK], reason) from err


def edge_tpus(usb: Path = _USB, dev: Path = _DEV) -> str:
    """What is seen of Edge TPUs, in a sentence: on the PCI bus as ``/dev/apex_0``, on USB by its ids."""
    found = [str(path) for path in sorted(dev.glob("apex_*"))]
    for folder in sorted(usb.glob("*")):
        ids = tuple(_text(folder / name) for name in ("idVendor", "idProduct"))
        if ids in _EDGE_TPU_USB:
            found.append(f"USB {':'.join(ids)} at {folder.name}")
    return f"Seen: {', '.join(found)}." if found else "No Edge TPU is seen, neither as /dev/apex_* nor on USB."


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
