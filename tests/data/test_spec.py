"""What users write as data, and when it counts as the same."""

from __future__ import annotations

from pathlib import Path

from edgekit.data.spec import data_digest, parse_data, with_columns


def test_options_stand_behind_the_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    spec = parse_data(f"{tmp_path / 't.csv'}?separator=;&columns=x=a,b")
    assert spec.path == tmp_path / "t.csv"
    assert spec.options == {"separator": ";", "columns": "x=a,b"}


def test_columns_join_the_options_that_are_there() -> None:
    assert with_columns("t.csv", ["x=a,b", "y=c"]) == "t.csv?columns=x=a,b;y=c"
    assert with_columns("t.csv?separator=;", ["a"]) == "t.csv?separator=;&columns=a"


def test_data_are_the_same_while_contents_names_and_options_are(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"1")
    first = data_digest(folder)
    assert first == data_digest(folder)
    digests = [first, data_digest(f"{folder}?scale=1/255")]
    (folder / "a.png").write_bytes(b"2")
    digests.append(data_digest(folder))
    (folder / "a.png").rename(folder / "b.png")
    digests.append(data_digest(folder))
    assert None not in digests
    assert len(set(digests)) == 4


def test_nobody_knows_what_code_will_yield(tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text("def batches(): ...")
    assert data_digest(f"{tmp_path / 'load.py'}:batches") is None
