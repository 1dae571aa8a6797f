"""`edgekit.run` as a function: several inputs and outputs, progress, and what makes it measure again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import edgekit
from edgekit.errors import UsageError
from edgekit.pipeline import RunOptions, library_versions
from edgekit.progress import Reporter, Update
from edgekit.samples import save_npz
from tests import models
from tests.cli.command import snapshot


class Listening(Reporter):
    """Notes the tasks."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    @contextmanager
    def task(self, name: str) -> Iterator[Update]:
        self.tasks.append(name)
        yield lambda progress: None


@pytest.mark.slow
def test_two_inputs_and_two_outputs_go_the_whole_way(twin_keras: Path, tmp_path: Path) -> None:
    save_npz(tmp_path / "data.npz", models.twin_inputs(60).items())
    options = RunOptions(("onnx",), ("int8-weights",), data=str(tmp_path / "data.npz"), max_seconds=0.3)
    listening = Listening()
    result = edgekit.run(twin_keras, options, output=tmp_path / "kit", reporter=listening)
    assert result.ok, [row.reasons for row in result.artifacts]
    assert [row.name for row in result.artifacts] == ["onnx fp32", "onnx int8-weights"]
    assert [output.name for output in result.checks[0].outputs] == list(models.OUTPUTS)
    assert {"export onnx", "quantize onnx to int8-weights", "check onnx fp32"} <= set(listening.tasks)
    before = snapshot(tmp_path / "kit")
    again = edgekit.run(twin_keras, options, output=tmp_path / "kit", reporter=Listening())
    assert again.cached
    assert snapshot(tmp_path / "kit") == before
    (tmp_path / "kit" / "report.html").unlink()
    assert not edgekit.run(twin_keras, options, output=tmp_path / "kit").cached
    assert (tmp_path / "kit" / "report.html").is_file()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (RunOptions(targets=("coreml",)), "unknown-target"),
        (RunOptions(precisions=("int3",)), "unknown-precision"),
        (RunOptions(device="toaster"), "unknown-device"),
        (RunOptions(max_seconds=0), "bad-setting"),
    ],
)
def test_what_cannot_work_is_refused_before_the_model_is_loaded(
    options: RunOptions, code: str, twin_keras: Path, tmp_path: Path
) -> None:
    listening = Listening()
    with pytest.raises(UsageError) as error:
        edgekit.run(twin_keras, options, output=tmp_path / "kit", reporter=listening)
    assert error.value.code == code
    assert listening.tasks == []
    assert not (tmp_path / "kit").exists()


def test_versions_of_what_may_change_a_result_are_known() -> None:
    versions = library_versions()
    assert {"numpy", "keras", "onnxruntime", "openvino"} <= set(versions)
    assert "pytest" not in versions
