"""Try routes in order until one gives an artifact that runs and agrees with its source."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgekit import errors
from edgekit.exporter.compatibility import Compatibility, CompatibilityJob, Limits, limits
from edgekit.exporter.compatibility_needs import OldRuntime
from edgekit.exporter.graph import HopRow, Route, conversion_context
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.reasons import explain
from edgekit.exporter.reference import LoadedSource
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Progress
from edgekit.kit import digest_of
from edgekit.parity.evaluate import Evaluation, Reference, evaluate
from edgekit.progress import Update
from edgekit.registry import install_command
from edgekit.runtimes import runtime_for
from edgekit.types import Artifact, Attempt, Blob, Signature

#: Batch sizes that every export is run with; the second one only where the artifact keeps the batch free.
BATCHES = (1, 3)

#: What an attempt is called whose process did not end well.
OUTCOMES: dict[type[errors.EdgekitError], str] = {
    errors.JobTimedOut: "timeout",
    errors.JobOutOfMemory: "out-of-memory",
    errors.JobCrashed: "crashed",
    errors.MissingError: "missing",
}


@dataclass(frozen=True, slots=True)
class Export:
    """An accepted artifact.

    Attributes:
        files: on this machine, the entry file first.
        evaluation: on the golden samples.
    """

    artifact: Artifact
    files: tuple[Path, ...]
    evaluation: Evaluation


class Converter:
    """Runs hops for one command; a hop that several routes share runs once."""

    def __init__(
        self, executor: Executor, source: LoadedSource, opset: int | None, old: tuple[OldRuntime, ...] = ()
    ) -> None:
        self.executor = executor
        self._old = old
        self._source = source
        self._opset = opset
        self._guard = threading.Lock()
        self._done: dict[tuple[str, tuple[str, ...]], Future[tuple[Blob, ...]]] = {}

    def convert(self, route: Route, reference: Reference, update: Update) -> tuple[Blob, ...]:
        """Follow a route.

        Raises:
            EdgekitError: of the first hop that fails.
        """
        files = self._source.spec.files
        for hop in route.hops:
            files = self._hop(hop, files, reference, update)
        return files

    def limits(self, target: str) -> Limits:
        """The old runtimes that an artifact of a target has to load in."""
        return limits(target, self._old)

    def lowered(self, target: str, files: tuple[Blob, ...], update: Update) -> Compatibility:
        """The artifact as far as it can be made readable for them, and what keeps it from loading there."""
        return self.executor.run(CompatibilityJob(files, self.limits(target)), conversion_context(None), update)

    def _hop(self, hop: HopRow, files: tuple[Blob, ...], reference: Reference, update: Update) -> tuple[Blob, ...]:
        key = (hop.name, tuple(blob.sha256 for blob in files))
        with self._guard:
            mine = key not in self._done
            future = self._done.setdefault(key, Future())
        if not mine:
            update(Progress(f"{hop.name} (shared with another target)"))
            return future.result()
        try:
            job = ConvertJob(hop.name, files, reference.signature, self._opset, self._source.spec.loading)
            result = self.executor.run(job, conversion_context(hop.backend, self._source.env), update)
        except BaseException as error:
            future.set_exception(error)
            raise
        future.set_result(result.files)
        return result.files


def try_routes(
    target: str,
    routes: Iterable[Route],
    reference: Reference,
    converter: Converter,
    update: Update,
    *,
    every: bool = False,
) -> tuple[tuple[Export, ...], tuple[Attempt, ...]]:
    """Convert, run and compare by each route until one is accepted.

    Args:
        target: artifact format.
        routes: in the order to try.
        reference: what to compare with.
        converter: runs the hops.
        update: receives progress.
        every: go on to the last route.

    Returns:
        What was accepted, one artifact at most unless ``every``, and every attempt with its outcome and reason.
    """
    attempts: list[Attempt] = []
    accepted: list[Export] = []
    for route in routes:
        started = time.monotonic()
        export, outcome, reason = _attempt(target, route, reference, converter, update)
        attempts.append(Attempt(route.name, outcome, reason, round(time.monotonic() - started, 3)))
        if export is not None:
            accepted.append(export)
            if not every:
                break
    return tuple(accepted), tuple(attempts)


def _attempt(
    target: str, route: Route, reference: Reference, converter: Converter, update: Update
) -> tuple[Export | None, str, str]:
    missing = lacking(target, route)
    if missing:
        return None, "missing", f"not tried: run {install_command(','.join(missing))}"
    try:
        files = converter.convert(route, reference, update)
    except errors.EdgekitError as error:
        return None, OUTCOMES.get(type(error), "failed"), explain(error)
    try:
        held = converter.lowered(target, files, update)
    except errors.JobFailed as error:  # what cannot be read is told best by its engine, which comes next
        held = Compatibility(files, (explain(error),), ())
    except errors.EdgekitError as error:
        return None, OUTCOMES.get(type(error), "failed"), explain(error)
    if held.reasons and converter.limits(target).named:
        return None, "unrunnable", " ".join(held.reasons)
    files = held.files
    update(Progress(f"{route.name}: run and compare"))
    try:
        evaluation = evaluate(
            target,
            "fp32",
            files,
            reference,
            executor=converter.executor,
            context=conversion_context(None),
            batches=BATCHES if reference.signature.batch is None else (reference.signature.batch,),
        )
    except errors.EdgekitError as error:
        return None, OUTCOMES.get(type(error), "unrunnable"), explain(error)
    if evaluation.parity.verdict == "failed":
        return None, "rejected", " ".join(evaluation.parity.reasons)
    paths = tuple(converter.executor.path(blob) for blob in files)
    return Export(_describe(target, route, held, evaluation), paths, evaluation), "accepted", ""


def in_order(target: str, found: Iterable[Route], signature: Signature | None = None) -> tuple[Route, ...]:
    """Routes in the order they are tried: those that can be tried here first, each part in the order given.

    Args:
        target: artifact format.
        found: by cost.
        signature: of the source, where it is known: routes that would refuse its free sizes go last.
    """

    def rank(route: Route) -> tuple[bool, bool]:
        return bool(lacking(target, route)), signature is not None and not route.keeps(signature)

    return tuple(sorted(found, key=rank))


def lacking(target: str, route: Route) -> tuple[str, ...]:
    """Extras to install before a route can be tried and its result run."""
    runtime = runtime_for(target)
    return tuple(dict.fromkeys([*route.missing(), *(runtime.extra.split(",") if runtime.missing() else ())]))


def _describe(target: str, route: Route, held: Compatibility, evaluation: Evaluation) -> Artifact:
    return Artifact(
        target=target,
        precision="fp32",
        path=held.files[0].name,
        files=held.files,
        sha256=digest_of(held.files),
        route=route.name,
        parent=None,
        signature=evaluation.signature,
        fixed=evaluation.fixed,
        versions=versions_of(module for hop in route.hops for module in hop.needs),
        settings={"loads in": ", ".join(held.oldest)} if held.oldest else {},
    )


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Installed versions by distribution; a module of another distribution's name is left out."""
    found = {}
    for module in dict.fromkeys(modules):
        name = module.replace("_", "-")
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
