"""Private Python environments for engine builds that cannot live beside the others: they share an import name.

``onnxruntime-webgpu`` and ``onnxruntime`` are both imported as ``onnxruntime``; ``tflite-runtime`` wants numpy 1 and
Python 3.11 or older. Each such build, a *variant*, gets an environment of its own in the user's cache: made once with
whichever Python here it has wheels for, proven by a model of one operator, and described by a lock file. The folder is
named by the hash of that lock, so that two that are equal are one; ``variants/<name>.json`` says which one is in use.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekit.devices.agent import agent_file
from edgekit.devices.cache import ELSEWHERE, cache_folder, locked
from edgekit.errors import EdgekitError, InternalError, MissingError, UsageError
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.disk import writing
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.progress import SILENT, Reporter, Update
from edgekit.runtimes.smoke import SmokeJob

#: Builds of engines by distribution, and the runtime that each serves.
RUNTIMES = {
    "onnxruntime": "onnxruntime",
    "onnxruntime-gpu": "onnxruntime",
    "onnxruntime-openvino": "onnxruntime",
    "onnxruntime-qnn": "onnxruntime",
    "onnxruntime-webgpu": "onnxruntime",
    "openvino": "openvino",
    "ai-edge-litert": "tflite",
    "tflite-runtime": "tflite",
}

#: What a build needs and does not say: compiled against numpy 1, it crashes with 2.
_NUMPY_1 = ("tflite-runtime",)

#: Pythons of the device core, the newest first.
_VERSIONS = ("3.13", "3.12", "3.11", "3.10", "3.9")

_VARIANT = re.compile(r"(?P<name>[a-z0-9]+(-[a-z0-9]+)*)(==(?P<version>[0-9]+(\.[0-9]+)*))?\Z")

_INSTALL_S = 900.0


@dataclass(frozen=True, slots=True)
class Package:
    """One package of an environment.

    Attributes:
        sha256: of the wheel that it came from.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """What an environment consists of.

    Attributes:
        variant: the engine build, such as ``tflite-runtime`` or ``onnxruntime==1.19``.
        runtime: that it serves.
        version: of the engine, as it says itself.
        python: version of the interpreter.
        platform: such as ``linux-x86_64``.
        packages: all of them, by name.
    """

    variant: str
    runtime: str
    version: str
    python: str
    platform: str
    packages: tuple[Package, ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(to_json(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Prepared:
    """An environment that is ready.

    Attributes:
        python: its interpreter.
        lock: what it consists of.
        made: whether this call made it; False where it was there.
    """

    python: Path
    lock: Lock
    made: bool


def runtime_of(variant: str) -> str:
    """The runtime that a variant serves.

    Raises:
        UsageError: no such build is known.
    """
    match = _VARIANT.match(variant)
    if match is None or match["name"] not in RUNTIMES:
        raise UsageError(
            "unknown-variant",
            "this is no engine build that edgekit knows.",
            received=variant,
            hint=f"Choose one of {', '.join(RUNTIMES)}, each also with a version: onnxruntime==1.19.",
        )
    return RUNTIMES[match["name"]]


def find_variant(variant: str) -> Prepared:
    """The environment of a variant that was prepared.

    Raises:
        UsageError: no such build is known.
        MissingError: it is not prepared, or its Python is gone.
    """
    runtime_of(variant)
    known = _known(variant)
    if known is None:
        raise MissingError(
            "not-prepared",
            f"there is no environment for {variant} yet.",
            received=f"python:variant={variant}",
            hint=f"Run: edgekit devices prepare 'python:variant={variant}'",
        )
    return known


def prepare_variant(variant: str, *, again: bool = False, reporter: Reporter = SILENT) -> Prepared:
    """Make the environment of a variant, or find it.

    Args:
        variant: a build of `RUNTIMES`, with ``==VERSION`` behind it for one version.
        again: make it anew, with the versions that are current now.
        reporter: receives progress.

    Raises:
        UsageError: no such build is known, or the cache cannot be written.
        MissingError: no Python here has wheels for it, or the engine does not work in it.
    """
    runtime = runtime_of(variant)
    root = cache_folder("environments")
    with reporter.task(f"prepare {variant}") as update, locked(root / f"{variant}.lock"):
        known = None if again else _known(variant)
        if known is not None:
            return known
        with writing(root, ELSEWHERE):
            staged = Path(tempfile.mkdtemp(dir=root, prefix=".tmp-"))
        try:
            made = _make(variant, runtime, staged, update)
            folder = root / f"{variant}-{made.digest[:12]}"
            with writing(root, ELSEWHERE):
                if not _python_in(folder).is_file():  # one whose Python was removed is no use
                    shutil.rmtree(folder, ignore_errors=True)
                    os.replace(staged, folder)
                _point(variant, folder)
            return Prepared(_python_in(folder), made, True)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _make(variant: str, runtime: str, folder: Path, update: Update) -> Lock:
    """An environment with the first Python that has wheels for everything, and an engine that works in it."""
    refused: list[str] = []
    for python, version in _interpreters():
        update(Progress(f"install {variant} for Python {version}"))
        reason = _install(python, variant, folder)
        if reason is None:
            update(Progress(f"try {variant}"))
            engine = _smoke(variant, runtime, folder)
            lock = _lock(variant, runtime, engine, folder)
            (folder / "lock.json").write_text(json.dumps(to_json(lock), indent=1))
            return lock
        refused.append(f"Python {version} ({python}): {reason}")
        shutil.rmtree(folder)
        folder.mkdir()
    raise MissingError(
        "no-python-for-variant",
        f"no Python here can have {variant}.",
        received="; ".join(refused) or "no Python of 3.9 to 3.13 on PATH or under ~/.pyenv",
        hint="Install a Python that this build has wheels for, such as: pyenv install 3.11",
    )


def _install(python: Path, variant: str, folder: Path) -> str | None:
    """None, or why this Python cannot have it."""
    borrowed = find_spec("pip") is not None  # ours can install for another Python, which spares it one of its own
    done = _run([str(python), "-m", "venv", *(["--without-pip"] if borrowed else []), str(folder / "venv")])
    if done.returncode != 0:
        return "it has no venv module (on Debian: apt-get install python3-venv)"
    there = str(_python_in(folder))
    pip = [sys.executable, "-m", "pip", "--python", there] if borrowed else [there, "-m", "pip"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:"]
    done = _run([*pip, "install", *quiet, "--report", str(folder / "report.json"), *_wanted(variant)])
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    return (errors[-1].removeprefix("ERROR: ") if errors else done.stderr.strip()[-200:]) or "pip failed"


def _wanted(variant: str) -> Sequence[str]:
    """What to install: the build, and a numpy that it works with."""
    name = variant.partition("==")[0]
    return variant, "numpy<2" if name in _NUMPY_1 else "numpy"


def _smoke(variant: str, runtime: str, folder: Path) -> str:
    """The engine's version, once it has run a model there.

    Raises:
        MissingError: it does not work.
    """
    context = Context(f"python:variant={variant}", {"PYTHONPATH": str(agent_file())}, str(_python_in(folder)))
    try:
        with Executor() as executor:
            return executor.run_fresh(SmokeJob(runtime), context).version
    except EdgekitError as error:
        raise MissingError(
            "variant-does-not-work",
            f"{variant} was installed and does not work: {error.message}",
            received=error.received,
            hint=f"Choose another version, as in python:variant={variant.partition('==')[0]}==VERSION.",
        ) from error


def _lock(variant: str, runtime: str, engine: str, folder: Path) -> Lock:
    report: Mapping[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    packages = [
        Package(
            item["metadata"]["name"],
            item["metadata"]["version"],
            item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", ""),
        )
        for item in report["install"]
    ]
    (folder / "report.json").unlink()  # it names where the wheels came from, which is nobody's business
    python = str(report["environment"]["python_full_version"])
    here = f"{sys.platform}-{platform.machine()}"
    return Lock(variant, runtime, engine, python, here, tuple(sorted(packages, key=lambda one: one.name)))


def _known(variant: str) -> Prepared | None:
    """What is in use for a variant; None where there is nothing that still runs."""
    pointer = cache_folder("environments") / f"{variant}.json"
    try:
        folder = pointer.parent / str(json.loads(pointer.read_text(encoding="utf-8"))["folder"])
        lock = from_json(Lock, json.loads((folder / "lock.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, InternalError):
        return None
    python = _python_in(folder)
    return Prepared(python, lock, False) if python.is_file() else None  # a link to a Python that is gone is no file


def _point(variant: str, folder: Path) -> None:
    staged = folder.parent / f".tmp-{variant}.json"
    staged.write_text(json.dumps({"folder": folder.name}))
    os.replace(staged, folder.parent / f"{variant}.json")


def _python_in(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def _interpreters() -> Iterator[tuple[Path, str]]:
    """Pythons of this machine with their versions, this one first, then the newest; one of each version."""
    own = ".".join(platform.python_version_tuple()[:2])
    yield Path(sys.executable), platform.python_version()
    for version in _VERSIONS:
        if version == own:
            continue
        installed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        for candidate in filter(None, [shutil.which(f"python{version}"), *map(str, installed)]):
            done = _run([candidate, "-c", "import platform; print(platform.python_version())"])
            if done.returncode == 0 and done.stdout.strip().startswith(f"{version}."):  # a pyenv shim may refuse
                yield Path(candidate), done.stdout.strip()
                break


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A program of Python's own tools, without what this process was told about other Pythons."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        return subprocess.run(
            command,
            env=inherited,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return subprocess.CompletedProcess(command, 1, "", str(err))
