"""One worker, as the host sees it: its messages typed, its files placed, here or on a device."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit import errors
from edgekit.jobs.channel import Channel, Limits, start_worker
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.disk import writing
from edgekit.jobs.link import Link
from edgekit.jobs.protocol import Job, Progress, blobs_in, encode_job, file_in
from edgekit.types import Blob

#: Seconds that an agent gets to take or give files, besides their own time, and to say that a job ran past its limit.
ANSWER_S = 60.0

#: Bytes per second that files travel with at least.
SLOWEST = 20_000

#: Seconds between two signs of life for an agent, which gives a host up that is silent (`edgekit.jobs.agent`).
BEAT_S = 5.0

#: Bytes of a file that travel at once.
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Context:
    """Where jobs run: an interpreter and environment variables. One worker serves one context.

    Attributes:
        name: for messages and progress, such as ``keras@jax``.
        env: variables on top of the inherited ones; those of a device belong to its link.
        python: the interpreter.
        link: the way to another machine; None for this one.
    """

    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    link: Link | None = None

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What makes two contexts the same."""
        return self.link.key if self.link is not None else self.python, tuple(sorted(self.env.items()))


class Worker:
    """A running worker with a folder of its own: a process here, or an agent on a device.

    Use `run` for one job after another; after any `JobError` the worker is dead and must be replaced.
    """

    def __init__(self, context: Context, folder: Path) -> None:
        """Args:
        context: where it runs. What is elsewhere starts with the first job, so that a device that does not answer is
            an error of that job.
        folder: its own; the files of a job lie in a folder of it.

        Raises:
            UsageError: the folder cannot be written.
        """
        self.context = context
        self.folder = folder
        self._killed = False
        self._channel: Channel | None = None
        if context.link is None:
            with writing(folder):
                self._channel = start_worker(folder, context.name, context.python, context.env)

    @property
    def alive(self) -> bool:
        """Whether it can take a job."""
        return self._channel.alive if self._channel is not None else not self._killed

    @property
    def rss_bytes(self) -> int:
        """Resident memory, on this machine, of the worker and its children."""
        return self._channel.rss_bytes if self._channel is not None else 0

    def run(
        self,
        job: Job[Any],
        job_id: str,
        limits: Limits,
        on_progress: Callable[[Progress], None],
        watch: Callable[[], None] = lambda: None,
    ) -> Any:
        """Execute one job and return its result.

        Args:
            job: what to do.
            job_id: the folder of the job in the worker's own: the blobs that it names lie there, and those that
                the result names will.
            limits: of this job.
            on_progress: told what the job reports.
            watch: called several times a second while the job goes on.

        Raises:
            JobError: it crashed, ran past a limit or raised; the worker is dead then.
            EdgekitError: the job refused its input, or the device cannot run it.
        """
        try:
            if self.context.link is None:
                return self._run_here(job, job_id, limits, on_progress, watch)
            return self._run_there(self.context.link, job, job_id, limits, on_progress, watch)
        except BaseException:  # after anything, an interrupt too, the worker's state is unknown
            self.close()
            raise

    def kill(self) -> None:
        """Kill the worker and whatever it started, from any thread. A thread in `run` gets a `JobCrashed`."""
        self._killed = True
        if self._channel is not None:
            self._channel.kill()

    def close(self) -> None:
        """End the worker and free its pipes. For the thread that uses it; safe to call twice."""
        self._killed = True
        if self._channel is not None:
            self._channel.close()  # an agent sees its input end: it kills what it started, and removes its folder

    def _run_here(
        self,
        job: Job[Any],
        job_id: str,
        limits: Limits,
        on_progress: Callable[[Progress], None],
        watch: Callable[[], None],
    ) -> Any:
        assert self._channel is not None
        deadline = time.monotonic() + limits.timeout_s

        def check() -> None:
            limits.enforce(self.context.name, deadline, self.rss_bytes)
            watch()

        self._channel.send(json.dumps(encode_job(job, job_id)).encode() + b"\n", check)
        for event in _told(self._channel.events(check), on_progress):
            if event["event"] == "result":
                return from_json(type(job).result_type(), event["result"])
        raise self._channel.crash()

    def _run_there(
        self,
        link: Link,
        job: Job[Any],
        job_id: str,
        limits: Limits,
        on_progress: Callable[[Progress], None],
        watch: Callable[[], None],
    ) -> Any:
        """The same through an agent, which enforces the limits; see `edgekit.jobs.agent` for what is said."""
        channel = self._channel = self._channel or self._started(link)
        deadline = float("inf")  # until the device is free

        def check() -> None:
            if time.monotonic() > deadline:
                raise _no_answer(self.context.name)
            watch()

        def listen() -> None:
            check()
            talk.beat()

        talk = _Talk(channel, check, self.folder / job_id)
        try:
            talk.tell({"run": encode_job(job, job_id), "blobs": to_json(blobs_in(job)), **to_json(limits)})
            for event in _told(channel.events(listen), on_progress):
                if event["event"] == "waiting":
                    on_progress(Progress(f"waiting for {event['holder']}"))
                elif event["event"] == "need":
                    on_progress(Progress("send files"))
                    deadline = _time_for(blobs_in(job))
                    talk.send_files(blobs_in(job), event["blobs"])
                elif event["event"] == "started":
                    deadline = time.monotonic() + limits.timeout_s + ANSWER_S
                elif event["event"] == "result":
                    result = from_json(type(job).result_type(), event["result"])
                    deadline = _time_for(blobs_in(result))
                    talk.collect(blobs_in(result))
                    return result
            raise channel.crash()
        except errors.EdgekitError as err:
            broke = channel.crashed and not channel.killed
            explained = link.lost(channel.exit_code(), channel.last_words()) if broke else link.explain(err)
            if explained is err:
                raise
            raise explained from err

    def _started(self, link: Link) -> Channel:
        if self._killed:
            raise errors.JobCrashed("stopped", "the command was stopped.", hint="Run it again.")
        log = self.folder / "worker.log"
        with writing(log):
            log.touch()
        channel = Channel(link.start(log), self.context.name, log)
        if self._killed:  # meanwhile
            channel.kill()
        return channel


