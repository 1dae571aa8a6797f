"""The job that asks every installed engine what it can run on. Part of the device core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Callable

from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes.onnx_providers import REMOTE, label
from edgekit.runtimes.tflite_engine import engine


@dataclass(frozen=True)
class Accelerators:
    """What the engines report.

    Attributes:
        devices: per installed engine, what it runs on, such as ``CPU`` or ``GPU.0: Arc A770``.
        capabilities: per engine, number formats that its CPU supports, where it says so.
        problems: engines that are installed and do not work, one sentence each.
    """

    devices: dict[str, tuple[str, ...]]
    capabilities: dict[str, tuple[str, ...]]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class AcceleratorsJob(Job[Accelerators]):
    """Ask every installed engine."""

    def run(self, work: Workspace) -> Accelerators:
        return accelerators()


def accelerators() -> Accelerators:
    """Ask every installed engine, in this process."""
    devices: dict[str, tuple[str, ...]] = {}
    problems = []
    for name, (modules, ask) in _ENGINES.items():
        if not any(find_spec(module) for module in modules.split("|")):
            continue
        try:
            devices[name] = ask()
        except Exception as err:  # noqa: BLE001  # a broken engine is a finding, whatever it raises
            problems.append(f"{name} is installed and does not work: {type(err).__name__}: {err}")
    capabilities = {"openvino": _openvino_capabilities()} if "openvino" in devices else {}
    return Accelerators(devices, capabilities, tuple(problems))


def _onnxruntime() -> tuple[str, ...]:
    import onnxruntime

    return tuple(label(name) for name in onnxruntime.get_available_providers() if name not in REMOTE)


def _openvino() -> tuple[str, ...]:
    import openvino

    core = openvino.Core()
    return tuple(f"{name}: {core.get_property(name, 'FULL_DEVICE_NAME')}" for name in core.available_devices)


def _openvino_capabilities() -> tuple[str, ...]:
    import openvino

    core = openvino.Core()
    if "CPU" not in core.available_devices:
        return ()
    return tuple(str(name) for name in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _tflite() -> tuple[str, ...]:
    engine()  # importing it loads the engine: proof that it works here
    return ("CPU",)


_ENGINES: Mapping[str, tuple[str, Callable[[], tuple[str, ...]]]] = {
    "onnxruntime": ("onnxruntime", _onnxruntime),
    "openvino": ("openvino", _openvino),
    "tflite": ("ai_edge_litert|tflite_runtime|tensorflow", _tflite),
}
