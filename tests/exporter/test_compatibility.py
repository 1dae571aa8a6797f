"""Old runtimes: what is asked for, what a file needs, and what real old engines say to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.exporter.compatibility import (
    DEFAULTS,
    CompatibilityJob,
    check,
    check_targets,
    limits,
    lower,
    needs_of,
    oldest,
    opset_for,
    parse_for,
)
from edgekit.exporter.compatibility_needs import OldRuntime
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.runtimes.base import Arrays, OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.samples import save_arrays
from edgekit.types import Blob
from tests.models import twin_inputs

#: The oldest operator set that the converters write.
WRITTEN = 18


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


# What is asked for


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("onnxruntime==1.19", "onnxruntime", (1, 19)),
        ("onnxruntime>=1.19.2", "onnxruntime", (1, 19, 2)),
        ("openvino == 2024.6", "openvino", (2024, 6)),
        ("tflite_runtime==2.14", "tflite-runtime", (2, 14)),
        ("tensorflow==2.15.1", "tensorflow", (2, 15, 1)),
        ("ai-edge-litert==1.2", "ai-edge-litert", (1, 2)),
    ],
)
def test_a_runtime_and_its_version_are_read(text: str, name: str, version: tuple[int, ...]) -> None:
    assert parse_for([text]) == (OldRuntime(name, version),)


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("onnxruntime", "bad-runtime", "--for onnxruntime==1.19"),
        ("onnxruntime==1", "bad-runtime", "--for onnxruntime==1.19"),
        ("onnxruntime<1.19", "bad-runtime", "--for onnxruntime==1.19"),
        ("tensorrt==8.6", "unknown-old-runtime", "onnxruntime, openvino, tensorflow, tflite-runtime"),
        ("onnxruntime==1.9", "unknown-old-version", "onnxruntime==1.12 or newer"),
        ("openvino==2021.4", "unknown-old-version", "openvino==2022.3 or newer"),
        ("tflite-runtime==2.5.0", "unknown-old-version", "tflite-runtime==2.7 or newer"),
    ],
)
def test_anything_else_is_refused_with_a_way_out(text: str, code: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_for([text])
    assert caught.value.code == code
    assert caught.value.received == text
    assert hint in caught.value.hint


def test_a_target_has_its_own_runtimes_or_the_default() -> None:
    old = parse_for(["openvino==2023.3", "tflite-runtime==2.10", "ai-edge-litert==1.0"])
    assert limits("onnx", old).runtimes == DEFAULTS["onnx"]
    assert not limits("onnx", old).named
    assert limits("openvino", old).runtimes == (OldRuntime("openvino", (2023, 3)),)
    assert [runtime.name for runtime in limits("tflite", old).runtimes] == ["tflite-runtime", "ai-edge-litert"]
    assert limits("tflite", old).named


def test_a_runtime_of_no_target_is_refused() -> None:
    old = parse_for(["openvino==2024.6"])
    check_targets(old, ["onnx", "openvino"])
    with pytest.raises(UsageError) as caught:
        check_targets(old, ["onnx", "tflite"])
    assert caught.value.code == "runtime-without-target"
    assert caught.value.hint == "Add --target openvino."


@pytest.mark.parametrize(
    ("runtimes", "asked", "opset"),
    [
        ([], None, 18),
        ([], 21, 21),
        (["onnxruntime==1.14"], None, 18),
        (["onnxruntime==1.19"], None, 18),
        (["onnxruntime==1.19"], 21, 21),
        (["onnxruntime==1.99"], 21, 21),
    ],
)
def test_the_oldest_operator_set_is_written_unless_another_is_asked_for(
    runtimes: list[str], asked: int | None, opset: int
) -> None:
    assert opset_for(limits("onnx", parse_for(runtimes)), asked, WRITTEN) == opset


@pytest.mark.parametrize(
    ("runtimes", "asked", "code", "says"),
    [
        (
            ["onnxruntime==1.19", "onnxruntime==1.17"],
            21,
            "opset-too-new",
            "onnxruntime 1.17 reads ONNX operator set 20",
        ),
        (["onnxruntime==1.13"], None, "runtime-too-old", "onnxruntime 1.13 reads ONNX operator set 17 at most"),
        ([], 17, "opset-too-old", "the converters write ONNX operator set 18 or newer"),
    ],
)
def test_a_contradiction_names_the_runtime_and_its_newest_operator_set(
    runtimes: list[str], asked: int | None, code: str, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        opset_for(limits("onnx", parse_for(runtimes)), asked, WRITTEN)
    assert caught.value.code == code
    assert says in caught.value.message


# What a file needs


def make_onnx(path: Path, *, opset: int, ir: int, domain: str = "", data_type: int = 1) -> Path:
    """``y = x + 1`` and a cast, in one operator set and IR version."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Add", ["x", "one"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["cast"], to=data_type),
        helper.make_node("Cast", ["cast"], ["y"], to=TensorProto.FLOAT),
    ]
    if domain:
        nodes.append(helper.make_node("Gelu", ["x"], ["extra"], domain=domain))
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2])] for name in "xy"]
    one = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")
    graph = helper.make_graph(nodes, "g", *ends, [one])
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=ir), str(path))
    return path


