"""How OpenSSH's client is called: its settings, what it is given to run, and when it is let in."""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

#: Seconds to reach the host, and after that to be let in.
CONNECT_S, LOGIN_S = 10, 30

#: For every call; what the user has configured otherwise stays.
SETTINGS = (
    *("BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={CONNECT_S}", "LogLevel=ERROR"),
    *("ServerAliveInterval=5", "ServerAliveCountMax=3"),  # a device that vanished is noticed after 15 s
    *("RequestTTY=no", "RemoteCommand=none", "ClearAllForwardings=yes", "PermitLocalCommand=no"),
)

#: What the control master prints when it is let in.
HELLO = b"edgekit is in"

#: Stands before what a login shell says that runs no commands, as that of an account which is closed.
NO_SHELL = "the login shell ended at once"


def wait_for_hello(master: subprocess.Popen[bytes], seconds: float) -> str | None:
    """None once the master is let in; else what it said when it gave up. What the login shell prints is skipped."""
    assert master.stdout is not None
    assert master.stderr is not None
    deadline, heard = time.monotonic() + seconds, {master.stdout: b"", master.stderr: b""}
    with selectors.DefaultSelector() as selector:
        for pipe in heard:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(deadline - time.monotonic()):
                piece = os.read(key.fd, 1 << 16)
                heard[key.fileobj] += piece  # type: ignore[index]  # only these two are registered
                if not piece:
                    selector.unregister(key.fileobj)
            if HELLO in heard[master.stdout].splitlines():
                return None
        ended = not selector.get_map()
    said, complained = (heard[pipe].decode(errors="replace").strip() for pipe in (master.stdout, master.stderr))
    return complained or (f"{NO_SHELL}\n{said}" if ended else "Connection timed out")


def private_folder() -> Path:
    """A folder for the socket, whose path may have some 90 characters; its name tells the owner, who may be killed."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix=f"edgekit-run-{os.getpid()}-", dir=parent if len(parent) < 40 else "/tmp"))


def shell_command(command: str) -> str:
    """For any login shell: what ``sh`` is given."""
    return f"exec sh -c {shlex.quote(command)}"


def limited_command(command: str, timeout_s: float) -> str:
    """With a time limit there: a client that is gone ends nothing on the device."""
    inner = f"sh -c {shlex.quote(command)}"
    return shell_command(
        f"if command -v timeout >/dev/null; then exec timeout -k 5 {max(1, round(timeout_s))} {inner}; "
        f"else exec {inner}; fi"
    )
