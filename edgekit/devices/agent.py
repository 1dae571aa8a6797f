"""The agent: one file for any device, a zipapp of the device core and nothing else of edgekit."""

from __future__ import annotations

import hashlib
import io
import os
import time
import zipfile
from pathlib import Path

import edgekit
from edgekit.devices.cache import ELSEWHERE, cache_folder
from edgekit.jobs.disk import writing

#: The device core, relative to the package: what a device needs to run and time an artifact.
CORE = (
    *("__init__.py", "types.py", "errors.py", "registry.py"),
    *("jobs/__init__.py", "jobs/__main__.py", "jobs/codec.py", "jobs/protocol.py", "jobs/worker.py"),
    *("jobs/agent.py", "jobs/channel.py", "jobs/depot.py", "jobs/memory.py", "jobs/turn.py"),
    "runtimes/*.py",
)

#: It starts on any Python, to say which one it needs.
_MAIN = """\
import sys

if sys.version_info < (3, 9):
    found = ".".join(map(str, sys.version_info[:3]))
    sys.stdout.write(
        '{"event": "error", "type": "MissingError", "code": "device-python-too-old", "message": '
        '"edgekit needs Python 3.9 or newer on the device.", "received": "Python ' + found + '", '
        '"hint": "Name a newer one with python=/path/to/python3 in the device.", "traceback": ""}\\n'
    )
    sys.exit(0)

from edgekit.jobs.agent import main

main()
"""

#: Seconds after which the agent of another version of edgekit goes from the cache.
OLD_S = 7 * 24 * 3600

#: The oldest date that a zip archive knows: the archive depends on its contents alone.
_DATE = (1980, 1, 1, 0, 0, 0)


def core_files() -> tuple[Path, ...]:
    """Every file of the device core, in order."""
    package = Path(edgekit.__file__).parent
    return tuple(sorted(path for pattern in CORE for path in package.glob(pattern)))


def agent_bytes() -> bytes:
    """The zipapp. The same files give the same bytes, whoever builds it."""
    package = Path(edgekit.__file__).parent
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        contents = {"__main__.py": _MAIN.encode()}
        contents |= {f"edgekit/{path.relative_to(package).as_posix()}": path.read_bytes() for path in core_files()}
        for name, content in contents.items():
            zipped.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def agent_file() -> Path:
    """The zipapp in this user's cache, under its digest; ``python -m edgekit.jobs`` works with it on PYTHONPATH.

    Raises:
        UsageError: the cache cannot be written.
    """
    content = agent_bytes()
    path = cache_folder("agent") / f"agent-{hashlib.sha256(content).hexdigest()}.pyz"
    if not path.is_file():
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        with writing(path, ELSEWHERE):
            aside.write_bytes(content)
            aside.replace(path)
        for other in path.parent.glob("agent-*"):  # of other versions
            if time.time() - other.stat().st_mtime > OLD_S:
                other.unlink(missing_ok=True)
    return path
