"""A kit is whole at every moment: one commit point, nothing lost, nothing half."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError, UsageError
from edgekit.figures import SourceSummary
from edgekit.files import check_writable, writing
from edgekit.golden import Golden, golden_file
from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit, digest_of
from edgekit.results import CheckResult
from edgekit.types import Artifact, Evidence, Signature, TensorSpec
from tests.cli.command import snapshot

SIGNATURE = Signature((TensorSpec("x", (None, 2), "float32"),), (TensorSpec("y", (None, 1), "float32"),))


def source(folder: Path, name: str = "model.keras", content: str = "weights") -> SourceSummary:
    path = folder / name
    path.write_text(content)
    return SourceSummary(str(path), blob_of(path).sha256, "keras", "jax", "keras 3", SIGNATURE, 3)


def artifact(folder: Path, target: str = "onnx", content: str = "graph") -> tuple[Artifact, tuple[Path, ...]]:
    path = folder / f"model.{target}"
    path.write_text(content)
    files = (blob_of(path),)
    made = Artifact(target, "fp32", path.name, files, digest_of(files), "route", None, SIGNATURE, (), {}, {})
    return made, (path,)


def golden(folder: Path, seed: int) -> tuple[Golden, Path]:
    array = np.random.default_rng(seed).random((4, 2), dtype=np.float32)
    folder.mkdir(exist_ok=True)
    path = golden_file(folder, {"x": array}, {"y": array[:, :1]})
    return Golden(blob_of(path), "real", 4, {"y": {"one-ulp": 0.0}}, {"x": True}), path


def result() -> CheckResult:
    return CheckResult(True, "verified", Evidence("real", 4, ()), "kit", "", ())


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A kit with golden samples and one artifact."""
    made = Kit.prepare(tmp_path / "kit", source(tmp_path), replace_source=False)
    made.commit(golden=golden(tmp_path / "g", 1), artifacts=[artifact(tmp_path)])
    return made


def test_what_was_committed_is_there_for_the_next_command(kit: Kit) -> None:
    again = Kit.open(kit.folder)
    assert again.manifest == kit.manifest
    (held,) = again.artifacts
    again.verify(held)
    ((inputs, outputs),) = again.golden()
    assert inputs["x"].shape == (4, 2)
    assert np.array_equal(outputs["y"], inputs["x"][:, :1])


def test_preparing_writes_nothing(tmp_path: Path) -> None:
    Kit.prepare(tmp_path / "kit", source(tmp_path), replace_source=False)
    assert not (tmp_path / "kit").exists()


