"""What a device keeps: each content once, proven, and no more than it should."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from edgekit.errors import InternalError, MissingError
from edgekit.jobs.depot import Depot
from edgekit.types import Blob


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


def test_a_digest_that_leads_elsewhere_is_refused(depot: Depot) -> None:
    with pytest.raises(InternalError):
        depot.missing([Blob("../../etc/passwd", "x.bin", 1)])
