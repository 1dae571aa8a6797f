"""TFLite in int8: what a recipe changes, what stays float, and what the method says about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import JobFailed, UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Progress
from edgekit.quantizer.jobs import QuantizeJob, QuantizeJobResult
from edgekit.quantizer.methods import tflite_graph, tflite_islands
from edgekit.quantizer.recipe import Recipe
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.types import Blob
from tests.conformance.method_suite import sqnr_db
from tests.quantizer import attention, digits, planted

IMAGES, LABELS = digits.images()
DIGITS = digits.artifacts() / "model.tflite"

#: Multiply-accumulates of the digits model: two convolutions at 8x8, one to 4x4, two dense layers.
MACS = 64 * 16 * 9 * 2 + 16 * 32 * 16 * 9 + 512 * 64 + 64 * 10


class Maker:
    """Quantizes and runs in processes of their own."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self._executor = executor
        self._folder = folder

    def quantize(self, model: Path, recipe: Recipe, seen: list[Progress] | None = None) -> QuantizeJobResult:
        files = (self._executor.add(model),)
        calibration = self._array("calibration", IMAGES[:200])
        job = QuantizeJob("tflite:int8", files, digits.signature("tflite"), calibration, recipe)
        return self._executor.run(job, conversion_context(None), (seen if seen is not None else []).append)

    def scores(self, file: Path | Blob) -> np.ndarray:
        blob = self._executor.add(file) if isinstance(file, Path) else file
        evaluation = self._array("evaluation", IMAGES[digits.TRAINING :])
        job = RunJob("tflite", (blob,), evaluation, (1,), OpenOptions(threads=1))
        ran = self._executor.run(job, conversion_context(None))
        found: np.ndarray = np.load(self._executor.path(ran.outputs[0]["scores"]))
        return found

    def sqnr(self, model: Path, recipe: Recipe) -> float:
        return sqnr_db(self.scores(model), self.scores(self.quantize(model, recipe).files[0]))

    def path(self, made: QuantizeJobResult) -> Path:
        return self._executor.path(made.files[0])

    def kinds(self, made: QuantizeJobResult) -> list[str]:
        """Of the operators that compute on int8."""
        return [info.kind for info in made.infos]

    def _array(self, name: str, values: np.ndarray) -> dict[str, Blob]:
        np.save(self._folder / f"{name}.npy", values)
        return {"image": self._executor.add(self._folder / f"{name}.npy")}


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    with Executor() as executor:
        yield Maker(executor, tmp_path_factory.mktemp("tflite"))


def test_every_product_is_in_few_bits_and_is_counted(maker: Maker) -> None:
    made = maker.quantize(DIGITS, Recipe())
    assert made.macs is not None
    assert (made.macs.low_bit, made.macs.total) == (MACS, MACS)
    assert made.layers == tuple(info.name for info in made.infos)
    assert sum(info.macs for info in made.infos) == MACS
    assert [info.kind for info in made.infos if info.macs] == [
        *("DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED", "FULLY_CONNECTED")
    ]


@pytest.mark.parametrize("named", ["name", "type"])
def test_layers_stay_float_by_name_or_by_type(maker: Maker, named: str) -> None:
    whole = maker.quantize(DIGITS, Recipe())
    (convolution,) = [info for info in whole.infos if info.kind == "CONV_2D"]
    wanted = convolution.name if named == "name" else "type:Conv2D"
    made = maker.quantize(DIGITS, Recipe(left_float=(wanted,)))
    assert convolution.name not in made.layers
    assert set(made.layers) < set(whole.layers)
    assert made.macs is not None
    assert made.macs.low_bit == MACS - convolution.macs
    assert sqnr_db(maker.scores(DIGITS), maker.scores(made.files[0])) > 35


def test_a_layer_that_is_not_there(maker: Maker) -> None:
    with pytest.raises(UsageError, match="no such operator"):
        maker.quantize(DIGITS, Recipe(left_float=("block_9/conv",)))


def test_samples_are_run_once_for_every_recipe_on_them(maker: Maker) -> None:
    """Giving layers back to float quantizes the same model many times."""
    maker.quantize(DIGITS, Recipe())
    seen: list[Progress] = []
    maker.quantize(DIGITS, Recipe(left_float=("type:CONV_2D",)), seen)
    assert [one.done for one in seen if one.stage == "calibrate"] == [200]
    maker.quantize(DIGITS, Recipe(ranges="histogram"), seen := [])
    assert len([one for one in seen if one.stage == "calibrate"]) > 200


