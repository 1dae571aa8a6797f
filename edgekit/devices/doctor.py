"""What this environment can do, and the command that adds what it cannot."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import ClassVar, Literal

import edgekit
from edgekit.errors import EdgekitError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.registry import Requirement, install_command, requirements
from edgekit.results import Result
from edgekit.runtimes.accelerators import Accelerators, AcceleratorsJob
from edgekit.runtimes.environment import Environment, probe

#: What each extra is for, in the order of the report.
GROUPS: dict[str, tuple[str, ...]] = {
    "engine": ("onnxruntime", "openvino", "tflite"),
    "framework": ("keras", "jax", "torch", "tensorflow"),
    "converter": ("export-onnx", "export-openvino", "export-tflite", "export-tflite-torch"),
    "quantizer": ("quantize",),
    "data": ("data",),
}

_CLAUSE = re.compile(r"(\w+) (==|!=) ['\"]([^'\"]*)['\"]")


@dataclass(frozen=True, slots=True)
class Package:
    """One library of an extra.

    Attributes:
        version: that is installed; None when it is not.
        least: the oldest version that edgekit works with.
        state: ``installed``, ``too old`` or ``missing``.
    """

    name: str
    version: str | None
    least: str | None
    state: Literal["installed", "too old", "missing"]


@dataclass(frozen=True, slots=True)
class Extra:
    """One optional dependency set of edgekit.

    Attributes:
        name: as in ``pip install 'edgekit[NAME]'``.
        group: ``engine``, ``framework``, ``converter``, ``quantizer`` or ``data``.
        packages: those of this platform.
        install: the command that completes it; None when nothing is missing.
    """

    name: str
    group: str
    packages: tuple[Package, ...]
    install: str | None


@dataclass(frozen=True, slots=True)
class Doctor(Result):
    """What `edgekit.doctor` returns.

    Attributes:
        ok: whether at least one engine is there and answers.
        machine: facts about this machine.
        extras: what is installed, and what would be needed for the rest.
        accelerators: per engine, what it can run on here, as the engine itself reports.
        notes: what to know before trusting a figure from this machine.
    """

    schema: ClassVar[str] = "edgekit.doctor/1"
    ok: bool
    edgekit: str
    python: str
    machine: Environment
    extras: tuple[Extra, ...]
    accelerators: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]


def doctor() -> Doctor:
    """Look at Python, this machine, every optional dependency and the accelerators that the engines report."""
    machine = probe()
    extras = installed_extras()
    found, problem = _accelerators()
    notes = [*machine_notes(machine, found), *([problem] if problem else [])]
    return Doctor(
        ok=bool(found.devices),
        edgekit=edgekit.__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        machine=machine,
        extras=extras,
        accelerators=found.devices,
        notes=tuple(notes),
    )


def installed_extras() -> tuple[Extra, ...]:
    """Every extra with the versions of its packages, from the metadata of the installed edgekit."""
    declared = [requirement for requirement in requirements() if _applies(requirement.marker)]
    known = {requirement.extra for requirement in declared}
    return tuple(_extra(name, group, declared) for group, names in GROUPS.items() for name in names if name in known)


def _extra(name: str, group: str, declared: Iterable[Requirement]) -> Extra:
    packages = tuple(_package(one.name, one.least) for one in declared if one.extra == name)
    complete = all(package.state == "installed" for package in packages)
    return Extra(name, group, packages, None if complete else install_command(name))


def _applies(marker: str) -> bool:
    """Whether a platform marker holds here: ``name == 'value'`` clauses, joined by ``and`` or by ``or``."""
    here = {"sys_platform": sys.platform, "platform_machine": platform.machine()}
    held = [(here[name] == value) == (sign == "==") for name, sign, value in _CLAUSE.findall(marker)]
    return any(held) if " or " in marker else all(held)


def _package(name: str, least: str | None) -> Package:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Package(name, None, least, "missing")
    fresh = least is None or _numbers(version) >= _numbers(least)
    return Package(name, version, least, "installed" if fresh else "too old")


def _numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version, ``(2, 13, 0)`` for ``2.13.0+cpu``."""
    release = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in release.group().split(".")) if release else ()


def _accelerators() -> tuple[Accelerators, str | None]:
    with Executor() as executor:
        try:
            return executor.run_fresh(AcceleratorsJob(), Context("accelerators")), None
        except EdgekitError as err:
            return Accelerators({}, {}, ()), f"The engines could not be asked: {err.message}"


def machine_notes(machine: Environment, found: Accelerators) -> list[str]:
    """What to know before trusting a figure from this machine."""
    notes = [*found.problems]
    capabilities = found.capabilities.get("openvino", ())
    if "BF16" in capabilities:
        notes.append(
            "This CPU computes in bf16: OpenVINO uses it by default; edgekit pins f32 and reads back what ran."
        )
    integer = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & set(machine.features)
    if machine.features and not integer:
        notes.append("This CPU has no 8-bit dot product (VNNI, AMX or Arm dotprod): INT8 may be slower than FP32 here.")
    if machine.emulated:
        notes.append("This CPU is emulated in software: latency measured here means nothing.")
    elif machine.virtual or machine.container:
        kind = f"container ({machine.container})" if machine.container else "virtual machine"
        notes.append(f"This is a {kind}: other tenants can disturb timings, which edgekit watches for and reports.")
    if machine.governor and "performance" not in machine.governor:
        notes.append(f"The CPU governor is {machine.governor}: clock speed may change while a timing runs.")
    return notes
