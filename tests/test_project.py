"""``edgekit.toml`` and the options of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.project import Settings, planned

TEXT = """
model = ["a.keras", "sub/b.keras"]
target = ["onnx", "tflite"]
precision = "fp16"
data = "train.npz"
eval-data = "test.npz"
labels = "label"
max-drop = 0.01
threads = 2
"""


def test_a_file_says_what_options_say_and_paths_start_at_it(tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text(TEXT)
    first, second = planned([str(tmp_path / "edgekit.toml")], Settings())
    assert [first.model, second.model] == [str(tmp_path / "a.keras"), str(tmp_path / "sub" / "b.keras")]
    options = first.settings.options()
    assert options.targets == ("onnx", "tflite")
    assert options.precisions == ("fp16",)
    assert options.data == str(tmp_path / "train.npz")
    assert options.eval_data == str(tmp_path / "test.npz")
    assert (options.labels, options.max_drop, options.threads) == ("label", 0.01, 2)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text(TEXT)
    given = Settings(target=("openvino",), threads=1, data="mine.npz")
    settings = planned([str(tmp_path / "edgekit.toml")], given)[0].settings
    assert (settings.target, settings.threads, settings.data) == (("openvino",), 1, "mine.npz")
    assert settings.precision == ("fp16",)


def test_the_file_of_this_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edgekit.toml").write_text("model = 'a.keras'")
    monkeypatch.chdir(tmp_path)
    assert [one.model for one in planned([], Settings())] == ["a.keras"]


def test_models_and_a_project_file_do_not_mix() -> None:
    with pytest.raises(UsageError, match="one project file, or models"):
        planned(["edgekit.toml", "a.keras"], Settings())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("treads = 2", "treads"),
        ("threads = 'two'", "'two'"),
        ("threads = true", "True"),
        ("threads = 1.5", "1.5"),
        ("data = 3", "3"),
        ("target = [1]", "[1]"),
    ],
)
def test_a_slip_is_named(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text(f"model = 'a.keras'\n{line}")
    with pytest.raises(UsageError) as error:
        planned([str(tmp_path / "edgekit.toml")], Settings())
    assert error.value.code == "bad-project"
    assert error.value.received == said