@pytest.mark.parametrize(
    ("opset", "ir", "runtime", "reasons"),
    [
        (18, 8, "1.14", []),
        (21, 10, "1.18", []),
        (18, 10, "1.17", ["IR version 10, which onnxruntime has since 1.18"]),
        (21, 8, "1.17", ["ONNX operator set 21, which onnxruntime has since 1.18"]),
        (18, 99, "1.25", ["IR version 99, which is in no release known here"]),
    ],
)
def test_onnx_is_held_against_operator_set_and_ir_version(
    tmp_path: Path, opset: int, ir: int, runtime: str, reasons: list[str]
) -> None:
    path = make_onnx(tmp_path / "m.onnx", opset=opset, ir=ir)
    found = check(path, limits("onnx", parse_for([f"onnxruntime=={runtime}"])))
    assert [reason.removeprefix(f"onnxruntime {runtime} cannot load it: it has ") for reason in found] == [
        f"{reason}." for reason in reasons
    ]


def test_operators_that_no_table_covers_are_not_promised(tmp_path: Path) -> None:
    path = make_onnx(tmp_path / "m.onnx", opset=18, ir=8, domain="com.microsoft")
    (reason,) = check(path, limits("onnx", parse_for(["onnxruntime==1.19"])))
    assert "operator Gelu of com.microsoft, which is in no release known here" in reason
    assert oldest(needs_of(path, "onnx"), "onnx") == ()


def test_the_ir_version_is_lowered_as_far_as_the_content_allows(tmp_path: Path) -> None:
    import onnx

    plain, int4 = (
        make_onnx(tmp_path / "plain.onnx", opset=21, ir=11),
        make_onnx(tmp_path / "int4.onnx", opset=21, ir=11, data_type=onnx.TensorProto.INT4),
    )
    wanted = limits("onnx", parse_for(["onnxruntime==1.14"]))
    assert lower(plain, wanted)
    assert lower(int4, wanted)
    assert not lower(plain, wanted)
    assert onnx.load(plain).ir_version == 8
    assert onnx.load(int4).ir_version == 10  # which brought four-bit integers
    assert onnx.load(int4).graph == onnx.load(make_onnx(tmp_path / "again.onnx", opset=21, ir=11, data_type=22)).graph


