"""Sending a set of wheels to a device and unpacking it there, once per content."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
import tempfile
import zipfile
from pathlib import Path

from edgekit.devices.preparation.facts import Facts
from edgekit.devices.preparation.wheels import Lock, path_of
from edgekit.devices.ssh.connection import Connection
from edgekit.errors import InternalError, MissingError
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.protocol import blob_of

#: The description of what was installed, beside the packages.
LOCK_FILE = "edgekit-lock.json"

#: Runs on the device; it is never imported here.
UNPACK = Path(__file__).with_name("unpack_there.py")

_UNPACK_S = 900.0
_ASK_S = 60.0

#: What has to stay free on the device's disk beyond the packages.
_SPARE_BYTES = 64 << 20


def installed(connection: Connection, folder: str) -> Lock | None:
    """What was prepared on a device before; None for nothing, or by a version of edgekit that wrote it otherwise.

    Args:
        connection: to it.
        folder: there, where edgekit keeps its files.
    """
    place = shlex.quote(f"{folder}/site/{LOCK_FILE}")
    said = connection.check(f"cat {place} 2>/dev/null || true", timeout_s=_ASK_S)
    try:
        return from_json(Lock, json.loads(said))
    except (ValueError, InternalError):
        return None


def install(connection: Connection, folder: str, lock: Lock, facts: Facts) -> int:
    """Send the wheels of a lock and unpack them; what was there before is replaced in one step.

    Returns:
        Bytes that were sent, or would have been if they had not been there.

    Raises:
        MissingError: no space, or a folder that cannot be written.
        JobCrashed: the connection broke; the next attempt goes on where this one stopped.
    """
    _require_space(facts, lock, connection.name)
    with tempfile.TemporaryDirectory(prefix="edgekit-bundle-") as scratch:
        bundle = Path(scratch) / "wheels.tar"
        _write_bundle(bundle, lock)
        remote = f"{folder}/wheels-{lock.digest}.tar"
        connection.put(bundle, remote, blob_of(bundle).sha256)
        size = bundle.stat().st_size
    words = shlex.join([connection.target.python, "-", folder, remote, lock.digest])
    script = UNPACK.read_bytes()
    connection.check(words, stdin=script, timeout_s=_UNPACK_S)
    return size


def _write_bundle(path: Path, lock: Lock) -> None:
    """Always the same bytes for the same lock, so that a broken transfer can be resumed."""
    description = json.dumps(to_json(lock), indent=1).encode()
    with tarfile.open(path, "w") as bundle:
        head = tarfile.TarInfo(LOCK_FILE)
        head.size = len(description)
        bundle.addfile(head, io.BytesIO(description))
        for wheel in lock.wheels:
            with path_of(wheel).open("rb") as content:
                head = tarfile.TarInfo(wheel.file)
                head.size = wheel.size
                bundle.addfile(head, content)


def _require_space(facts: Facts, lock: Lock, device: str) -> None:
    if facts.free_bytes is None:
        return
    needed = _SPARE_BYTES
    for wheel in lock.wheels:
        with zipfile.ZipFile(path_of(wheel)) as archive:
            needed += wheel.size + sum(info.file_size for info in archive.infolist())
    if needed > facts.free_bytes:
        raise MissingError(
            "device-full",
            f"{device} has {facts.free_bytes / 1e6:.0f} MB free, and the engines need {needed / 1e6:.0f} MB.",
            hint="Free some space, choose another disk with folder=/path in the device, or fewer engines: --runtime.",
        )
