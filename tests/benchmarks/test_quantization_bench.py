"""The quantization benchmark judges edgekit and the libraries by one measure: that measure has to be right."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quantization_stock
from benchmarks.coverage_cells import Done
from benchmarks.quantization_aims import Aim, aims
from benchmarks.quantization_cells import _crash
from benchmarks.quantization_count import count
from benchmarks.quantization_groups import cells
from benchmarks.quantization_judge import figures
from benchmarks.quantization_macs import Macs, einsum
from benchmarks.quantization_report import document
from tests import models

Record = dict[str, Any]

#: ``embed @ EMBED + wide @ WIDE``.
TWIN_MACS = 5 * 2 + 4 * 2
DENSE_MACS = 32 * 16


def test_a_float_network_has_as_many_macs_in_every_format(tmp_path: Path) -> None:
    files = {
        "onnx": models.twin_onnx(tmp_path / "twin.onnx", None),
        "openvino": models.twin_openvino(tmp_path / "twin.xml", None),
        "tflite": models.twin_tflite(tmp_path / "twin.tflite", 1),
    }
    assert {target: count(target, path) for target, path in files.items()} == dict.fromkeys(files, Macs(0, TWIN_MACS))


def test_what_computes_in_int8_is_counted_as_such(tmp_path: Path) -> None:
    files = {
        "onnx": models.dense_onnx(tmp_path / "dense.onnx"),
        "openvino": models.dense_openvino(tmp_path / "dense.xml"),
        "tflite": models.dense_tflite(tmp_path / "dense.tflite"),
    }
    assert {target: count(target, path) for target, path in files.items()} == dict.fromkeys(
        files, Macs(DENSE_MACS, DENSE_MACS)
    )


def test_weights_in_int8_alone_are_no_int8_arithmetic(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, load, numpy_helper, save

    path = models.dense_onnx(tmp_path / "dense.onnx")
    model = load(path)
    kept = [node for node in model.graph.node if node.output[0] not in ("x_int", "x_float")]
    next(node for node in kept if node.op_type == "MatMul").input[0] = "x"
    graph = helper.make_graph(
        kept,
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 32])],
        list(model.graph.output),
        [weight for weight in model.graph.initializer if numpy_helper.to_array(weight).size],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    assert count("onnx", path) == Macs(0, DENSE_MACS)


def test_a_convolution_counts_every_output_position(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    weights = numpy_helper.from_array(np.ones((6, 1, 3, 3), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "weights"], ["y"], group=3, pads=[1, 1, 1, 1], strides=[2, 2])],
        "grouped",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 6, 4, 4])],
        [weights],
    )
    path = tmp_path / "grouped.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    assert count("onnx", path) == Macs(0, 6 * 4 * 4 * 9)


def test_an_einstein_sum_counts_every_combination_of_its_indices() -> None:
    assert einsum("bpc,cd->bpd", [(1, 16, 64), (64, 10)]) == 16 * 64 * 10
    assert einsum("abc->cab", [(2, 3, 4)]) == 0


def test_a_product_of_constants_does_not_depend_on_the_input(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    stored = {
        "state": np.zeros((1, 5), np.float32),
        "recurrent": np.ones((5, 4), np.float32),
        "shape": np.array([1, 5]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Expand", ["state", "shape"], ["first"]),
            helper.make_node("MatMul", ["first", "recurrent"], ["nothing"]),
            helper.make_node("MatMul", ["x", "recurrent"], ["something"]),
            helper.make_node("Add", ["nothing", "something"], ["y"]),
        ],
        "first step",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    path = tmp_path / "step.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    assert count("onnx", path) == Macs(0, 20)


def test_attention_of_openvino_is_counted(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13 as ops

    query, key, value = (ops.parameter([-1, 4, size, 8], np.float32) for size in (16, 12, 12))
    attended = ops.scaled_dot_product_attention(query, key, value)
    openvino.save_model(openvino.Model([attended], [query, key, value]), tmp_path / "attention.xml")
    assert count("openvino", tmp_path / "attention.xml") == Macs(0, 4 * 16 * 12 * (8 + 8))


def test_figures_of_logits_are_what_they_say() -> None:
    wanted = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
    got = wanted + 0.1
    got[1] = (1.0, 0.0)
    told = figures(wanted, got, np.array([0, 1, 1, 1]))
    noise = 6 * 0.01 + 1.0 + 4.0
    assert told["sqnr_db"] == pytest.approx(10 * np.log10(8 / noise), abs=0.01)
    assert told["table"] == [2, 1, 0, 1]
    assert told["accuracy"] == 0.5


def test_outputs_that_are_no_numbers_are_no_good_file() -> None:
    wanted = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert figures(wanted, np.full((2, 2), np.nan), np.array([0, 1]))["sqnr_db"] is None


def test_a_library_that_raises_is_a_result(tmp_path: Path) -> None:
    def fails(model: Path, samples: np.ndarray, out: Path) -> Path:
        raise ValueError(f"\nno {model.name} here\nand more")

    fails.__name__ = "openvino_fails"
    assert quantization_stock.run(fails, Path("m.xml"), np.zeros(1), tmp_path) == {
        "reason": "ValueError: no m.xml here"
    }


def test_a_crash_is_named() -> None:
    assert _crash(Done(-signal.SIGSEGV, "", "some words", 1.0)) == "the process crashes (SIGSEGV)"


def record(way: str, sqnr_db: float | None, low: int = 100, precision: str = "int8", **more: Any) -> Record:
    found: Record = {
        "key": f"conv|{way}|{precision}|{len(more)}",
        "model": "conv",
        "seed": 0,
        "target": "onnx",
        "precision": precision,
        "way": way,
        "macs": [low, 100],
        "size_bytes": 1000,
    }
    if sqnr_db is None:
        return found | {"reason": "it was not made", **more}
    return found | {"sqnr_db": sqnr_db, "accuracy": 0.98, "table": [588, 0, 0, 12], **more}


def judged(*records: Record) -> dict[str, Aim]:
    return {aim.text: aim for aim in aims(cells(records), {}, [])}


def best(*records: Record) -> Aim:
    return next(aim for text, aim in judged(*records).items() if text.startswith("SQNR of int8"))


def test_less_noise_wins_only_with_as_much_int8_arithmetic() -> None:
    stock = record("onnxruntime", 35.0)
    assert best(record("edgekit", 34.6), stock).met
    assert not best(record("edgekit", 34.4), stock).met
    cheat = best(record("edgekit", 60.0, low=90), stock)
    assert not cheat.met
    assert "90.0% int8 MACs, onnxruntime 100.0%" in cheat.missed


def test_no_file_is_no_victory() -> None:
    assert not best(record("edgekit", None), record("onnxruntime", 35.0)).met
    assert best(record("edgekit", 35.0), record("onnxruntime", None), record("nncf", 30.0)).met


def test_the_gain_is_over_the_default_of_the_target_and_counts_nothing_that_is_left_in_float() -> None:
    def gain(*records: Record) -> Aim:
        return next(aim for text, aim in judged(*records).items() if text.startswith("Median gain"))

    assert gain(record("edgekit", 40.0), record("nncf", 31.0), record("onnxruntime", 39.0)).met
    assert not gain(record("edgekit", 40.0, low=50), record("nncf", 31.0)).met


def test_accuracy_control_has_to_name_what_it_mends() -> None:
    def planted(*records: Record) -> Aim:
        found = [one | {"model": "planted"} for one in records]
        return next(aim for text, aim in judged(*found).items() if text.startswith("One channel"))

    base = record("edgekit", 130.0, low=0, precision="fp32")
    mended = planted(base, record("edgekit", 32.0, low=60, left_float=["conv2d_1"]))
    assert mended.met
    assert "onnx: `conv2d_1` (60% of the MACs stay int8)" in mended.measured
    assert not planted(base, record("edgekit", 32.0, left_float=[])).met
    assert not planted(base, record("edgekit", 5.0, left_float=["conv2d_1"], table=[300, 288, 0, 12])).met


def test_a_kept_file_that_does_not_run_is_told() -> None:
    broken = record("edgekit", None) | {"path": "model.onnx", "fault": "does not run"}
    lying = record("edgekit", 40.0, low=50, path="model.onnx", own_macs=1.0)
    for one, why in ((broken, "does not run"), (lying, "says 100.0% int8 MACs, 50.0% counted")):
        aim = next(aim for text, aim in judged(one).items() if text.startswith("Every file"))
        assert not aim.met
        assert why in aim.missed


def test_what_was_not_measured_is_not_met() -> None:
    assert not any(aim.met for aim in judged(record("edgekit", 40.0)).values() if aim.measured == "not measured")
    assert not next(aim for text, aim in judged(record("edgekit", 40.0)).items() if "raw call" in text).met


def test_the_document_shows_both_columns_and_what_did_not_run() -> None:
    base = record("edgekit", 130.0, low=0, precision="fp32") | {"size_bytes": 4000}
    broken = record("onnxruntime", None) | {"reason": "does not run | at all"}
    text, met = document([base, record("edgekit", 40.0, low=99), record("nncf", 31.0), broken])
    assert not met
    assert "| conv | onnx | **edgekit** | 40.0 | 99.0% | 98.00% → 98.00% |" in text
    assert "| conv | onnx | nncf default | 31.0 | 100.0% |" in text
    assert "| conv | onnx int8 | onnxruntime | 1 | does not run / at all |" in text
    assert "4.00" in text