IR = """<?xml version="1.0"?>
<net name="model" version="11">
  <layers>
    <layer id="0" name="x" type="Parameter" version="opset1">
      <data shape="2,1,8,8" element_type="f32" />
      <output><port id="0" precision="FP32" names="x"><dim>2</dim><dim>1</dim><dim>8</dim><dim>8</dim></port></output>
    </layer>
    <layer id="1" name="max" type="MaxPool" version="opset14">
      <data strides="2, 2" dilations="1, 1" pads_begin="0, 0" pads_end="0, 0" kernel="3, 3" rounding_type="{rounding}"
            auto_pad="same_upper" index_element_type="i64" axis="0" />
      <input><port id="0" precision="FP32"><dim>2</dim><dim>1</dim><dim>8</dim><dim>8</dim></port></input>
      <output>
        <port id="1" precision="FP32"><dim>2</dim><dim>1</dim><dim>4</dim><dim>4</dim></port>
        <port id="2" precision="I64"><dim>2</dim><dim>1</dim><dim>4</dim><dim>4</dim></port>
      </output>
    </layer>
    <layer id="2" name="mean" type="AvgPool" version="opset16">
      <data kernel="2, 2" strides="1, 1" pads_begin="0, 0" pads_end="0, 0" exclude-pad="true" auto_pad="same_upper"
            rounding_type="floor" dilations="{dilations}" />
      <input><port id="0" precision="FP32"><dim>2</dim><dim>1</dim><dim>4</dim><dim>4</dim></port></input>
      <output><port id="1" precision="FP32"><dim>2</dim><dim>1</dim><dim>4</dim><dim>4</dim></port></output>
    </layer>
    <layer id="3" name="one" type="Const" version="opset1">
      <data element_type="i64" shape="1" offset="0" size="8" />
      <output><port id="0" precision="I64"><dim>1</dim></port></output>
    </layer>
    <layer id="4" name="flat" type="Squeeze" version="opset15">
      <data allow_axis_skip="{skip}" />
      <input>
        <port id="0" precision="FP32"><dim>2</dim><dim>1</dim><dim>4</dim><dim>4</dim></port>
        <port id="1" precision="I64"><dim>1</dim></port>
      </input>
      <output><port id="2" precision="FP32" names="y"><dim>2</dim><dim>4</dim><dim>4</dim></port></output>
    </layer>
    <layer id="5" name="y" type="Result" version="opset1">
      <input><port id="0" precision="FP32"><dim>2</dim><dim>4</dim><dim>4</dim></port></input>
    </layer>
  </layers>
  <edges>
    <edge from-layer="0" from-port="0" to-layer="1" to-port="0" />
    <edge from-layer="1" from-port="1" to-layer="2" to-port="0" />
    <edge from-layer="2" from-port="1" to-layer="4" to-port="0" />
    <edge from-layer="3" from-port="0" to-layer="4" to-port="1" />
    <edge from-layer="4" from-port="2" to-layer="5" to-port="0" />
  </edges>
</net>
"""


def make_ir(path: Path, *, rounding: str = "floor", dilations: str = "1, 1", skip: str = "false") -> Path:
    """Max pool, average pool and squeeze, in the newest versions of each."""
    path.write_text(IR.format(rounding=rounding, dilations=dilations, skip=skip))
    path.with_suffix(".bin").write_bytes(np.array([1], np.int64).tobytes())
    return path


def test_an_ir_is_held_against_each_operator(tmp_path: Path) -> None:
    path = make_ir(tmp_path / "m.xml")
    assert check(path, limits("openvino", parse_for(["openvino==2025.3"]))) == ()
    assert check(path, limits("openvino", parse_for(["openvino==2024.5"]))) == (
        "openvino 2024.5 cannot load it: it has AvgPool of opset16, which openvino has since 2025.3.",
    )
    assert len(check(path, limits("openvino", parse_for(["openvino==2023.3"])))) == 3
    assert oldest(needs_of(path, "openvino"), "openvino") == (OldRuntime("openvino", (2025, 3)),)


def test_a_lowered_ir_computes_the_same_and_loads_in_older_releases(executor: Executor, tmp_path: Path) -> None:
    path = make_ir(tmp_path / "m.xml")
    files = (executor.add(path), executor.add(path.with_suffix(".bin")))
    found = executor.run(CompatibilityJob(files, limits("openvino", ())), conversion_context(None))
    assert found.oldest == ("openvino 2022.3",)
    assert found.reasons == ()
    inputs = {"x": np.random.default_rng(3).normal(size=(2, 1, 8, 8)).astype(np.float32)}
    before, after = (_run(executor, "openvino", made, inputs, tmp_path) for made in (files, found.files))
    assert after["y"].std() > 0.1
    np.testing.assert_array_equal(after["y"], before["y"])
    assert executor.path(files[0]).read_text() == path.read_text()  # the first file is as it was


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"rounding": "ceil_torch"}, "MaxPool of opset14"),
        ({"dilations": "2, 2"}, "AvgPool of opset16"),
        ({"skip": "true"}, "Squeeze of opset15"),
    ],
)
def test_an_operator_that_would_mean_something_else_stays(tmp_path: Path, changed: dict[str, str], kept: str) -> None:
    path = make_ir(tmp_path / "m.xml", **changed)
    lower(path, limits("openvino", ()))
    (reason,) = check(path, limits("openvino", parse_for(["openvino==2023.3"])))
    assert kept in reason


