"""Does an artifact pay, with a reason that its engine was asked for where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.devices import Device
from edgekit.errors import EdgekitError
from edgekit.figures import Pays
from edgekit.jobs.protocol import Progress
from edgekit.latency.causes import Facts
from edgekit.latency.measured import BenchSettings, Measured
from edgekit.latency.pays import pays
from edgekit.latency.turns import OPENING_S, Turns, take_turns
from edgekit.runtimes.execution import Execution, ExecutionJob
from edgekit.types import Artifact, Blob
from edgekit.workbench import Workbench

#: Wall time of an artifact and its parent in turns: eight rounds of most models.
TURNS_S = 8.0


class Explainer:
    """Compares timed artifacts with their parents. Each engine is asked once per artifact, in a process of its own."""

    def __init__(self, work: Workbench, device: Device, settings: BenchSettings) -> None:
        self._work = work
        self._device = device
        limit = min(settings.max_seconds, TURNS_S)
        self._settings = replace(settings, max_seconds=limit, min_seconds=min(OPENING_S, limit))
        self._known: dict[tuple[Blob, ...], Execution | None] = {}

    def pays(self, artifact: Artifact, timed: Mapping[str, Measured]) -> tuple[Pays, ...]:
        """One answer for the device; none where the parent was not timed.

        Args:
            artifact: as the kit holds it.
            timed: measurements by digest, that of the artifact among them.
        """
        parent, child = timed.get(artifact.parent or ""), timed[artifact.sha256]
        if parent is None:
            return ()
        turns = self._turns(parent, child)
        found = pays(parent, child, device=self._device.name, precision=artifact.precision, turns=turns)
        if found.answer == "yes" or found.speedup is None:
            return (found,)
        low_bit = artifact.settings.get("low_bit_macs")
        facts = Facts(self._execution(parent), self._execution(child), None if low_bit is None else float(low_bit))
        return (pays(parent, child, device=self._device.name, precision=artifact.precision, facts=facts, turns=turns),)

    def _turns(self, parent: Measured, child: Measured) -> Turns | None:
        """Both in one process; None for what is timed in rounds only, or cannot be compared at all."""
        known = parent.openings and child.openings and not (parent.error or child.error)
        if self._settings.scenario != "latency" or not known or parent.openings[0].environment.emulated:
            return None
        base, new = parent.candidate, child.candidate
        with self._work.reporter.task(f"{new.name} and {base.name} in turns on {self._device.name}") as update:
            return take_turns(
                base, new, self._work.executor, self._device.context(), self._settings, on_progress=update
            )

    def _execution(self, timed: Measured) -> Execution | None:
        """None where the engine does not tell: the reason then rests on less."""
        candidate = timed.candidate
        if candidate.files not in self._known:
            job = ExecutionJob(candidate.runtime, candidate.files, dict(candidate.inputs), timed.options)
            found: Execution | None = None
            with self._work.reporter.task(f"ask {candidate.runtime} what it executes for {candidate.name}") as update:
                try:
                    found = self._work.executor.run_fresh(job, self._device.context(), update)
                except EdgekitError:
                    update(Progress("it does not tell"))
            self._known[candidate.files] = found
        return self._known[candidate.files]
