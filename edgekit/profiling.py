"""The profile of a bench: where the time of each artifact goes, in layers of its source where that is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgekit.attribution.look import layers_of
from edgekit.attribution.origins import layers_by_operator
from edgekit.attribution.tensors import Opened
from edgekit.devices import Device
from edgekit.errors import EdgekitError, InternalError, UsageError
from edgekit.exporter.reference import reload_source
from edgekit.figures import BenchRow
from edgekit.latency.bench import candidates_of
from edgekit.latency.measured import BenchSettings
from edgekit.latency.profile import Origin, of_the_file, profile_of
from edgekit.parity.layers import Layer
from edgekit.selection import Selected
from edgekit.surgery.base import Graph
from edgekit.types import Blob
from edgekit.workbench import Workbench


def refuse_other_scenarios(settings: BenchSettings) -> None:
    """A profile is of single inferences, one after another.

    Raises:
        UsageError: names the scenario.
    """
    if settings.scenario != "latency":
        raise UsageError(
            "profile-of-latency-only",
            "--profile shows where the time of single inferences goes.",
            received=f"--scenario {settings.scenario}",
            hint="Leave out --scenario, or leave out --profile.",
        )


def profiled(
    rows: Sequence[BenchRow],
    chosen: Sequence[Selected],
    inputs: Sequence[Mapping[str, Blob]],
    settings: BenchSettings,
    work: Workbench,
    device: Device,
) -> tuple[BenchRow, ...]:
    """Rows with their profiles; one that cannot be had is a reason of its row.

    Args:
        rows: of artifacts that were timed.
        chosen: the artifacts.
        inputs: of each.
        settings: how they were timed.
        work: of this command.
        device: where.
    """
    known = _Sources(work)
    found = []
    for row, one, candidate in zip(rows, chosen, candidates_of(chosen, inputs, work, device), strict=True):
        if row.verdict == "error":
            found.append(row)
            continue

        def origin(graph: Graph, one: Selected = one, given: Mapping[str, Blob] = candidate.inputs) -> Origin:
            return known.origin(one, graph, given, device)

        with work.reporter.task(f"profile {row.name} on {device.name}"):
            try:
                made = profile_of(
                    candidate, row.target, row.batch, work, device, seconds=settings.max_seconds, origin=origin
                )
                found.append(replace(row, profile=made))
            except InternalError:
                raise
            except EdgekitError as error:
                found.append(replace(row, reasons=(*row.reasons, f"no profile: {error.message}")))
    return tuple(found)


class _Sources:
    """Layers of the sources of kits: each source is loaded once."""

    def __init__(self, work: Workbench) -> None:
        self._work = work
        self._layers: dict[str, tuple[Layer, ...] | EdgekitError] = {}

    def origin(self, one: Selected, graph: Graph, inputs: Mapping[str, Blob], device: Device) -> Origin:
        """Layers of the source; operators of the file where there is none, or it cannot be asked."""
        kit, work = one.kit, self._work
        if kit is None:
            return of_the_file(graph)
        files = tuple(work.executor.add(file) for file in one.files)
        opened = Opened(one.artifact.target, files, graph, device.context(), device.options(), work)
        try:
            found = layers_by_operator(
                opened, lambda given: self._of(one, given), inputs, one.artifact.precision or "fp32"
            )
        except InternalError:
            raise
        except EdgekitError as error:
            return of_the_file(graph, f"the layers are operators of the file: {error.message}")
        return Origin(found.computed, found.served, "source")

    def _of(self, one: Selected, given: Mapping[str, Blob]) -> tuple[Layer, ...]:
        """Layers on given samples."""
        kit = one.kit
        assert kit is not None  # the caller has looked
        key = f"{kit.folder} {sorted((name, blob.sha256) for name, blob in given.items())}"
        if key not in self._layers:
            try:
                self._layers[key] = layers_of(lambda: reload_source(kit, self._work), self._work)(given)
            except EdgekitError as error:
                self._layers[key] = error
        found = self._layers[key]
        if isinstance(found, EdgekitError):
            raise found
        return found
