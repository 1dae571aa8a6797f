"""The agent on its own: one file, the same bytes each time, on a bare Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices.agent import agent_bytes, agent_file, core_files
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.protocol import blob_of, blobs_in, encode_job
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.jobs import RunJob, RunResult
from edgekit.runtimes.probing import DeviceFacts, ProbeJob
from tests import models
from tests.jobs.misbehaving import Misbehave

ROOT = Path(__file__).parents[2]


class Host:
    """The host's end of an agent, as small as it can be."""

    def __init__(self, folder: Path, *, python: str = sys.executable, **env: str) -> None:
        self.folder = folder
        plain = {"PATH": os.environ["PATH"], "HOME": str(folder), **env}
        folder.mkdir(exist_ok=True)
        command = [python, str(agent_file()), str(folder / "base")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=plain, cwd=folder
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
        events = [host.hear()]
        while events[-1]["event"] not in ("result", "error"):
            events.append(host.hear())
        assert events[-1]["event"] == "result", events[-1]
        result = from_json(RunResult, events[-1]["result"])
        wanted = [blob for outputs in result.outputs for blob in outputs.values()]
        host.say({"collect": [to_json(blob) for blob in wanted]})
        assert host.process.stdout is not None
        for outputs in result.outputs:
            for name, expected in models.twin_outputs(inputs).items():
                (tmp_path / "out.npy").write_bytes(host.process.stdout.read(outputs[name].size))
                np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5, atol=2e-6)
        host.say(run_message(ProbeJob()))
        assert host.hear()["event"] == "started"
        facts = from_json(DeviceFacts, host.hear()["result"])
    finally:
        host.end()
    assert result.version == "1.19.2"
    assert facts.environment.python.startswith("3.9.")
    assert {engine.name: engine.version for engine in facts.engines} == {
        "onnxruntime": "1.19.2",
        "openvino": None,
        "tflite": None,
    }
