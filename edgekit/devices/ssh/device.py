"""A board over SSH as a device: ``ssh://user@host:port?python=…&cpus=big&threads=…``."""

from __future__ import annotations

import re
import shlex
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from edgekit.devices.agent import agent_file
from edgekit.devices.base import Device, DeviceSpec
from edgekit.devices.ssh.connection import Connection, SshTarget
from edgekit.devices.ssh.faults import device_fault
from edgekit.errors import EdgekitError, JobFailed, MissingError, UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions

#: Where edgekit keeps its files there, from the user's home; `edgekit.devices.ssh` says what is in it.
FOLDER = ".cache/edgekit"

#: Seconds after which a remote time limit ends an agent, whatever it does: a last net below the agent's own limits.
AGENT_LIFE_S = 24 * 3600

#: How Python says that a disk is full, when a job could not write there.
_NO_SPACE = re.compile(r"\[Errno (28|122)\]")

_ADDRESS = re.compile(
    r"(?:(?P<user>[^@/\s]+)@)?(?P<host>\[[\w:.%-]+\]|[^@:/\s\[\]-][^@:/\s\[\]]*)(?::(?P<port>\d{1,5}))?/?\Z"
)


class SshDevice(Device):
    """A board that the OpenSSH client reaches. The connection opens with the first job, and is kept open."""

    def __init__(self, spec: DeviceSpec) -> None:
        """Args:
        spec: with the options ``python``, ``cpus``, ``threads``, ``governor``, ``folder`` and ``config``.

        Raises:
            UsageError: no host, or a port that is none.
        """
        wanted = {"cpus": spec.cpus or "", "governor": spec.options.get("governor", "")}
        settings = tuple(f"{name}={value}" for name, value in wanted.items() if value)
        folder = _from_home(spec.options.get("folder", FOLDER))
        self._take(spec.text, target_of(spec), folder, settings, spec.threads)

    @classmethod
    def at(
        cls,
        name: str,
        target: SshTarget,
        *,
        folder: str = FOLDER,
        settings: Sequence[str] = (),
        threads: int | None = None,
        here: bool = False,
    ) -> SshDevice:
        """The same for a board that was set up here.

        Args:
            name: that stands in results.
            target: how to get in.
            folder: where edgekit keeps its files there.
            settings: of the agent: ``cpus=0,2``, ``cpus=big``, ``governor=performance``.
            threads: inference threads; None is the engine's own choice.
            here: see `edgekit.jobs.link.Link`.
        """
        device = cls.__new__(cls)
        device._take(name, target, folder, settings, threads)
        device._link.here = here
        return device

    def _take(self, name: str, target: SshTarget, folder: str, settings: Sequence[str], threads: int | None) -> None:
        self.name = name
        self.folder = folder
        self.connection = Connection(target, name)
        self._threads = threads
        self._reached = False
        self._link = AgentLink(self.connection, folder, settings)

    def options(self) -> OpenOptions:
        """Pinned precision, and the threads that the spec asks for."""
        return OpenOptions(threads=self._threads)

    def context(self) -> Context:
        """An agent there. Whether it can be reached is seen once; later it is an error of the job that needs it.

        Raises:
            MissingError: the device is not reachable.
            JobCrashed: the connection broke.
        """
        if not self._reached:
            self.connection.open()
            self._reached = True
        return Context(self.name, link=self._link)

    def close(self) -> None:
        """End the connection."""
        self.connection.close()
        self._reached = False


class AgentLink:
    """Starts agents on one device. See `edgekit.jobs.link.Link`."""

    def __init__(self, connection: Connection, folder: str, settings: Sequence[str]) -> None:
        self.here = False
        self.key = shlex.join([connection.name, folder, *settings])
        self._connection, self._folder, self._settings = connection, folder, settings
        self._guard = threading.Lock()
        self._is_there = ""

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start an agent; the first time it is sent there.

        Raises:
            MissingError: there is no way to the device, no space, no folder that can be written, or no Python.
            JobCrashed: the connection broke.
        """
        agent = self._in_place()
        words = shlex.join([self._connection.target.python, agent, self._folder, *self._settings])
        limited = f"timeout -k 5 {AGENT_LIFE_S} {words}"
        with log.open("ab") as stderr:
            return self._connection.start(
                f"if command -v timeout >/dev/null; then exec {limited}; else exec {words}; fi", stderr
            )

    def lost(self, code: int | None, said: str) -> EdgekitError:
        """The error for an agent that ended by itself: the connection broke, or there is no such Python."""
        name = self._connection.name
        self._is_there = ""  # after a restart of the device its file may be gone
        if code in (126, 127):
            return device_fault(f"python: not found\n{said}", code, name)
        if code == 255 or code is None or code < 0:
            return self._connection.fault(said)
        return JobFailed(
            "agent-failed",
            f"the agent on {name} ended with exit status {code}.",
            received=said or None,
            hint="Run again with --debug, and report what it prints.",
        )

    def explain(self, error: EdgekitError) -> EdgekitError:
        """What is missing there comes with the command that brings it, and a full disk with a way out."""
        name = self._connection.name
        if error.code == "job-failed" and _NO_SPACE.search(error.message):
            return device_fault(error.message, 1, name)
        lacks = re.search(r"No module named '([\w.]+)'", error.message) if error.code == "job-failed" else None
        if lacks is None and error.code != "missing-extra":
            return error
        message = f"Python there has no package {lacks[1]}." if lacks else error.message
        return MissingError(
            "device-lacks-package",
            f"{name}: {message}",
            received=error.received,
            hint=f"Run: edgekit devices prepare {shlex.quote(name)}",
        )

    def _in_place(self) -> str:
        """Where the agent lies there, after it was sent if it was not there."""
        with self._guard:
            if not self._is_there:
                local = agent_file()
                remote = f"{self._folder}/{local.name}"
                self._connection.put(local, remote, local.stem.removeprefix("agent-"))
                self._is_there = remote
            return self._is_there


def target_of(spec: DeviceSpec) -> SshTarget:
    """Where a spec leads.

    Raises:
        UsageError: no host, or a port that is none.
    """
    match = _ADDRESS.match(spec.address)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 0 < port < 65536):
        raise UsageError(
            "bad-device-address",
            "an SSH device is named by its host.",
            received=spec.text,
            hint="For example: ssh://pi@raspberrypi.local:22?cpus=big",
        )
    config = spec.options.get("config")
    options = ("-F", str(Path(config).expanduser())) if config else ()
    host = match["host"].strip("[]")
    python = _from_home(spec.options.get("python", "python3"))
    return SshTarget(host, match["user"], port, python, options)


def _from_home(path: str) -> str:
    """A path there without ``~``, which nothing there would expand: commands start at the user's home anyway."""
    return path.removeprefix("~/")
