"""Columns of tables become inputs: by name, all of them, or as the user says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgekit.data.read import read_samples
from edgekit.data.registry import ReadRequest
from edgekit.data.spec import parse_data, with_columns
from edgekit.data.tables import read
from edgekit.errors import DataError, UsageError
from edgekit.runtimes.base import describe
from edgekit.types import Signature, TensorSpec
from edgekit.workbench import Workbench

ROWS = 10_000
X = Signature((TensorSpec("x", (None, 3), "float32"),), ())
TWO = Signature((TensorSpec("age", (None, 1), "float32"), TensorSpec("code", (None,), "int32")), ())


def frame(rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    columns = {f"p{index}": rng.normal(size=rows) for index in range(3)}
    words = [("dog", "ant", "cow")[index % 3] for index in range(rows)]
    return pl.DataFrame({"kind": words, "age": np.arange(rows), **columns, "code": np.arange(rows) % 7})


@pytest.fixture(params=["t.csv", "t.parquet", "t.tsv"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / request.param
    made = frame()
    if path.suffix == ".parquet":
        made.write_parquet(path, row_group_size=1000)
    else:
        made.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


def test_columns_become_a_vector_with_classes_that_are_text(table: Path, bench: Workbench) -> None:
    given = with_columns(str(table), ["p*"])
    assert given is not None
    samples = read_samples(given, bench, X, "kind")
    expected = frame().select("p0", "p1", "p2").to_numpy().astype(np.float32)
    np.testing.assert_allclose(samples.load()["x"], expected, rtol=1e-6)
    labels = samples.load_labels()
    assert labels is not None
    assert labels[:4].tolist() == [2, 0, 1, 2]  # ant, cow, dog


def test_inputs_take_the_columns_of_their_names(table: Path, bench: Workbench) -> None:
    arrays = read_samples(table, bench, TWO, "kind").load()
    assert [describe(arrays[name]) for name in ("age", "code")] == [f"{ROWS}x1:float32", f"{ROWS}:int32"]
    assert arrays["code"][:8].tolist() == [0, 1, 2, 3, 4, 5, 6, 0]


def test_the_only_input_takes_all_columns_but_the_labels(tmp_path: Path, bench: Workbench) -> None:
    frame(20).drop("kind", "age").write_csv(tmp_path / "t.csv")
    for options in ({"labels": "code"}, {"spare": "code"}):
        samples = read_samples(tmp_path / "t.csv", bench, X, **options)
        assert samples.load()["x"].shape == (20, 3)
    with pytest.raises(DataError, match="takes other numbers per sample"):
        read_samples(tmp_path / "t.csv", bench, X)


def test_each_input_can_have_its_columns(tmp_path: Path, bench: Workbench) -> None:
    frame(20).write_csv(tmp_path / "t.csv", separator=";")
    given = with_columns(f"{tmp_path / 't.csv'}?separator=;", ["age=p1", "code=age"])
    assert given is not None
    arrays = read_samples(given, bench, TWO).load()
    np.testing.assert_allclose(arrays["age"][:, 0], frame(20)["p1"].to_numpy(), rtol=1e-6)
    assert arrays["code"].tolist() == list(range(20))


def test_pixels_in_columns_take_the_shape_of_the_input(tmp_path: Path, bench: Workbench) -> None:
    pixels = np.arange(48).reshape(4, 12)
    pl.DataFrame({f"pixel{index}": pixels[:, index] for index in range(12)}).write_csv(tmp_path / "t.csv")
    image = Signature((TensorSpec("image", (None, 4, 3, 1), "float32"),), ())
    samples = read_samples(tmp_path / "t.csv", bench, image)
    np.testing.assert_array_equal(samples.load()["image"], pixels.reshape(4, 4, 3, 1))


def test_a_column_of_lists_is_a_vector(tmp_path: Path, bench: Workbench) -> None:
    pl.DataFrame({"x": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}).write_parquet(tmp_path / "t.parquet")
    assert read_samples(tmp_path / "t.parquet", bench, X).load()["x"].tolist() == [[1, 2, 3], [4, 5, 6]]
    pl.DataFrame({"x": [[1.0, 2.0, 3.0], [4.0]]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="differ in length, first in row 1"):
        read_samples(tmp_path / "t.parquet", bench, X)


@pytest.mark.parametrize(
    ("columns", "labels", "code"),
    [
        (["p0,p1,kind"], None, "text-column"),
        (["p0,p1"], None, "wrong-columns"),
        (["p0,p1,p9"], None, "no-such-column"),
        (["q*"], None, "no-such-column"),
        (["z=p0,p1,p2"], None, "bad-columns"),
        (["p0,p1,code"], "code", "labels-in-inputs"),
        (["p*"], "absent", "no-labels"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: list[str], labels: str | None, code: str, tmp_path: Path) -> None:
    frame(20).write_csv(tmp_path / "t.csv")
    spec = parse_data(with_columns(str(tmp_path / "t.csv"), columns) or "")
    with pytest.raises(DataError) as caught:
        list(read(ReadRequest("t.csv", spec.path, None, spec.options, X, labels, None, lambda progress: None)))
    assert caught.value.code == code


def test_a_missing_value_is_named_by_its_row(tmp_path: Path, bench: Workbench) -> None:
    rows = frame(6000)
    rows[4500, "p1"] = None
    rows.write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="column p1 has no value in row 4500"):
        read_samples(f"{tmp_path / 't.csv'}?columns=p*", bench, X)


def test_shares_are_not_cut_to_whole_numbers(tmp_path: Path, bench: Workbench) -> None:
    pl.DataFrame({"age": [1.0, 2.0], "code": [1.0, 2.5]}).write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"takes whole numbers.*row 1"):
        read_samples(tmp_path / "t.csv", bench, TWO)


def test_a_table_that_is_none_is_told(tmp_path: Path, bench: Workbench) -> None:
    (tmp_path / "t.parquet").write_text("no table")
    with pytest.raises(DataError, match="cannot be read"):
        read_samples(tmp_path / "t.parquet", bench, X)


def test_columns_need_data() -> None:
    with pytest.raises(UsageError, match="there is none"):
        with_columns(None, ["a"])
    assert with_columns("t.npz", []) == "t.npz"
