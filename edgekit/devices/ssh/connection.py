"""One SSH connection, kept open: the OpenSSH client as a subprocess.

So the user's configuration, keys, agent, jump hosts and known hosts hold. The first command opens the connection
(a control master in a private folder); the next ones go through it without another handshake. Nothing asks: there is
no password prompt, and a host whose key is not known is refused.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from edgekit.devices.ssh.client import (
    CONNECT_S,
    HELLO,
    LOGIN_S,
    SETTINGS,
    limited_command,
    private_folder,
    shell_command,
    wait_for_hello,
)
from edgekit.devices.ssh.faults import connection_lost, device_fault, transport_fault
from edgekit.devices.ssh.put import BUSY, DAMAGED, Put
from edgekit.errors import EdgekitError, MissingError

#: Seconds that the remote time limit gets to end a command before the client is ended.
GRACE_S = 10.0

#: Bytes per second that a transfer is given at least before it counts as stuck, after a minute in any case.
SLOWEST = 20_000

#: Commands at once that share the connection; servers allow ten (MaxSessions, sshd_config(5)). More get their own.
SHARED = 7


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where a device is and how to get in.

    Attributes:
        host: name, address, or a ``Host`` of the user's configuration.
        user: None for the user's configuration or own name.
        port: None for the user's configuration or 22.
        python: the interpreter there.
        options: further arguments of the client, such as ``("-F", "none", "-i", "key")``.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"
    options: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the client takes to get there."""
        port = ("-p", str(self.port)) if self.port is not None else ()
        return (*self.options, *port, "--", f"{self.user}@{self.host}" if self.user else self.host)

    @property
    def destination(self) -> str:
        """The same as people type it, without further arguments."""
        return shlex.join(part for part in self.arguments[len(self.options) :] if part != "--")

    @property
    def known_as(self) -> str:
        """What the host is called in the file of known hosts."""
        return self.host if self.port in (None, 22) else shlex.quote(f"[{self.host}]:{self.port}")

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.host}{f':{self.port}' if self.port is not None else ''}"


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command on the device did.

    Attributes:
        stdout, stderr: what it said.
        code: its exit status.
    """

    stdout: bytes
    stderr: bytes
    code: int


class Connection:
    """The way to one device. A context manager; thread-safe.

    It opens with the first command, and again when it broke. Relative remote paths start at the user's home.
    """

    def __init__(self, target: SshTarget, name: str | None = None) -> None:
        """Args:
        target: where.
        name: of the device, for messages; the target itself by default.
        """
        self.target = target
        self.name = name or str(target)
        self._guard = threading.RLock()
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect, unless it is connected.

        Raises:
            MissingError: the host is unknown or does not answer, its key changed or is unknown, or no key of the user
                is accepted; or there is no SSH client here.
            JobCrashed: it broke meanwhile.
        """
        with self._guard:
            if self._master is not None and self._master.poll() is None:
                return
            self._end_master()
            if self._folder is None:
                self._folder = private_folder()
            self._master = self._started_master()
            said = wait_for_hello(self._master, CONNECT_S + LOGIN_S)
            if said is not None:
                self._end_master()
                raise self.fault(said)

    def close(self) -> None:
        """Leave. Whatever still runs through it sees its input end."""
        with self._guard:
            self._end_master()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def run(self, command: str, *, stdin: bytes | None = None, timeout_s: float) -> Completed:
        """Run a shell command there and wait for it.

        Args:
            command: for ``sh``.
            stdin: what it reads; nothing by default.
            timeout_s: it is killed there after that.

        Raises:
            MissingError: see `open`; or it did not end in time.
            JobCrashed: the connection broke.
        """
        return self._finished(command, timeout_s, input=stdin or b"")

    def check(self, command: str, *, stdin: bytes | None = None, timeout_s: float) -> bytes:
        """Run a shell command that has to succeed, and return what it printed.

        Raises:
            MissingError: it failed: no space, a folder that cannot be written, no Python; or see `run`.
            JobCrashed: the connection broke.
        """
        done = self.run(command, stdin=stdin, timeout_s=timeout_s)
        if done.code != 0:
            raise device_fault(done.stderr.decode(errors="replace"), done.code, self.name)
        return done.stdout

    def put(self, path: Path, remote: str, sha256: str) -> None:
        """Send a file, unless the device has this content there already.

        A transfer that broke is resumed where it stopped; the file appears under its name only when its content is
        proven. Several commands may send the same file at once.

        Raises:
            MissingError, JobCrashed: as `check`; or what arrived is not what was sent.
        """
        size = path.stat().st_size
        timeout_s = 60 + size / SLOWEST
        script = Put(remote, size, sha256)
        *_, said = self.check(script.look, timeout_s=timeout_s).split()  # what the login shell says comes before
        if said == b"whole":
            return
        with path.open("rb") as content:
            start = content.seek(int(said) if int(said) <= size else 0)
            done = self._finished(script.append(start), timeout_s, stdin=content)
            if done.code == BUSY:
                content.seek(0)
                done = self._finished(script.append_alone(), timeout_s, stdin=content)
        if done.code == DAMAGED:
            raise MissingError(
                "damaged-transfer",
                f"{path.name} arrived on {self.name} otherwise than it was sent.",
                hint="Run the command again; if it happens twice, check the disk of the device.",
            )
        if done.code != 0:
            raise device_fault(done.stderr.decode(errors="replace"), done.code, self.name)

    def start(self, command: str, stderr: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """A long-running command there with pipes; it should end when its input does.

        Args:
            command: for ``sh``.
            stderr: as `subprocess.Popen` takes it.

        Raises:
            MissingError, JobCrashed: see `open`.
        """
        self.open()
        with self._guard:
            self._started = [process for process in self._started if process.poll() is None]
            process = self._launch(shell_command(command), stderr, alone=len(self._started) >= SHARED)
            self._started.append(process)
        return process

    def fault(self, said: str) -> EdgekitError:
        """The error for a client that gave up, from what it said."""
        target = self.target
        return transport_fault(said, name=self.name, destination=target.destination, known_as=target.known_as)

    def _launch(self, command: str, stderr: int | IO[bytes], *, alone: bool) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._client(command, alone=alone),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # an interrupt at the terminal is for edgekit, which ends the client itself
        )

    def _finished(self, command: str, timeout_s: float, **given: Any) -> Completed:
        """A command with what `subprocess.run` takes for its input."""
        self.open()
        try:
            done = subprocess.run(
                self._client(limited_command(command, timeout_s)),
                capture_output=True,
                timeout=timeout_s + GRACE_S,
                check=False,
                **given,
            )
        except subprocess.TimeoutExpired as err:
            raise self._too_slow(timeout_s) from err
        return self._judged(Completed(done.stdout, done.stderr, done.returncode), timeout_s)

    def _judged(self, done: Completed, timeout_s: float) -> Completed:
        if done.code == 255:  # the client's own; no tool that runs there ends with it
            raise self.fault(done.stderr.decode(errors="replace"))
        if done.code < 0:
            raise connection_lost(self.name, done.stderr.decode(errors="replace"))
        if done.code in (124, 137) and timeout_s:
            raise self._too_slow(timeout_s)
        return done

    def _too_slow(self, timeout_s: float) -> MissingError:
        return MissingError(
            "device-timeout",
            f"a command on {self.name} did not end within {timeout_s:.0f} s.",
            hint="Look at the device: it may be overloaded, or its disk may hang.",
        )

    def _started_master(self) -> subprocess.Popen[bytes]:
        # Its input is a pipe of this process: when this process goes, even killed, `cat` ends and so does the master.
        command = shell_command(f"echo; echo {HELLO.decode()}; exec cat >/dev/null")
        try:
            return subprocess.Popen(
                self._client(command, master=True),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as err:
            raise MissingError(
                "ssh-missing", "this machine has no SSH client.", hint="Install it: apt install openssh-client"
            ) from err

    def _client(self, command: str, *, master: bool = False, alone: bool = False) -> list[str]:
        settings = (*SETTINGS, f"ControlMaster={'yes' if master else 'no'}", "ControlPersist=no")
        options = [word for setting in settings for word in ("-o", setting)]
        socket = "none" if alone else f"{self._folder}/s"
        return ["ssh", "-S", socket, *options, *self.target.arguments, command]

    def _end_master(self) -> None:
        master, self._master = self._master, None
        if master is None:
            return
        with contextlib.suppress(ProcessLookupError):
            master.terminate()
        try:
            master.wait(5)
        except subprocess.TimeoutExpired:
            master.kill()
            master.wait()
        for end in (master.stdin, master.stdout, master.stderr):
            if end is not None:
                end.close()
