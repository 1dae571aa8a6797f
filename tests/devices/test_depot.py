"""What a device keeps: each content once, proven, and no more than it should."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from edgekit.errors import InternalError, MissingError
from edgekit.jobs.depot import Depot
from edgekit.types import Blob
from tests.devices.server import require_namespaces

ROOT = Path(__file__).parents[2]


def blob_of(content: bytes, name: str = "x.bin") -> Blob:
    return Blob(sha256(content).hexdigest(), name, len(content))


def put(depot: Depot, content: bytes, name: str = "x.bin") -> Blob:
    blob = blob_of(content, name)
    depot.receive(blob, 0, [content])
    return blob


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    return Depot(tmp_path / "blobs", keep_bytes=250)


def test_a_content_is_missing_until_it_is_whole(depot: Depot) -> None:
    blob = blob_of(b"0123456789")
    assert depot.missing([blob]) == {blob.sha256: 0}

    def breaking_off() -> Iterator[bytes]:
        yield b"01234"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        depot.receive(blob, 0, breaking_off())
    assert depot.missing([blob]) == {blob.sha256: 5}
    depot.receive(blob, 5, [b"567", b"89"])
    assert depot.missing([blob]) == {}


def test_other_content_is_thrown_away(depot: Depot) -> None:
    blob = blob_of(b"as it was sent")
    with pytest.raises(MissingError) as caught:
        depot.receive(blob, 0, [b"as it arrived "])
    assert caught.value.code == "damaged-transfer"
    assert depot.missing([blob]) == {blob.sha256: 0}


def test_a_job_that_writes_into_its_input_costs_that_content_and_no_more(depot: Depot, tmp_path: Path) -> None:
    blob = put(depot, b"as it was")
    depot.place([blob], tmp_path)
    (tmp_path / "x.bin").write_bytes(b"scribbled")
    assert depot.missing([blob]) == {blob.sha256: 0}


def test_what_was_unused_the_longest_goes(depot: Depot, tmp_path: Path) -> None:
    blobs = [put(depot, bytes([number]) * 100, f"{number}.bin") for number in range(4)]
    for age, blob in enumerate(blobs):
        path = tmp_path / "blobs" / blob.sha256
        os.utime(path, ns=(10**18 - age, path.stat().st_mtime_ns))
    depot.place(blobs[3:], tmp_path)  # used just now
    depot.trim(blobs[3:])
    assert set(depot.missing(blobs)) == {blobs[1].sha256, blobs[2].sha256}


def test_what_a_job_needs_stays_however_much_it_is(depot: Depot) -> None:
    blobs = [put(depot, bytes([number]) * 100) for number in range(4)]
    depot.trim(blobs)
    assert depot.missing(blobs) == {}


def test_a_small_disk_makes_room_and_is_not_left_full(tmp_path: Path) -> None:
    """On a file system of 1 MiB, within bounds that are far from it."""
    require_namespaces()
    script = """
        import os, sys
        from hashlib import sha256
        from pathlib import Path
        from edgekit.jobs.depot import Depot
        from edgekit.types import Blob
        def made(size):
            content = os.urandom(size)
            return content, Blob(sha256(content).hexdigest(), "x.bin", size)
        folder = Path(sys.argv[1]) / "blobs"
        depot = Depot(folder)
        for _ in range(2):
            content, blob = made(400 << 10)
            depot.trim((blob,), room_bytes=blob.size)
            depot.receive(blob, 0, [content])
        old = {path.name for path in folder.iterdir()}
        content, blob = made(500 << 10)
        depot.trim((blob,), room_bytes=blob.size)
        depot.receive(blob, 0, [content])
        print(len(old), len(old & {path.name for path in folder.iterdir()}), depot.missing([blob]))
        content, blob = made(3 << 20)
        depot.trim((blob,), room_bytes=blob.size)
        try:
            depot.receive(blob, 0, [content])
        except OSError as err:
            print(err.errno, list(folder.iterdir()))
    """
    run = (
        f"mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -c '{textwrap.dedent(script)}' {tmp_path}"
    )
    command = ["unshare", "-Urm", "sh", "-c", run]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["2 1 {}", f"{errno.ENOSPC} []"], done.stderr


def test_a_digest_that_leads_elsewhere_is_refused(depot: Depot) -> None:
    with pytest.raises(InternalError):
        depot.missing([Blob("../../etc/passwd", "x.bin", 1)])
