"""The coverage benchmark: models whose outputs do not vary, or a ruler that forgives too much, would prove nothing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.coverage_cells import Store, prepare
from benchmarks.coverage_compare import compare
from benchmarks.coverage_engines import Opened, Tensor
from benchmarks.coverage_routes import first_routes
from benchmarks.coverage_source import SAMPLES
from benchmarks.zoo.registry import FOLDER, MODELS, ZooModel, model

QUICK = ("keras-detector", "keras-lstm", "keras-text-attention", "keras-subclassed")
SLOW = ("keras-mobilenet", "keras-unet", "keras-mixed-precision", "keras-free-size")


def _arrays(name: str, folder: Path) -> dict[str, np.ndarray]:
    """What a model computes, built as in the benchmark: in a process of its own."""
    assert prepare(model(name), folder) is None
    with np.load(folder / "reference.npz") as stored:
        return dict(stored)


def _expect_varied(arrays: dict[str, np.ndarray]) -> None:
    outputs = {name: array for name, array in arrays.items() if "/out/" in name}
    assert outputs
    for name, array in outputs.items():
        assert len(array) == SAMPLES
        deviation = np.sqrt(array.astype(np.float64).var(axis=0).mean())
        assert deviation / np.abs(array).max() > 1e-3, f"{name} does not vary"
        floor = float(arrays[f"floor/{name.rpartition('/')[2]}"])
        assert floor < 5e-3 * deviation, f"{name} drowns in the source's own rounding"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_outputs_vary_over_samples(name: str, tmp_path: Path) -> None:
    _expect_varied(_arrays(name, tmp_path))


@pytest.mark.parametrize("name", ["torch-cnn", "torch-transformer"])
def test_outputs_of_torch_modules_vary(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    _expect_varied(_arrays(name, tmp_path))


@pytest.mark.parametrize("name", ["jax-recurrent", "jax-outputs"])
def test_outputs_of_jax_functions_vary(name: str, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    _expect_varied(_arrays(name, tmp_path))


def test_a_model_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (_arrays("jax-mlp", tmp_path / part) for part in ("first", "second"))
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_names_are_unique_and_every_framework_has_its_kinds() -> None:
    assert max(Counter(zoo.name for zoo in MODELS).values()) == 1
    assert len(MODELS) >= 45
    families = {framework: {zoo.family for zoo in MODELS if zoo.framework == framework} for framework in _FRAMEWORKS}
    assert all({"classifier", "recurrent", "text", "tabular", "generative"} <= found for found in families.values())


_FRAMEWORKS = ("keras", "torch", "jax")


@pytest.mark.parametrize("file", sorted({zoo.file for zoo in MODELS}))
def test_every_factory_of_a_file_is_listed_with_its_example_inputs(file: str) -> None:
    """Read, not imported: one framework would do for no file else."""
    tree = ast.parse((FOLDER / file).read_text())
    factories = {part.name for part in tree.body if isinstance(part, ast.FunctionDef) and part.name[0] != "_"}
    listed = [zoo for zoo in MODELS if zoo.file == file]
    assert {zoo.factory for zoo in listed} == factories
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert {f"{zoo.factory}_example_inputs" for zoo in listed if _needs_example(zoo)} <= names


def _needs_example(zoo: ZooModel) -> bool:
    return zoo.framework != "keras" or zoo.factory == "subclassed"


def test_a_model_is_named_as_a_user_names_it() -> None:
    assert model("torch-lstm").reference.endswith("benchmarks/zoo/torch_sequence.py:lstm")


def _opened(outputs: tuple[str, ...], wrong: float = 0.0) -> Opened:
    """An artifact of two outputs, `left + 2 right` and `left - right`, in a given order of names."""

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        left, right = arrays
        found = {"sum": left + 2 * right, "gap": left - right + wrong}
        return [found[name] for name in ("sum", "gap")]

    return Opened(tuple(Tensor(f"args_{index}", (None, 4), "float32") for index in range(2)), outputs, run)


def _wanted() -> dict[str, np.ndarray]:
    left, right = np.random.default_rng(0).standard_normal((2, SAMPLES, 4)).astype(np.float32)
    inputs = {"0/in/left": left, "0/in/right": right}
    floors = {"floor/sum": np.asarray(1e-7), "floor/gap": np.asarray(1e-7)}
    return {**inputs, "0/out/gap": left - right, "0/out/sum": left + 2 * right, **floors}


def test_a_stock_artifact_is_forgiven_lost_names_and_order() -> None:
    assert compare(_opened(("output_0", "output_1")), _wanted(), strict=False)["status"] == "verified"


def test_a_difference_is_wrong_whatever_the_names() -> None:
    answer = compare(_opened(("output_0", "output_1"), wrong=1e-2), _wanted(), strict=False)
    assert answer["status"] == "wrong"
    assert "gap" in answer["reason"]


def test_names_that_edgekit_lost_are_not_forgiven() -> None:
    assert compare(_opened(("output_0", "output_1")), _wanted(), strict=True)["status"] == "unrunnable"


def _record(model: str, family: str, route: str, outcome: str, seconds: float, way: str = "edgekit") -> dict[str, Any]:
    attempt = {"route": route, "outcome": outcome, "reason": "", "seconds": seconds}
    cell = {"model": model, "family": family, "start": "jax", "target": "onnx", "way": way, "status": "verified"}
    return {"key": f"{model}|jax|onnx|{way}", **cell, "attempts": [attempt]}


def test_the_first_route_is_learned_on_other_families() -> None:
    """`slow` works for both; `quick` only for the family that is left out, which must not count."""
    records = [
        _record("a", "one", "slow", "accepted", 9.0),
        _record("a", "one", "quick", "failed", 1.0, "route:quick"),
        _record("b", "two", "quick", "accepted", 1.0),
        _record("b", "two", "slow", "accepted", 9.0, "route:slow"),
    ]
    assert "| **all** |  | 2 | 1 | **50%** |" in first_routes(records)


def test_a_record_counts_once_and_the_latest(tmp_path: Path) -> None:
    first = Store(tmp_path / "records.jsonl")
    first.add({"key": "cell", "status": "refused"})
    first.add({"key": "cell", "status": "verified"})
    with first.path.open("a") as stream:
        stream.write('\n{"key": "cut o')  # killed while it wrote
    first.add({"key": "next", "status": "verified"})
    again = Store(tmp_path / "records.jsonl")
    assert {record["key"]: record["status"] for record in again.records} == {"cell": "verified", "next": "verified"}
