"""The devices of edgekit, held to the suite that third parties run too."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from edgekit.devices import Device, open_device, opened_devices
from edgekit.testing.device_suite import DeviceSuite
from tests.devices.server import Server

ENGINES = ("onnxruntime", "openvino", "tflite")


class TestLocal(DeviceSuite):
    runtimes = ENGINES

    @pytest.fixture
    def device(self) -> Device:
        return open_device("local")


class TestPinned(DeviceSuite):
    @pytest.fixture
    def device(self) -> Device:
        return open_device(f"local?cpus={min(os.sched_getaffinity(0))}&threads=1")


class TestPython(DeviceSuite):
    runtimes = ENGINES

    @pytest.fixture
    def device(self) -> Device:
        return open_device(f"python:{sys.executable}")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    server = Server(tmp_path_factory.mktemp("board"))
    with opened_devices(server.spec(threads=1)) as (device,):
        yield device
    server.stop()


class TestSsh(DeviceSuite):
    runtimes = ENGINES

    @pytest.fixture
    def device(self, board: Device) -> Device:
        return board


@pytest.fixture(scope="module")
def emulated() -> Iterator[Device]:
    with opened_devices("qemu://aarch64?cpu=cortex-a72") as (device,):
        yield device


@pytest.mark.slow
class TestEmulated(DeviceSuite):
    runtimes = ("onnxruntime",)  # each process takes seconds there; `tests/devices/test_arm.py` checks on all engines

    @pytest.fixture
    def device(self, emulated: Device) -> Device:
        return emulated

    @pytest.mark.skip(reason="edgekit takes no turns on an emulated board: times taken there mean nothing")
    def test_two_artifacts_take_turns(self, device: Device) -> None:
        pass
