"""The process that executes jobs: ``python -m edgekit.jobs``. Part of the device core.

It takes jobs from stdin one at a time, works in the current folder, and leaves when stdin ends: when the host
is gone, even killed, nothing of it is left running. Its stdout belongs to the protocol; whatever a library
prints goes to stderr.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import re
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Optional, TextIO

from edgekit.errors import EdgekitError
from edgekit.jobs.codec import to_json
from edgekit.jobs.protocol import Progress, Workspace, decode_job

_ANSI = re.compile(r"\x1b\[[0-9;]*m")

#: Lines that only say where a library raised, such as OpenVINO's ``Exception from src/core/….cpp:84:``.
_EMPTY_TALK = re.compile(r"(Exception from .*|Check '.*' failed at .*):?\Z")


def main() -> None:
    """Serve jobs until stdin ends."""
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # a library that prints cannot corrupt the protocol
    refused = _pin()
    faulthandler.enable(all_threads=False)  # a crash leaves a Python stack in the log
    lines: queue.Queue[Optional[str]] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    while True:
        line = lines.get()
        if line is None:
            return
        serve(json.loads(line), Path.cwd(), events, refused)
        lines.task_done()
        _reset_libraries()


def _pin() -> Optional[EdgekitError]:
    """Keep this process on the CPUs of ``EDGEKIT_CPUS``, before an engine counts them; an error is the jobs'."""
    cpus = os.environ.get("EDGEKIT_CPUS")
    if not cpus:
        return None
    from edgekit.runtimes.cpus import choose_cpus  # reads the machine: only where it is asked for

    try:
        os.sched_setaffinity(0, set(choose_cpus(cpus)))
    except EdgekitError as error:
        return error
    return None


def serve(envelope: dict[str, Any], root: Path, events: TextIO, refused: Optional[EdgekitError] = None) -> None:
    """Execute one job and write its events.

    Args:
        envelope: of the job.
        root: folder of the worker.
        events: to the host.
        refused: why this process can run no job.
    """

    def emit(event: str, **fields: Any) -> None:
        events.write(json.dumps({"event": event, **fields}) + "\n")

    def report(progress: Progress) -> None:
        emit("progress", **to_json(progress))

    folder = root / str(envelope["id"])
    try:
        if refused is not None:
            raise refused
        job = decode_job(envelope)
        result = job.run(Workspace(folder, report))
        emit("result", result=to_json(result))
    except EdgekitError as error:
        emit("error", **_error_fields(error, folder), traceback=traceback.format_exc())
    except MemoryError as error:
        fields = _foreign(error, folder, "JobOutOfMemory", "out-of-memory")
        emit("error", **fields, traceback=traceback.format_exc())
    except Exception as error:  # noqa: BLE001 whatever a converter raises is the outcome of this job
        fields = _foreign(error, folder, "JobFailed", "job-failed")
        emit("error", **fields, traceback=traceback.format_exc())


def _listen(lines: queue.Queue[Optional[str]]) -> None:
    """Hand on jobs; when the host has gone in the middle of one, end this process and its children."""
    for line in sys.stdin:
        lines.put(line)
    if lines.unfinished_tasks:
        if os.getpid() == os.getpgrp():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
    lines.put(None)


def _error_fields(error: EdgekitError, folder: Path) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "code": error.code,
        "message": _without(folder, error.message),
        "received": error.received and _without(folder, error.received),
        "hint": error.hint,
    }


def _foreign(error: BaseException, folder: Path, kind: str, code: str) -> dict[str, Any]:
    """An error of a library, in one line: the first line of its message that says something."""
    lines = [_ANSI.sub("", line).strip() for line in _without(folder, str(error)).splitlines()]
    telling = [line for line in lines if line and not _EMPTY_TALK.match(line)]
    text = f"{type(error).__name__}: {telling[0]}" if telling else type(error).__name__
    hint = "Run again with --debug for the traceback."
    return {"type": kind, "code": code, "message": text[:500], "received": None, "hint": hint}


def _without(folder: Path, text: str) -> str:
    """A text without the paths of a job's folder and of its worker's, which differ from run to run."""
    return text.replace(f"{folder}{os.sep}", "").replace(f"{folder.parent}{os.sep}", "")


def _reset_libraries() -> None:
    """Make the next job's layer names start from zero, as in a fresh process."""
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.utils.clear_session()
