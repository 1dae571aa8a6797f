"""A device together with what engines use there: ``--runtime onnxruntime:WebGPU``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekit.devices.base import Device
from edgekit.errors import UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import RUNTIMES, OpenOptions, RuntimeRow
from edgekit.runtimes.placement import CPU, split_accelerator
from edgekit.selection import Selected


@dataclass(frozen=True, slots=True)
class RuntimeSpec:
    """A runtime as the user named it, such as ``openvino``, ``onnxruntime:CUDA`` or ``tflite:/opt/libdelegate.so``.

    Attributes:
        runtime: name in the registry.
        accelerator: what it runs on there.
    """

    runtime: str
    accelerator: str


def parse_runtime(text: str) -> RuntimeSpec:
    """Read a runtime spec.

    Raises:
        UsageError: there is no such runtime, or its accelerator has a bad option.
    """
    name, sign, accelerator = text.partition(":")
    if sign and not accelerator:
        raise UsageError(
            "bad-accelerator",
            "behind the colon stands what the runtime runs on.",
            received=text,
            hint=f"For example: {name}:CPU",
        )
    row = RUNTIMES[name]
    split_accelerator(accelerator or CPU)
    return RuntimeSpec(row.name, accelerator or CPU)


class OnRuntime(Device):
    """A device for the artifacts of one runtime, on one accelerator of it. The device itself is closed by its owner."""

    def __init__(self, device: Device, spec: RuntimeSpec, *, allow_fallback: bool) -> None:
        self.name = device.name
        self._device, self._spec, self._allow_fallback = device, spec, allow_fallback

    def options(self) -> OpenOptions:
        """Those of the device, with the accelerator."""
        accelerator = self._spec.accelerator
        return replace(self._device.options(), accelerator=accelerator, allow_fallback=self._allow_fallback)

    def context(self) -> Context:
        """See `Device.context`."""
        return self._device.context()

    def require(self, runtime: RuntimeRow) -> None:
        """See `Device.require`."""
        self._device.require(runtime)

    def close(self) -> None:
        """Nothing: the device may have other runtimes to serve."""

    def serves(self, runtime: RuntimeRow) -> bool:
        """Whether it is for the artifacts of a runtime."""
        return runtime.name == self._spec.runtime


def on_runtimes(
    devices: Sequence[Device], runtimes: str | Sequence[str], *, allow_fallback: bool = False
) -> tuple[Device, ...]:
    """Every device with every runtime that is asked for; the devices themselves where none is.

    Raises:
        UsageError: a runtime that does not exist, or a fallback from nothing.
    """
    texts = (runtimes,) if isinstance(runtimes, str) else tuple(dict.fromkeys(runtimes))
    specs = [parse_runtime(text) for text in texts]
    if allow_fallback and all(spec.accelerator.upper() == CPU for spec in specs):
        raise UsageError(
            "nothing-to-fall-back-from",
            "--allow-fallback is for an accelerator that may be missing.",
            received=", ".join(texts) or "no --runtime",
            hint="Name one, such as --runtime openvino:GPU, or leave out --allow-fallback.",
        )
    if not specs:
        return tuple(devices)
    return tuple(OnRuntime(device, spec, allow_fallback=allow_fallback) for device in devices for spec in specs)


def served(places: Sequence[Device], chosen: Sequence[Selected]) -> tuple[Selected, ...]:
    """The artifacts that some place is for.

    Raises:
        UsageError: none is.
    """
    found = tuple(one for one in chosen if any(place.serves(one.runtime) for place in places))
    if chosen and not found:
        raise UsageError(
            "nothing-for-this-runtime",
            "none of these artifacts is for the runtimes that are asked for.",
            received=", ".join(f"{one.artifact.name} ({one.runtime.name})" for one in chosen),
            hint="Leave out --runtime, or name the runtime of one of them.",
        )
    return found


def runtime_on(runtime: RuntimeRow, device: Device) -> str:
    """How results call a runtime on a device: ``onnxruntime``, or ``onnxruntime:WebGPU``."""
    accelerator = device.options().accelerator
    return runtime.name if accelerator.upper() == CPU else f"{runtime.name}:{accelerator}"
