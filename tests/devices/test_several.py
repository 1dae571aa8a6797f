"""edgekit's commands on devices: nothing changes but ``--device``, and what one device cannot do leaves the others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import MissingError
from edgekit.progress import Reporter, Update
from edgekit.samples import save_npz
from tests import models
from tests.cli.command import edgekit as command
from tests.devices.server import Server

GONE = "ssh://nobody@127.0.0.1:1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, twin_keras: Path) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    assert edgekit.export(twin_keras, target=("onnx", "openvino"), output=folder / "kit").ok
    return folder / "kit"


@pytest.fixture
def kit(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "kit")
    return tmp_path / "kit"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    yield server
    server.stop()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "other")
    yield server
    server.stop()


def test_a_check_on_several_devices_at_once(kit: Path, server: Server, other: Server) -> None:
    places = ("local", server.spec(), other.spec(), GONE)
    result = edgekit.check(kit, target="onnx", device=places)
    assert [(row.device, row.verdict) for row in result.results] == [
        ("local", "verified"),
        (server.spec(), "verified"),
        (other.spec(), "verified"),
        (GONE, "error"),
    ]
    assert "nothing answers" in result.results[-1].reasons[0]
    assert not result.ok
    local, there = result.results[:2]
    assert local.outputs == there.outputs  # the same engine on the same CPU
    assert [stage.stage for stage in there.stages] == ["export", "device"]


def test_the_only_device_that_cannot_be_reached_ends_the_command(kit: Path) -> None:
    for run in (edgekit.check, edgekit.bench):
        with pytest.raises(MissingError) as caught:
            run(kit, target="onnx", device=GONE)
        assert caught.value.code == "device-unreachable"


class Breaking(Reporter):
    """Cuts a server off when a task of a certain name begins."""

    def __init__(self, name: str, server: Server) -> None:
        self._name, self._server = name, server

    @contextmanager
    def task(self, name: str) -> Iterator[Update]:
        if name.startswith(self._name):
            self._server.stop()
        yield lambda progress: None


def test_what_was_finished_before_the_device_went_is_kept(kit: Path, server: Server) -> None:
    result = edgekit.check(kit, device=server.spec(), reporter=Breaking("check openvino", server))
    assert [(row.target, row.verdict) for row in result.results] == [("onnx", "verified"), ("openvino", "error")]
    assert result.stored


def test_timings_of_several_devices(kit: Path, server: Server) -> None:
    result = edgekit.bench(kit, target="onnx", device=(server.spec(threads=1), GONE), max_seconds=0.5)
    there, gone = result.results
    assert there.latency_ms is not None
    assert there.environment is not None
    assert there.threads == 1
    assert (gone.verdict, gone.latency_ms) == ("error", None)


def test_predictions_come_from_the_device(kit: Path, server: Server, tmp_path: Path) -> None:
    save_npz(tmp_path / "data.npz", models.twin_inputs(40).items())
    arrays = []
    for place in ("local", server.spec()):
        edgekit.predict(kit, tmp_path / "data.npz", output=tmp_path / "out.npz", target="onnx", device=place)
        with np.load(tmp_path / "out.npz") as found:
            arrays.append(dict(found))
    for name, expected in models.twin_outputs(models.twin_inputs(40)).items():
        np.testing.assert_array_equal(arrays[0][name], arrays[1][name])
        np.testing.assert_allclose(arrays[1][name], expected, rtol=1e-5, atol=2e-6)
    assert len(list((server.device_folder / "blobs").iterdir())) == 1 + len(models.INPUTS)


def test_the_command_line_with_a_name(kit: Path, server: Server, tmp_path: Path) -> None:
    mine = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert command("devices", "add", "board", server.spec(), cwd=tmp_path, variables=mine).code == 0
    listed = command("devices", "list", "--json", cwd=tmp_path, variables=mine).document
    assert [one["name"] for one in listed["devices"]] == ["local", "board"]
    probed = command("devices", "probe", "board", "--json", cwd=tmp_path, variables=mine).document
    (board,) = probed["devices"]
    assert board["facts"]["environment"]["python"]
    assert {one["name"] for one in board["facts"]["engines"]} == {"onnxruntime", "openvino", "tflite"}
    done = command(
        "check", kit, "--target", "onnx", "--device", "board?threads=1", "--json", cwd=tmp_path, variables=mine
    )
    (row,) = done.document["results"]
    assert (row["device"], row["verdict"]) == ("board?threads=1", "verified")
    server.stop()
    gone = command("check", kit, "--device", "board", "--json", cwd=tmp_path, variables=mine)
    assert (gone.code, gone.error["code"]) == (3, "device-unreachable")
    shown = command("devices", "probe", "board", "local", cwd=tmp_path, variables=mine)
    assert shown.code == 3
    assert "nothing answers at board" in shown.out
    assert "onnxruntime" in shown.out
