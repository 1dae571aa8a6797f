"""The agent on its own: one file, the same bytes each time, on a bare Python."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from edgekit.devices.agent import agent_bytes, agent_file, core_files
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.protocol import Job, blob_of, blobs_in, encode_job
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.jobs import RunJob, RunResult, TimeJob
from edgekit.runtimes.pairing import PairJob, Side
from edgekit.runtimes.probing import ProbeJob
from edgekit.runtimes.profile import ProfileJob
from edgekit.runtimes.timing import TimingPlan
from tests import models
from tests.jobs.misbehaving import Misbehave

ROOT = Path(__file__).parents[2]

T = TypeVar("T")


class Host:
    """The host's end of an agent, as small as it can be."""

    def __init__(
        self,
        folder: Path,
        *,
        python: str = sys.executable,
        agent: Path | None = None,
        user: int | None = None,
        **env: str,
    ) -> None:
        self.folder = folder
        plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), **env}
        folder.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [python, str(agent or agent_file()), str(folder / "base")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=plain,
            cwd=folder,
            user=user,
        )

    def say(self, message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, object]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode() if self.process.stderr else ""
        event: dict[str, object] = json.loads(line)
        return event

    def send(self, path: Path, digest: str, offset: int = 0) -> None:
        assert self.process.stdin is not None
        content = path.read_bytes()[offset:]
        self.say({"content": digest, "offset": offset, "size": len(content)})
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.process.wait(20)


def run_message(job: object, **limits: float) -> dict[str, object]:
    given = {"timeout_s": 30.0, "memory_bytes": 1 << 30, **limits}
    return {"run": encode_job(job, "0001"), "blobs": to_json(blobs_in(job)), **given}  # type: ignore[arg-type]  # a job


def test_the_same_files_give_the_same_bytes() -> None:
    content = agent_bytes()
    assert content == agent_bytes()
    assert agent_file().read_bytes() == content
    with zipfile.ZipFile(BytesIO(content)) as zipped:
        held = set(zipped.namelist())
    assert held == {"__main__.py", *(path.relative_to(ROOT).as_posix() for path in core_files())}


def test_a_python_that_is_too_old_says_so() -> None:
    old = next(iter(sorted((Path.home() / ".pyenv" / "versions").glob("3.[678].*/bin/python"))), None)
    if old is None:
        pytest.skip("there is no Python older than 3.9 here")
    done = subprocess.run([old, agent_file(), "nowhere"], capture_output=True, text=True, check=True)
    event = json.loads(done.stdout)
    assert event["code"] == "device-python-too-old"
    assert event["received"].startswith("Python 3.")


def test_jobs_one_after_another_and_files_once(tmp_path: Path) -> None:
    source = tmp_path / "data.bin"
    source.write_bytes(os.urandom(3000))
    blob = blob_of(source)
    job = Misbehave("copy", (blob,))
    host = Host(tmp_path / "device", PYTHONPATH=str(ROOT))  # the tests' own job comes from there
    try:
        host.say(run_message(job))
        assert host.hear() == {"event": "need", "blobs": {blob.sha256: 0}}
        host.send(source, blob.sha256)
        assert host.hear()["event"] == "started"
        result = host.hear()
        host.say({"collect": result["result"]["files"]})  # type: ignore[index]  # an event is any JSON
        assert host.process.stdout is not None
        assert host.process.stdout.read(3000) == source.read_bytes()
        host.say(run_message(job))
        assert host.hear()["event"] == "started"  # the content is there
    finally:
        host.end()
    assert not list((tmp_path / "device" / "base" / "jobs").iterdir())


def test_one_job_at_a_time_whichever_folder_it_uses(tmp_path: Path) -> None:
    """Two accounts have folders of their own, and share the device's temporary folder."""
    first, second = (Host(tmp_path / name, TMPDIR=str(tmp_path), PYTHONPATH=str(ROOT)) for name in ("one", "two"))
    try:
        first.say(run_message(Misbehave("hang")))
        assert first.hear()["event"] == "started"
        second.say(run_message(Misbehave("nothing")))
        waiting = second.hear()
        assert waiting["event"] == "waiting"
        assert f"process {first.process.pid}, since " in str(waiting["holder"])
        first.process.kill()
        assert second.hear()["event"] == "started"
        assert second.hear()["event"] == "result"
    finally:
        first.end()
        second.end()


NOBODY = 65534


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
def test_accounts_wait_for_each_other() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # pytest's own folders are closed to other accounts
        shared, agent = Path(name), Path(name) / "agent.pyz"
        shared.chmod(0o1777)
        agent.write_bytes(agent_bytes())
        agent.chmod(0o644)
        for folder in ("mine", "theirs"):
            (shared / folder).mkdir()
        os.chown(shared / "theirs", NOBODY, NOBODY)
        mine = Host(shared / "mine", TMPDIR=name, PYTHONPATH=str(ROOT))
        theirs = Host(
            shared / "theirs", python=python_for_all(), agent=agent, user=NOBODY, TMPDIR=name, PYTHONPATH=str(ROOT)
        )
        try:
            mine.say(run_message(Misbehave("hang"), timeout_s=3.0))
            assert mine.hear()["event"] == "started"
            theirs.say(run_message(Misbehave("hang"), timeout_s=3.0))
            waiting = theirs.hear()
            assert waiting["event"] == "waiting"
            assert str(waiting["holder"]).startswith("root from this machine, process ")
            assert theirs.hear()["event"] == "started"
        finally:
            mine.end()
            theirs.end()


