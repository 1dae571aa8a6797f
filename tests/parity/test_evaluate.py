"""Labels against real outputs on disk, engines that do not compute as asked, signatures, and free sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.parity.evaluate import (
    Evaluation,
    OtherSize,
    Reference,
    _not_pinned,
    check_labels,
    evaluate,
    task_accuracy,
)
from edgekit.parity.signatures import not_kept, signature_faults
from edgekit.runtimes import OpenOptions
from edgekit.types import Effective, Reading, Signature, TensorSpec
from tests import models
from tests.onnx_files import write_onnx
from tests.parity.evaluating import specs, stored

Array = NDArray[Any]
CLASSES = np.arange(200) % 4
PROBABILITIES = np.eye(4, dtype=np.float32)[CLASSES]


def reference(folder: Path, outputs: Mapping[str, Array], labels: Array | None) -> Reference:
    specs = tuple(TensorSpec(name, (None, *array.shape[1:]), str(array.dtype)) for name, array in outputs.items())
    files = stored(folder / "source", outputs)
    return Reference(Signature((), specs), {}, files, {}, {}, "real", labels)


def test_labels_are_checked_with_the_source_alone(tmp_path: Path) -> None:
    box = np.zeros((200, 4), np.float32)
    check_labels(reference(tmp_path, {"box": box, "class": PROBABILITIES}, CLASSES))
    check_labels(reference(tmp_path, {"box": box[..., None]}, None))
    with pytest.raises(DataError, match="0 to 3, but labels go from 1 to 4"):
        check_labels(reference(tmp_path, {"class": PROBABILITIES}, CLASSES + 1))
    with pytest.raises(DataError, match="one class per sample"):
        check_labels(reference(tmp_path, {"class": PROBABILITIES}, PROBABILITIES))
    with pytest.raises(UsageError, match="accuracy needs an output"):
        check_labels(reference(tmp_path, {"box": box[..., None]}, CLASSES))


def test_accuracy_is_that_of_the_output_with_classes(tmp_path: Path) -> None:
    source: dict[str, Array] = {"box": np.random.default_rng(0).normal(size=(200, 4)), "class": PROBABILITIES}
    wrong = PROBABILITIES.copy()
    wrong[:50] = np.roll(wrong[:50], 1, axis=1)
    judged = task_accuracy(
        reference(tmp_path, source, CLASSES), stored(tmp_path / "got", {**source, "class": wrong}), 0.1
    )
    assert judged is not None
    assert (judged.verdict, judged.accuracy.value, judged.accuracy.source_value) == ("failed", 0.75, 1.0)


def test_accuracy_of_a_sigmoid(tmp_path: Path) -> None:
    single = (0.1 + 0.8 * (CLASSES[:, None] % 2)).astype(np.float32)
    known = reference(tmp_path, {"risk": single}, CLASSES % 2)
    judged = task_accuracy(known, stored(tmp_path / "got", {"risk": single + np.float32(0.2)}), None)
    assert judged is not None
    assert judged.accuracy.value == 1.0


@pytest.mark.parametrize("got", [{}, {"class": PROBABILITIES[:100]}])
def test_an_output_that_fails_parity_by_its_form_has_no_accuracy(tmp_path: Path, got: dict[str, Array]) -> None:
    known = reference(tmp_path, {"class": PROBABILITIES}, CLASSES)
    assert task_accuracy(known, stored(tmp_path / "got", got), 0.1) is None


@pytest.mark.parametrize(
    ("precision", "asked", "ran", "how", "doubts"),
    [
        ("fp32", "f32", "bf16+f32", "engine", ("asked for f32, the engine computed in bf16+f32.",)),
        ("fp32", "f32", "f16", "engine", ("asked for f32, the engine computed in f16.",)),
        ("fp32", "f32", "f32", "engine", ()),
        ("fp32", "f32", "f16", "inferred", ()),
        ("fp32", None, "bf16", "engine", ()),
        ("fp32", "f32", None, "not reported", ()),
        ("fp16", "f32", "f16", "engine", ()),
    ],
)
def test_an_engine_that_does_not_compute_as_asked_is_a_doubt(
    precision: str,
    asked: str | None,
    ran: str | None,
    how: Literal["engine", "inferred", "not reported"],
    doubts: tuple[str, ...],
) -> None:
    effective = Effective(Reading(ran, how), Reading("GPU", "engine"))
    assert _not_pinned(precision, OpenOptions(precision=asked), effective) == doubts


IDS = Signature(specs("ids=?x?:int64", "image=?x?x8x3:float32"), specs("best=?:int64"))


@pytest.mark.parametrize(
    ("inputs", "outputs", "reported"),
    [
        (("ids=?x?:int64", "image=?x?x8x3:float32"), "best=?:int64", ()),
        (("ids=?x?:int32", "image=?x?x8x3:float32"), "best=?:int64", ("input ids: int64 became int32",)),
        (
            ("ids=1x?:int32", "image=1x?x8x3:float32"),
            "best=1:int32",
            ("batch fixed to 1", "input ids: int64 became int32", "output best: int64 became int32"),
        ),
    ],
)
def test_a_fixed_batch_and_narrow_integers_are_reported(
    inputs: tuple[str, ...], outputs: str, reported: tuple[str, ...]
) -> None:
    artifact = Signature(specs(*inputs), specs(outputs))
    assert signature_faults(IDS, artifact) == ()
    assert not_kept(IDS, artifact) == reported


@pytest.mark.parametrize(
    ("inputs", "outputs", "fault"),
    [
        (
            ("image=?x?x8x3:float32", "ids=?x?:int64"),
            "best=?:int64",
            "the inputs should be ids=.*but are image=",
        ),
        (("ids=?x?:int64", "picture=?x?x8x3:float32"), "best=?:int64", "the inputs should be .*but are .*picture="),
        (("ids=?x?:int64", "image=?x?x8x3:float16"), "best=?:int64", "the inputs should be .*but are .*:float16"),
        (("ids=?x?:int16", "image=?x?x8x3:float32"), "best=?:int64", "the inputs should be .*but are .*:int16"),
        (("ids=?x?:int64", "image=?x?x8x3:float32"), "best=?x1:int64", "the outputs should be .*but are best=.x1"),
        (("ids=?x?:int64",), "best=?:int64", "the inputs should be .*but are ids="),
        (
            ("ids=?x?:int64", "image=?x32x8x3:float32"),
            "best=?:int64",
            "input image: dimension 1 is free .*to 32",
        ),
        (
            ("ids=2x?:int64", "image=2x?x8x3:float32"),
            "best=2:int64",
            "the batch is free in the source, but fixed to 2",
        ),
    ],
)
def test_any_other_change_of_the_signature_is_a_fault(inputs: tuple[str, ...], outputs: str, fault: str) -> None:
    (found,) = signature_faults(IDS, Signature(specs(*inputs), specs(outputs)))
    assert re.match(fault, found)


def mean_onnx(path: Path, divisor: float | None, element: int) -> Path:
    """The mean of ``x`` over its free axis; a divisor is that of the size it was traced with."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    constants: dict[str, Any] = {"axis": [1]}
    if divisor is None:
        nodes.append(helper.make_node("ReduceMean", ["f", "axis"], ["y"], keepdims=0))
    else:
        nodes += [
            helper.make_node("ReduceSum", ["f", "axis"], ["sum"], keepdims=0),
            helper.make_node("Div", ["sum", "size"], ["y"]),
        ]
        constants["size"] = divisor
    return write_onnx(path, nodes, constants, ["batch", "size", 3], ["batch", 3], element)


