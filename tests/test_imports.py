"""The command line and the package start without any heavy library, and nothing goes through the root links."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINKS = {"devices", "exporter", "quantizer", "runtimes"}
HEAVY = {
    "PIL", "ai_edge_litert", "ai_edge_quantizer", "h5py", "jax", "jax2onnx", "keras", "litert_converter",
    "litert_torch", "nncf", "onnx", "onnxruntime", "onnxscript", "openvino", "polars", "scipy", "sklearn",
    "tensorflow", "torch",
}  # fmt: skip
FOLDERS = ("edgekit", "tests", "docs", "examples", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after some code."""
    report = "import sys; print('\\n@' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("@")[2].split())


def test_the_probe_sees_what_is_loaded() -> None:
    assert {"json", "numpy"} <= loaded_after("import json, numpy")


def test_importing_edgekit_loads_only_the_standard_library() -> None:
    ours = loaded_after("import edgekit; edgekit.__version__; dir(edgekit)") - loaded_after("")
    assert {name for name in ours if name not in sys.stdlib_module_names} == {"edgekit"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["export", "--help"], ["run", "--help"]], ids=" ".join
)
def test_asking_the_command_line_loads_no_heavy_library(arguments: list[str]) -> None:
    code = f"""
import sys
from edgekit.cli.main import main
sys.argv = ["edgekit", *{arguments}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert not loaded_after(code) & HEAVY


def test_the_public_functions_are_where_they_are_said_to_be() -> None:
    code = "import edgekit\nfor name in edgekit.__all__: assert getattr(edgekit, name), name"
    assert not loaded_after(code) & HEAVY


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def test_nothing_imports_through_the_root_links() -> None:
    assert len(SOURCES) > 50
    guilty = [path for path in SOURCES if {name.partition(".")[0] for name in imports_of(path)} & LINKS]
    assert not guilty
