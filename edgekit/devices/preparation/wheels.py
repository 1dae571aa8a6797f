"""Which wheels a device takes, resolved on the host, and the host's store of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from edgekit.devices.cache import ELSEWHERE, cache_folder, locked
from edgekit.devices.preparation.facts import Facts
from edgekit.errors import InternalError, MissingError
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.disk import writing
from edgekit.jobs.protocol import blob_of

#: The distribution of each engine.
ENGINES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "tflite": "ai-edge-litert"}

#: glibc versions that wheels of today name (PEP 600), and the older names of some of them.
_OLDEST_GLIBC = 17
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

#: glibc minor versions that uv knows as a platform.
_UV_GLIBC = (17, 28, *range(31, 41))

_TIMEOUT_S = 900

_OFFLINE = re.compile(
    r"name resolution|resolve host|error sending request|NewConnectionError|Network is unreachable|Failed to fetch|"
    r"Could not connect|Connection refused",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file of a lock.

    Attributes:
        name, version: of the distribution.
        file: its file name.
        sha256: of the file.
        size: bytes.
    """

    name: str
    version: str
    file: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Lock:
    """What a kind of device gets: the same for every device alike, until it is resolved anew.

    Attributes:
        target: see `Facts.key`.
        wheels: by distribution.
        left_out: engines that no wheel fits, with the reason.
    """

    target: str
    wheels: tuple[Wheel, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Names the set: over the digests of all wheels."""
        return hashlib.sha256("".join(sorted(wheel.sha256 for wheel in self.wheels)).encode()).hexdigest()[:16]

    def version(self, engine: str) -> str | None:
        """Of an engine; None where it is not in the lock."""
        return next((wheel.version for wheel in self.wheels if wheel.name == ENGINES[engine]), None)


def lock_for(facts: Facts, engines: Sequence[str], *, upgrade: bool = False) -> Lock:
    """The wheels for a device, all in the store.

    Versions that this machine has are taken where they fit, so that host and device compute alike. A lock is kept, so
    devices alike get the same wheels, until ``upgrade`` asks for the newest.

    Args:
        facts: of the device.
        engines: names of runtimes.
        upgrade: resolve anew, without regard to this machine's versions.

    Raises:
        MissingError: no network, or no wheel of any engine fits.
    """
    path = cache_folder("wheels") / "locks" / f"{facts.key}-{'-'.join(sorted(engines))}.json"
    with writing(path, ELSEWHERE):
        path.parent.mkdir(exist_ok=True)
    with locked(path.with_suffix(".lock")):  # two boards alike at once resolve and download once
        known = None if upgrade else _stored(path)
        if known is not None:
            return known
        lock = _resolved(facts, engines, pinned=not upgrade)
        with writing(path, ELSEWHERE):
            aside = path.with_suffix(".new")
            aside.write_text(json.dumps(to_json(lock), indent=1))
            aside.replace(path)
    return lock


def path_of(wheel: Wheel) -> Path:
    """Where a wheel lies in the store."""
    return cache_folder("wheels") / wheel.sha256 / wheel.file


def host_versions() -> Mapping[str, str]:
    """Engines of this machine's own environment, by runtime."""
    found = {}
    for engine, name in ENGINES.items():
        try:
            found[engine] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _stored(path: Path) -> Lock | None:
    """A lock of an earlier command, if all of its wheels are still there."""
    try:
        lock = from_json(Lock, json.loads(path.read_text()))
    except (OSError, ValueError, InternalError):  # absent, cut off, or of another version of edgekit
        return None
    return lock if all(path_of(wheel).is_file() for wheel in lock.wheels) else None


def _resolved(facts: Facts, engines: Sequence[str], *, pinned: bool) -> Lock:
    """Try this machine's versions, then any versions, then engine by engine to see which does not fit."""
    if pinned:
        known = host_versions()
        wanted = [f"{ENGINES[name]}=={known[name]}" if name in known else ENGINES[name] for name in engines]
        wheels, _ = _download(facts, wanted)
        if wheels:
            return Lock(facts.key, wheels)
    wheels, why = _download(facts, [ENGINES[name] for name in engines])
    if wheels:
        return Lock(facts.key, wheels)
    left_out = {}
    if len(engines) > 1:
        left_out = {name: said for name in engines for _, said in [_download(facts, [ENGINES[name]])] if said}
        fitting = [ENGINES[name] for name in engines if name not in left_out]
        wheels, why = _download(facts, fitting) if fitting else ((), why)
    if not wheels:
        raise MissingError(
            "no-wheels-for-device",
            f"no engine has wheels that fit {facts.key}: {why}",
            received=", ".join(engines),
            hint="Install a newer Python there and name it with python=/path/to/python3, or choose other --runtime.",
        )
    return Lock(facts.key, wheels, left_out)


def _download(facts: Facts, wanted: Sequence[str]) -> tuple[tuple[Wheel, ...], str]:
    """Fetch wheels and what they need into the store; the wheels, or none and the reason.

    Raises:
        MissingError: the package index cannot be reached, or nothing here can download wheels.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-wheels-", dir=cache_folder("wheels")) as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(["numpy", *wanted]) + "\n")
        try:
            words = ["download", "--quiet", "--dest", f"{folder}/wheels", "--only-binary", ":all:", *_pip_tags(facts)]
            uv = _uv()
            if uv:
                pins = Path(folder) / "pins.txt"
                pins.write_text(_run([*uv, *_uv_resolution(facts), str(requirements)]))
                # uv has honoured Requires-Python already, and differs from pip about its upper bounds
                words += ["--no-deps", "--require-hashes", "--ignore-requires-python", "-r", str(pins)]
            else:
                words += ["-r", str(requirements)]
            _run([*_pip(), *words])
        except _Refused as err:
            return (), str(err)
        files = sorted(Path(folder, "wheels").glob("*.whl"))
        return tuple(_keep(file) for file in files), ""


def _keep(file: Path) -> Wheel:
    blob = blob_of(file)
    name, version = file.name.split("-")[:2]
    wheel = Wheel(re.sub(r"[-_.]+", "-", name).lower(), version, file.name, blob.sha256, blob.size)
    target = path_of(wheel)
    with writing(target, ELSEWHERE):
        target.parent.mkdir(exist_ok=True)
        file.replace(target)
    return wheel


def _pip_tags(facts: Facts) -> list[str]:
    """pip expands no platform tag: every one that this glibc satisfies has to be listed."""
    newest = facts.glibc[1]
    tags = [f"manylinux_2_{minor}_{facts.machine}" for minor in range(newest, 4, -1)]
    tags += [f"{name}_{facts.machine}" for minor, name in _OLD_NAMES.items() if minor <= newest]
    version = f"{facts.python[0]}.{facts.python[1]}"
    abis = (f"cp{version.replace('.', '')}", "abi3", "none")
    return [
        *("--python-version", version, "--implementation", "cp"),
        *(word for abi in abis for word in ("--abi", abi)),
        *(word for tag in [*tags, f"linux_{facts.machine}"] for word in ("--platform", tag)),
    ]


def _uv_resolution(facts: Facts) -> list[str]:
    glibc = max((minor for minor in _UV_GLIBC if minor <= facts.glibc[1]), default=_OLDEST_GLIBC)
    return [
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--only-binary", ":all:"),
        *("--python-platform", f"{facts.machine}-manylinux_2_{glibc}"),
        *("--python-version", f"{facts.python[0]}.{facts.python[1]}"),
    ]


@cache
def _uv() -> tuple[str, ...]:
    """uv resolves for another platform, its environment markers included; pip takes the markers of this machine."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    return (found,) if found else ()


@cache
def _pip() -> tuple[str, ...]:
    if find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    if _uv():  # environments that uv makes have no pip
        return (*_uv(), "tool", "run", "pip")
    raise MissingError(
        "no-pip",
        "wheels for the device are downloaded with pip, which this environment does not have.",
        hint=f"Run: {sys.executable} -m ensurepip, or install uv.",
    )


class _Refused(Exception):
    """The resolver found no wheels that fit; the text says why."""


def _run(words: Iterable[str]) -> str:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            [*words], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, env=environment
        )
    except subprocess.TimeoutExpired as err:
        raise _offline("no answer in time") from err
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
    said = next((line for line in reversed(lines) if line.startswith(("ERROR", "error", "cause"))), "")
    text = re.sub(r"^(ERROR|error|cause):\s*", "", said or (lines[-1] if lines else "no reason given"))
    if _OFFLINE.search(done.stderr):
        raise _offline(text)
    raise _Refused(text)


def _offline(said: str) -> MissingError:
    return MissingError(
        "no-network",
        "the package index cannot be reached, and the wheels for this device are not in the cache.",
        received=said[:300],
        hint="Check the network and pip's settings (pip config list); a device once prepared needs neither.",
    )
