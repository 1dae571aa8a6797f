"""What runs on a device: takes jobs from a host, watches over them, leaves nothing behind. Part of the device core.

``python agent.pyz FOLDER`` works in ``FOLDER/jobs/<process>/`` and keeps what it was sent in ``FOLDER/blobs/``. The
host writes one line per job, and the agent answers as a worker does (`edgekit.jobs.protocol`), with some more::

    host   {"run": <envelope>, "blobs": [...], "timeout_s": 60.0, "memory_bytes": 1073741824}
    agent  {"event": "waiting", "holder": "anna@laptop, since 14:02"}     while another job has the device
    agent  {"event": "need", "blobs": {"<digest>": <bytes that are here>}}     only where something is missing
    host   {"content": "<digest>", "offset": 0, "size": 4096}, then as many bytes; for each of them
    agent  {"event": "started"}, progress, then result or error
    host   {"collect": [...]}     after a result; the agent sends the bytes of these files one after another

The engine runs in a process of its own: a crash, a hang or too much memory there is an error event. When the host's
end of the pipe closes, in the middle of a job or not, everything that was started is killed and the folder removed.
The same happens when the host falls silent while it has the device, as when a cable is pulled: it sends an empty line
every few seconds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import shutil
import signal
import site
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Optional

from edgekit import errors
from edgekit.jobs.channel import Channel, Limits, start_worker
from edgekit.jobs.codec import from_json
from edgekit.jobs.depot import NO_SPACE, Depot
from edgekit.jobs.protocol import file_in
from edgekit.jobs.turn import open_machine_lock, turn
from edgekit.types import Blob

#: Seconds without a word from the host after which it counts as gone, since a device that it cannot reach hears no
#: end: between two jobs, and while it has the device or waits for it.
IDLE_S, SILENT_S = 3600.0, 60.0

#: Packages that ``edgekit devices prepare`` put beside the agent's files.
SITE = "site"

#: Seconds after which the agent of another version of edgekit goes.
UNUSED_S = 30 * 24 * 3600.0

#: Remembers governors that have to be put back.
JOURNAL = "governor.json"

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


class HostGone(Exception):
    """The host closed its end, or was silent for too long."""


class Inbox:
    """What the host says: lines, and bytes that a line announced."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = b""
        self._heard = time.monotonic()

    def line(self, seconds: float = SILENT_S) -> dict[str, Any]:
        """The next message; empty lines only show that the host is there.

        Args:
            seconds: to wait for a word at most.

        Raises:
            HostGone: there is none.
        """
        while True:
            while b"\n" not in self._buffer:
                self._wait(seconds)
            line, self._buffer = self._buffer.split(b"\n", 1)
            if line.strip():
                message: dict[str, Any] = json.loads(line)
                return message

    def content(self, size: int) -> Iterator[bytes]:
        """As many bytes, in pieces."""
        while size:
            if not self._buffer:
                self._wait(SILENT_S)
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            yield piece

    def look(self) -> None:
        """See without waiting whether the host is still there.

        Raises:
            HostGone: it is not.
        """
        if select.select([self._fd], [], [], 0)[0]:
            self._wait(0)
        elif time.monotonic() - self._heard > SILENT_S:
            raise HostGone

    def _wait(self, seconds: float) -> None:
        if not select.select([self._fd], [], [], seconds)[0]:
            raise HostGone
        piece = os.read(self._fd, 1 << 18)
        if not piece:
            raise HostGone
        self._buffer += piece
        self._heard = time.monotonic()


