"""The device core stands alone in what it imports; `tests/devices/test_agent.py` runs it on a bare Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.devices.agent import core_files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edgekit"

CORE = core_files()

#: What may be imported at the head of a module; everything else is imported where it is used.
LIGHT = {"numpy", "edgekit"}
LIGHT_IN_CLI = {"typer", "click", "rich"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, everywhere: bool) -> Iterator[str]:
    """Names of imported modules; without ``everywhere`` only those that an import of the file runs."""
    for node in _nodes(ast.parse(path.read_text()), everywhere):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _nodes(tree: ast.AST, everywhere: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if not everywhere and (isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or _for_types_only(child)):
            continue
        yield child
        yield from _nodes(child, everywhere)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_the_core_imports_nothing_of_edgekit_outside_itself(path: Path) -> None:
    core = {module_name(member) for member in CORE}
    own = {name for name in imports(path, everywhere=True) if name.split(".")[0] == "edgekit"}
    outside = {name for name in own if name not in core and name.rpartition(".")[0] not in core}
    assert not outside


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=module_name)
def test_no_heavy_library_is_imported_with_the_module(path: Path) -> None:
    allowed = LIGHT | sys.stdlib_module_names
    if "cli" in path.parts:
        allowed |= LIGHT_IN_CLI
    assert {name.split(".")[0] for name in imports(path, everywhere=False)} <= allowed


def test_nobody_imports_the_command_line() -> None:
    for path in PACKAGE.rglob("*.py"):
        if (PACKAGE / "cli") not in path.parents:
            names = set(imports(path, everywhere=True))
            assert not {name for name in names if name.startswith("edgekit.cli")}, path


def test_the_core_is_all_that_an_import_of_it_loads() -> None:
    code = "import sys, edgekit.runtimes.jobs as j, edgekit.jobs.worker; print(*[m for m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name for name in done.stdout.split() if name.split(".")[0] == "edgekit"}
    assert "edgekit.runtimes.jobs" in loaded
    assert loaded <= {module_name(path) for path in CORE}
