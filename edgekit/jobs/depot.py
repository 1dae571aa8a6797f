"""What a device keeps of the files it was sent: once per content, within bounds. Part of the device core."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from edgekit.errors import InternalError, MissingError
from edgekit.jobs.protocol import file_in
from edgekit.types import Blob

#: What is kept at most, beyond the files of the job that runs.
KEEP_BYTES = 2 << 30

#: Time of modification of every proven file: one that somebody wrote into has another.
_SEAL_NS = 10**18

#: What a full disk says.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class Depot:
    """Files by content, ``<folder>/<digest>``; ``<digest>.part`` while one arrives. For the holder of the device.

    The time of last access is the time of last use.
    """

    def __init__(self, folder: Path, keep_bytes: int = KEEP_BYTES) -> None:
        """Args:
        folder: made where it is missing.
        keep_bytes: see `KEEP_BYTES`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._keep_bytes = keep_bytes

    def missing(self, blobs: Iterable[Blob]) -> dict[str, int]:
        """Contents that are not here, each with the bytes of it that have already arrived."""
        return {blob.sha256: self._arrived(blob) for blob in blobs if not self._is_whole(blob)}

    def receive(self, blob: Blob, offset: int, pieces: Iterable[bytes]) -> None:
        """Take in the rest of a content as it arrives, and prove the whole.

        Args:
            blob: what it is.
            offset: bytes that are here already.
            pieces: the rest. What has arrived stays when they break off, and is not sent again.

        Raises:
            MissingError: the whole is not what it should be; it is thrown away.
            OSError: there is no space, and what has arrived is thrown away; or the disk cannot be written.
        """
        part = self._part(blob)
        try:
            with part.open("ab") as file:
                file.truncate(offset)
                for piece in pieces:
                    file.write(piece)
        except OSError as err:
            if err.errno in NO_SPACE:  # nobody else could write there
                part.unlink()
            raise
        if _digest(part) != blob.sha256:
            part.unlink()
            raise MissingError(
                "damaged-transfer",
                f"{blob.name} arrived on the device otherwise than it was sent.",
                hint="Run the command again; if it happens twice, check the disk of the device.",
            )
        os.utime(part, ns=(_SEAL_NS, _SEAL_NS))
        part.replace(self._path(blob))

    def place(self, blobs: Iterable[Blob], folder: Path) -> None:
        """Link contents into a job's folder under their names."""
        for blob in blobs:
            source, target = self._path(blob), file_in(folder, blob)
            os.utime(source, ns=(_now_ns(folder), _SEAL_NS))
            if target.exists():
                continue
            try:
                os.link(source, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, target)

    def trim(self, needed: Iterable[Blob] = (), room_bytes: int = 0) -> None:
        """Remove what was unused the longest, until the rest is within bounds and the disk has room.

        Args:
            needed: contents that stay in any case.
            room_bytes: what should be free on the disk, as far as that can be had.
        """
        stay = {blob.sha256 for blob in needed}
        found = sorted(((path.stat(), path) for path in self._folder.iterdir()), key=lambda item: item[0].st_atime_ns)
        held = sum(stat.st_size for stat, _ in found)
        for stat, path in found:
            if held <= self._keep_bytes and shutil.disk_usage(self._folder).free >= room_bytes:
                return
            if path.name.partition(".")[0] not in stay:
                path.unlink()
                held -= stat.st_size

    def _is_whole(self, blob: Blob) -> bool:
        try:
            found = self._path(blob).stat()
        except FileNotFoundError:
            return False
        return found.st_size == blob.size and found.st_mtime_ns == _SEAL_NS

    def _arrived(self, blob: Blob) -> int:
        try:
            size = self._part(blob).stat().st_size
        except FileNotFoundError:
            return 0
        return size if size <= blob.size else 0

    def _path(self, blob: Blob) -> Path:
        if not _DIGEST.match(blob.sha256):  # it came with a message, and becomes a file name
            raise InternalError(
                "bad-digest", "a blob has no digest.", received=blob.sha256, hint="Report this as a bug."
            )
        return self._folder / blob.sha256

    def _part(self, blob: Blob) -> Path:
        return self._path(blob).with_name(f"{blob.sha256}.part")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def _now_ns(folder: Path) -> int:
    """Now, on the clock of the file system."""
    return folder.stat().st_mtime_ns
