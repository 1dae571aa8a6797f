"""What users install: the archives hold the package once, and it works with nothing but its base dependencies."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import edgekit
from edgekit.data.registry import FORMS
from edgekit.exporter.graph import HOPS
from edgekit.quantizer.registry import METHODS
from edgekit.registry import Row
from edgekit.runtimes import RUNTIMES
from edgekit.surgery.registry import SURGEONS

ROOT = Path(__file__).resolve().parents[1]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
ROWS: list[Row] = [*RUNTIMES, *HOPS, *METHODS, *SURGEONS, *(row for row in FORMS if row.extra)]
NAME = f"edgekit-{edgekit.__version__}"

needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git says what belongs to the package")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel made from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--no-isolation", "-o", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def bare(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and its base dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    (wheel,) = archives.glob("*.whl")
    installed = run(folder / "bin/pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def commands(bare: Path) -> list[str]:
    """Every command that ``edgekit --help`` lists."""
    shown = run(bare / "edgekit", "--help", cwd=bare)
    assert shown.returncode == 0, shown.stderr
    return re.findall(r"^  ([a-z][a-z-]*)", shown.stdout.partition("Commands:")[2], re.MULTILINE)


def tracked() -> set[str]:
    """Files of the package, those not yet committed included."""
    listed = run(
        "git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "--deduplicate", "edgekit", cwd=ROOT
    )
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@needs_git
def test_the_wheel_holds_the_package_once(archives: Path) -> None:
    (wheel,) = archives.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    info = f"{NAME}.dist-info"
    assert len(names) == len(set(names))
    assert {name for name in names if not name.startswith(info)} == tracked()
    assert {"edgekit/py.typed", f"{info}/licenses/LICENSE"} <= set(names)


@needs_git
def test_the_sdist_holds_the_package_once_and_what_builds_it(archives: Path) -> None:
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert all(member.isreg() for member in archive.getmembers())
        names = [name.removeprefix(f"{NAME}/") for name in archive.getnames()]
    assert len(names) == len(set(names))
    assert {name for name in names if name.startswith("edgekit/")} == tracked()
    assert {"LICENSE", "Makefile", "README.md", "constraints.txt", "pyproject.toml", "tests/test_packaging.py"} <= set(
        names
    )
    assert not [name for name in names if name.split("/")[0] in {"devices", "exporter", "quantizer", "runtimes"}]


def test_every_module_imports_without_extras(bare: Path, tmp_path: Path) -> None:
    walk = (
        "import importlib, pkgutil, edgekit\n"
        "for module in pkgutil.walk_packages(edgekit.__path__, 'edgekit.'):\n"
        "    if not module.name.endswith('__main__'): print(importlib.import_module(module.name).__file__)\n"
    )
    done = run(bare / "python", "-c", walk, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    modules = done.stdout.splitlines()
    assert len(modules) > 20
    assert all(Path(module).is_relative_to(bare.parent) for module in modules)


def test_every_command_explains_itself_without_extras(bare: Path, commands: list[str], tmp_path: Path) -> None:
    assert {"export", "quantize", "check", "bench", "run"} <= set(commands)
    for command in commands:
        shown = run(bare / "edgekit", command, "--help", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert command in shown.stdout


def test_the_version_is_the_package_s(bare: Path, tmp_path: Path) -> None:
    shown = run(bare / "edgekit", "--version", cwd=tmp_path)
    assert shown.returncode == 0
    assert edgekit.__version__ in shown.stdout


def test_a_missing_extra_is_named_with_the_command_that_installs_it(bare: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    with zipfile.ZipFile(model, "w") as archive:  # as far as anything without Keras can look
        archive.writestr("config.json", '{"class_name": "Sequential", "config": {"name": "m", "layers": []}}')
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("model.weights.h5", b"")
    done = run(bare / "edgekit", "export", model, "--target", "onnx", cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert re.search(r"pip install 'edgekit\[[a-z,-]*\bkeras\b[a-z,-]*\]'", done.stderr)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_extras_of_a_row_exist_and_provide_what_it_needs(row: Row) -> None:
    extras = row.extra.split(",")
    assert set(extras) <= set(EXTRAS)
    provided = closure(tuple(requirement for extra in extras for requirement in EXTRAS[extra]))
    owners = metadata.packages_distributions()
    for module in row.needs:
        if module in owners:  # installed here, so that its distribution is known
            assert {name_of(owner) for owner in owners[module]} & provided, f"no extra of {row.name} brings {module}"


def test_all_holds_every_extra_but_tensorflow() -> None:
    alone = {"tensorflow", "all", "all-but-torch", "dev"}
    assert parts_of("all") | alone == set(EXTRAS)
    assert parts_of("all") - parts_of("all-but-torch") == {"torch", "export-tflite-torch", "all-but-torch"}


def test_every_direct_dependency_is_pinned() -> None:
    pins = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    declared = [text for texts in EXTRAS.values() for text in texts] + (metadata.requires("edgekit") or [])
    assert {name_of(text) for text in declared} - {"edgekit"} <= pins


def name_of(text: str) -> str:
    """The normalised name of a distribution or a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ ;<>=!~\[]", text)[0]).lower()


def parts_of(extra: str) -> set[str]:
    """The extras that an extra is made of, at any depth."""
    parts = {part for text in EXTRAS[extra] if name_of(text) == "edgekit" for part in Requirement(text).extras}
    return parts.union(*(parts_of(part) for part in parts))


@cache
def closure(requirements: tuple[str, ...]) -> frozenset[str]:
    """Names of distributions that some requirements bring, where those are installed."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        name = name_of(waiting.pop().name)
        if name in found:
            continue
        found.add(name)
        try:
            needed = [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        waiting += [need for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})]
    return frozenset(found)
