"""What the settings of a recipe do to OpenVINO and ONNX artifacts, seen in the files that come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob, QuantizeJobResult
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import METHODS, needs_data
from edgekit.types import Blob
from tests.quantizer import digits

#: Multiply-accumulates of the digits model: three convolutions and two products.
MACS = 64 * 9 * 16 + 64 * 9 * 16 + 16 * 9 * 16 * 32 + 512 * 64 + 64 * 10


class Bench:
    """Quantizes the digits model, each recipe once."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        np.save(folder / "calibration.npy", digits.images()[0][:60])
        self._calibration = {"image": executor.add(folder / "calibration.npy")}
        self._made: dict[tuple[str, Recipe], QuantizeJobResult] = {}

    def made(self, target: str, recipe: Recipe | str) -> QuantizeJobResult:
        parsed = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
        if (target, parsed) not in self._made:
            row = METHODS[f"{target}:{parsed.precision}"]
            files: tuple[Blob, ...] = tuple(
                self.executor.add(digits.artifacts() / name) for name in digits.FILES[target]
            )
            calibration = self._calibration if needs_data(row, parsed) else {}
            job = QuantizeJob(row.name, files, digits.signature(target), calibration, parsed)
            self._made[target, parsed] = self.executor.run(job, conversion_context(None))
        return self._made[target, parsed]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor, tmp_path_factory.mktemp("recipes"))


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_all_arithmetic_is_counted_and_named(bench: Bench, target: str) -> None:
    made = bench.made(target, "int8")
    assert made.macs is not None
    assert (made.macs.low_bit, made.macs.total) == (MACS, MACS)
    assert made.layers == tuple(info.name for info in made.infos)
    assert sum(info.macs for info in made.infos) == MACS
    assert [info.macs for info in made.infos if info.macs] == [9216, 9216, 73728, 32768, 640]


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_layer_left_in_float_is_left_in_float(bench: Bench, target: str) -> None:
    everything = bench.made(target, "int8")
    product = next(info for info in everything.infos if info.macs == 32768)
    made = bench.made(target, Recipe(left_float=(product.name,)))
    assert made.macs is not None
    assert made.macs.low_bit == MACS - product.macs
    assert product.name not in made.layers
    convolutions = bench.made(target, Recipe(left_float=(f"type:{everything.infos[0].kind}",)))
    assert convolutions.macs is not None
    assert convolutions.macs.low_bit in (32768 + 640, 32768 + 640 + 9216)  # OpenVINO's depthwise one is another type


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_every_layer_can_be_left_in_float_by_its_name(bench: Bench, target: str) -> None:
    names = bench.made(target, "int8").layers
    made = bench.made(target, Recipe(left_float=tuple(name for name in names[:-1])))
    assert set(made.layers) <= {names[-1]}


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["int8", "int8-weights", "int4-weights"])
def test_an_unknown_layer_is_refused(bench: Bench, target: str, precision: str) -> None:
    with pytest.raises(UsageError) as caught:
        bench.made(target, Recipe(precision, left_float=("no_such_layer",)))
    assert caught.value.code == "unknown-layer"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize(
    "changed",
    [
        {"ranges": "histogram"},
        {"ranges": "percentile"},
        {"ranges": "average"},
        {"bias_correction": "full"},
        {"per_channel": False},
        {"target_device": "cpu"},
        {"samples": 20},
        {"model_kind": "transformer", "smooth_quant": 0.5},
    ],
    ids=str,
)
def test_every_setting_changes_the_artifact(bench: Bench, target: str, changed: dict[str, object]) -> None:
    plain = bench.made(target, "int8_transformer" if "model_kind" in changed else "int8")
    assert bench.made(target, replace(Recipe(), **changed)).files != plain.files  # type: ignore[arg-type] # by name


def test_another_seed_draws_other_samples(bench: Bench) -> None:
    first = bench.made("onnx", "int8_n20")
    second = bench.made("onnx", "int8_n20_seed1")
    assert first.settings["samples"] == second.settings["samples"] == "20"
    assert first.files != second.files


def test_smoothing_a_convolutional_model_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError) as caught:
        bench.made("onnx", "int8_smooth50")
    assert caught.value.code == "smooth-quant-needs-products"


def test_the_kind_is_found_in_the_graph(bench: Bench) -> None:
    assert bench.made("openvino", "int8").settings["model_kind"] == "convolutional"


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_weights_of_convolutions_are_stored_in_eight_bits_too(bench: Bench, target: str) -> None:
    assert bench.made(target, "int8-weights").quantized_ops == 5


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["awq", "scale", "awqscale", "gptq"])
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_weights_rounded_by_activations(bench: Bench, target: str, algorithm: str) -> None:
    recipe = f"int4-weights_{algorithm}"
    if (target, algorithm) == ("onnx", "gptq"):
        with pytest.raises(UsageError) as caught:
            bench.made(target, recipe)
        assert caught.value.code == "no-such-algorithm"
        return
    made = bench.made(target, recipe)
    assert made.quantized_ops >= 1
    assert made.settings["samples"] == "60"
