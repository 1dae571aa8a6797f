"""What was added is what a job gets, whatever happens to the user's file; what a job made outlives its process."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import InternalError, UsageError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.types import Blob
from tests.jobs.misbehaving import Misbehave

HERE = Context("test", {"PYTHONPATH": str(Path(__file__).parents[2])})


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(b"as it was")
    return path


def overwrite(path: Path) -> None:
    path.write_bytes(b"rewritten")


@pytest.mark.parametrize("change", [overwrite, Path.unlink])
def test_a_file_that_changes_after_it_was_added_changes_nothing(
    executor: Executor, source: Path, change: object
) -> None:
    blob = executor.add(source)
    assert callable(change)
    change(source)
    (copied,) = executor.run(Misbehave("copy", (blob,)), HERE).files
    assert executor.path(copied).read_bytes() == b"as it was"
    assert copied.sha256 == blob.sha256


def test_a_job_cannot_write_into_the_users_file(executor: Executor, source: Path) -> None:
    executor.run(Misbehave("write_into_the_input", (executor.add(source),)), HERE)
    assert source.read_bytes() == b"as it was"


def test_one_content_is_stored_once_under_all_its_names(executor: Executor, source: Path) -> None:
    first, again, other = executor.add(source), executor.add(source), executor.add(source, "source.keras")
    assert first == again
    assert executor.path(other).name == "source.keras"
    assert executor.path(first).samefile(executor.path(other))
    assert len([path for path in executor._store.folder.rglob("*") if path.is_file()]) == 2


def test_a_file_in_scratch_space_is_not_copied(executor: Executor) -> None:
    path = executor.scratch() / "samples.npy"
    path.write_bytes(b"large")
    assert executor.path(executor.add(path)).samefile(path)


def test_a_link_in_scratch_space_does_not_lead_a_job_to_the_users_file(executor: Executor, source: Path) -> None:
    link = executor.scratch() / "link.bin"
    link.symlink_to(source)
    assert not executor.path(executor.add(link)).samefile(source)


@pytest.mark.parametrize("fresh", [True, False])
def test_what_a_job_made_stays_and_its_folder_goes(executor: Executor, source: Path, fresh: bool) -> None:
    run = executor.run_fresh if fresh else executor.run
    (made,) = run(Misbehave("copy", (executor.add(source),)), HERE).files
    assert executor.path(made).read_bytes() == b"as it was"
    assert not list(executor._root.glob("worker-*/0*"))
    assert bool(list(executor._root.glob("worker-*"))) == (not fresh)


def test_the_folder_of_a_worker_that_died_goes(executor: Executor) -> None:
    for run in (executor.run, executor.run_fresh):
        with pytest.raises(Exception, match="exit status 3"):
            run(Misbehave("exit"), HERE)
    assert not list(executor._root.glob("worker-*"))


def test_a_file_that_cannot_be_read_is_bad_input(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        executor.add(tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="directory"):
        executor.add(tmp_path)


def test_a_full_disk_is_said_with_a_way_out(executor: Executor, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(1 << 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(UsageError) as caught:
            executor.add(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "no-space"
    assert "TMPDIR" in caught.value.hint
    assert not list(executor._store.folder.iterdir())


def test_a_temporary_folder_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(source))
    with pytest.raises(UsageError) as caught, Executor():
        pass
    assert caught.value.code == "no-permission"
    assert "TMPDIR" in caught.value.hint


@pytest.mark.parametrize("name", ["../data.bin", "/etc/hostname", "..", ".", "", "a/b", "a\0b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(executor: Executor, source: Path, name: str) -> None:
    blob = executor.add(source)
    with pytest.raises(UsageError, match="plain name"):
        executor.run(Misbehave("nothing", (Blob(blob.sha256, name, blob.size),)), HERE)
    with pytest.raises(UsageError, match="plain name"):
        executor.run(Misbehave("read_outside", argument=name), HERE)


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc", ""])
def test_a_blob_that_was_never_taken_in_is_refused(executor: Executor, digest: str) -> None:
    with pytest.raises(InternalError):
        executor.path(Blob(digest, "x", 1))


def test_two_contents_of_one_name_are_refused(executor: Executor, source: Path) -> None:
    first = executor.add(source)
    overwrite(source)
    with pytest.raises(InternalError, match=r"two blobs of one job are called data\.bin"):
        executor.run(Misbehave("copy", (first, executor.add(source))), HERE)
    assert os.listdir(executor._store.folder)
