"""From an artifact that failed to the layer that is wrong: the first stage that breaks is looked at, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from edgekit.attribution.look import Basis, Look, layers_of, look, operators_of
from edgekit.attribution.stages import Runs, Step, blamed, first_broken, steps_to
from edgekit.checked import CheckRow
from edgekit.devices import Device
from edgekit.exporter.reference import LoadedSource
from edgekit.kit import OUTPUT_ROOT
from edgekit.parity.layers import Layer
from edgekit.selection import Selected
from edgekit.types import Blob


class Tracer:
    """Looks at the layers of artifacts; what several of them share is looked at once.

    Args:
        runs: of this command.
        load: what the artifacts are compared with.
        other: whether that is something else than the source of their kit.
    """

    def __init__(self, runs: Runs, load: Callable[[], LoadedSource], *, other: bool) -> None:
        self._runs, self._other = runs, other
        self._source = _once(layers_of(cache(load), runs.bench))
        self._seen: dict[tuple[str, str, str | None], Look] = {}

    def traced(self, selected: Selected, row: CheckRow, device: Device, *, wanted: bool) -> CheckRow:
        """A row with its layers, where they were asked for or something failed.

        Args:
            selected: the artifact of the row.
            row: with its stages, see `edgekit.attribution.stages.staged`.
            device: where the artifact ran.
            wanted: whether layers were asked for.
        """
        failed = row.verdict == "failed"
        if not (failed or wanted) or row.verdict == "error":
            return row
        steps = steps_to(selected, device)
        place = first_broken(row.stages) if failed else len(steps) - 1
        found = self._look(steps, place, failed=failed)
        if found.reason is not None:
            reason = found.reason if found.rows else f"its layers could not be compared: {found.reason}"
            row = replace(row, reasons=(*row.reasons, reason))
        if found.blame is not None:
            row = blamed(row, found.blame)
        return replace(row, layers=found.rows, failing=found.failing)

    def _look(self, steps: Sequence[Step], place: int, *, failed: bool) -> Look:
        step = steps[place]
        stage = step.stage if failed else None
        key = step.selected.artifact.sha256, step.device.name, stage
        if key not in self._seen:
            bench, reference = self._runs.bench, self._runs.reference
            basis = self._basis(steps, place, failed=failed)
            folder = self._folder(step.selected)
            self._seen[key] = look(step.selected, basis, reference, bench, step.device, stage=stage, folder=folder)
        return self._seen[key]

    def _basis(self, steps: Sequence[Step], place: int, *, failed: bool) -> Basis:
        """What the stage was given; for one that holds, what the user compares with."""
        if place == 0 or (self._other and not failed):
            return self._source
        before = steps[place - 1]
        return operators_of(before.selected, self._runs.bench, before.device)

    def _folder(self, selected: Selected) -> Path:
        """Where the smallest part that shows a fault goes: into the kit, unless its source is not what it missed."""
        if selected.kit is None:
            return OUTPUT_ROOT / "failing" / f"{selected.files[0].stem}-{selected.artifact.sha256[:8]}"
        root = OUTPUT_ROOT if self._other else selected.kit.folder
        return root / "failing" / selected.files[0].parent.name


def _once(basis: Basis) -> Basis:
    """The same layers for every artifact that is looked at on the same samples."""
    known: dict[tuple[tuple[str, str], ...], tuple[Layer, ...]] = {}

    def layers(inputs: Mapping[str, Blob]) -> tuple[Layer, ...]:
        key = tuple((name, blob.sha256) for name, blob in inputs.items())
        if key not in known:
            known[key] = basis(inputs)
        return known[key]

    return layers
