"""Runs on the device, Python 3.9 and standard library alone: ``python3 - FOLDER BUNDLE DIGEST``, this file on stdin.

Unpacks a tar of wheels into ``FOLDER/sites/DIGEST`` and makes ``FOLDER/site`` a link to it: both appear at once, so
that a device that loses its power has the old packages or the new ones.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from typing import IO


def main(folder: str, bundle: str, digest: str) -> None:
    """Unpack, switch over, and remove the bundle and what no job uses any more."""
    sites = os.path.join(folder, "sites")
    os.makedirs(sites, exist_ok=True)
    making = tempfile.mkdtemp(prefix=".making-", dir=sites)  # process ids come again after a restart
    try:
        unpack_all(bundle, making)
        final = os.path.join(sites, digest)
        if not os.path.isdir(final):  # else another command was faster, with the same content
            os.rename(making, final)
        link = f"{making}.link"
        os.symlink(os.path.join("sites", digest), link)
        os.replace(link, os.path.join(folder, "site"))
    finally:
        shutil.rmtree(making, ignore_errors=True)
    os.remove(bundle)
    sweep(folder, digest)


def unpack_all(bundle: str, making: str) -> None:
    """Every wheel of a bundle into one folder, and the lock beside them."""
    with tarfile.open(bundle) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None, member.name
            if member.name.endswith(".whl"):
                unpack(stream, making)
            else:
                with open(os.path.join(making, member.name), "wb") as target:
                    shutil.copyfileobj(stream, target)


def unpack(stream: IO[bytes], making: str) -> None:
    """The files of one wheel."""
    with zipfile.ZipFile(stream) as wheel:
        for info in wheel.infolist():
            parts = None if info.is_dir() else place_of(info.filename)
            if parts is not None:
                place = os.path.join(making, *parts)
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with wheel.open(info) as source, open(place, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)


def place_of(name: str) -> list[str] | None:
    """Where a file of a wheel goes (binary distribution format); None for scripts and the like."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise ValueError(f"a wheel holds the path {name}")
    if not parts[0].endswith(".data"):
        return parts
    return parts[2:] if parts[1] in ("purelib", "platlib") else None


def sweep(folder: str, digest: str) -> None:
    """Remove other sets; a job that runs may use one of them, and holds the lock."""
    with open(os.path.join(folder, "lock"), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        sites = os.path.join(folder, "sites")
        for name in os.listdir(sites):
            if name != digest:
                shutil.rmtree(os.path.join(sites, name), ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