def test_a_folder_whose_first_command_was_killed_can_be_used(tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    folder.mkdir()
    (folder / "golden.npz").write_bytes(b"whole")
    with pytest.raises(UsageError, match="other files"):
        Kit.prepare(folder, source(tmp_path), replace_source=False)
    (folder / ".lock").touch()  # the first thing that a commit makes
    Kit.prepare(folder, source(tmp_path), replace_source=False).commit(result=result())
    assert not list(folder.glob("golden*"))


def test_a_commit_that_is_stopped_before_its_last_step_leaves_the_old_kit(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kit.manifest
    move = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if Path(target).name == "kit.json":
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    new = artifact(tmp_path, "tflite", "other")
    with pytest.raises(KeyboardInterrupt):
        kit.commit(golden=golden(tmp_path / "g2", 2), artifacts=[new, artifact(tmp_path, content="newer")])
    monkeypatch.undo()
    old = Kit.open(kit.folder)
    assert old.manifest == before
    old.verify(old.artifacts[0])
    assert old.golden()
    old.commit(artifacts=[new])
    assert len(list((kit.folder / "artifacts").iterdir())) == 2
    assert not list(kit.folder.rglob(".tmp-*"))


def test_leftovers_of_killed_commands_are_swept(kit: Kit) -> None:
    (kit.folder / "artifacts" / ".tmp-left").mkdir()
    (kit.folder / "artifacts" / "onnx-fp32-00000000").mkdir()
    (kit.folder / ".tmp-manifest").write_text("half")
    (kit.folder / "golden-12345678.npz").write_text("half")
    (kit.folder / "notes.txt").write_text("mine")
    kit.commit(result=result())
    assert [path.name for path in (kit.folder / "artifacts").iterdir()] == [Path(kit.artifacts[0].path).parent.name]
    assert not list(kit.folder.rglob(".tmp-*"))
    assert [path.name for path in kit.folder.glob("golden*")] == ["golden.npz"]
    assert (kit.folder / "notes.txt").exists()


def test_new_golden_samples_never_overwrite_the_old_ones(kit: Kit, tmp_path: Path) -> None:
    new = golden(tmp_path / "g2", 2)
    kit.commit(golden=new)
    assert [path.name for path in kit.folder.glob("golden*")] == [f"golden-{new[0].file.sha256[:8]}.npz"]
    assert np.array_equal(Kit.open(kit.folder).golden()[0][0]["x"], np.load(new[1])["inputs/x"])


def test_half_a_golden_file_of_a_killed_command_is_not_taken_for_a_whole_one(kit: Kit, tmp_path: Path) -> None:
    new = golden(tmp_path / "g2", 2)
    (kit.folder / f"golden-{new[0].file.sha256[:8]}.npz").write_bytes(new[1].read_bytes()[:100])
    kit.commit(golden=new)
    assert Kit.open(kit.folder).golden()


def test_a_changed_artifact_is_refused_and_mended_by_making_it_again(kit: Kit, tmp_path: Path) -> None:
    (path,) = kit.files(kit.artifacts[0])
    path.write_text("Graph")
    with pytest.raises(ModelError, match="not what edgekit wrote") as error:
        kit.verify(kit.artifacts[0])
    assert error.value.code == "changed-artifact"
    kit.commit(artifacts=[artifact(tmp_path)])
    kit.verify(kit.artifacts[0])
    assert len(list((kit.folder / "artifacts").iterdir())) == 1


def test_a_newer_artifact_of_the_same_kind_takes_the_place_of_the_old_one(kit: Kit, tmp_path: Path) -> None:
    old = kit.files(kit.artifacts[0])[0]
    kit.commit(artifacts=[artifact(tmp_path, content="newer")])
    assert len(kit.artifacts) == 1
    assert kit.files(kit.artifacts[0])[0].read_text() == "newer"
    assert not old.exists()


def test_results_are_only_added(kit: Kit) -> None:
    for _ in range(3):
        kit.commit(result=result())
    assert len(set(kit.manifest.results)) == 3
    assert len(kit.stored_results(CheckResult)) == 3
    (kit.folder / "results" / kit.manifest.results[0]).unlink()  # somebody tidied up
    assert len(kit.stored_results(CheckResult)) == 2


def test_a_new_version_of_the_source_starts_a_new_generation(kit: Kit, tmp_path: Path) -> None:
    kit.commit(result=result())
    newer = Kit.prepare(kit.folder, source(tmp_path, content="more training"), replace_source=False)
    assert (newer.manifest.generation, newer.artifacts, newer.manifest.golden) == (2, (), None)
    newer.commit(artifacts=[artifact(tmp_path, "tflite")])
    stored = Kit.open(kit.folder).manifest
    assert [one.target for one in stored.artifacts] == ["tflite"]
    assert len(stored.results) == 1


def test_another_source_needs_replace(kit: Kit, tmp_path: Path) -> None:
    other = source(tmp_path, "other.keras", "other")
    with pytest.raises(UsageError, match="belongs to") as error:
        Kit.prepare(kit.folder, other, replace_source=False)
    assert error.value.code == "other-source"
    Kit.prepare(kit.folder, other, replace_source=True).commit(artifacts=[artifact(tmp_path, "tflite")])
    assert [one.target for one in Kit.open(kit.folder).artifacts] == ["tflite"]


def test_a_relative_path_means_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = source(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    Kit.prepare(Path("kit"), replace(summary, path="model.keras"), replace_source=False).commit(result=result())
    monkeypatch.chdir(tmp_path / "elsewhere")
    namesake = source(tmp_path / "elsewhere", content="another model of this name")
    with pytest.raises(UsageError, match="belongs to"):
        Kit.prepare(tmp_path / "kit", replace(namesake, path="model.keras"), replace_source=False)


def commit_one(folder: Path, model: SourceSummary, number: int, start: multiprocessing.synchronize.Barrier) -> None:
    own = folder / str(number)
    own.mkdir()
    kit = Kit.prepare(folder / "kit", model, replace_source=False)
    start.wait()
    kit.commit(artifacts=[artifact(own, f"target{number}", str(number))])
    kit.commit(result=result())


def test_commands_side_by_side_lose_nothing(tmp_path: Path) -> None:
    """All of them find no kit when they start, as two first exports of one model do."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4)
    model = source(tmp_path)  # written once: two writers of one file would make it two sources
    processes = [context.Process(target=commit_one, args=(tmp_path, model, number, start)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    kit = Kit.open(tmp_path / "kit")
    assert {one.target for one in kit.artifacts} == {f"target{number}" for number in range(4)}
    for one in kit.artifacts:
        kit.verify(one)
    assert len(kit.stored_results(CheckResult)) == 4


def test_a_kit_that_got_another_source_meanwhile_is_left_alone(kit: Kit, tmp_path: Path) -> None:
    other = Kit.prepare(kit.folder, source(tmp_path, "other.keras", "other"), replace_source=True)
    other.commit(artifacts=[artifact(tmp_path, "tflite")])
    before = snapshot(kit.folder)
    with pytest.raises(UsageError, match="meanwhile"):
        kit.commit(artifacts=[artifact(tmp_path, content="late")])
    assert snapshot(kit.folder) == before


@pytest.mark.parametrize(
    ("text", "code"), [("not json", "bad-kit"), (json.dumps({"schema": "edgekit.kit/9"}), "kit-version")]
)
def test_a_manifest_that_cannot_be_read(text: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "kit.json").write_text(text)
    with pytest.raises(UsageError) as error:
        Kit.open(tmp_path)
    assert error.value.code == code


def test_a_folder_under_a_file_cannot_hold_a_kit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a file"):
        check_writable(tmp_path / "file" / "kit")
    check_writable(tmp_path / "new" / "kit")


def test_other_faults_of_the_system_are_not_called_usage(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too strange"), writing(tmp_path):
        raise OSError(5, "too strange")
