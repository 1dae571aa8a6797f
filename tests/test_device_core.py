"""The device core stands alone: what it imports, and that it runs on Python 3.9 with one engine."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.jobs.codec import from_json
from edgekit.jobs.protocol import blob_of, encode_job
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.jobs import RunJob, RunResult
from tests import models

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edgekit"

CORE = sorted(
    [PACKAGE / f"{name}.py" for name in ("__init__", "types", "errors", "registry")]
    + [PACKAGE / "jobs" / f"{name}.py" for name in ("__init__", "__main__", "codec", "protocol", "worker")]
    + list((PACKAGE / "runtimes").glob("*.py"))
)

#: What may be imported at the head of a module; everything else is imported where it is used.
LIGHT = {"numpy", "edgekit"}
LIGHT_IN_CLI = {"typer", "click", "rich"}

ENGINE = "onnxruntime==1.19.2"  # the last with wheels for Python 3.9


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


@pytest.fixture(scope="module")
def python39(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of a real Python 3.9 with numpy and one engine."""
    found = _find_python39()
    if found is None:
        return _absent("there is no python3.9 on PATH or under ~/.pyenv")
    folder = tmp_path_factory.mktemp("python39")
    subprocess.run([str(found), "-m", "venv", str(folder)], check=True, capture_output=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "numpy", ENGINE]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return _absent(f"{ENGINE} could not be installed: {done.stderr.strip()[-300:]}")
    return python


@pytest.mark.slow
def test_a_real_job_runs_on_python_39_with_the_core_alone(python39: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    for path in CORE:
        target = agent / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    inputs = models.twin_inputs(5)
    work = tmp_path / "work" / "0001"
    work.mkdir(parents=True)
    artifact = models.twin_onnx(work / "model.onnx", None)
    blobs = {}
    for name, array in inputs.items():
        np.save(work / f"{name}.npy", array)
        blobs[name] = blob_of(work / f"{name}.npy")
    job = RunJob("onnxruntime", (blob_of(artifact),), blobs, (1, 3), OpenOptions(threads=1))
    events = _serve(python39, agent, work.parent, job)
    assert events[-1]["event"] == "result", events[-1]
    result = from_json(RunResult, events[-1]["result"])
    assert result.version == "1.19.2"
    assert result.batches == (1, 3)
    for outputs in result.outputs:
        for name, expected in models.twin_outputs(inputs).items():
            np.testing.assert_allclose(np.load(work / outputs[name].name), expected, rtol=1e-5, atol=2e-6)


def _serve(python: Path, agent: Path, folder: Path, job: RunJob) -> list[dict[str, object]]:
    """Events of one job. The worker takes the end of its stdin for the end of its host, so that stays open."""
    environment = {**os.environ, "PYTHONPATH": str(agent), "HOME": str(folder), "PYTHONWARNINGS": "error"}
    events: list[dict[str, object]] = []
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [str(python), "-m", "edgekit.jobs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,
        ) as worker,
    ):
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(encode_job(job, "0001")) + "\n")
        worker.stdin.flush()
        for line in worker.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] in ("result", "error"):
                break
    assert events, (folder / "log").read_text()
    return events


def _find_python39() -> Path | None:
    installed = sorted((Path.home() / ".pyenv" / "versions").glob("3.9*/bin/python"))
    candidates = [shutil.which("python3.9"), *map(str, installed)]
    for candidate in filter(None, candidates):
        command = [candidate, "-c", "import sys, venv; print(*sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.split() == ["3", "9"]:  # a pyenv shim may exist and refuse
            return Path(candidate)
    return None


def _absent(reason: str) -> Path:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
