"""Devices of OpenVINO: real ones, and those that choose among them or divide a model. Part of the device core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.runtimes.base import accelerator_missing
from edgekit.runtimes.placement import CPU, share, split_accelerator
from edgekit.types import Reading

if TYPE_CHECKING:
    import openvino

#: Devices that stand for others, which may follow: ``AUTO`` chooses one, ``HETERO:GPU,CPU`` divides the operators.
_CHOOSING, _DIVIDING = "AUTO", "HETERO"

#: Device files of what a plugin drives.
_FILES = {"GPU": "/dev/dri/renderD*", "NPU": "/dev/accel/accel*"}


def device_named(accelerator: str, core: openvino.Core) -> str:
    """The device of a name in any case; ``GPU`` stands for ``GPU.0`` too.

    Raises:
        MissingError: it, or one that it stands for, is not there; says what was looked for and what is here.
    """
    named = split_accelerator(accelerator)[0]
    kind, _, listed = named.partition(":")
    wanted = listed.split(",") if kind.upper() in (_CHOOSING, _DIVIDING) and listed else [named]
    available = core.available_devices
    known = {name for one in available for name in (one, one.split(".")[0])}
    for name in wanted:
        if name.upper() not in known and name.upper() != _CHOOSING:
            raise accelerator_missing("openvino", name, available, _why(name.upper(), core))
    return named.upper()


def _why(name: str, core: openvino.Core) -> str:
    """Why a device is not there, in the words of its plugin, and what is seen of its hardware."""
    files = _FILES.get(name.split(".")[0])
    seen = ""
    if files is not None:
        found = sorted(map(str, Path("/").glob(files.lstrip("/"))))
        seen = f" Seen: {', '.join(found)}." if found else f" There is no {files}."
    try:
        core.get_property(name, "FULL_DEVICE_NAME")
    except (RuntimeError, IndexError) as err:
        lines = [line.strip() for line in str(err).splitlines() if line.strip()]
        telling = [line for line in lines if not line.startswith(("Exception from", "Check '", "Unsupported config"))]
        words = telling[-1] if telling else "its plugin finds none"
        words = words.replace(f"{Path(words.split(chr(34))[1]).parent}/", "") if words.count('"') > 1 else words
        return f"{words.rstrip('.')}.{seen}"
    return seen.strip()


def taken_by(compiled: Any, model: Any, device: str, core: openvino.Core) -> Reading:
    """What executes a model: the device, or for a divided one how many operators went where."""
    if device.partition(":")[0] == _DIVIDING:
        kinds = {operator.get_friendly_name(): operator.get_type_name() for operator in model.get_ops()}
        moved = core.query_model(model, device)
        return Reading(share((str(unit), kinds.get(name, "")) for name, unit in moved.items()), "engine")
    units = [str(name).strip("()") for name in compiled.get_property("EXECUTION_DEVICES")]
    return Reading(", ".join(units), "engine")


def refuse_elsewhere(device: str, units: Sequence[str], available: Sequence[str]) -> None:
    """Refuse a model that does not run on what was asked for.

    Args:
        device: as it was asked for. One that chooses may choose any; one that divides has to use the first it lists.
        units: that execute it.
        available: devices that are here.

    Raises:
        MissingError: it runs elsewhere.
    """
    kind, _, listed = device.partition(":")
    if kind == _CHOOSING:
        return
    wanted = (listed.split(",")[0] or CPU) if kind == _DIVIDING else device
    used = [name.split(".")[0] == wanted.split(".")[0] for name in units]
    if not (any(used) if kind == _DIVIDING else all(used)):
        raise accelerator_missing("openvino", wanted, available, f"it executes on {', '.join(units)}.")