class _Talk:
    """Messages and files between a worker and its agent, for one job."""

    def __init__(self, channel: Channel, check: Callable[[], None], folder: Path) -> None:
        self._channel, self._check, self._folder = channel, check, folder
        self._said_s = 0.0

    def beat(self) -> None:
        """Show that this host is there, unless it has said something just now. Never amid a file."""
        if time.monotonic() - self._said_s > BEAT_S:
            self._said_s = time.monotonic()
            self._channel.nudge()

    def tell(self, message: dict[str, Any]) -> None:
        self._said_s = time.monotonic()
        self._channel.send(json.dumps(message).encode() + b"\n", self._check)

    def send_files(self, blobs: Iterable[Blob], offsets: Mapping[str, int]) -> None:
        """Send what is missing there, from where it broke off the last time."""
        by_digest = {blob.sha256: blob for blob in blobs}
        for digest, offset in offsets.items():
            blob = by_digest[digest]
            self.tell({"content": digest, "offset": offset, "size": blob.size - offset})
            with file_in(self._folder, blob).open("rb") as content:
                content.seek(offset)
                while piece := content.read(_PIECE):
                    self._channel.send(piece, self._check)

    def collect(self, blobs: Sequence[Blob]) -> None:
        """Fetch the files that a result names. `BlobStore.keep` trusts their digests, so they are proven here."""
        self.tell({"collect": to_json(blobs)})
        for blob in blobs:
            digest, path = hashlib.sha256(), file_in(self._folder, blob)
            with writing(path), path.open("wb") as file:
                for piece in self._channel.content(blob.size, self._check):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != blob.sha256:
                raise errors.MissingError(
                    "damaged-transfer",
                    f"{blob.name} came from the device otherwise than it was announced.",
                    hint="Run the command again; if it happens twice, check the disk of the device.",
                )


def _time_for(blobs: Iterable[Blob]) -> float:
    """When files that travel should have arrived."""
    return time.monotonic() + ANSWER_S + sum(blob.size for blob in blobs) / SLOWEST


def _no_answer(name: str) -> errors.MissingError:
    return errors.MissingError(
        "device-timeout",
        f"{name} is connected and does not go on.",
        hint="Look at the device: it may be overloaded, or its disk may hang.",
    )


def _told(events: Iterable[dict[str, Any]], on_progress: Callable[[Progress], None]) -> Iterator[dict[str, Any]]:
    """Everything but progress, which is passed on, and errors, which are raised."""
    for event in events:
        if event["event"] == "progress":
            del event["event"]
            on_progress(from_json(Progress, event))
        elif event["event"] == "error":
            raise _rebuild(event)
        else:
            yield event


def _rebuild(event: dict[str, Any]) -> errors.EdgekitError:
    kind = errors.BY_NAME.get(event["type"], errors.JobFailed)
    error = kind(event["code"], event["message"], received=event["received"], hint=event["hint"])
    error.add_note(event["traceback"])
    return error
