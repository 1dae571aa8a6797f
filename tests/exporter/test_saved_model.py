"""A SavedModel folder travels between hops as one archive, and nothing in it lands outside."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edgekit.exporter.hops._saved_model import pack, unpacked
from tests.cli.command import snapshot


def test_a_folder_comes_back_as_it_was_and_goes_again(tmp_path: Path) -> None:
    folder, archive = tmp_path / "folder", tmp_path / "model.zip"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(bytes(range(256)))
    pack(folder, archive)
    with unpacked(archive) as copy:
        assert snapshot(copy) == snapshot(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "model.zip"]


def test_a_path_that_leads_outside_stays_inside(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with zipfile.ZipFile(inner / "model.zip", "w") as packed:
        packed.writestr("../escaped", b"1")
        packed.writestr(f"{tmp_path}/absolute", b"2")
    with unpacked(inner / "model.zip") as copy:
        assert {path.name for path in copy.rglob("*") if path.is_file()} == {"escaped", "absolute"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "model.zip"]
