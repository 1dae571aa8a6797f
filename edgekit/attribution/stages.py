"""Which stage of an artifact's making is wrong: each is held against the one before it, and against the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekit.checked import Blame, CheckRow, Distance, Parity, StageParity
from edgekit.devices import Device, open_device
from edgekit.errors import EdgekitError
from edgekit.exporter.attempts import BATCHES
from edgekit.exporter.reasons import explain
from edgekit.parity.evaluate import Evaluation, Reference, compare, evaluate
from edgekit.progress import Update
from edgekit.runtimes import OpenOptions
from edgekit.selection import Selected
from edgekit.types import Verdict
from edgekit.workbench import Workbench

#: The device that everything before the last stage runs on.
HERE = "local"


class Runs:
    """What artifacts compute on the samples of one command: each runs once on each device.

    Args:
        reference: inputs and expected outputs.
        bench: of the command.
        tolerance: bound on the absolute difference, instead of the derived one.
        measured: whether the task metric is judged beside this, with a limit.
    """

    def __init__(
        self, reference: Reference, bench: Workbench, *, tolerance: float | None = None, measured: bool = False
    ) -> None:
        self.reference, self.bench, self.tolerance = reference, bench, tolerance
        self._measured = measured
        self._known: dict[tuple[str, str, OpenOptions], Evaluation | EdgekitError] = {}

    def of(self, selected: Selected, device: Device, update: Update = lambda progress: None) -> Evaluation:
        """An artifact on a device.

        Raises:
            EdgekitError: the runtime refused the file, crashed or ran past a limit; again for the same artifact.
        """
        key = selected.artifact.sha256, device.name, device.options()
        if key not in self._known:
            try:
                self._known[key] = self._run(selected, device, update)
            except EdgekitError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, EdgekitError):
            raise found
        return found

    def add(self, selected: Selected, device: Device, evaluation: Evaluation) -> None:
        """Take over a run on the same samples."""
        self._known[selected.artifact.sha256, device.name, device.options()] = evaluation

    def _run(self, selected: Selected, device: Device, update: Update) -> Evaluation:
        artifact = selected.artifact
        return evaluate(
            artifact.target,
            artifact.precision,
            tuple(self.bench.executor.add(file) for file in selected.files),
            self.reference,
            executor=self.bench.executor,
            context=device.context(),
            batches=BATCHES,
            options=device.options(),
            tolerance=self.tolerance,
            measured=self._measured,
            by_default=True,
            update=update,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """An artifact on the way from the source to where the last one runs.

    Attributes:
        stage: as in `StageParity`.
        selected: what the stage gives.
        device: where that runs.
    """

    stage: str
    selected: Selected
    device: Device


def steps_to(selected: Selected, device: Device) -> tuple[Step, ...]:
    """The artifacts that one was made from, the oldest first, itself, and itself elsewhere.

    What comes before a device that is not this machine runs here.

    Args:
        selected: the artifact.
        device: where it is checked.
    """
    kit, line = selected.kit, [selected]
    held = {one.sha256: one for one in kit.artifacts} if kit is not None else {}
    while kit is not None and (parent := held.get(line[0].artifact.parent or "")) is not None:
        line.insert(0, Selected(parent, kit.files(parent), kit))
    here = open_device(HERE)
    here = device if (device.name, device.options()) == (HERE, here.options()) else here
    made = [Step("export" if one.artifact.parent is None else "quantize", one, here) for one in line]
    return (*made, Step("device", selected, device)) if here is not device else tuple(made)


def stages(steps: Sequence[Step], verdict: Verdict, runs: Runs) -> tuple[StageParity, ...]:
    """Each stage beside the one before it, and beside the source.

    Args:
        steps: of an artifact, see `steps_to`.
        verdict: of the last, which has run: limits of the user's are part of it.
        runs: of this command; what has run does not run again.
    """
    found: list[StageParity] = []
    before: Evaluation | None = None
    for step in steps:
        kit, artifact = step.selected.kit, step.selected.artifact
        try:
            if kit is not None and step.selected is not steps[-1].selected:
                kit.verify(artifact)  # what was asked for has been looked at
            ran = runs.of(step.selected, step.device)
        except EdgekitError as error:
            found.append(StageParity(step.stage, step.selected.path, None, None, "error", (explain(error),)))
            before = None
            continue
        found.append(_stage(step, ran, before, verdict if step is steps[-1] else None, runs))
        before = ran
    return tuple(found)


def first_broken(found: Sequence[StageParity]) -> int:
    """Place of the stage to blame for a last one that failed.

    The first that breaks what it was given; where none does, the first that is too far from the source, since small
    errors of several stages add up, and limits of the user's are about the source. A stage that cannot be run any more
    says nothing.
    """
    alone = [place for place, one in enumerate(found) if one.verdict == "failed"]
    total = [
        place
        for place, one in enumerate(found)
        if one.against_source is not None and one.against_source.verdict == "failed"
    ]
    return next(iter([*alone, *total]), len(found) - 1)


def staged(selected: Selected, row: CheckRow, runs: Runs, device: Device, *, wanted: bool = False) -> CheckRow:
    """A row with its stages, and the stage to blame where it failed.

    Args:
        selected: the artifact of the row.
        row: as it was judged.
        runs: of this command.
        device: where the artifact ran.
        wanted: show the stages even of an artifact that holds and has one only.
    """
    if row.verdict == "error":
        return blamed(row, Blame("runtime"))
    steps = steps_to(selected, device)
    failed = row.verdict == "failed"
    if not (failed or wanted or len(steps) > 1):
        return row
    row = replace(row, stages=stages(steps, row.verdict, runs))
    return blamed(row, Blame(row.stages[first_broken(row.stages)].stage)) if failed else row


def blamed(row: CheckRow, blame: Blame) -> CheckRow:
    """A row with its culprit, as fields and as words."""
    return replace(row, blame=blame, culprit=str(blame))


def _stage(step: Step, ran: Evaluation, before: Evaluation | None, verdict: Verdict | None, runs: Runs) -> StageParity:
    """One stage; the verdict is known for the last."""
    precision = step.selected.artifact.precision
    limited = verdict is not None or runs.tolerance is None
    whole = ran.parity if limited else compare(runs.reference, ran.outputs, precision)
    to_source = _distance(whole, verdict or whole.verdict)
    path = step.selected.path
    if step.stage == "export":
        return StageParity(step.stage, path, to_source, to_source, to_source.verdict, whole.reasons)
    if before is None:
        return StageParity(step.stage, path, None, to_source, to_source.verdict, whole.reasons)
    beside = compare(replace(runs.reference, outputs=before.outputs), ran.outputs, precision)
    return StageParity(step.stage, path, _distance(beside, beside.verdict), to_source, beside.verdict, beside.reasons)


def _distance(parity: Parity, verdict: Verdict) -> Distance:
    """By the worst of the outputs."""
    noisy = [one.sqnr_db for one in parity.outputs if one.sqnr_db is not None]
    gaps = [one.max_abs for one in parity.outputs if one.max_abs is not None]
    return Distance(min(noisy, default=None), max(gaps, default=None), verdict)
