"""Free heights, widths and lengths: every artifact is run at two sizes, or says why it has no free size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError, ModelError
from edgekit.exporter.reference import golden_of, load_source, reference_of, stored_reference
from edgekit.exporter.sizes import first_lengths, free_axes, other_lengths, resized
from edgekit.jobs.executor import Executor
from edgekit.kit import Kit
from edgekit.progress import SILENT
from edgekit.types import Blob, Signature, TensorSpec
from edgekit.workbench import workbench
from tests.cli.command import edgekit
from tests.exporter import shapes_zoo, zoo
from tests.exporter.planted_shapes import plant
from tests.exporter.shapes_bench import Bench, Pins

pytestmark = pytest.mark.xdist_group("shapes")  # one bench: workers and conversions are shared

SEQUENCES = ("attention", "recurrent", "wave", "masked")
IMAGES = ("anysize", "upsample", "unet")

IR = ("keras@openvino>openvino",)
ONNX_FROM_IR = ("keras@openvino>openvino", "openvino>onnx")
ONNX_FROM_JAX = ("keras@jax>onnx",)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    zoo.build(folder, "anysize")
    return shapes_zoo.build(folder, "upsample", "unet", *SEQUENCES)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def bench(models: Path, planted: dict[str, str]) -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor, models, planted)


def signature(**shapes: tuple[int | None, ...]) -> Signature:
    return Signature(tuple(TensorSpec(name, shape, "float32") for name, shape in shapes.items()), ())


def shape_of(bench: Bench, blob: Blob) -> tuple[int, ...]:
    return tuple(np.load(bench.executor.path(blob), mmap_mode="r").shape)


def outcome(bench: Bench, model: str, hop: str) -> str:
    """The verdict, or the code of the refusal."""
    try:
        return bench.judge(model, hop).parity.verdict
    except EdgekitError as err:
        return err.code


def test_no_two_free_dimensions_have_the_same_length_at_first() -> None:
    first = next(first_lengths(signature(image=(None, None, None, 3), steps=(None, None, 4))))
    assert set(first) == {("image", 1), ("image", 2), ("steps", 1)}
    assert len(set(first.values())) == 3


def test_a_model_that_wants_equal_lengths_gets_them_in_the_end() -> None:
    tried = list(first_lengths(signature(image=(None, None, None, 3))))
    assert {(32, 32), (224, 224), (32, 64)} <= {tuple(lengths.values()) for lengths in tried}


def test_nothing_free_is_one_choice_and_no_other() -> None:
    fixed = signature(image=(None, 8, 8, 3))
    assert free_axes(fixed) == ()
    assert list(first_lengths(fixed)) == [{}]
    assert list(other_lengths({})) == []


@pytest.mark.parametrize("length", [1, 2, 5, 8, 32, 224])
def test_other_lengths_differ_everywhere(length: int) -> None:
    base = {("image", 1): length, ("image", 2): length}
    others = list(other_lengths(base))
    assert all(0 < other[axis] != base[axis] for other in others for axis in base)
    assert others[0]["image", 1] != others[0]["image", 2]
    assert others[-1]["image", 1] == others[-1]["image", 2]


def test_samples_at_another_size_hold_the_values_of_the_samples() -> None:
    ids = np.arange(12).reshape(3, 4)
    (longer,) = resized({"ids": ids}, {("ids", 1): 6}, 2).values()
    np.testing.assert_array_equal(longer, [[0, 1, 2, 3, 0, 1], [4, 5, 6, 7, 4, 5]])
    (shorter,) = resized({"ids": ids}, {("ids", 1): 2}, 8).values()
    np.testing.assert_array_equal(shorter, ids[:, :2])


@pytest.mark.parametrize("model", [*IMAGES, *SEQUENCES])
def test_a_source_is_run_at_two_sizes(bench: Bench, model: str) -> None:
    reference = bench.reference(model)
    (other,) = [size for size in reference.sizes if not size.edge]
    for name, axis in free_axes(reference.signature):
        assert shape_of(bench, reference.inputs[name])[axis] != shape_of(bench, other.inputs[name])[axis]
    for blobs in (reference.inputs, other.inputs):
        if model in IMAGES:
            _, height, width, _ = shape_of(bench, blobs["image"])
            assert height != width
            assert model != "unet" or (height % 4, width % 4) == (0, 0)
    assert set(other.outputs) == set(other.noise) == set(reference.outputs)
    assert all(other.reacts.values())


def test_lengths_that_belong_together_are_equal(bench: Bench) -> None:
    reference = bench.reference("masked")
    for blobs in (reference.inputs, reference.sizes[0].inputs):
        assert shape_of(bench, blobs["ids"]) == shape_of(bench, blobs["mask"])


@pytest.mark.parametrize("model", [*IMAGES, *SEQUENCES])
def test_ir_keeps_free_sizes_and_is_run_at_two(bench: Bench, model: str) -> None:
    found = bench.judge(model, *IR)
    assert (found.parity.verdict, found.parity.reasons, found.fixed) == ("verified", (), ())
    assert found.signature.inputs == bench.reference(model).signature.inputs
    for name, _ in free_axes(found.signature):
        lengths = {shape.partition("x")[2] for shape in found.parity.evidence.shapes if shape.startswith(f"{name}=")}
        assert len(lengths) == 2


@pytest.mark.parametrize(
    ("model", "hops"),
    [*((model, ONNX_FROM_IR) for model in (*IMAGES, "wave", "masked")), ("attention", ONNX_FROM_JAX)],
)
def test_onnx_keeps_free_sizes_and_is_run_at_two(bench: Bench, model: str, hops: tuple[str, ...]) -> None:
    found = bench.judge(model, *hops)
    assert (found.parity.verdict, found.parity.reasons, found.fixed) == ("verified", (), ())
    assert found.signature.inputs == bench.reference(model).signature.inputs


def test_a_pinned_size_is_run_alone_and_leaves_no_doubt(bench: Bench) -> None:
    pins: Pins = {"image": (None, 24, 16, 3)}
    assert all(size.edge for size in bench.reference("anysize", pins).sizes)
    found = bench.judge("anysize", *ONNX_FROM_JAX, pins=pins)
    assert (found.parity.verdict, found.parity.reasons) == ("verified", ())
    assert found.parity.evidence.shapes == ("image=1x24x16x3", "image=3x24x16x3")


def test_real_samples_of_one_size_are_cut_to_another(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.random.default_rng(0).uniform(0, 1, (9, 30, 30, 3)).astype(np.float32))
    found = bench.judge("anysize", *IR, inputs={"image": bench.executor.add(path)})
    assert found.parity.verdict == "verified"
    assert found.parity.evidence.inputs == "real"
    assert found.parity.evidence.shapes == ("image=1x30x30x3", "image=3x30x30x3", "image=3x23x37x3")


@pytest.mark.parametrize(("model", "hop"), [("anysize", "keras@jax>stablehlo"), ("wave", "keras@jax>stablehlo")])
def test_a_converter_that_would_fix_a_free_size_refuses(bench: Bench, model: str, hop: str) -> None:
    with pytest.raises(ModelError) as caught:
        bench.convert(model, hop)
    assert caught.value.code == "free-size"
    assert "--input" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("hop", ["keras@torch>onnx", "keras@torch>tflite"])
@pytest.mark.parametrize("model", ["anysize", "upsample", "attention"])
def test_torch_never_gives_a_graph_of_one_size_for_a_free_one(bench: Bench, model: str, hop: str) -> None:
    """Its stock export returns, and is wrong for every size but the traced one."""
    assert outcome(bench, model, hop) in ("free-size", "verified")


def test_a_size_that_was_baked_in_shows_at_the_other_size_only(bench: Bench) -> None:
    found = bench.judge("anysize", "keras@openvino>baked", "baked>openvino")
    assert found.signature.inputs[0].shape == (None, None, None, 3)
    assert found.parity.verdict == "failed"
    assert all(reason.startswith("at another size: output score:") for reason in found.parity.reasons)


def test_a_free_size_that_was_fixed_is_no_success(bench: Bench) -> None:
    found = bench.judge("anysize", "keras@openvino>fixed", "fixed>openvino")
    assert found.parity.verdict == "failed"
    assert "dimension 1 is free in the source, but fixed to 32" in found.parity.reasons[0]


def test_the_user_is_told_that_a_size_was_baked_in(models: Path, planted: dict[str, str], tmp_path: Path) -> None:
    route = "keras@openvino>baked>openvino"
    command = ("export", models / "anysize.keras", "--target", "openvino", "--route", route, "-o", tmp_path / "kit")
    done = edgekit(*command, "--json", cwd=tmp_path, variables=planted)
    (row,) = done.document["artifacts"]
    assert (done.code, row["verdict"], row["path"]) == (1, "failed", None)
    assert row["attempts"][0]["outcome"] == "rejected"
    assert "at another size" in row["attempts"][0]["reason"]


def test_a_kit_keeps_samples_of_both_sizes(models: Path, tmp_path: Path) -> None:
    with workbench(SILENT) as work:
        source = load_source(work, models / "anysize.keras")
        reference = reference_of(work, source, None)
        kit = Kit.prepare(tmp_path / "kit", source.summary(), replace_source=False)
        kit.commit(golden=golden_of(reference, work))
        stored = stored_reference(Kit.open(tmp_path / "kit"), work)
        assert [size.edge for size in stored.sizes] == [False, True]
        for before, after in zip(reference.sizes, stored.sizes, strict=True):
            assert (after.noise, after.reacts, after.edge) == (before.noise, before.reacts, before.edge)
            for name, array in before.arrays().items():
                np.testing.assert_array_equal(after.arrays()[name], array)
        before, after = reference.sizes[0], stored.sizes[0]
        assert {name: blob.sha256 for name, blob in after.inputs.items()} == {
            name: blob.sha256 for name, blob in before.inputs.items()
        }
        assert {name: blob.sha256 for name, blob in stored.inputs.items()} == {
            name: blob.sha256 for name, blob in reference.inputs.items()
        }
