"""Files on their way to a device, over a real SSH server of this machine."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgekit.devices import parse_device
from edgekit.devices.ssh.connection import Connection
from edgekit.devices.ssh.device import target_of
from edgekit.errors import JobCrashed, MissingError
from edgekit.jobs.protocol import blob_of
from tests.devices.server import Server


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(48 << 20))
    return path


def connection(server: Server) -> Connection:
    return Connection(target_of(parse_device(server.spec())))


def test_a_file_is_sent_once(server: Server, tmp_path: Path) -> None:
    path, there = tmp_path / "a file.bin", server.device_folder / "a folder" / "a file.bin"
    path.write_bytes(os.urandom(5000))
    with connection(server) as opened:
        for _ in range(2):
            opened.put(path, str(there), blob_of(path).sha256)
            assert there.read_bytes() == path.read_bytes()
            found = there.stat()
        opened.put(path, str(there), blob_of(path).sha256)
        assert there.stat() == found
        there.write_bytes(b"scribbled")
        opened.put(path, str(there), blob_of(path).sha256)
    assert there.read_bytes() == path.read_bytes()


def test_several_commands_send_the_same_file_at_once(server: Server, large: Path) -> None:
    there, digest = server.device_folder / "large.bin", blob_of(large).sha256
    with ExitStack() as stack, ThreadPoolExecutor(3) as threads:
        opened = [stack.enter_context(connection(server)) for _ in range(3)]
        for one in opened:
            one.open()
        list(threads.map(lambda one: one.put(large, str(there), digest), opened))
    assert there.read_bytes() == large.read_bytes()
    assert not list(server.device_folder.glob("*.part"))


def test_a_transfer_that_broke_goes_on_where_it_stopped(server: Server, large: Path) -> None:
    there, blob = server.device_folder / "large.bin", blob_of(large)
    part = there.with_name(f"large.bin.{blob.sha256[:16]}.part")

    def cut() -> None:
        while not part.exists() or part.stat().st_size < 1 << 20:
            time.sleep(0.001)
        server.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    with connection(server) as opened:
        with pytest.raises(JobCrashed) as caught:
            opened.put(large, str(there), blob.sha256)
        cutter.join()
        assert caught.value.code == "connection-lost"
        with (server.device_folder / "sending").open() as lock:  # until the device has noticed
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert 1 << 20 <= part.stat().st_size < blob.size
        with part.open("r+b") as file:
            file.write(b"not what was sent")  # only a transfer that goes on from the end leaves this there
        with pytest.raises(MissingError) as damaged:
            opened.put(large, str(there), blob.sha256)
        assert damaged.value.code == "damaged-transfer"
        opened.put(large, str(there), blob.sha256)
    assert there.read_bytes() == large.read_bytes()
    assert not part.exists()
