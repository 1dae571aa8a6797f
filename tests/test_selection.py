"""What KIT and ARTIFACT on the command line stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.selection import select


def test_a_folder_stands_for_all_artifacts_of_its_kit(digits_kit: Path) -> None:
    chosen = select(digits_kit)
    assert len(chosen) == 6
    assert all(file.is_file() for one in chosen for file in one.files)


def test_targets_and_precisions_narrow_it(digits_kit: Path) -> None:
    chosen = select(digits_kit, ("onnx", "tflite"), ("int8",))
    assert {one.artifact.name for one in chosen} == {"onnx int8", "tflite int8"}
    assert len(select(digits_kit, ("all",), ("fp32",))) == 3
    with pytest.raises(UsageError, match="holds onnx") as error:
        select(digits_kit, (), ("fp16",))
    assert error.value.received == "fp16"


def test_an_artifact_of_a_kit_knows_its_kit_by_folder_and_by_file(digits_kit: Path) -> None:
    file = next((digits_kit / "artifacts").glob("openvino-int8-*/model.xml"))
    for path in (file, file.parent):
        (one,) = select(path)
        assert one.artifact.name == "openvino int8"
        assert one.kit is not None
        assert one.kit.folder.samefile(digits_kit)


def test_a_file_of_its_own_comes_with_its_weights(twin_openvino: Path) -> None:
    (one,) = select(twin_openvino)
    assert one.kit is None
    assert [file.name for file in one.files] == ["twin.xml", "twin.bin"]


@pytest.mark.parametrize(("name", "code"), [("nowhere", "no-such-path"), ("notes.txt", "not-an-artifact")])
def test_what_is_no_artifact(name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UsageError) as error:
        select(tmp_path / name)
    assert error.value.code == code


def test_a_model_is_sent_to_export(tmp_path: Path) -> None:
    (tmp_path / "net.keras").write_text("")
    with pytest.raises(UsageError) as error:
        select(tmp_path / "net.keras")
    assert error.value.hint.endswith(f"edgekit export {tmp_path}/net.keras")
