"""Sources: what a model file is, by its content, and ``--input``."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.source import check_dtypes, open_source, parse_inputs, reference_backend
from edgekit.types import Signature, TensorSpec


def test_a_keras_file_is_known_by_content(twin_keras: Path) -> None:
    source = open_source(twin_keras)
    assert source.kind == "keras"
    assert len(source.sha256) == 64


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match=r"config\.json, metadata\.json is missing") as error:
        open_source(tmp_path / "model.keras")
    assert error.value.received == "readme.txt"


def test_another_format_is_told_what_can_be_exported(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"\x89HDF")
    with pytest.raises(ModelError) as error:
        open_source(tmp_path / "model.h5")
    assert error.value.code == "unknown-model-kind"
    assert ".onnx" in error.value.hint


@given(
    name=st.text("abcxyz_/:0", min_size=1),
    shape=st.lists(st.none() | st.integers(1, 999), min_size=1, max_size=5),
    dtype=st.sampled_from(["", "float32", "int64"]),
)
def test_what_a_signature_prints_is_what_input_takes(name: str, shape: list[int | None], dtype: str) -> None:
    spec = TensorSpec(name, tuple(shape), dtype)
    text = str(spec) if dtype else str(spec).removesuffix(":")
    assert parse_inputs([text]) == {name: spec}


@pytest.mark.parametrize(
    "text",
    ["", "image", "image=", "image=8x", "image=8*8", "=8x8", "image=?x-1", "image=8x8:", "image=?x8?x8", "image=?x0x8"],
)
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_inputs([text])
    assert error.value.code == "bad-input-option"


def test_an_input_is_given_once() -> None:
    with pytest.raises(UsageError, match="once per input"):
        parse_inputs(["x=1x2", "x=1x3"])


def test_a_dtype_that_contradicts_the_model() -> None:
    signature = Signature((TensorSpec("x", (None, 2), "float32"),), ())
    check_dtypes(signature, parse_inputs(["x=?x2"]))
    check_dtypes(signature, parse_inputs(["x=?x2:float32"]))
    with pytest.raises(UsageError, match="which takes x="):
        check_dtypes(signature, parse_inputs(["x=?x2:int8"]))


def test_the_backend_of_the_reference() -> None:
    assert reference_backend("auto") in ("jax", "torch", "tensorflow", "openvino")
    assert reference_backend("openvino") == "openvino"
    with pytest.raises(UsageError, match="no backend"):
        reference_backend("caffe")
