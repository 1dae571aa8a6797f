"""Names, order and dtypes of inputs and outputs are the source's in every target, or the result says what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError
from edgekit.figures import ArtifactResult
from edgekit.jobs.executor import Executor
from edgekit.kit import Kit
from edgekit.types import Signature
from tests.exporter import shapes_zoo
from tests.exporter.planted_shapes import plant
from tests.exporter.shapes_bench import Bench

pytestmark = pytest.mark.xdist_group("signature")  # one bench: workers and conversions are shared

TARGETS = ("onnx", "openvino", "tflite")

MODELS = ("in_dict", "in_list", "long_ids", "pair", "square")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes_zoo.build(tmp_path_factory.mktemp("signature"), *MODELS)


@pytest.fixture(scope="module")
def bench(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor, models, plant(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def kits(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Kit, dict[str, ArtifactResult]]]:
    """A kit with every target, and what export said of each, by model."""
    made = {}
    for model in ("in_dict", "in_list", "long_ids"):
        folder = tmp_path_factory.mktemp("kits") / model
        result = edgekit.export(models / f"{model}.keras", "all", output=folder)
        made[model] = Kit.open(folder), {row.target: row for row in result.artifacts}
    return made


Kits = dict[str, tuple[Kit, dict[str, ArtifactResult]]]


def declared(kit: Kit, target: str) -> Signature:
    return next(one.signature for one in kit.artifacts if one.target == target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [
        ("in_dict", ["alpha", "zeta"], ["one", "two"]),  # Keras sorts the keys of dictionaries
        ("in_list", ["beta", "alpha"], ["second", "first"]),
    ],
)
def test_names_order_and_dtypes_are_kept(
    kits: Kits, model: str, inputs: list[str], outputs: list[str], target: str
) -> None:
    kit, rows = kits[model]
    source, artifact = kit.manifest.source.signature, declared(kit, target)
    assert rows[target].verdict == "verified"
    assert [spec.name for spec in artifact.inputs] == inputs
    assert [spec.name for spec in artifact.outputs] == outputs
    for want, have in zip((*source.inputs, *source.outputs), (*artifact.inputs, *artifact.outputs), strict=True):
        assert (have.name, have.dtype, have.shape[1:]) == (want.name, want.dtype, want.shape[1:])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", ["in_dict", "in_list"])
def test_the_batch_stays_free_or_the_result_says_not(kits: Kits, model: str, target: str) -> None:
    kit, rows = kits[model]
    if target == "tflite":
        assert declared(kit, target).batch == 1
        assert "batch fixed to 1." in rows[target].reasons
    else:
        assert declared(kit, target).batch is None
        assert rows[target].reasons == ()


@pytest.mark.parametrize("target", TARGETS)
def test_integers_of_64_bits_are_kept_or_reported(kits: Kits, target: str) -> None:
    kit, rows = kits["long_ids"]
    source, artifact = kit.manifest.source.signature, declared(kit, target)
    dtypes = {spec.name: spec.dtype for spec in (*source.inputs, *source.outputs)}
    assert dtypes == {"ids": "int64", "best": "int64", "score": "float32"}
    assert rows[target].verdict == "verified"
    expected = [
        f"{noun} {spec.name}: int64 became int32."
        for noun, specs in (("input", artifact.inputs), ("output", artifact.outputs))
        for spec in specs
        if spec.dtype == "int32"
    ]
    assert [reason for reason in rows[target].reasons if "became" in reason] == expected
    assert {spec.dtype for spec in artifact.inputs} <= {"int64", "int32"}


@pytest.mark.parametrize("target", TARGETS)
def test_ids_of_64_bits_run_on_every_artifact(kits: Kits, target: str) -> None:
    kit, _ = kits["long_ids"]
    (path,) = (str(kit.folder / one.path) for one in kit.artifacts if one.target == target)
    ids = np.arange(12, dtype=np.int64).reshape(2, 6)
    with edgekit.load(path) as model:
        assert model.predict({"ids": ids})["score"].shape == (2, 5)
        if model.signature.inputs[0].dtype == "int32":
            with pytest.raises(DataError, match="cannot hold these numbers"):
                model.predict({"ids": ids + 2**40})


@pytest.mark.parametrize(
    ("model", "kind", "reason"),
    [
        ("pair", "swapped", "output score: the largest difference"),
        ("square", "transposed", "output score: the largest difference"),
        (
            "square",
            "renamed",
            "the outputs should be score=?x3:float32, but are StatefulPartitionedCall:0=",
        ),
    ],
)
def test_what_looks_right_and_is_not_fails(bench: Bench, model: str, kind: str, reason: str) -> None:
    """The converter itself is right: what fails is what was changed after it."""
    assert bench.judge(model, "keras@openvino>openvino").parity.verdict == "verified"
    found = bench.judge(model, f"keras@openvino>{kind}", f"{kind}>openvino")
    assert found.signature.inputs == bench.reference(model).signature.inputs
    assert found.parity.verdict == "failed"
    assert found.parity.reasons[0].startswith(reason)


def test_an_artifact_with_another_input_cannot_be_run(bench: Bench) -> None:
    with pytest.raises(DataError, match="the model takes serving_default_image:0=") as caught:
        bench.judge("square", "keras@openvino>misnamed", "misnamed>openvino")
    assert caught.value.received == "image"
