"""The user's own metric: run in a process of its own, and blamed by file and line when it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.jobs.executor import Executor
from edgekit.parity.task import Metric, Task, read_metric

Array = NDArray[Any]

CODE = """
import os
from pathlib import Path

import numpy as np


def recall(outputs, labels):
    found = outputs.argmax(axis=1) == labels
    return np.mean([found[labels == one].mean() for one in np.unique(labels)])


def hits(outputs, labels):
    return outputs.argmax(axis=1) == labels


def distance(outputs, labels):
    return np.abs(outputs["box"] - outputs["centre"]).mean(axis=1) + labels


distance.greater_is_better = False


def spread(outputs, labels):
    return float(outputs.max() - outputs.min())


def where(outputs, labels):
    Path("process.txt").write_text(str(os.getpid()))
    return 1.0


def raises(outputs, labels):
    return 1.0 + labels.nothing


def fragile(outputs, labels):
    if np.isnan(outputs).any():
        raise ValueError("cannot score NaN")
    return 1.0


def nan(outputs, labels):
    return float("nan")


def text(outputs, labels):
    return "very good"


def rows(outputs, labels):
    return outputs


def lonely(outputs):
    return 1.0


def dies(outputs, labels):
    os._exit(3)


def writes(outputs, labels):
    outputs[0] = 0
    return 1.0


def odd(outputs, labels):
    return 1.0


odd.greater_is_better = "yes"
"""

LABELS = np.arange(120) % 3
SCORES = np.eye(3, dtype=np.float32)[LABELS]
WORSE = np.where((np.arange(120) % 10 == 0)[:, None], np.roll(SCORES, 1, axis=1), SCORES)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as opened:
        yield opened


@pytest.fixture
def called_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with ``mine.py`` in it."""
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def metric(name: str, folder: Path) -> Metric:
    return read_metric(f"{folder / 'mine.py'}:{name}")


def line(of: str) -> int:
    return next(number for number, text in enumerate(CODE.splitlines(), 1) if of in text)


def test_a_figure_of_the_whole_set_is_resampled(called_from: Path, executor: Executor) -> None:
    task = Task(metric("recall", called_from), LABELS, {"scores": SCORES}, executor)
    found = task.judge({"scores": WORSE}, 0.2)
    assert (task.source_value, task.greater_is_better) == (1.0, True)
    assert task.value({"scores": WORSE}) == pytest.approx(0.9)
    assert found.accuracy.metric == "mine.py:recall"
    assert found.accuracy.metric_sha256 == task.metric.code.sha256 if task.metric.code else False
    low, high = found.accuracy.drop_ci95
    assert 0.04 < low < 0.1 < high < 0.17
    assert found.verdict == "verified"
    assert found == task.judge({"scores": WORSE}, 0.2)


def test_booleans_per_sample_are_judged_as_accuracy_is(called_from: Path, executor: Executor) -> None:
    own = Task(metric("hits", called_from), LABELS, {"scores": SCORES}, executor).judge({"scores": WORSE}, 0.2)
    known = Task(Metric("accuracy"), LABELS, {"scores": SCORES}).judge({"scores": WORSE}, 0.2)
    assert own.accuracy.drop_ci95 == known.accuracy.drop_ci95


def test_several_outputs_come_by_name_and_less_may_be_better(called_from: Path, executor: Executor) -> None:
    source = {"box": np.zeros((9, 4), np.float32), "centre": np.zeros((9, 4), np.float32)}
    task = Task(metric("distance", called_from), np.arange(9), source, executor)
    assert (task.source_value, task.greater_is_better) == (4.0, False)
    found = task.judge({**source, "box": source["box"] + 1}, 0.5)
    assert (found.verdict, found.accuracy.drop, found.accuracy.drop_ci95) == ("failed", 1.0, (1.0, 1.0))
    one = read_metric(f"{called_from / 'mine.py'}:spread@box")
    assert Task(one, np.arange(9), source, executor).value({"box": np.arange(36.0).reshape(9, 4)}) == 35.0


def test_it_never_runs_in_the_process_of_the_command(called_from: Path, executor: Executor) -> None:
    Task(metric("where", called_from), LABELS, {"scores": SCORES}, executor)
    assert int((called_from / "process.txt").read_text()) != os.getpid()


def test_a_worker_runs_it_itself(called_from: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = metric("hits", called_from)
    for name, value in chosen.env.items():
        monkeypatch.setenv(name, value)
    task = Task(chosen.for_message(), LABELS, {"scores": SCORES})
    assert task.value({"scores": WORSE}) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", f"has no attribute 'nothing' (mine.py, line {line('.nothing')})"),
        ("nan", "mine.py:nan of the source is no finite number"),
        ("text", f"(mine.py, line {line('def text')}) returned str, which is no number"),
        ("rows", f"(mine.py, line {line('def rows')}) returned an array of shape 120x3 for 120 samples"),
        ("lonely", f"(mine.py, line {line('def lonely')}) should take two arguments"),
        ("dies", "the metric mine.py:dies ended its process"),
        ("writes", f"read-only (mine.py, line {line('outputs[0] = 0')})"),
        ("odd", f"(mine.py, line {line('def odd')}) says in greater_is_better"),
        ("missing", "mine.py has no function 'missing'"),
    ],
)
def test_what_is_wrong_with_it_shows_on_the_source(
    called_from: Path, executor: Executor, name: str, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Task(metric(name, called_from), LABELS, {"scores": SCORES}, executor)
    assert words in caught.value.message


def test_what_it_raises_on_an_artifact_alone_is_told_too(called_from: Path, executor: Executor) -> None:
    task = Task(metric("fragile", called_from), LABELS, {"scores": SCORES}, executor)
    with pytest.raises(UsageError, match=rf"cannot score NaN \(mine.py, line {line('cannot score')}\)"):
        task.judge({"scores": SCORES * np.float32(np.nan)}, None)


def test_labels_of_another_length_are_refused(called_from: Path, executor: Executor) -> None:
    with pytest.raises(DataError, match="one label per sample"):
        Task(metric("recall", called_from), LABELS[:7], {"scores": SCORES}, executor)