class Agent:
    """Serves one host until it goes, or a job goes wrong: who takes the next one is a fresh agent.

    Attributes:
        base: the folder on the device that all agents of this user share.
        folder: of this one, once it has a job.
    """

    def __init__(self, base: Path, inbox: Inbox, out: IO[bytes], cpus: str = "", governor: str = "") -> None:
        """Args:
        base: made where it is missing.
        inbox, out: from and to the host.
        cpus: CPUs to pin the worker to, such as ``0,2``, ``big`` or ``little``; empty for any.
        governor: frequency governor while a job runs; empty for the one that is set.
        """
        self.base, self.folder = base, base / "jobs"
        self._inbox, self._out = inbox, out
        self._cpus, self._governor = cpus, governor
        self._channel: Optional[Channel] = None
        self._life: Optional[IO[str]] = None

    def serve(self) -> None:
        """Take jobs one after another; the error of one is the last event."""
        try:
            while True:
                self._run(self._inbox.line(IDLE_S))
        except (HostGone, BrokenPipeError):
            pass
        except _Passed as error:
            self._say(**error.event)
        except errors.EdgekitError as error:
            self._say_error(error)
        except OSError as err:
            self._say_error(_refusal(err, self.base))
        finally:
            self.close()

    def close(self) -> None:
        """Kill what was started, and remove the folder."""
        if self._channel is not None:
            self._channel.close()
        if self._life is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._life.close()

    def _run(self, message: dict[str, Any]) -> None:
        envelope = message["run"]
        blobs = from_json(tuple[Blob, ...], message["blobs"])
        limits = Limits(message["timeout_s"], message["memory_bytes"])
        self._move_in()
        folder = self.folder / str(envelope["id"])
        folder.mkdir()
        try:
            with self._device(), self._governed():
                self._fetch(blobs, folder)
                self._say("started")
                self._work(envelope, limits)
                self._hand_over(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _move_in(self) -> None:
        """Make this agent's folder, and remove what nobody else can: after a crash, a power cut, another version."""
        if self._life is not None:
            return
        jobs = self.base / "jobs"
        jobs.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=jobs))
        self._life = (self.folder / "life.new").open("w")
        fcntl.flock(self._life, fcntl.LOCK_EX)
        os.rename(self.folder / "life.new", self.folder / "life")  # nobody sees it before it is held
        for other in jobs.iterdir():
            with contextlib.suppress(OSError), (other / "life").open() as life:  # held, it is another's that lives
                fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(other, ignore_errors=True)
        for agent in self.base.glob("agent-*"):
            with contextlib.suppress(OSError):
                if agent.samefile(sys.argv[0]):
                    os.utime(agent)  # in use
                elif time.time() - agent.stat().st_mtime > UNUSED_S:
                    agent.unlink()

    @contextlib.contextmanager
    def _device(self) -> Iterator[None]:
        """Have the device for one job, and edgekit's folder there, which `edgekit.devices.preparation` tidies too."""
        said = ""

        def wait(holder: str) -> None:
            nonlocal said
            if holder != said:
                self._say("waiting", holder=holder)
                said = holder
            self._inbox.look()

        with turn(open_machine_lock(), wait), turn(os.open(self.base / "lock", os.O_RDWR | os.O_CREAT, 0o600), wait):
            yield

    @contextlib.contextmanager
    def _governed(self) -> Iterator[None]:
        """Set the governor that was asked for; what a killed agent left set is put back in any case."""
        journal = self.base / JOURNAL
        if not self._governor and not journal.exists():
            yield
            return
        from edgekit.runtimes import governor  # with numpy, which the agent itself does without

        if not self._governor:
            governor.restore(journal)
            yield
            return
        with governor.governed(self._governor, journal):
            yield

    def _fetch(self, blobs: tuple[Blob, ...], folder: Path) -> None:
        """Have the host send what is not here, and put everything into the job's folder."""
        depot = Depot(self.base / "blobs")
        missing = depot.missing(blobs)
        if missing:
            depot.trim(blobs, room_bytes=sum(blob.size for blob in blobs if blob.sha256 in missing))
            self._say("need", blobs=missing)
            known = {blob.sha256: blob for blob in blobs}
            for _ in missing:
                head = self._inbox.line()
                depot.receive(known[head["content"]], head["offset"], self._inbox.content(head["size"]))
        depot.place(blobs, folder)
        depot.trim(blobs)

    def _work(self, envelope: dict[str, Any], limits: Limits) -> None:
        """Run a job in the worker, and pass on what it says up to its result."""
        if self._channel is None:
            self._channel = start_worker(self.folder, "the device", sys.executable, _environment(self.base, self._cpus))
        channel, deadline = self._channel, time.monotonic() + limits.timeout_s

        def check() -> None:
            self._inbox.look()
            limits.enforce("the device", deadline, channel.rss_bytes)

        try:
            channel.send(json.dumps(envelope).encode() + b"\n", check)
            for event in channel.events(check):
                if event["event"] == "error":
                    raise _Passed(event)
                self._say(**event)
                if event["event"] == "result":
                    return
            raise channel.crash()
        except BaseException:  # nothing of it may go on when the device becomes another's
            channel.close()
            raise

    def _hand_over(self, folder: Path) -> None:
        for item in self._inbox.line()["collect"]:
            with file_in(folder, from_json(Blob, item)).open("rb") as content:
                shutil.copyfileobj(content, self._out, 1 << 18)
        self._out.flush()

    def _say(self, event: str, **fields: Any) -> None:
        self._out.write(json.dumps({"event": event, **fields}).encode() + b"\n")
        self._out.flush()

    def _say_error(self, error: errors.EdgekitError) -> None:
        fields = {"code": error.code, "message": error.message, "received": error.received, "hint": error.hint}
        self._say("error", type=type(error).__name__, **fields, traceback=traceback.format_exc())


class _Passed(errors.JobFailed):
    """An error that the worker has put into words."""

    def __init__(self, event: dict[str, Any]) -> None:
        super().__init__(event["code"], event["message"], received=event["received"], hint=event["hint"])
        self.event = event


def _environment(base: Path, cpus: str) -> dict[str, str]:
    """Variables of the worker: the device core, prepared packages, and those the user has installed for himself.

    Raises:
        MissingError: a CPU is not there.
    """
    paths = [str(Path(sys.argv[0]).resolve()), str((base / SITE).resolve()), os.environ.get("PYTHONPATH", "")]
    found = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if "PYTHONUSERBASE" not in os.environ:
        found["PYTHONUSERBASE"] = site.getuserbase()  # it would be looked for in the worker's own home
    if cpus:
        usable = os.sched_getaffinity(0)
        absent = [cpu for cpu in cpus.split(",") if cpu.isdecimal() and int(cpu) not in usable]
        if absent:
            raise errors.MissingError(
                "no-such-cpu",
                f"the device has no CPU {', '.join(absent)} for this user.",
                hint=f"Choose from: {', '.join(map(str, sorted(usable)))}.",
            )
        found["EDGEKIT_CPUS"] = cpus
    return found


def _refusal(err: OSError, base: Path) -> errors.EdgekitError:
    if err.errno in NO_SPACE:
        return errors.MissingError(
            "device-full",
            f"there is no space left on the device for {err.filename or base}.",
            hint="Free some space there, or choose another disk with folder=/path in the device.",
        )
    if err.errno in _REFUSED:
        return errors.MissingError(
            "device-read-only",
            f"the device does not let this user write {err.filename or base}: {err.strerror}.",
            hint="Choose a folder that is writable with folder=/path in the device.",
        )
    return errors.MissingError(
        "device-disk", f"the disk of the device refused: {err}.", hint="Check the disk of the device."
    )


def main() -> None:
    """``python agent.pyz FOLDER [cpus=…] [governor=…]``"""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # `serve` cleans up on the way out
    base = Path(sys.argv[1]).expanduser().absolute()
    options = dict(word.split("=", 1) for word in sys.argv[2:])
    Agent(base, Inbox(0), out, **options).serve()