def python_for_all() -> str:
    """An interpreter that every account may run."""
    for candidate in (sys.executable, *(shutil.which("python3", path=path) for path in ("/usr/local/bin", "/usr/bin"))):
        command = [str(candidate), "-c", "import sys; sys.exit(sys.version_info < (3, 9))"]
        with contextlib.suppress(OSError):
            if subprocess.run(command, user=NOBODY, cwd="/", capture_output=True, check=False).returncode == 0:
                return str(candidate)
    pytest.skip("other accounts may run no Python here")


@pytest.mark.parametrize(
    ("how", "limits", "code", "words"),
    [
        ("segfault", {}, "job-crashed", "SIGSEGV"),
        ("hang", {"timeout_s": 1.0}, "job-timeout", "after 1 s"),
        ("eat_memory", {"memory_bytes": 300 << 20}, "job-out-of-memory", "0.3 GiB"),
        ("be_killed", {}, "job-killed", "killed from outside"),
        ("raise", {}, "job-failed", "the graph has a cycle"),
    ],
)
def test_a_bad_job_is_an_event_and_nothing_is_left(
    tmp_path: Path, how: str, limits: dict[str, float], code: str, words: str
) -> None:
    host = Host(tmp_path / "device", PYTHONPATH=str(ROOT))
    try:
        host.say(run_message(Misbehave(how), **limits))
        assert host.hear()["event"] == "started"
        error = host.hear()
        assert (error["event"], error["code"]) == ("error", code)
        assert words in str(error["message"])
        assert host.process.wait(20) == 0
    finally:
        host.end()
    assert not list((tmp_path / "device" / "base" / "jobs").iterdir())


def outcome(host: Host) -> object:
    """The result of a job that goes well."""
    events = [host.hear()]
    while events[-1]["event"] not in ("result", "error"):
        events.append(host.hear())
    assert events[-1]["event"] == "result", events[-1]
    return events[-1]["result"]


def ran(host: Host, job: Job[T]) -> T:
    """The result of a job whose files are there; those that it names are left there."""
    host.say(run_message(job))
    result = from_json(job.result_type(), outcome(host))
    host.say({"collect": []})
    return result


@pytest.mark.slow
def test_a_real_job_on_python_39_with_one_engine(python39: Path, tmp_path: Path) -> None:
    inputs = models.twin_inputs(5)
    artifact = models.twin_onnx(tmp_path / "model.onnx", None)
    paths = {artifact.name: artifact}
    for name, array in inputs.items():
        paths[name] = tmp_path / f"{name}.npy"
        np.save(paths[name], array)
    blobs = {name: blob_of(path) for name, path in paths.items()}
    files = {blob.sha256: paths[name] for name, blob in blobs.items()}
    model = blobs.pop(artifact.name)
    host = Host(tmp_path / "device", python=str(python39))
    try:
        host.say(run_message(RunJob("onnxruntime", (model,), blobs, (1, 3), OpenOptions(threads=1))))
        need = host.hear()
        assert set(need["blobs"]) == set(files)  # type: ignore[call-overload]  # an event is any JSON
        for digest in need["blobs"]:  # type: ignore[attr-defined]  # an event is any JSON
            host.send(files[digest], digest)
        result = from_json(RunResult, outcome(host))
        wanted = [blob for outputs in result.outputs for blob in outputs.values()]
        host.say({"collect": [to_json(blob) for blob in wanted]})
        assert host.process.stdout is not None
        for outputs in result.outputs:
            for name, expected in models.twin_outputs(inputs).items():
                (tmp_path / "out.npy").write_bytes(host.process.stdout.read(outputs[name].size))
                np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5, atol=2e-6)
        options = OpenOptions(threads=1)
        plan = TimingPlan(warmup_min_runs=3, warmup_min_s=0.01, min_runs=5, min_s=0.01, max_s=5.0)
        other = replace(model, name="other.onnx")
        base, new = (Side("onnxruntime", {"model.onnx": one}, blobs, options) for one in (model, other))
        timed = ran(host, TimeJob("onnxruntime", (model,), blobs, options, plan))
        pair = ran(host, PairJob(base, new, plan))
        profile = ran(host, ProfileJob("onnxruntime", (model,), blobs, options, seconds=0.1))
        facts = ran(host, ProbeJob())
    finally:
        host.end()
    assert result.version == "1.19.2"
    assert timed.first_ms > 0
    assert pair.ratio > 0
    assert profile.timed
    assert facts.environment.python.startswith("3.9.")
    assert {engine.name: engine.version for engine in facts.engines} == {
        "onnxruntime": "1.19.2",
        "openvino": None,
        "tflite": None,
    }