def test_true_ranges_are_much_better_than_averaged_ones(maker: Maker) -> None:
    averaged = maker.sqnr(DIGITS, Recipe(ranges="average"))
    for name in ("int8", "int8_histogram", "int8_percentile"):
        assert maker.sqnr(DIGITS, Recipe.parse(name)) > averaged + 3


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_have_a_scale_per_channel_or_one(maker: Maker, per_channel: bool) -> None:
    made = maker.quantize(DIGITS, Recipe(per_channel=per_channel))
    model = tflite_graph.parse(maker.path(made).read_bytes())
    (convolution,) = [operator for operator in tflite_graph.operators(model) if operator.kind == "CONV_2D"]
    assert len(convolution.inputs[1].quantization.scale) == (32 if per_channel else 1)


def test_corrected_biases_make_no_worse(maker: Maker) -> None:
    made = maker.quantize(DIGITS, Recipe(bias_correction="full"))
    assert made.files != maker.quantize(DIGITS, Recipe()).files
    assert maker.sqnr(DIGITS, Recipe(bias_correction="full")) > maker.sqnr(DIGITS, Recipe()) - 1
    with pytest.raises(UsageError, match="no fast bias correction"):
        maker.quantize(DIGITS, Recipe(bias_correction="fast"))


def test_the_planted_layer_takes_the_model_to_chance_and_its_neighbours_in_float_mend_it(maker: Maker) -> None:
    """Both: the bad tensor has one range whether the operator before or the one after it is in int8."""
    model = planted.artifacts() / "model.tflite"
    reference = maker.scores(model)
    np.testing.assert_allclose(reference, maker.scores(DIGITS), atol=1e-4)
    made = maker.quantize(model, Recipe())
    assert sqnr_db(reference, maker.scores(made.files[0])) < 10
    _, before, after = [info.name for info in made.infos if info.macs][:3]
    for one in (before, after):
        assert maker.sqnr(model, Recipe(left_float=(one,))) < 10
    mended = maker.quantize(model, Recipe(left_float=(before, after)))
    assert sqnr_db(reference, maker.scores(mended.files[0])) > 35
    assert mended.quantized_ops > 0


def test_what_stands_between_products_stays_float_in_a_transformer_alone(maker: Maker, tmp_path: Path) -> None:
    model = attention.write(tmp_path / "model.tflite")
    assert tflite_islands.model_kind(tflite_graph.parse(model.read_bytes())) == "transformer"
    assert tflite_islands.model_kind(tflite_graph.parse(DIGITS.read_bytes())) == "convolutional"
    made = maker.quantize(model, Recipe())
    assert made.settings["model_kind"] == "transformer"
    assert set(maker.kinds(made)) <= {*tflite_graph.PRODUCTS, *tflite_graph.MOVES}
    assert maker.kinds(made).count("BATCH_MATMUL") == 3
    whole = maker.quantize(model, Recipe(model_kind="convolutional"))
    assert {"SOFTMAX", "ADD"} <= set(maker.kinds(whole))
    assert made.macs == whole.macs


def test_an_npu_gets_everything_in_int8(maker: Maker, tmp_path: Path) -> None:
    model = attention.write(tmp_path / "model.tflite")
    assert "SOFTMAX" in maker.kinds(maker.quantize(model, Recipe(target_device="npu")))


def test_the_operators_of_the_outputs_stay_float(maker: Maker) -> None:
    """An int8 output has 255 values: two close scores tie."""
    whole, made = maker.quantize(DIGITS, Recipe()), maker.quantize(DIGITS, Recipe.parse("int8_floatoutputs"))
    last = [info for info in whole.infos if info.macs][-1]
    assert set(whole.layers) - set(made.layers) >= {last.name}
    assert made.macs is not None
    assert made.macs.low_bit == MACS - last.macs
    assert maker.sqnr(DIGITS, Recipe.parse("int8_floatoutputs")) > maker.sqnr(DIGITS, Recipe()) + 1
    values = maker.scores(made.files[0])
    assert len(np.unique(values)) > len(np.unique(maker.scores(whole.files[0]))) * 2


@pytest.mark.parametrize("recipe", ["int8_io8_floatoutputs", "int8_npu_floatoutputs"])
def test_a_model_of_integers_has_no_float_outputs(maker: Maker, recipe: str) -> None:
    with pytest.raises(UsageError, match="integers alone"):
        maker.quantize(DIGITS, Recipe.parse(recipe))


def test_a_model_that_a_recipe_leaves_in_float_is_no_quantized_one(maker: Maker) -> None:
    with pytest.raises(JobFailed) as caught:
        maker.quantize(DIGITS, Recipe(left_float=("*",)))
    assert caught.value.code == "nothing-quantized"