def with_operator(source: Path, path: Path, code: int, version: int, custom: bytes | None = None) -> Path:
    """A TFLite file with one more operator in its list: an interpreter refuses what it does not know there."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    operator = schema.OperatorCodeT()
    operator.builtinCode, operator.deprecatedBuiltinCode, operator.version = code, min(code, 127), version
    operator.customCode = custom
    model.operatorCodes.append(operator)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.mark.parametrize(
    ("code", "version", "runtime", "reason"),
    [
        (9, 9, "tflite-runtime==2.12", None),
        (9, 10, "tflite-runtime==2.12", "FULLY_CONNECTED version 10, which tflite-runtime has since 2.13"),
        (3, 8, "tensorflow==2.14", "CONV_2D version 8, which tensorflow has since 2.15"),
        (159, 1, "tflite-runtime==2.10", "BITCAST version 1, which tflite-runtime has since 2.13"),
        (39, 9, "ai-edge-litert==2.1.5", "TRANSPOSE version 9, which ai-edge-litert has since 2.1.6"),
        (39, 9, "ai-edge-litert==2.1.6", None),
        (22, 7, "tensorflow==2.21", "RESHAPE version 7, which is in no release known here"),
        (999, 1, "tensorflow==2.21", "operator 999 version 1, which is in no release known here"),
    ],
)
def test_tflite_is_held_against_the_version_of_each_operator(
    twin_tflite: Path, tmp_path: Path, code: int, version: int, runtime: str, reason: str | None
) -> None:
    path = with_operator(twin_tflite, tmp_path / "m.tflite", code, version)
    found = check(path, limits("tflite", parse_for([runtime])))
    assert found == (() if reason is None else (f"{runtime.replace('==', ' ')} cannot load it: it has {reason}.",))


def test_a_custom_operator_is_in_no_release(twin_tflite: Path, tmp_path: Path) -> None:
    path = with_operator(twin_tflite, tmp_path / "m.tflite", 32, 1, b"FlexErf")
    (reason,) = check(path, limits("tflite", ()))
    assert "the custom operator FlexErf" in reason


def test_int8_files_are_read_too(dense_onnx: Path, dense_openvino: Path, dense_tflite: Path) -> None:
    for target, path in (("onnx", dense_onnx), ("openvino", dense_openvino), ("tflite", dense_tflite)):
        assert check(path, limits(target, ())) == ()


# What the engines say


@pytest.mark.parametrize("format_", ["onnx", "openvino", "tflite"])
def test_an_artifact_that_went_through_the_job_runs_as_before(
    executor: Executor, tmp_path: Path, request: pytest.FixtureRequest, format_: str
) -> None:
    path: Path = request.getfixturevalue(f"twin_{format_}")
    companions = [path.with_suffix(".bin")] if format_ == "openvino" else []
    files = tuple(executor.add(file) for file in (path, *companions))
    found = executor.run(CompatibilityJob(files, limits(format_, ())), conversion_context(None))
    assert found.reasons == ()
    assert [blob.name for blob in found.files] == [blob.name for blob in files]
    before, after = (_run(executor, format_, made, twin_inputs(4), tmp_path) for made in (files, found.files))
    for name, array in before.items():
        assert array.std() > 0.01
        np.testing.assert_array_equal(after[name], array)


def _run(executor: Executor, target: str, files: tuple[Blob, ...], inputs: Arrays, folder: Path) -> Arrays:
    blobs = {name: executor.add(path) for name, path in save_arrays(folder, "in", inputs).items()}
    job = RunJob(runtime_for(target).name, files, blobs, (2,), OpenOptions())
    (outputs,) = executor.run(job, conversion_context(None)).outputs
    return {name: np.load(executor.path(blob)) for name, blob in outputs.items()}
