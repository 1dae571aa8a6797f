"""What OpenVINO is known not to do on some Arm cores. Part of the device core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from edgekit.errors import ModelError
from edgekit.runtimes.environment import Environment, probe

if TYPE_CHECKING:
    import openvino

#: The 8-bit dot product as ``/proc/cpuinfo`` calls it. Cortex-A76 and newer cores have it, A53 and A72 do not.
DOT_PRODUCT = "asimddp"


def known_limit(model: openvino.Model) -> Optional[str]:
    """Why this machine may not be able to run a model, as a sentence; None where nothing speaks against it.

    Some INT8 models do not compile on Arm cores without the 8-bit dot product: "object is not initialized", while
    loading, or with a free shape at the first inference. They do on cores that have it (OpenVINO 2026.4 on Cortex-A53
    and A72 against A76).
    """
    machine = probe()
    if machine.architecture != "aarch64":
        return None
    return limit_of([operation.get_type_name() for operation in model.get_ops()], machine)


def limit_of(operations: Sequence[str], machine: Environment) -> Optional[str]:
    """The same for the types of a model's operations and a machine."""
    lacking = machine.architecture == "aarch64" and machine.features and DOT_PRODUCT not in machine.features
    if not lacking or "FakeQuantize" not in operations:
        return None
    return (
        f"This CPU ({machine.cpu or 'unknown'}) has no 8-bit dot product ({DOT_PRODUCT}), without which OpenVINO "
        "cannot compile some INT8 models"
    )


def with_limit(error: ModelError, limit: str) -> ModelError:
    """The error for a model that was refused, with the likely cause and what to do about it."""
    return ModelError(
        "unloadable-on-cpu",
        f"{error.message.rstrip('.')}. {limit}.",
        hint="For this device use another precision (--precision fp16), or INT8 for another runtime (--target tflite).",
    )