def judged(folder: Path, artifact: Path, *lengths: int, dtype: str = "float32", precision: str = "fp32") -> Evaluation:
    """An artifact against the mean of samples of several lengths, the first of which the golden samples have."""
    rng = np.random.default_rng(0)
    signature = Signature(specs(f"x=?x?x3:{dtype}"), specs("y=?x3:float32"))
    with Executor() as executor:
        sets = []
        for length in lengths:
            x = rng.integers(-90, 90, (8, length, 3)).astype(dtype)
            files = stored(folder / str(length), {"x": x, "y": x.astype(np.float32).mean(axis=1)})
            sets.append(({"x": executor.add(files["x"], f"x{length}.npy")}, {"y": files["y"]}))
        (inputs, outputs), *others = sets
        sizes = tuple(OtherSize(given, wanted, {"y": {"one-ulp": 1e-6}}, {"x": True}) for given, wanted in others)
        known = Reference(signature, inputs, outputs, {"y": {"one-ulp": 1e-6}}, {"x": True}, "generated", sizes=sizes)
        options: dict[str, Any] = {"executor": executor, "context": conversion_context(None), "batches": (1, 3)}
        return evaluate("onnx", precision, (executor.add(artifact),), known, **options)


def test_a_free_size_that_was_run_at_two_lengths_is_verified(tmp_path: Path) -> None:
    found = judged(tmp_path, mean_onnx(tmp_path / "mean.onnx", None, 1), 6, 9)
    assert (found.parity.verdict, found.parity.reasons) == ("verified", ())
    assert found.parity.evidence.shapes == ("x=1x6x3", "x=3x6x3", "x=3x9x3")


def test_a_free_size_that_was_run_at_one_length_is_in_doubt(tmp_path: Path) -> None:
    found = judged(tmp_path, mean_onnx(tmp_path / "mean.onnx", None, 1), 6)
    assert found.parity.verdict == "weak"
    assert found.parity.reasons == ("input x: free dimension 1 was run at one size only.",)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-weights"])
