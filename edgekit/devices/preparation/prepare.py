"""``edgekit devices prepare``: engines for a device, and the proof that each works there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from edgekit.devices.base import Device
from edgekit.devices.emulated.device import EmulatedDevice
from edgekit.devices.environments import prepare_variant
from edgekit.devices.interpreter import VARIANT, PythonDevice
from edgekit.devices.preparation.ensure import Ready, ensure
from edgekit.devices.preparation.wheels import ENGINES, host_versions
from edgekit.devices.registry import opened_devices, parse_device
from edgekit.devices.ssh.device import SshDevice
from edgekit.errors import EdgekitError, UsageError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.progress import SILENT, Reporter, Update
from edgekit.results import Result
from edgekit.runtimes.smoke import SmokeJob


@dataclass(frozen=True, slots=True)
class PreparedEngine:
    """One engine on a device.

    Attributes:
        runtime: name in the registry.
        version: that is installed there; None where it is left out.
        host_version: of this machine; None where it has none.
        state: ``ready``, when it ran a model there; ``broken``; or ``left out``, when no wheel fits.
        reason: why it is not ready; empty for one that is.
    """

    runtime: str
    version: str | None
    host_version: str | None
    state: Literal["ready", "broken", "left out"]
    reason: str


@dataclass(frozen=True, slots=True)
class PrepareResult(Result):
    """What `edgekit.prepare` returns.

    Attributes:
        ok: whether every engine that was asked for works there; those left out count only if they were named.
        device: as the user named it.
        target: architecture, Python and C library, such as ``aarch64-py3.11-glibc2.36``.
        packages: all that is installed, by name.
        sent_bytes: 0 where everything was there before.
        notes: what to know, such as engines of another version than this machine's.
        seconds: wall time.
    """

    schema: ClassVar[str] = "edgekit.prepare/1"
    exit_code: ClassVar[int] = 3
    ok: bool
    device: str
    target: str
    engines: tuple[PreparedEngine, ...]
    packages: dict[str, str]
    sent_bytes: int
    notes: tuple[str, ...]
    seconds: float


def prepare(
    device: str, *, runtime: str | Sequence[str] = (), upgrade: bool = False, reporter: Reporter = SILENT
) -> PrepareResult:
    """Give a device engines: resolve wheels here, send and unpack them there, and run a model of one operator.

    The device needs no network, no root and no pip. Its own packages stay as they are.

    Args:
        device: such as ``ssh://pi@raspberrypi.local``, ``qemu://aarch64?cpu=cortex-a72`` or
            ``python:variant=tflite-runtime``.
        runtime: engines to install; all that have wheels for it by default.
        upgrade: the newest versions, where otherwise those of this machine are taken, or what is there stays.
        reporter: receives progress.

    Raises:
        UsageError: no such device or engine, or one that cannot be prepared.
        MissingError: it cannot be reached, or no engine has wheels for it.
        JobCrashed: the connection broke; the next attempt goes on where it stopped.
    """
    started = time.monotonic()
    wanted = (runtime,) if isinstance(runtime, str) else tuple(runtime)
    spec = parse_device(device)
    if spec.kind == "python" and spec.address.startswith(VARIANT):
        return _variant(device, spec.address.removeprefix(VARIANT), upgrade, reporter, started)
    with opened_devices(device) as (opened,), reporter.task(f"prepare {device}") as update:
        over_ssh = _over_ssh(opened)
        ready = ensure(over_ssh.connection, over_ssh.folder, wanted, update, upgrade=upgrade)
        engines = _engines(ready, wanted, over_ssh.context(), update)
    counted = [engine for engine in engines if wanted or engine.state != "left out"]
    return PrepareResult(
        ok=all(engine.state == "ready" for engine in counted),
        device=device,
        target=ready.facts.key,
        engines=engines,
        packages={wheel.name: wheel.version for wheel in ready.lock.wheels},
        sent_bytes=ready.sent_bytes,
        notes=_notes(engines),
        seconds=time.monotonic() - started,
    )


def _over_ssh(device: Device) -> SshDevice:
    if isinstance(device, EmulatedDevice):
        return device.started()
    if isinstance(device, SshDevice):
        return device
    hint = "Install engines there with pip: pip install 'edgekit[onnxruntime,openvino,tflite]'"
    if isinstance(device, PythonDevice):
        hint += ", or prepare a build in an environment of its own: python:variant=tflite-runtime"
    raise UsageError(
        "nothing-to-prepare",
        "only devices over ssh://, emulated boards and engine builds are prepared.",
        received=device.name,
        hint=f"{hint}.",
    )


def _engines(ready: Ready, wanted: Sequence[str], context: Context, update: Update) -> tuple[PreparedEngine, ...]:
    """Try each engine on the device, those that were asked for or all."""
    here = host_versions()
    found = []
    with Executor() as executor:
        for name in [known for known in ENGINES if known in (wanted or ENGINES)]:
            version, why = ready.lock.version(name), ready.lock.left_out.get(name, "")
            if version is None:
                found.append(PreparedEngine(name, None, here.get(name), "left out", why))
                continue
            update(Progress(f"try {name}"))
            reason = _tried(executor, name, context)
            state: Literal["ready", "broken"] = "broken" if reason else "ready"
            found.append(PreparedEngine(name, version, here.get(name), state, reason))
    return tuple(found)


def _tried(executor: Executor, name: str, context: Context) -> str:
    """Why an engine does not work; empty where it does."""
    try:
        executor.run(SmokeJob(name), context)  # a process that an engine crashed is replaced
    except EdgekitError as err:
        return str(err)
    return ""


def _notes(engines: Sequence[PreparedEngine]) -> tuple[str, ...]:
    return tuple(
        f"{engine.runtime} {engine.version} there, {engine.host_version} here: a difference between the two may be one "
        "of versions."
        for engine in engines
        if engine.version and engine.host_version and engine.version != engine.host_version
    )


def _variant(device: str, variant: str, upgrade: bool, reporter: Reporter, started: float) -> PrepareResult:
    """An engine build in an environment of its own on this machine."""
    made = prepare_variant(variant, again=upgrade, reporter=reporter)
    lock = made.lock
    engine = PreparedEngine(lock.runtime, lock.version, host_versions().get(lock.runtime), "ready", "")
    return PrepareResult(
        ok=True,
        device=device,
        target=f"{lock.platform}-py{lock.python}",
        engines=(engine,),
        packages={package.name: package.version for package in lock.packages},
        sent_bytes=0,
        notes=_notes((engine,)),
        seconds=time.monotonic() - started,
    )