def test_a_size_that_was_baked_in_fails_at_the_other(tmp_path: Path, precision: str) -> None:
    artifact = mean_onnx(tmp_path / "mean.onnx", 6.0, 1)
    found = judged(tmp_path, artifact, 6, 60, precision=precision)
    assert found.parity.verdict == "failed"
    assert "at another size: output y: SQNR" in " ".join(found.parity.reasons)
    assert found.outputs["y"].name.startswith("out1")


def test_integers_are_fed_in_the_width_that_the_artifact_takes(tmp_path: Path) -> None:
    found = judged(tmp_path, mean_onnx(tmp_path / "mean.onnx", None, 6), 6, 9, dtype="int64")
    assert found.signature.inputs[0].dtype == "int32"
    assert (found.parity.verdict, found.fixed) == ("verified", ("input x: int64 became int32",))


def test_what_the_engine_chooses_itself_is_a_second_line(tmp_path: Path, twin_openvino: Path) -> None:
    """bfloat16 where the CPU has it; the verdict is that of the pinned precision."""
    inputs = models.twin_inputs(64)
    outputs = {name: array.astype(np.float32) for name, array in models.twin_outputs(inputs).items()}
    given = stored(tmp_path / "in", inputs)
    signature = Signature(specs("wide=?x4:float32", "token=?x2:int32"), specs("score=?x2:float32", "embed=?x5:float32"))
    with Executor() as executor:
        blobs = {name: executor.add(path, f"{name}.npy") for name, path in given.items()}
        known = Reference(signature, blobs, stored(tmp_path / "out", outputs), {}, {}, "generated")
        files = tuple(executor.add(path) for path in (twin_openvino, twin_openvino.with_suffix(".bin")))
        options: dict[str, Any] = {"executor": executor, "context": conversion_context(None), "batches": (3,)}
        found = evaluate("openvino", "fp32", files, known, by_default=True, **options)
        pinned = evaluate("openvino", "fp32", files, known, **options)
        claimed = evaluate("openvino", "bf16", files, known, by_default=True, **options)
    assert found.parity == pinned.parity
    assert found.parity.verdict == "verified"
    assert pinned.by_default is claimed.by_default is None
    if not has_bf16():
        assert found.by_default is None
        return
    assert found.by_default is not None
    assert "bf16" in found.by_default.precision
    assert found.by_default.sqnr_db is not None
    assert 20 < found.by_default.sqnr_db < 70
    assert found.by_default.top1_agreement is not None
    assert f"({found.by_default.precision}): {found.by_default.sqnr_db:.1f} dB" in found.by_default.summary


def has_bf16() -> bool:
    return any(flag in Path("/proc/cpuinfo").read_text() for flag in ("avx512_bf16", "amx_bf16"))


def first_of_batch_onnx(path: Path) -> Path:
    """The softmax of ``x``; in a batch of several, that of its first sample for each."""
    from onnx import helper

    nodes = [
        helper.make_node("Slice", ["x", "zero", "one", "zero"], ["first"]),
        helper.make_node("Sub", ["x", "x"], ["nothing"]),
        helper.make_node("Add", ["nothing", "first"], ["spread"]),
        helper.make_node("Softmax", ["spread"], ["y"], axis=1),
    ]
    return write_onnx(path, nodes, {"zero": [0], "one": [1]}, ["batch", 4])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4-weights"])
def test_what_only_another_batch_breaks_does_not_drown_among_many_samples(tmp_path: Path, precision: str) -> None:
    x = np.random.default_rng(0).normal(0, 3, (1000, 4)).astype(np.float32)
    y = np.exp(x - x.max(axis=1, keepdims=True))
    files = stored(tmp_path / "source", {"x": x, "y": (y / y.sum(axis=1, keepdims=True)).astype(np.float32)})
    artifact = first_of_batch_onnx(tmp_path / "first.onnx")
    signature = Signature(specs("x=?x4:float32"), specs("y=?x4:float32"))
    with Executor() as executor:
        inputs, noise = {"x": executor.add(files["x"])}, {"y": {"one-ulp": 1e-7}}
        known = Reference(signature, inputs, {"y": files["y"]}, noise, {"x": True}, "real")
        options: dict[str, Any] = {"executor": executor, "context": conversion_context(None)}
        found = evaluate("onnx", precision, (executor.add(artifact),), known, batches=(1, 3), **options)
        alone = evaluate("onnx", precision, (executor.add(artifact),), known, batches=(1,), **options)
    assert (alone.parity.verdict, found.parity.verdict) == ("verified", "failed")
    assert precision == "fp32" or "dB in batches of 3" in found.parity.reasons[0]
